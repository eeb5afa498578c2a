use std::rc::Rc;

use evenkeel_engine::batch::BatchBuilder;
use evenkeel_engine::store::{Eviction, StoreOptions, Tier};

use super::*;

fn store() -> Store {
    Store::new(StoreOptions {
        tier: Tier::BackedByLog,
        memory_bytes_max: 1 << 20,
        eviction: Eviction::Lru,
        slot_of: slots::slot,
    })
}

fn put(store: &mut Store, key: &str, version: u64) {
    let home = Location { segment: 1, offset: version as u32 * 64, size: 64 };
    store.put(slots::slot(key.as_bytes()), key.as_bytes(), b"value", version, 0, Some((home, 0)));
}

/// Does what an entry would: first the cuts hear of it, then the store has it.
fn write(cut: &Cut, store: &mut Store, version: u64, keys: &[(&str, bool)]) {
    let mut batch = BatchBuilder::new(&[]);
    for (key, is_put) in keys {
        match is_put {
            true => batch.put(key.as_bytes(), b"value", 0),
            false => batch.delete(key.as_bytes()),
        }
    }
    let payload = batch.finish();
    cut.note(&Batch::decode(&payload).unwrap(), store);
    for (key, is_put) in keys {
        match is_put {
            true => put(store, key, version),
            false => {
                store.remove(slots::slot(key.as_bytes()), key.as_bytes());
            }
        }
    }
}

fn all() -> Range<u16> {
    0..slots::SLOT_COUNT
}

/// What is left of a cut: keys and versions.
fn rest(cut: &Cut, store: &Store) -> BTreeMap<Bytes, u64> {
    let mut found = BTreeMap::new();
    loop {
        let some = cut.next(store, 100).expect("nothing broke it");
        if some.is_empty() {
            return found;
        }
        for frozen in some {
            assert_eq!(frozen.home.0.offset, frozen.version as u32 * 64, "its own home");
            assert!(found.insert(frozen.key, frozen.version).is_none(), "each key once");
        }
    }
}

fn expected(keys: &[(&'static str, u64)]) -> BTreeMap<Bytes, u64> {
    keys.iter().map(|(key, version)| (Bytes::from_static(key.as_bytes()), *version)).collect()
}

#[test]
fn what_is_written_later_is_not_in_it() {
    let mut store = store();
    (1..=3).for_each(|version| put(&mut store, ["a", "b", "c"][version as usize - 1], version));
    let cut = Cut::new(Slot(3), all(), usize::MAX);
    write(&cut, &mut store, 4, &[("a", true), ("new", true)]);
    write(&cut, &mut store, 5, &[("b", false), ("a", false)]);
    write(&cut, &mut store, 6, &[("a", true), ("b", true)]);
    assert_eq!(rest(&cut, &store), expected(&[("a", 1), ("b", 2), ("c", 3)]));
    assert_eq!(cut.note_bytes.get(), 0, "all notes are used up");
}

/// Goal: all hash slots are as of one moment, whenever each is given out. Method: writes of one entry to
/// many slots between any two parts; a model remembers what was there at the beginning.
#[test]
fn slots_that_are_given_out_at_different_times_are_as_of_one_moment() {
    let mut store = store();
    let names: Vec<String> = (0..200).map(|number| format!("key-{number}")).collect();
    for (name, version) in names.iter().zip(1..) {
        if version % 3 != 0 {
            put(&mut store, name, version);
        }
    }
    let model = rest(&Cut::new(Slot(200), all(), usize::MAX), &store);
    let cut = Cut::new(Slot(200), all(), usize::MAX);
    let (mut found, mut version) = (BTreeMap::new(), 1_000);
    loop {
        let some = cut.next(&store, 200).unwrap();
        if some.is_empty() {
            break;
        }
        for frozen in some {
            assert!(found.insert(frozen.key, frozen.version).is_none(), "each key once");
        }
        let keys = (0..7).map(|step| names[(version as usize * 31 + step * 29) % 200].as_str());
        let keys: Vec<_> = keys.zip([true, false].into_iter().cycle()).collect();
        write(&cut, &mut store, version, &keys);
        version += 1;
    }
    assert!(1_010 < version, "there were writes in between");
    assert_eq!(found, model);
}

#[test]
fn a_part_has_at_least_one_key_and_no_more_than_fit() {
    let mut store = store();
    (1..=50).for_each(|version| put(&mut store, &format!("{{one}}{version}"), version));
    let cut = Cut::new(Slot(50), all(), usize::MAX);
    assert_eq!(cut.next(&store, 0).unwrap().len(), 1);
    let some = cut.next(&store, 200).unwrap();
    let bytes = |frozen: &Frozen| ENTRY_OVERHEAD + frozen.key.len() + frozen.size as usize;
    let size: usize = some.iter().map(bytes).sum();
    assert!(size <= 200 && 200 < size + 50, "{size}");
    assert_eq!(rest(&cut, &store).len(), 50 - 1 - some.len());
}

#[test]
fn a_cut_that_would_need_too_many_notes_breaks_and_says_so() {
    let mut store = store();
    let names: Vec<String> = (0..100).map(|number| format!("key-{number}")).collect();
    names.iter().zip(1..).for_each(|(name, version)| put(&mut store, name, version));
    let cut = Cut::new(Slot(100), all(), 10 * NOTE_OVERHEAD);
    for version in 101..1_000 {
        // Keys that come and go cost nothing.
        write(&cut, &mut store, version, &[("new", true), (&format!("new-{version}"), true)]);
    }
    assert!(!cut.is_broken() && cut.note_bytes.get() == 0);
    for (name, version) in names.iter().zip(1_000..) {
        write(&cut, &mut store, version, &[(name, true)]);
        // The same key again costs nothing.
        write(&cut, &mut store, version, &[(name, true)]);
    }
    assert!(cut.is_broken() && cut.next(&store, 100).is_none());
    assert_eq!(cut.note_bytes.get(), 0);
}

#[test]
fn a_write_to_a_slot_that_was_given_out_costs_nothing() {
    let mut store = store();
    put(&mut store, "a", 1);
    let cut = Rc::new(Cut::new(Slot(1), all(), usize::MAX));
    assert_eq!(rest(&cut, &store), expected(&[("a", 1)]));
    write(&cut, &mut store, 2, &[("a", true), ("b", true)]);
    assert!(cut.notes.borrow().is_empty());
    assert_eq!(rest(&cut, &store), BTreeMap::new());
}
