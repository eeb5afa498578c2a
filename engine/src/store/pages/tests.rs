use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Eviction, SLOT_COUNT, StoreOptions, Tier};
use super::*;

const SHARDS: [Range<u16>; 2] = [0..100, 100..SLOT_COUNT];

/// A few slots at the seams of buckets and shards.
fn slot_of(key: &[u8]) -> u16 {
    [0, 63, 64, 99, 100, 163, 164, SLOT_COUNT - 1][usize::from(key[0]) % 8]
}

fn new(hash_mask: u64) -> Store {
    let mut store = Store::new(StoreOptions {
        tier: Tier::BackedByLog,
        memory_bytes_max: 3_000,
        eviction: Eviction::Lru,
        slot_of,
    });
    store.hash_mask = hash_mask;
    store.track_changes(&SHARDS);
    store
}

fn place(number: u64) -> (Location, u32) {
    let segment = 1 + (number / 7) as u32;
    (Location { segment, offset: number as u32 * 300, size: 40 }, number as u32 % 3)
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        size: usize,
        expires_at_ms: u64,
    },
    Remove,
    Expire(u64),
    Move,
    Fill,
    Clear(usize),
    /// The log takes so many pages before it refuses one.
    Write {
        taken: usize,
        rebase: u64,
    },
}

fn any_step() -> impl Strategy<Value = (u8, Step)> {
    let deadline = prop_oneof![3 => Just(0), 1 => 1_u64..20];
    let step = prop_oneof![
        12 => (0_usize..200, deadline)
            .prop_map(|(size, expires_at_ms)| Step::Put { size, expires_at_ms }),
        6 => Just(Step::Remove),
        1 => (0_u64..20).prop_map(Step::Expire),
        4 => Just(Step::Move),
        2 => Just(Step::Fill),
        1 => (0_usize..2).prop_map(Step::Clear),
        3 => (prop_oneof![0_usize..4, Just(1000)], 0_u64..3000)
            .prop_map(|(taken, rebase)| Step::Write { taken, rebase }),
    ];
    (any::<u8>(), step)
}

/// A log in which pages lie.
#[derive(Default)]
struct Pages(BTreeMap<(u32, u32), Vec<u8>>);

impl Pages {
    fn write(&mut self, store: &mut Store, taken: usize, rebase: u64) -> bool {
        let mut left = taken;
        let mut append = |page: &[u8]| {
            left = left.checked_sub(1).ok_or(EngineError::Busy { pending: 0, max: 0 })?;
            let location = Location {
                segment: 1_000_000,
                offset: self.0.len() as u32,
                size: page.len() as u32,
            };
            self.0.insert((location.segment, location.offset), page.to_vec());
            Ok(location)
        };
        let mut rebase = Rebase::up_to(rebase);
        SHARDS.iter().all(|slots| store.write_pages(slots, &mut rebase, &mut append).is_ok())
    }

    fn restore(&self, store: &Store) -> Store {
        let mut restored = new(store.hash_mask);
        for slots in &SHARDS {
            let wanted = restored.adopt_pages(slots, &store.page_list(slots)).unwrap();
            for at in wanted {
                restored.restore_page(&self.0[&(at.segment, at.offset)]).unwrap();
            }
        }
        restored
    }
}

/// Version, deadline, home and size.
type Known = (u64, u64, (Location, u32), u32);

fn everything(store: &Store) -> BTreeMap<Vec<u8>, Known> {
    let keys = (0..SLOT_COUNT).flat_map(|slot| store.keys_in(slot).map(move |key| (slot, key)));
    let keys = keys.map(|(slot, (key, found))| {
        let home = store.home(slot, key).unwrap();
        (key.to_vec(), (found.version, found.expires_at_ms, home, found.size))
    });
    keys.collect()
}

