use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::batch::operation_size_max;
use crate::limits::RECORD_OVERHEAD_MAX;

const PLENTY: u64 = u64::MAX;

/// The first byte of a key is its slot.
fn slot_of(key: &[u8]) -> u16 {
    key.first().copied().map_or(0, u16::from)
}

fn options(tier: Tier, memory_bytes_max: u64, eviction: Eviction) -> StoreOptions {
    StoreOptions { tier, memory_bytes_max, eviction, slot_of }
}

fn new(tier: Tier, memory_bytes_max: u64) -> Store {
    Store::new(options(tier, memory_bytes_max, Eviction::Fifo))
}

fn location(position: u64) -> Location {
    // Some are smaller than what they hold: compressed.
    Location { segment: 1, offset: position as u32, size: [7, 5_000][position as usize % 2] }
}

fn home(tier: Tier, version: u64) -> Option<(Location, u32)> {
    (tier == Tier::BackedByLog).then(|| (location(version), version as u32 % 3))
}

fn put(store: &mut Store, key: &str, value: &str) {
    let home = home(store.tier, 5);
    store.put(slot_of(key.as_bytes()), key.as_bytes(), value.as_bytes(), 5, 0, home);
}

fn keys(store: &Store) -> Vec<String> {
    let slots = 0..SLOT_COUNT;
    let keys = slots.flat_map(|slot| store.keys_in(slot));
    let mut keys: Vec<String> =
        keys.map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect();
    keys.sort();
    keys
}

/// A store that is full with these three keys, each of `size` bytes.
fn full_of_three(tier: Tier, eviction: Eviction, size: usize) -> Store {
    let mut store = Store::new(options(tier, PLENTY, eviction));
    for key in ["a", "b", "c"] {
        put(&mut store, key, &"x".repeat(size));
    }
    let used = store.bytes_used();
    store.set_memory_bytes_max(used + size as u64 / 2);
    store
}

#[test]
fn a_full_memory_store_drops_what_the_policy_says() {
    let mut store = full_of_three(Tier::MemoryOnly, Eviction::Lru, 1000);
    assert!(store.get(97, b"a").is_some());
    assert!(store.peek(98, b"b").is_some()); // Leaves no trace.
    put(&mut store, "d", &"x".repeat(1000)); // `b` is the oldest that was not used.
    assert_eq!(keys(&store), ["a", "c", "d"]);
    put(&mut store, "c", &"y".repeat(1000)); // A write is a use.
    put(&mut store, "e", &"x".repeat(1000)); // And `a` was given its second chance before.
    assert_eq!(keys(&store), ["a", "c", "e"]);
    assert_eq!(store.stats(), Stats { hits: 1, evicted: 2, ..Stats::default() });

    let mut store = full_of_three(Tier::MemoryOnly, Eviction::Fifo, 1000);
    assert!(store.get(97, b"a").is_some());
    put(&mut store, "d", &"x".repeat(1000));
    assert_eq!(keys(&store), ["b", "c", "d"]);
}

#[test]
fn a_full_store_that_evicts_nobody_takes_nothing_more() {
    let mut store = Store::new(options(Tier::MemoryOnly, 500_000, Eviction::None));
    let name = |number: usize| format!("{number:04}");
    let kept = (0..1000).take_while(|number| {
        let fits = store.fits(4, 1000);
        put(&mut store, &name(*number), &"x".repeat(1000));
        fits
    });
    let kept = kept.count();
    assert!((470..500).contains(&kept), "{kept}");
    assert_eq!(store.len(), kept, "the one that did not fit is not there, all others are");
    for number in (0..kept).step_by(2) {
        assert!(store.remove(48, name(number).as_bytes()));
    }
    // What removed keys took, here and there, is free again.
    for number in (0..kept).step_by(2).skip(90) {
        assert!(store.fits(4, 1000));
        put(&mut store, &name(number), &"x".repeat(1000));
    }
    assert!(store.peek(48, name(1).as_bytes()).is_some());
    assert_eq!(store.stats().evicted, 1);

    let mut store = full_of_three(Tier::BackedByLog, Eviction::None, 1000);
    put(&mut store, "d", &"x".repeat(1000)); // Its bytes stay in the log.
    assert_eq!(store.peek(100, b"d").unwrap().value, Value::Log(location(5), 2));
    assert_eq!(store.peek(97, b"a").unwrap().size, 1000);
    assert!(matches!(store.peek(97, b"a").unwrap().value, Value::Memory(_)));
}

