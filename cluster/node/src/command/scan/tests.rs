use super::*;

#[test]
fn a_cursor_is_the_next_slot() {
    assert_eq!(slot(0), Some(0));
    assert_eq!(cursor(1), 1);
    assert_eq!(slot(cursor(SLOT_COUNT - 1)), Some(SLOT_COUNT - 1));
    assert_eq!(cursor(SLOT_COUNT), 0);
    assert_eq!(slot(u64::from(SLOT_COUNT)), None);
    assert_eq!(slot(u64::MAX), None);
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
