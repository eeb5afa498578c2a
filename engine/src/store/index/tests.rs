use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn tag(number: u32) -> Tag {
    Tag::from_number(number & ((1 << TAG_BITS) - 1))
}

/// Spreads numbers over the tags as a hash would.
fn spread(number: u64) -> Tag {
    Tag::of(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn recount(index: &Index) -> (usize, u64) {
    let len = (0..index.slots.len()).map(|slot| index.places(slot as u16).count()).sum();
    (len, index.slots.iter().map(Words::bytes).sum())
}

/// Goal: no insertion ever pauses. Method: count the words that each one moves, up to a million in one
/// slot, which is what a million keys with one `{tag}` are.
#[test]
fn no_insertion_moves_more_than_two_runs() {
    let mut index = Index::new(1);
    let mut moved_max = 0;
    for number in 0..1_000_000 {
        moved_max = moved_max.max(index.insert(0, spread(number), Place(number)));
    }
    assert!(moved_max <= 3 * RUN_LEN_MAX, "{moved_max}");
    assert_eq!((index.len(), index.bytes()), recount(&index));
    assert_eq!(index.candidates(0, spread(77)).filter(|place| *place == Place(77)).count(), 1);
    // A word is 8 bytes; what else there is are runs with room to grow.
    assert!(index.bytes() < 1_000_000 * 9, "{}", index.bytes());
}

/// Goal: at most ten bytes a key, at every size and not just at the best one.
#[test]
fn a_key_takes_less_than_ten_bytes() {
    const SLOTS: usize = 256;
    let mut index = Index::new(SLOTS);
    for number in 0..SLOTS as u64 * 2000 {
        let slot = (number.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u16;
        index.insert(slot, spread(number), Place(number));
        let len = index.len();
        if SLOTS * 32 <= len && len.is_multiple_of(1000) {
            assert!(index.bytes() <= len as u64 * 10, "{} bytes for {len}", index.bytes());
        }
    }
    assert!(index.bytes() * 100 <= index.len() as u64 * 880, "{}", index.bytes());
}

/// Goal: a stranger's tag is rarely here. Method: ask for 2 million keys that are not there, at 100 keys
/// a slot (1.6 million keys a node).
#[test]
fn a_stranger_is_taken_for_a_key_less_than_once_in_five_thousand() {
    let mut index = Index::new(16);
    for number in 0..1600 {
        index.insert(number as u16 % 16, spread(number), Place(number));
    }
    let strangers = 1_000_000..3_000_000_u64;
    let wrong =
        strangers.map(|number| index.candidates(number as u16 % 16, spread(number)).count());
    let wrong: usize = wrong.sum();
    assert!(wrong < 400, "{wrong} of 2,000,000");
}

#[test]
fn an_emptied_index_gives_its_memory_back() {
    let mut index = Index::new(2);
    for number in 0..5000 {
        index.insert(1, spread(number), Place(number));
    }
    let full = index.bytes();
    for number in 0..5000 {
        assert!(index.remove(1, spread(number), Place(number)));
        assert!(!index.remove(1, spread(number), Place(number)));
        if number == 4000 {
            assert!(index.bytes() < full / 3, "{} of {full}", index.bytes());
        }
    }
    assert_eq!((index.len(), index.bytes()), (0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u16, u32),
    Remove(prop::sample::Index),
    Replace(prop::sample::Index),
    Clear(u16),
}

/// Tags that collide, crowd at either end, or are spread.
fn any_tag() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(5_u32),
        0_u32..4,
        ((1_u32 << TAG_BITS) - 3)..(1 << TAG_BITS),
        any::<u32>(),
        1_000_000_u32..1_000_700,
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0_u16..2, any_tag()).prop_map(|(slot, tag)| Step::Insert(slot, tag)),
        10 => any::<prop::sample::Index>().prop_map(Step::Remove),
        5 => any::<prop::sample::Index>().prop_map(Step::Replace),
        // Rare, so that runs become long enough to be cut.
        1 => (0_u16..200).prop_map(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_index_does_what_a_set_does(steps in prop::collection::vec(any_step(), 0..3000)) {
        let mut index = Index::new(2);
        let mut model: BTreeSet<(u16, Tag, u64)> = BTreeSet::new();
        for (next, step) in steps.into_iter().enumerate() {
            let next = next as u64;
            match step {
                Step::Insert(slot, number) => {
                    let moved = index.insert(slot, tag(number), Place(next));
                    prop_assert!(moved <= 3 * RUN_LEN_MAX + model.len());
                    model.insert((slot, tag(number), next));
                }
                Step::Remove(at) if !model.is_empty() => {
                    let chosen = *model.iter().nth(at.index(model.len())).unwrap();
                    model.remove(&chosen);
                    prop_assert!(index.remove(chosen.0, chosen.1, Place(chosen.2)));
                    prop_assert!(!index.replace(chosen.0, chosen.1, Place(chosen.2), Place(0)));
                }
                Step::Replace(at) if !model.is_empty() => {
                    let chosen = *model.iter().nth(at.index(model.len())).unwrap();
                    model.remove(&chosen);
                    model.insert((chosen.0, chosen.1, next));
                    prop_assert!(index.replace(chosen.0, chosen.1, Place(chosen.2), Place(next)));
                }
                Step::Clear(slot) if slot < 2 => {
                    model.iter().filter(|(of, _, _)| *of == slot).for_each(|(_, tag, place)| {
                        assert!(index.remove(slot, *tag, Place(*place)));
                    });
                    model.retain(|(of, _, _)| *of != slot);
                }
                _ => (),
            }
        }
        prop_assert_eq!((index.len(), index.bytes()), recount(&index));
        for slot in 0..2 {
            let places: BTreeSet<u64> = index.places(slot).map(|place| place.0).collect();
            let wanted = model.iter().filter(|(of, _, _)| *of == slot);
            prop_assert_eq!(places, wanted.map(|(_, _, place)| *place).collect::<BTreeSet<_>>());
            prop_assert_eq!(index.len_in(slot), index.places(slot).count());
        }
        for (slot, tag, place) in &model {
            let found: Vec<Place> = index.candidates(*slot, *tag).collect();
            prop_assert!(found.contains(&Place(*place)));
            let same = model.iter().filter(|(of, other, _)| of == slot && other == tag).count();
            prop_assert_eq!(found.len(), same);
        }
    }
}