#[test]
fn a_full_backed_store_drops_bytes_and_keeps_keys() {
    let tier = Tier::BackedByLog;
    let mut store = full_of_three(tier, Eviction::Fifo, 1000);
    put(&mut store, "d", &"z".repeat(1000));
    assert_eq!(keys(&store), ["a", "b", "c", "d"]);
    let found = store.get(97, b"a").unwrap();
    assert_eq!((found.size, found.value), (1000, Value::Log(location(5), 2)));
    assert_eq!(store.get(98, b"b").unwrap().value, Value::Memory("x".repeat(1000).as_bytes()));

    // Bytes for `a` come in at the cost of `b`.
    store.fill(97, b"a", 5, "x".repeat(1000).as_bytes());
    assert!(matches!(store.peek(97, b"a").unwrap().value, Value::Memory(_)));
    assert_eq!(store.peek(98, b"b").unwrap().value, Value::Log(location(5), 2));
    assert!(matches!(store.peek(99, b"c").unwrap().value, Value::Memory(_)));
    assert_eq!(store.home(99, b"c"), Some((location(5), 2)));
    assert_eq!(store.stats(), Stats { hits: 1, hits_log: 1, evicted: 2, ..Stats::default() });
}

#[test]
fn bytes_of_an_older_version_are_not_filled_in() {
    let tier = Tier::BackedByLog;
    let mut store = new(tier, 10);
    store.put(107, b"k", b"new", 9, 0, home(tier, 9));
    store.set_memory_bytes_max(PLENTY);
    store.fill(107, b"k", 8, b"old");
    assert_eq!(store.peek(107, b"k").unwrap().value, Value::Log(location(9), 0));
    store.fill(107, b"k", 9, b"new");
    assert_eq!(store.peek(107, b"k").unwrap().value, Value::Memory(b"new"));
    store.fill(103, b"gone", 9, b"new");
    assert_eq!(store.len(), 1);
}

#[test]
fn a_value_over_the_whole_budget_throws_nobody_else_out() {
    for tier in [Tier::MemoryOnly, Tier::BackedByLog] {
        let mut store = new(tier, 600);
        put(&mut store, "a", "1");
        put(&mut store, "b", "2");
        put(&mut store, "b", &"x".repeat(1000));
        assert!(!store.fits(1, 1000));
        assert_eq!(store.peek(97, b"a").unwrap().value, Value::Memory(b"1"), "{tier:?}");
        match tier {
            Tier::MemoryOnly => assert_eq!(keys(&store), ["a"]),
            Tier::BackedByLog => {
                let found = store.peek(98, b"b").unwrap();
                assert_eq!((found.size, found.value), (1000, Value::Log(location(5), 2)));
            }
        }
    }
}

#[test]
fn keys_past_their_deadline_come_in_order_of_deadline() {
    let mut store = new(Tier::MemoryOnly, PLENTY);
    let mut put = |key: &[u8], at| store.put(slot_of(key), key, b"", 1, at, None);
    put(b"late", 300);
    put(b"first", 100);
    put(b"never", 0);
    put(b"moved", 150);
    put(b"kept", 120);
    put(b"moved", 200);
    put(b"kept", 0);
    assert_eq!(store.volatile_len(), 3);
    assert_eq!(store.expired(99).next(), None);
    let expired: Vec<(u16, &[u8])> = store.expired(299).collect();
    assert_eq!(expired, [(102, &b"first"[..]), (109, b"moved")]);

    assert!(store.remove_expired(102, b"first", 101));
    assert!(!store.remove_expired(102, b"first", 101));
    assert_eq!(store.expire(204, 1), 1);
    assert_eq!(store.expire(307, 5), 1);
    assert_eq!((store.expiry_lag().quantile_ms(300), store.expiry_lag().max_ms()), (1, 7));
    assert_eq!((store.len(), store.volatile_len(), store.stats().expired), (2, 0, 3));
}

