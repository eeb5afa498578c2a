use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PLENTY: u64 = u64::MAX;

fn location(position: u64) -> Location {
    Location { segment: 1, offset: position as u32, size: 7 }
}

fn home(tier: Tier, version: u64) -> Option<(Location, u32)> {
    (tier == Tier::BackedByLog).then(|| (location(version), version as u32 % 3))
}

fn put(store: &mut Store, key: &str, value: &str) {
    let home = home(store.tier, 5);
    store.put(0, key.as_bytes(), value.as_bytes(), 5, 0, home);
}

fn keys(store: &Store, slot: u16) -> Vec<String> {
    let mut keys: Vec<String> =
        store.keys_in(slot).map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect();
    keys.sort();
    keys
}

/// A budget for exactly `count` entries of one-byte keys and values.
fn room_for(count: u64, tier: Tier) -> u64 {
    (tier.entry_overhead() + 2) * count
}

#[test]
fn a_full_memory_store_drops_what_was_not_used_for_longest() {
    let mut store = Store::new(room_for(3, Tier::MemoryOnly), Tier::MemoryOnly);
    put(&mut store, "a", "1");
    put(&mut store, "b", "2");
    put(&mut store, "c", "3");
    assert_eq!(keys(&store, 0), ["a", "b", "c"]);
    assert!(store.get(0, b"a").is_some());
    put(&mut store, "d", "4"); // `b` is the oldest: `a` was read.
    assert_eq!(keys(&store, 0), ["a", "c", "d"]);
    assert!(store.peek(0, b"c").is_some()); // Leaves no trace.
    put(&mut store, "e", "5");
    assert_eq!(keys(&store, 0), ["a", "d", "e"]);
    put(&mut store, "a", "6"); // A write is a use.
    put(&mut store, "f", "7");
    assert_eq!(keys(&store, 0), ["a", "e", "f"]);
    assert_eq!(store.stats(), Stats { hits: 1, evicted: 3, ..Stats::default() });
}

#[test]
fn a_full_backed_store_drops_bytes_and_keeps_keys() {
    let tier = Tier::BackedByLog;
    let mut store = Store::new(room_for(3, tier) - 1, tier);
    put(&mut store, "a", "1");
    put(&mut store, "b", "2");
    put(&mut store, "c", "3");
    assert_eq!(keys(&store, 0), ["a", "b", "c"]);
    let found = store.get(0, b"a").unwrap();
    assert_eq!((found.size, found.value), (1, Value::Log(location(5), 2)));
    assert_eq!(store.get(0, b"b").unwrap().value, Value::Memory(b"2"));

    // `b` was read, so bytes for `a` come in at the cost of `c`.
    store.fill(0, b"a", 5, b"1");
    assert_eq!(store.peek(0, b"a").unwrap().value, Value::Memory(b"1"));
    assert_eq!(store.peek(0, b"b").unwrap().value, Value::Memory(b"2"));
    assert_eq!(store.peek(0, b"c").unwrap().value, Value::Log(location(5), 2));
    assert_eq!(store.home(0, b"b"), Some((location(5), 2)));
    assert_eq!(store.stats(), Stats { hits: 1, hits_log: 1, evicted: 2, ..Stats::default() });
}

#[test]
fn bytes_of_an_older_version_are_not_filled_in() {
    let tier = Tier::BackedByLog;
    let mut store = Store::new(room_for(1, tier) - 1, tier);
    store.put(0, b"k", b"new", 9, 0, home(tier, 9));
    store.set_memory_bytes_max(PLENTY);
    store.fill(0, b"k", 8, b"old");
    assert_eq!(store.peek(0, b"k").unwrap().value, Value::Log(location(9), 0));
    store.fill(0, b"k", 9, b"new");
    assert_eq!(store.peek(0, b"k").unwrap().value, Value::Memory(b"new"));
    store.fill(0, b"gone", 9, b"new");
    assert_eq!(store.len(), 1);
}