fn step(store: &mut Store, pages: &mut Pages, number: u64, key: &[u8], step: Step) {
    let slot = slot_of(key);
    match step {
        Step::Put { size, expires_at_ms } => {
            let value = vec![number as u8; size];
            store.put(slot, key, &value, number, expires_at_ms, Some(place(number)));
        }
        Step::Remove => {
            store.remove(slot, key);
        }
        Step::Expire(now_ms) => {
            store.expire(now_ms, 3);
        }
        Step::Move => {
            if let Some(from) = store.home(slot, key) {
                let before = store.peek(slot, key).unwrap();
                let (version, size) = (before.version, before.size);
                assert!(!store.move_home(slot, key, place(9_999), place(number)));
                assert!(store.move_home(slot, key, from, place(number)));
                let after = store.peek(slot, key).unwrap();
                assert_eq!((after.version, after.size), (version, size));
                assert_eq!(store.home(slot, key), Some(place(number)));
            }
        }
        Step::Fill => {
            if let Some(found) = store.peek(slot, key) {
                let (version, size) = (found.version, found.size as usize);
                store.fill(slot, key, version, &vec![version as u8; size]);
            }
        }
        Step::Clear(shard) => store.clear_slots(SHARDS[shard].clone()),
        Step::Write { taken, rebase } => {
            if pages.write(store, taken, rebase) {
                assert_eq!(store.change_count(), 0);
                let restored = pages.restore(store);
                assert_eq!(everything(&restored), everything(store));
                assert_eq!(restored.live_bytes(), store.live_bytes());
                assert_eq!(restored.volatile_len(), store.volatile_len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Goal: pages, however the changes came about and however often writing them failed in between,
    /// say what the store says. Method: after every complete writing, a store made of the pages alone
    /// is compared with it.
    #[test]
    fn a_store_made_of_its_pages_is_the_same_store(
        mask in prop_oneof![Just(0), Just(3 << 62), Just(u64::MAX)],
        steps in prop::collection::vec(any_step(), 0..400),
    ) {
        let (mut store, mut pages) = (new(mask), Pages::default());
        for (number, (name, what)) in (1..).zip(steps) {
            step(&mut store, &mut pages, number, &[name % 40, b'k'], what);
        }
        let last = Step::Write { taken: usize::MAX, rebase: u64::MAX };
        step(&mut store, &mut pages, 0, b"\0", last);
    }
}

/// Goal: a key that is written again and again is noted once, and counts once.
#[test]
fn a_key_that_changes_often_is_one_change() {
    let (mut store, mut pages) = (new(u64::MAX), Pages::default());
    let put = |store: &mut Store, number| {
        store.put(0, b"\0", b"value", number, 0, Some(place(number)));
    };
    (1..100).for_each(|number| put(&mut store, number));
    assert_eq!(store.change_count(), 1);
    store.remove(0, b"\0");
    assert_eq!(store.change_count(), 2, "that it is gone is a change of its own");
    assert!(pages.write(&mut store, 10, 0));
    assert_eq!((store.change_count(), pages.0.len()), (0, 1));
    assert!(pages.write(&mut store, 10, 0));
    assert_eq!(pages.0.len(), 1, "nothing has changed");
}

#[test]
fn a_list_or_a_page_that_is_none_is_refused() {
    let (mut store, mut pages) = (new(u64::MAX), Pages::default());
    store.put(0, b"\0", b"value", 1, 9, Some(place(1)));
    assert!(pages.write(&mut store, 10, 0));
    let (list, page) = (store.page_list(&SHARDS[0]), pages.0.pop_first().unwrap().1);
    for size in 0..list.len() {
        assert_eq!(new(u64::MAX).adopt_pages(&SHARDS[0], &list[..size]), None);
    }
    for size in 1..page.len() {
        assert_eq!(new(u64::MAX).restore_page(&page[..size]), None);
    }
    let mut other = page.clone();
    other[0] = 9;
    assert_eq!(new(u64::MAX).restore_page(&other), None);
}