#[test]
fn clearing_slots_leaves_the_others() {
    let mut store = new(Tier::MemoryOnly, PLENTY);
    for slot in 0..=255_u8 {
        store.put(slot.into(), &[slot, 1], b"value", u64::from(slot), 77, None);
    }
    store.clear_slots(0..250);
    assert_eq!((store.len(), store.volatile_len(), store.len_in(249)), (6, 6, 0));
    assert!(store.get(249, &[249, 1]).is_none());
    assert_eq!(store.get(250, &[250, 1]).unwrap().version, 250);
    store.clear_slots(0..SLOT_COUNT);
    assert!(store.is_empty());
    assert_eq!(store.bytes_used(), 0);
}

#[test]
fn a_random_key_is_any_key() {
    let mut store = new(Tier::MemoryOnly, PLENTY);
    assert_eq!(store.random_key(7), None);
    for index in 0..100_u8 {
        store.put((index / 2).into(), &[index / 2, index], b"", 1, 0, None);
    }
    for index in 0..90_u8 {
        store.remove((index / 2).into(), &[index / 2, index]);
    }
    let seen = (0..1000).map(|random| store.random_key(random).unwrap());
    let mut seen: Vec<(u16, u8)> = seen.map(|(slot, key)| (slot, key[1])).collect();
    seen.sort_unstable();
    let counts = seen.chunk_by(|one, other| one == other).map(<[_]>::len);
    assert_eq!(counts.collect::<Vec<_>>(), [100; 10]);
}

/// Goal: the stated overhead. Method: a million keys of 16 bytes with values of 32; what is used beyond
/// those bytes, index and all, divided by the number of keys; and what the system was asked for.
#[test]
fn an_entry_takes_at_most_sixteen_bytes_beside_its_own() {
    for (eviction, overhead_max) in [(Eviction::Lru, 160), (Eviction::S3Fifo, 180)] {
        let mut options = options(Tier::MemoryOnly, 100_000_000, eviction);
        options.slot_of = |key| u16::from_le_bytes([key[0], key[1]]) % SLOT_COUNT;
        let mut store = Store::new(options);
        for number in 0..3_000_000_u64 {
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut key = [0; 16];
            key[..8].copy_from_slice(&mixed.to_le_bytes());
            let slot = (options.slot_of)(&key);
            store.put(slot, &key, &[7; 32], number, 0, None);
        }
        assert!(0 < store.stats().evicted, "it is full");
        let own = store.len() as u64 * 48;
        let overhead = (store.bytes_used() - own) * 10 / store.len() as u64;
        assert!(overhead <= overhead_max, "{eviction:?}: {overhead} tenths of a byte");
        assert!(store.allocated_bytes() <= store.bytes_used() + SLACK_BYTES);
    }
}

/// Goal: what `auto` remembers of requests is within the budget, also when nothing is written any more.
#[test]
fn questions_alone_do_not_exceed_the_budget() {
    for budget in [20_000, 100_000, 1_000_000] {
        let mut store = Store::new(options(Tier::MemoryOnly, budget, Eviction::Auto));
        for number in 0..budget / 10 {
            put(&mut store, &format!("{number:08}"), "value");
        }
        assert!(0 < store.stats().evicted, "it is full");
        for number in 0..budget / 10 {
            let key = format!("{:08}", number * 7 % (budget / 5));
            store.get(slot_of(key.as_bytes()), key.as_bytes());
            let used = store.bytes_used();
            assert!(used <= budget, "{used} of {budget} bytes after {number} questions");
        }
    }
}

/// What the store should do, slowly: a map. Who is evicted is the policy's affair; here it only must be
/// somebody, and only if there is need.
struct Model {
    entries: BTreeMap<Vec<u8>, ModelEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelEntry {
    value: Vec<u8>,
    version: u64,
    expires_at_ms: u64,
}

impl Model {
    /// What was evicted goes here too, if it was counted as such.
    fn settle(&mut self, store: &Store, evicted_before: u64) {
        let before = self.entries.len();
        if store.tier == Tier::MemoryOnly {
            self.entries.retain(|key, _| store.peek(slot_of(key), key).is_some());
            let gone = (before - self.entries.len()) as u64;
            assert!(gone <= store.stats().evicted - evicted_before, "who is gone was evicted");
        }
    }