#[test]
fn a_value_over_the_whole_budget_throws_nobody_else_out() {
    for tier in [Tier::MemoryOnly, Tier::BackedByLog] {
        let mut store = Store::new(room_for(3, tier), tier);
        put(&mut store, "a", "1");
        put(&mut store, "b", "2");
        put(&mut store, "b", &"x".repeat(1000));
        assert!(!store.fits(1, 1000));
        assert_eq!(store.peek(0, b"a").unwrap().value, Value::Memory(b"1"), "{tier:?}");
        match tier {
            Tier::MemoryOnly => assert_eq!(keys(&store, 0), ["a"]),
            Tier::BackedByLog => {
                let found = store.peek(0, b"b").unwrap();
                assert_eq!((found.size, found.value), (1000, Value::Log(location(5), 2)));
            }
        }
    }
}

#[test]
fn keys_past_their_deadline_come_in_order_of_deadline() {
    let mut store = Store::new(PLENTY, Tier::MemoryOnly);
    let mut put = |slot, key: &[u8], at| store.put(slot, key, b"", 1, at, None);
    put(3, b"late", 300);
    put(2, b"first", 100);
    put(1, b"never", 0);
    put(2, b"moved", 150);
    put(2, b"kept", 120);
    assert!(store.set_expiry(2, b"moved", 200, 2));
    assert!(store.set_expiry(2, b"kept", 0, 2));
    assert!(!store.set_expiry(2, b"absent", 50, 2));
    assert_eq!(store.volatile_len(), 3);
    assert_eq!(store.next_deadline(), Some(100));
    assert_eq!(store.next_expired(99), None);
    assert_eq!(store.next_expired(100), Some((2, Box::from(&b"first"[..]))));
    let expired: Vec<(u16, &[u8])> = store.expired(299).collect();
    assert_eq!(expired, [(2, &b"first"[..]), (2, b"moved")]);

    assert!(store.remove_expired(2, b"first"));
    assert!(!store.remove_expired(2, b"first"));
    assert_eq!(store.next_expired(250), Some((2, Box::from(&b"moved"[..]))));
    store.put(2, b"moved", b"again", 3, 0, None); // A put without a deadline takes it away.
    assert_eq!(store.next_expired(250), None);
    assert_eq!(store.next_expired(u64::MAX), Some((3, Box::from(&b"late"[..]))));
    assert_eq!((store.volatile_len(), store.stats().expired), (1, 1));
}

#[test]
fn clearing_slots_leaves_the_others() {
    let mut store = Store::new(PLENTY, Tier::MemoryOnly);
    for slot in [0, 255, 256, SLOT_COUNT - 1] {
        store.put(slot, b"same key", b"value", u64::from(slot), 77, None);
    }
    assert_eq!(store.len_in(255), 1);
    store.clear_slots(0..256);
    assert_eq!((store.len(), store.volatile_len(), store.len_in(255)), (2, 2, 0));
    assert!(store.get(255, b"same key").is_none());
    assert_eq!(store.get(256, b"same key").unwrap().version, 256);
    store.clear_slots(0..SLOT_COUNT);
    assert!(store.is_empty());
    assert_eq!(store.bytes_used(), 0);
}

#[test]
fn a_random_key_is_any_key() {
    let mut store = Store::new(PLENTY, Tier::MemoryOnly);
    assert_eq!(store.random_key(7), None);
    for index in 0..100u16 {
        store.put(index, &index.to_le_bytes(), b"", 1, 0, None);
    }
    for index in 0..90u16 {
        store.remove(index, &index.to_le_bytes());
    }
    let mut seen: Vec<u16> = (0..1000).map(|random| store.random_key(random).unwrap().0).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (90..100).collect::<Vec<u16>>());
}

/// Ten times the budget goes through; the count holds after every put, and recycled entries are
/// reused instead of added.
#[test]
fn the_budget_holds_under_churn() {
    let budget = 100_000;
    for tier in [Tier::MemoryOnly, Tier::BackedByLog] {
        let mut store = Store::new(budget, tier);
        for index in 0..10_000u64 {
            let key = (index * 7919 % 500).to_le_bytes();
            let value = vec![0; (index * 31 % 400) as usize];
            store.put(0, &key, &value, index, index % 3, home(tier, index));
            assert!(store.bytes_used() <= budget);
        }
        assert!(store.slab.id_end() <= 501, "{}", store.slab.id_end());
        assert!(budget * 9 / 10 < store.bytes_used(), "the budget is used");
    }
}

