//! Checks of the store that say what is wrong instead of panicking, so that planted bugs can be hunted
//! with them.

use evenkeel_engine::store::{BASE_BYTES, Eviction, Store, StoreOptions, Tier, Value};

pub(crate) type Check = fn(u64) -> Result<(), String>;

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("keys with one tag", check_tags),
    ("keys on the move", check_moves),
    ("memory that comes back", check_memory),
];

/// More than half as many bits as a tag has: some of so many keys have the same one.
const CROWD: u64 = 30_000;

fn store(memory_bytes_max: u64) -> Store {
    let tier = Tier::MemoryOnly;
    let (eviction, slot_of) = (Eviction::S3Fifo, |_: &[u8]| 7);
    Store::new(StoreOptions { tier, memory_bytes_max, eviction, slot_of })
}

fn key(seed: u64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

fn value(number: u64, size: usize) -> Vec<u8> {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(size.max(8), 9);
    value
}

fn expect(store: &Store, seed: u64, number: u64) -> Result<(), String> {
    let found = store.peek(7, &key(seed, number)).map(|found| found.value);
    match found {
        Some(Value::Memory(bytes)) if bytes.starts_with(&number.to_le_bytes()) => Ok(()),
        other => Err(format!("key {number} has {other:?}")),
    }
}

/// So many keys that some of them have the same tag: each has its own value.
fn check_tags(seed: u64) -> Result<(), String> {
    let mut store = store(u64::MAX);
    for number in 0..CROWD {
        store.put(7, &key(seed, number), &value(number, 8), number, 0, None);
    }
    (0..CROWD).try_for_each(|number| expect(&store, seed, number))?;
    match store.len() as u64 {
        CROWD => Ok(()),
        len => Err(format!("{len} keys of {CROWD}")),
    }
}

/// Most keys are removed, so that what is left is squeezed together: it is all still there.
fn check_moves(seed: u64) -> Result<(), String> {
    let mut store = store(u64::MAX);
    let count = 4000;
    for number in 0..count {
        store.put(7, &key(seed, number), &value(number, 200), number, 0, None);
    }
    let stays = |number: &u64| number.wrapping_mul(seed | 1).is_multiple_of(5);
    for number in (0..count).filter(|number| !stays(number)) {
        if !store.remove(7, &key(seed, number)) {
            return Err(format!("key {number} was lost"));
        }
    }
    (0..count).filter(stays).try_for_each(|number| expect(&store, seed, number))
}

/// Values of all sizes come and go: what the system was asked for is what is counted, and a little.
fn check_memory(seed: u64) -> Result<(), String> {
    let budget = 4 << 20;
    let mut store = store(budget);
    let mut state = seed;
    for number in 0..6000_u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = match state >> 60 {
            0 => 100_000,
            1 | 2 => 20_000,
            _ => (state >> 40) as usize % 2000,
        };
        let name = number % 900;
        store.put(7, &key(seed, name), &value(name, size), number, 0, None);
        if number % 5 == 0 {
            store.remove(7, &key(seed, state >> 33 & 511));
        }
        let (used, allocated) = (store.bytes_used(), store.allocated_bytes());
        if budget < used || used + (BASE_BYTES as u64) < allocated {
            return Err(format!("{used} of {budget} bytes are counted, {allocated} are held"));
        }
    }
    store.clear_slots(0..8);
    match (store.bytes_used(), store.allocated_bytes()) {
        (used, held) if used < 100_000 && held < BASE_BYTES as u64 => Ok(()),
        (used, held) => Err(format!("{used} bytes are counted and {held} held of nothing")),
    }
}