    fn check(&self, store: &Store) {
        assert_eq!(store.len(), self.entries.len());
        let volatile = self.entries.values().filter(|entry| entry.expires_at_ms != 0).count();
        assert_eq!(store.volatile_len(), volatile);
        let may_evict = store.tier == Tier::BackedByLog || store.eviction != Eviction::None;
        let is_empty = store.arena.resident_len() == 0;
        let is_over = store.memory_bytes_max() < store.bytes_used();
        assert!(!is_over || is_empty || !may_evict, "the budget holds");
        if is_over && may_evict {
            let [dead, bytes] = [Arena::dead, Arena::bytes]
                .map(|of| QUEUES.map(|queue| of(&store.arena, queue)).into_iter().sum::<u64>());
            assert!(dead * 4 <= bytes, "{dead} bytes of {bytes} could be given back");
        }
        assert!(store.allocated_bytes() <= store.bytes_used() + SLACK_BYTES);
        if store.tier == Tier::BackedByLog {
            let live: BTreeMap<u32, u64> = store.live_bytes().clone();
            let weight = |(key, entry): (&Vec<u8>, &ModelEntry)| {
                let size = match location(entry.version).size as usize {
                    stored if stored < key.len() + entry.value.len() => stored,
                    _ => operation_size_max(key.len(), entry.value.len()),
                };
                (size + RECORD_OVERHEAD_MAX) as u64
            };
            let expected: u64 = self.entries.iter().map(weight).sum();
            assert_eq!(live.values().sum::<u64>(), expected, "what is live is known exactly");
        }
        let mut seen = 0;
        for slot in 0..3 {
            for (key, found) in store.keys_in(slot) {
                assert_eq!(slot_of(key), slot);
                self.check_found(key, Some(found));
                seen += 1;
            }
        }
        assert_eq!(seen, self.entries.len());
    }