/// What the store should do, slowly: a map, and a list with the least recently used first.
struct Model {
    tier: Tier,
    budget: u64,
    overhead: u64,
    entries: BTreeMap<(u16, Vec<u8>), ModelEntry>,
    used: Vec<(u16, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelEntry {
    value: Vec<u8>,
    resident: bool,
    version: u64,
    expires_at_ms: u64,
}

impl Model {
    fn bytes(&self) -> u64 {
        let bytes = |((_, key), entry): (&(u16, Vec<u8>), &ModelEntry)| {
            let value_size = if entry.resident { entry.value.len() } else { 0 };
            let deadline = if entry.expires_at_ms == 0 { 0 } else { DEADLINE_BYTES };
            self.overhead + (key.len() + value_size) as u64 + deadline
        };
        self.entries.iter().map(bytes).sum()
    }

    fn fits(&self, key: &[u8], value: &[u8]) -> bool {
        self.overhead + (key.len() + value.len()) as u64 <= self.budget
    }

    fn touch(&mut self, key: &(u16, Vec<u8>)) {
        self.used.retain(|other| other != key);
        if self.entries.get(key).is_some_and(|entry| entry.resident) {
            self.used.push(key.clone());
        }
    }

    fn evict(&mut self) {
        while self.budget < self.bytes() && !self.used.is_empty() {
            let key = self.used.remove(0);
            match self.tier {
                Tier::MemoryOnly => drop(self.entries.remove(&key)),
                Tier::BackedByLog => self.entries.get_mut(&key).unwrap().resident = false,
            }
        }
    }

    fn put(&mut self, key: &(u16, Vec<u8>), entry: ModelEntry) {
        let resident = self.fits(&key.1, &entry.value);
        if resident || self.tier == Tier::BackedByLog {
            self.entries.insert(key.clone(), ModelEntry { resident, ..entry });
        } else {
            self.entries.remove(key);
        }
        self.touch(key);
        self.evict();
    }

    fn check(&self, store: &Store) {
        assert_eq!(store.len(), self.entries.len());
        assert_eq!(store.bytes_used(), self.bytes());
        let volatile = self.entries.values().filter(|entry| entry.expires_at_ms != 0).count();
        assert_eq!(store.volatile_len(), volatile);
        for slot in 0..3 {
            let mut seen: Vec<(Vec<u8>, u64)> =
                store.keys_in(slot).map(|(key, found)| (key.to_vec(), found.version)).collect();
            seen.sort();
            let expected: Vec<(Vec<u8>, u64)> = self
                .entries
                .iter()
                .filter(|((of, _), _)| *of == slot)
                .map(|((_, key), entry)| (key.clone(), entry.version))
                .collect();
            assert_eq!(seen, expected);
        }
    }

    fn check_found(&self, key: &(u16, Vec<u8>), found: Option<Found<'_>>) {
        let expected = self.entries.get(key);
        assert_eq!(found.is_some(), expected.is_some());
        let Some((found, expected)) = found.zip(expected) else { return };
        assert_eq!(found.version, expected.version);
        assert_eq!(found.expires_at_ms, expected.expires_at_ms);
        assert_eq!(found.size as usize, expected.value.len());
        match found.value {
            Value::Memory(bytes) => {
                assert_eq!((bytes, true), (&expected.value[..], expected.resident))
            }
            Value::Log(location, operation) => {
                assert!(!expected.resident);
                // A deadline can change after the value was written: its home stays.
                assert_eq!(operation, location.offset % 3);
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
    SetExpiry(u64),
    ClearSlot,
    Budget(u64),
    Expire(u64),
}

fn any_step() -> impl Strategy<Value = (u16, u8, Step)> {
    let deadline = || prop_oneof![Just(0), 1u64..20];
    let step = prop_oneof![
        8 => (0usize..60, deadline())
            .prop_map(|(size, expires_at_ms)| Step::Put { size, expires_at_ms }),
        4 => Just(Step::Get),
        2 => Just(Step::Fill),
        2 => Just(Step::Remove),
        2 => deadline().prop_map(Step::SetExpiry),
        1 => Just(Step::ClearSlot),
        1 => (0u64..1500).prop_map(Step::Budget),
        1 => (0u64..20).prop_map(Step::Expire),
    ];
    (0u16..3, 0u8..6, step)
}

fn run(tier: Tier, steps: Vec<(u16, u8, Step)>) {
    let mut store = Store::new(1000, tier);
    let overhead = tier.entry_overhead();
    let mut model =
        Model { tier, budget: 1000, overhead, entries: BTreeMap::new(), used: Vec::new() };
    for (index, (slot, key, step)) in steps.into_iter().enumerate() {
        let version = index as u64 + 1;
        let key = (slot, vec![key; usize::from(key)]);
        let bytes = &key.1[..];
        match step {
            Step::Put { size, expires_at_ms } => {
                let value = vec![index as u8; size];
                store.put(slot, bytes, &value, version, expires_at_ms, home(tier, version));
                model.put(&key, ModelEntry { value, resident: true, version, expires_at_ms });
            }
            Step::Get => {
                model.touch(&key);
                model.check_found(&key, store.get(slot, bytes));
            }
            Step::Fill => {
                if let Some(entry) = model.entries.get(&key).cloned() {
                    store.fill(slot, bytes, entry.version, &entry.value);
                    if !entry.resident && model.fits(bytes, &entry.value) {
                        model.entries.get_mut(&key).unwrap().resident = true;
                        model.touch(&key);
                        model.evict();
                    }
                }
            }
            Step::Remove => {
                assert_eq!(store.remove(slot, bytes), model.entries.remove(&key).is_some());
                model.touch(&key);
            }
            Step::SetExpiry(expires_at_ms) => {
                let found = store.set_expiry(slot, bytes, expires_at_ms, version);
                assert_eq!(found, model.entries.contains_key(&key));
                if let Some(entry) = model.entries.get_mut(&key) {
                    (entry.expires_at_ms, entry.version) = (expires_at_ms, version);
                }
                model.evict();
            }
            Step::ClearSlot => {
                store.clear_slots(slot..slot + 1);
                model.entries.retain(|(of, _), _| *of != slot);
                model.used.retain(|(of, _)| *of != slot);
            }
            Step::Budget(budget) => {
                store.set_memory_bytes_max(budget);
                model.budget = budget;
                model.evict();
            }
            Step::Expire(now_ms) => {
                while let Some((slot, key)) = store.next_expired(now_ms) {
                    let key = (slot, key.into_vec());
                    let entry = model.entries.remove(&key).expect("the model has it");
                    assert!(0 < entry.expires_at_ms && entry.expires_at_ms <= now_ms);
                    model.touch(&key);
                    assert!(store.remove_expired(slot, &key.1));
                }
                let mut left = model.entries.values().map(|entry| entry.expires_at_ms);
                assert!(left.all(|at| at == 0 || now_ms < at), "all overdue keys are gone");
            }
        }
        model.check_found(&key, store.peek(slot, &key.1));
        model.check(&store);
    }
}

proptest! {
    #[test]
    fn a_memory_store_does_what_the_model_does(steps in prop::collection::vec(any_step(), 0..120)) {
        run(Tier::MemoryOnly, steps);
    }

    #[test]
    fn a_backed_store_does_what_the_model_does(steps in prop::collection::vec(any_step(), 0..120)) {
        run(Tier::BackedByLog, steps);
    }
}

/// Goal: warming is a guess about keys that are there, gone, out of memory or never were, and nobody can
/// tell afterwards that it happened. Method: the same walk over two stores, one of them warmed.
#[test]
fn warming_changes_nothing() {
    let tier = Tier::BackedByLog;
    let fill = || {
        let mut store = Store::new(room_for(20, tier), tier);
        (0..40).for_each(|number| put(&mut store, &format!("{number:02}"), "value"));
        (0..10).for_each(|number| assert!(store.remove(0, format!("{number:02}").as_bytes())));
        store
    };
    let (mut warmed, mut left) = (fill(), fill());
    assert!(warmed.stats().evicted > 0, "some values are out of memory");
    for slot in [0, 1, SLOT_COUNT - 1] {
        warmed.warm((0..100).map(|number| Hint::new(slot, format!("{number:02}").as_bytes())));
    }
    warmed.warm(std::iter::empty());
    for number in (0..40).rev() {
        let key = format!("{number:02}");
        put(&mut warmed, "new", &key); // Evicts whatever was used longest ago.
        put(&mut left, "new", &key);
        assert_eq!(warmed.get(0, key.as_bytes()), left.get(0, key.as_bytes()), "{key}");
    }
    assert_eq!(warmed.stats(), left.stats());
    assert_eq!(warmed.bytes_used(), left.bytes_used());
}
