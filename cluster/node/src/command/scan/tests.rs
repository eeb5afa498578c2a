use super::*;

#[test]
fn a_cursor_is_a_slot_and_a_place_in_it() {
    assert_eq!(Place::of(0), Some(Place::start(0)));
    assert_eq!(Place::start(1).cursor(), 1);
    assert_eq!(Place::start(SLOT_COUNT).cursor(), 0);
    let last = SLOT_COUNT - 1;
    for place in [Place::start(last), Place::behind(7, 0), Place::behind(last, HASH_MAX - 1)] {
        assert_eq!(Place::of(place.cursor()), Some(place));
    }
    assert_eq!(Place::behind(last, HASH_MAX).cursor(), 0);
    assert_eq!(Place::of(u64::MAX), None);
}

#[test]
fn the_place_of_a_key_is_for_ever() {
    assert_eq!(
        [hash(b""), hash(b"k"), hash(b"{tag}:12345")],
        [0, 259_145_314_325_544, 157_070_166_307_701]
    );
}

/// Goal: a slot that is walked in parts shows every key that stays exactly once.
/// Method: parts of every size up to more than all, with keys that come and go between the parts.
#[test]
fn parts_of_a_slot_make_the_whole() {
    let names: Vec<String> = (0..50).map(|number| format!("{{t}}{number}")).collect();
    for count in 1..=60 {
        let (mut shown, mut first, mut turn) = (Vec::new(), 0, 0);
        loop {
            let there = names.iter().enumerate().filter(|(index, _)| index % 5 != turn % 7);
            let keys = there.map(|(_, name)| name.as_bytes());
            let (part, last) = next_part(keys, first, count);
            shown.extend(part.into_iter().map(<[u8]>::to_vec));
            let Some(last) = last else { break };
            assert!(first <= last, "a part that shows nothing");
            (first, turn) = (last + 1, turn + 1);
        }
        let unique: std::collections::BTreeSet<_> = shown.iter().collect();
        assert_eq!(unique.len(), shown.len(), "twice, in parts of {count}");
        let stays = |index: usize| (0..=turn).all(|turn| index % 5 != turn % 7);
        let stayed = names.iter().enumerate().filter(|(index, _)| stays(*index));
        assert!(stayed.into_iter().all(|(_, name)| unique.contains(&name.as_bytes().to_vec())));
    }
}

#[test]
fn a_filter_knows_patterns_and_types() {
    let check = |pattern: Option<&str>, kind: Option<&str>, key: &str, expected| {
        let filter = Filter::new(pattern.map(str::as_bytes), kind.map(str::as_bytes));
        assert_eq!(filter.shows(key.as_bytes()), expected, "{filter:?} {key}");
    };
    check(None, None, "k", true);
    check(Some("*"), None, "", true);
    check(Some("a*"), None, "ab", true);
    check(Some("a*"), None, "b", false);
    check(None, Some("STRING"), "k", true);
    check(None, Some("hash"), "k", false);
}

#[test]
fn the_reply_has_the_cursor_as_text() {
    let expected = Reply::Array(vec![Reply::text("12"), Reply::Array(vec![Reply::text("k")])]);
    assert_eq!(reply(12, vec![Bytes::from_static(b"k")]), expected);
}