    fn check_found(&self, key: &[u8], found: Option<Found<'_>>) {
        let expected = self.entries.get(key);
        assert_eq!(found.is_some(), expected.is_some());
        let Some((found, expected)) = found.zip(expected) else { return };
        assert_eq!(found.version, expected.version);
        assert_eq!(found.expires_at_ms, expected.expires_at_ms);
        assert_eq!(found.size as usize, expected.value.len());
        match found.value {
            Value::Memory(bytes) => assert!(bytes == expected.value),
            Value::Log(place, operation) => {
                assert_eq!(Some((place, operation)), home(Tier::BackedByLog, expected.version));
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put { size: usize, expires_at_ms: u64 },
    Get,
    Fill,
    Remove,
    ClearSlot,
    Budget(u64),
    Expire(u64),
}

fn any_step() -> impl Strategy<Value = (u8, u8, Step)> {
    let deadline = || prop_oneof![3 => Just(0), 2 => 1_u64..20, 1 => Just(u64::MAX - 7)];
    let size = prop_oneof![8 => 0_usize..60, 8 => 0_usize..3000, 1 => 8000_usize..30_000];
    let step = prop_oneof![
        16 => (size, deadline())
            .prop_map(|(size, expires_at_ms)| Step::Put { size, expires_at_ms }),
        8 => Just(Step::Get),
        4 => Just(Step::Fill),
        3 => Just(Step::Remove),
        1 => Just(Step::ClearSlot),
        1 => prop_oneof![0_u64..2000, 50_000_u64..500_000].prop_map(Step::Budget),
        1 => (0_u64..20).prop_map(Step::Expire),
    ];
    (0_u8..3, 0_u8..70, step)
}

fn run(options: StoreOptions, hash_mask: u64, steps: Vec<(u8, u8, Step)>) {
    let tier = options.tier;
    let mut store = Store { hash_mask, ..Store::new(options) };
    let mut model = Model { entries: BTreeMap::new() };
    for (index, (slot, name, step)) in steps.into_iter().enumerate() {
        let version = index as u64 + 1;
        let key = [&[slot, name][..], &vec![b'.'; usize::from(name)]].concat();
        let slot = u16::from(slot);
        let evicted = store.stats().evicted;
        match step {
            Step::Put { size, expires_at_ms } => {
                let value = vec![index as u8; size];
                store.put(slot, &key, &value, version, expires_at_ms, home(tier, version));
                model.entries.insert(key.clone(), ModelEntry { value, version, expires_at_ms });
            }
            // What `auto` remembers of a question may evict the very key; `settle` knows.
            Step::Get => {
                if let Some(found) = store.get(slot, &key) {
                    model.check_found(&key, Some(found));
                }
            }
            Step::Fill => {
                if let Some(entry) = model.entries.get(&key)
                    && tier == Tier::BackedByLog
                {
                    store.fill(slot, &key, entry.version, &entry.value);
                }
            }
            Step::Remove => {
                assert_eq!(store.remove(slot, &key), model.entries.remove(&key).is_some());
            }
            Step::ClearSlot => {
                store.clear_slots(slot..slot + 1);
                model.entries.retain(|key, _| slot_of(key) != slot);
            }
            Step::Budget(budget) => store.set_memory_bytes_max(budget),
            Step::Expire(now_ms) => {
                let overdue = |entry: &ModelEntry| (1..=now_ms).contains(&entry.expires_at_ms);
                let expected = model.entries.values().filter(|entry| overdue(entry)).count();
                assert_eq!(store.expired(now_ms).count(), expected);
                assert_eq!(store.expire(now_ms, usize::MAX), expected);
                model.entries.retain(|_, entry| !overdue(entry));
            }
        }
        model.settle(&store, evicted);
        model.check_found(&key, store.peek(slot, &key));
        if index % 16 == 0 {
            model.check(&store);
        }
    }
    model.check(&store);
}

fn any_eviction() -> impl Strategy<Value = Eviction> {
    prop::sample::select(Eviction::ALL)
}

/// All keys have one hash, few have, or none do.
fn any_mask() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(3 << 62), Just(u64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_memory_store_does_what_the_model_does(
        eviction in any_eviction(),
        mask in any_mask(),
        steps in prop::collection::vec(any_step(), 0..1000),
    ) {
        run(options(Tier::MemoryOnly, 200_000, eviction), mask, steps);
    }

    #[test]
    fn a_backed_store_does_what_the_model_does(
        eviction in any_eviction(),
        mask in any_mask(),
        steps in prop::collection::vec(any_step(), 0..1000),
    ) {
        run(options(Tier::BackedByLog, 200_000, eviction), mask, steps);
    }
}

/// Goal: warming is a guess about keys that are there, gone, out of memory or never were, and nobody can
/// tell afterwards that it happened. Method: the same walk over two stores, one of them warmed.
#[test]
fn warming_changes_nothing() {
    let tier = Tier::BackedByLog;
    let fill = || {
        let mut store = new(tier, 3000);
        (0..40).for_each(|number| put(&mut store, &format!("{number:02}"), &"v".repeat(100)));
        (0..10).for_each(|number| assert!(store.remove(48, format!("{number:02}").as_bytes())));
        store
    };
    let (mut warmed, mut left) = (fill(), fill());
    assert!(warmed.stats().evicted > 0, "some values are out of memory");
    for slot in [0, 48, 49, 50, 51, SLOT_COUNT - 1] {
        warmed.warm((0..100).map(|number| Hint::new(slot, format!("{number:02}").as_bytes())));
    }
    warmed.warm(std::iter::empty());
    for number in (0..40).rev() {
        let key = format!("{number:02}");
        put(&mut warmed, "new", &key); // Evicts whatever was used longest ago.
        put(&mut left, "new", &key);
        let slot = slot_of(key.as_bytes());
        assert_eq!(warmed.get(slot, key.as_bytes()), left.get(slot, key.as_bytes()), "{key}");
    }
    assert_eq!(warmed.stats(), left.stats());
    assert_eq!(warmed.bytes_used(), left.bytes_used());
}
