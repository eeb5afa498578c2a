//! The index and the memory tier of one keyspace: key → version, deadline, and value or its place.
//!
//! ```text
//! slot ─► tables[slot]: (hash, id)… ─► entries[id]: version, deadline, key and value ◄─ recency
//!                                      homes[id]: where the log has the value        ◄─ deadlines
//! ```
//!
//! One small table a hash slot: a shard's keys can be walked, moved and cleared without touching the
//! others, and a table that grows moves only its own few keys. A `MemoryOnly` store drops the least
//! recently used keys when its budget is full; a `BackedByLog` store drops only their bytes and keeps
//! where the log has them, so it never forgets a key.
//!
//! Invariant: `bytes_used` stays within the budget after every call, as far as there are bytes that
//! may be dropped. What an entry costs beside its bytes is counted (`Tier::entry_overhead`); the fixed
//! `BASE_BYTES` of the tables and slab pages once used are not. There is no clock in here: whoever
//! asks knows the time, and compares deadlines.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use self::census::Census;
pub use self::pages::Rebase;
use self::recency::Recency;
use self::slab::{Entry, Home, NONE, Slab};
use crate::Location;
use crate::batch::{KEY_SIZE_MAX, VALUE_SIZE_MAX};

mod census;
mod pages;
mod recency;
mod slab;
mod warm;

pub use self::warm::Hint;

/// Redis Cluster's number of hash slots.
pub const SLOT_COUNT: u16 = 16_384;
/// What an empty store takes, in bytes; not part of the budget.
pub const BASE_BYTES: usize = SLOT_COUNT as usize * size_of::<HashTable<Link>>();

/// A link in a table that is, on average, two thirds full, with its control byte.
const LINK_BYTES: u64 = 14;
/// What an allocator adds to a key and value: a header and rounding.
const ALLOCATION_BYTES: u64 = 16;
/// A deadline's share of its tree.
const DEADLINE_BYTES: u64 = 32;
/// Any number does, as long as it is the same in every run.
const HASH_SEED: u64 = 0x6576_656e_6b65_656c;

const _: () = assert!(KEY_SIZE_MAX <= u32::MAX as usize);

/// What happens to a value when the budget is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Memory is all there is: the key goes with its value.
    MemoryOnly,
    /// The log has the value too: its bytes leave memory, the key stays.
    BackedByLog,
}

impl Tier {
    /// What a key costs beside its own and its value's bytes, in bytes; a deadline costs more.
    pub const fn entry_overhead(self) -> u64 {
        let home_bytes = match self {
            Tier::MemoryOnly => 0,
            Tier::BackedByLog => size_of::<Home>() as u64,
        };
        size_of::<Entry>() as u64 + LINK_BYTES + ALLOCATION_BYTES + home_bytes
    }
}

/// What the store knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// As given to `put` or `set_expiry`.
    pub version: u64,
    /// Unix milliseconds, 0 for never. The caller compares it with the time.
    pub expires_at_ms: u64,
    /// The value or its place.
    pub value: Value<'a>,
    /// The value's size in bytes.
    pub size: u32,
}

/// A value or its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Its bytes.
    Memory(&'a [u8]),
    /// The record that has it, and the index of its operation in that record's batch.
    Log(Location, u32),
}

/// Counted since the store was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// `get` found the value in memory. (A key past its deadline counts until it is removed.)
    pub hits: u64,
    /// `get` found the key, the value is in the log.
    pub hits_log: u64,
    /// `get` found nothing.
    pub misses: u64,
    /// Keys (`MemoryOnly`) or values (`BackedByLog`) that left memory for others.
    pub evicted: u64,
    /// Keys that `remove_expired` removed.
    pub expired: u64,
}

/// See the module's text.
pub struct Store {
    tier: Tier,
    memory_bytes_max: u64,
    bytes_used: u64,
    /// `SLOT_COUNT` of them.
    tables: Vec<HashTable<Link>>,
    slab: Slab,
    /// The resident entries.
    recency: Recency,
    /// Of the entries that have one: (deadline, id).
    deadlines: BTreeSet<(u64, u32)>,
    stats: Stats,
    census: Census,
}

/// What a table holds. The hash is here so that growing and most misses touch no entry.
struct Link {
    hash: u32,
    id: u32,
}

impl Store {
    /// An empty store that keeps to `memory_bytes_max` bytes, `BASE_BYTES` not counted.
    pub fn new(memory_bytes_max: u64, tier: Tier) -> Store {
        Store {
            tier,
            memory_bytes_max,
            bytes_used: 0,
            tables: (0..SLOT_COUNT).map(|_| HashTable::new()).collect(),
            slab: Slab::new(),
            recency: Recency::new(),
            deadlines: BTreeSet::new(),
            stats: Stats::default(),
            census: Census::default(),
        }
    }

    /// Finds a key and marks it as used. No allocation.
    pub fn get(&mut self, slot: u16, key: &[u8]) -> Option<Found<'_>> {
        let Some(id) = self.find(slot, hash(key), key) else {
            self.stats.misses += 1;
            return None;
        };
        if self.slab[id].resident {
            self.stats.hits += 1;
            self.recency.touch(&mut self.slab, id);
        } else {
            self.stats.hits_log += 1;
        }
        Some(self.found(id))
    }

    /// Finds a key and leaves no trace: neither the order of use nor the counters change.
    pub fn peek(&self, slot: u16, key: &[u8]) -> Option<Found<'_>> {
        self.find(slot, hash(key), key).map(|id| self.found(id))
    }

    /// Where the log has a key's value, in memory or not. `None` in a `MemoryOnly` store.
    pub fn home(&self, slot: u16, key: &[u8]) -> Option<(Location, u32)> {
        if self.tier == Tier::MemoryOnly {
            return None;
        }
        let home = self.slab.home(self.find(slot, hash(key), key)?);
        Some((home.location, home.operation))
    }

    /// Stores a value as the most recently used, then evicts down to the budget. At most one
    /// allocation; none when a value of the same size is replaced.
    ///
    /// A value that does not fit into the whole budget (see `fits`) is not kept: `BackedByLog` notes
    /// its place only, `MemoryOnly` is left without the key.
    ///
    /// # Panics
    /// `home` is missing in a `BackedByLog` store or given to a `MemoryOnly` one; a size is over the
    /// limits of `batch`; `slot` is not below `SLOT_COUNT`.
    pub fn put(
        &mut self,
        slot: u16,
        key: &[u8],
        value: &[u8],
        version: u64,
        expires_at_ms: u64,
        home: Option<(Location, u32)>,
    ) {
        assert!(key.len() <= KEY_SIZE_MAX, "the doors refuse keys over the limit");
        assert!(value.len() <= VALUE_SIZE_MAX, "the doors refuse values over the limit");
        assert!(home.is_some() == (self.tier == Tier::BackedByLog), "a home if there is a log");
        let resident = self.fits(key.len(), value.len());
        if !resident && self.tier == Tier::MemoryOnly {
            self.stats.evicted += 1;
            self.remove(slot, key);
            return;
        }

        let hash = hash(key);
        let id = match self.find(slot, hash, key) {
            Some(id) => {
                if home.is_some() {
                    self.census.went(key.len(), self.slab.home(id));
                }
                self.replace(id, resident.then_some(value), version);
                id
            }
            None => self.insert(slot, hash, key, resident.then_some(value), version),
        };
        self.set_deadline(id, expires_at_ms);
        if let Some((location, operation)) = home {
            let value_size = value.len() as u32;
            let home = Home { location, operation, value_size };
            self.slab.set_home(id, home);
            self.census.came(key.len(), &home);
            self.census.changed(slot, key);
        }
        self.evict();
    }

    /// Puts bytes that were read from the log back into memory, as the most recently used; does
    /// nothing if the key is gone, was overwritten (`version` differs) or has its bytes already.
    pub fn fill(&mut self, slot: u16, key: &[u8], version: u64, value: &[u8]) {
        let Some(id) = self.find(slot, hash(key), key) else { return };
        let entry = &self.slab[id];
        if entry.version == version && !entry.resident && self.fits(key.len(), value.len()) {
            let value_size = self.slab.home(id).value_size as usize;
            assert!(value.len() == value_size, "one version has one value");
            self.replace(id, Some(value), version);
            self.evict();
        }
    }

    /// Forgets a key. False if it was not there.
    pub fn remove(&mut self, slot: u16, key: &[u8]) -> bool {
        let found = self.find(slot, hash(key), key);
        if let Some(id) = found {
            self.drop_key(id);
            self.census.changed(slot, key);
        }
        found.is_some()
    }

    /// `remove`, counted as an expiry.
    pub fn remove_expired(&mut self, slot: u16, key: &[u8]) -> bool {
        let removed = self.remove(slot, key);
        self.stats.expired += u64::from(removed);
        removed
    }

    /// Gives a key another deadline (Unix milliseconds, 0 for never) and the version of that change.
    /// False if the key is not there.
    pub fn set_expiry(&mut self, slot: u16, key: &[u8], expires_at_ms: u64, version: u64) -> bool {
        let found = self.find(slot, hash(key), key);
        if let Some(id) = found {
            self.slab[id].version = version;
            self.set_deadline(id, expires_at_ms);
            self.census.changed(slot, key);
            self.evict();
        }
        found.is_some()
    }

    /// Whether a key and value of these sizes, in bytes, fit into the budget at all.
    pub fn fits(&self, key_size: usize, value_size: usize) -> bool {
        self.tier.entry_overhead() + (key_size + value_size) as u64 <= self.memory_bytes_max
    }

    /// The keys of a slot, each once; the order depends only on the calls made so far.
    pub fn keys_in(&self, slot: u16) -> impl Iterator<Item = (&[u8], Found<'_>)> {
        let links = self.tables[usize::from(slot)].iter();
        links.map(|link| (self.slab[link.id].key(), self.found(link.id)))
    }

    /// How many keys a slot has.
    pub fn len_in(&self, slot: u16) -> usize {
        self.tables[usize::from(slot)].len()
    }

    /// How many keys there are, those past their deadline and not yet removed included.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have a deadline.
    pub fn volatile_len(&self) -> usize {
        self.deadlines.len()
    }

    /// Bytes counted against the budget: keys, values in memory, and what they cost beside.
    pub fn bytes_used(&self) -> u64 {
        self.bytes_used
    }

    /// The budget, in bytes.
    pub fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max
    }

    /// Another budget, in bytes, kept from now on.
    pub fn set_memory_bytes_max(&mut self, memory_bytes_max: u64) {
        self.memory_bytes_max = memory_bytes_max;
        self.evict();
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A key, each about as likely as any other if `random` is. Usually one step; after most keys
    /// were removed, as many as there are vacant entries in a row.
    pub fn random_key(&self, random: u64) -> Option<(u16, &[u8])> {
        if self.is_empty() {
            return None;
        }
        let end = self.slab.id_end();
        let start = (random % u64::from(end)) as u32;
        let id = (start..end).chain(0..start).find(|&id| !self.slab[id].is_vacant());
        let entry = &self.slab[id.expect("the store is not empty")];
        Some((entry.slot, entry.key()))
    }

    /// Forgets all keys of these slots.
    pub fn clear_slots(&mut self, slots: Range<u16>) {
        for slot in slots.clone() {
            let table = std::mem::take(&mut self.tables[usize::from(slot)]);
            if !self.census.goes_whole(slot, &slots) {
                let links = table.iter();
                links.for_each(|link| self.census.changed(slot, self.slab[link.id].key()));
            }
            for link in table {
                self.drop_entry(link.id);
            }
        }
        self.census.cleared(&slots);
    }

    /// A key whose deadline is at or before `now_ms`, the longest overdue first.
    pub fn next_expired(&self, now_ms: u64) -> Option<(u16, Box<[u8]>)> {
        self.expired(now_ms).next().map(|(slot, key)| (slot, Box::from(key)))
    }

    /// All keys whose deadline is at or before `now_ms`, the longest overdue first. Looks at no other.
    pub fn expired(&self, now_ms: u64) -> impl Iterator<Item = (u16, &[u8])> {
        self.deadlines.range(..=(now_ms, NONE)).map(|&(_, id)| {
            let entry = &self.slab[id];
            (entry.slot, entry.key())
        })
    }

    /// The earliest deadline of all, Unix milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|&(expires_at_ms, _)| expires_at_ms)
    }

    fn find(&self, slot: u16, hash: u32, key: &[u8]) -> Option<u32> {
        let is_it = |link: &Link| link.hash == hash && self.slab[link.id].key() == key;
        self.tables[usize::from(slot)].find(spread(hash), is_it).map(|link| link.id)
    }

    fn found(&self, id: u32) -> Found<'_> {
        let entry = &self.slab[id];
        let (value, size) = if entry.resident {
            (Value::Memory(entry.value()), entry.value().len() as u32)
        } else {
            let home = self.slab.home(id);
            (Value::Log(home.location, home.operation), home.value_size)
        };
        Found { version: entry.version, expires_at_ms: entry.expires_at_ms, value, size }
    }

    fn insert(
        &mut self,
        slot: u16,
        hash: u32,
        key: &[u8],
        value: Option<&[u8]>,
        version: u64,
    ) -> u32 {
        let id = self.slab.insert(Entry {
            data: join(key, value.unwrap_or_default()),
            version,
            expires_at_ms: 0,
            newer: NONE,
            older: NONE,
            key_size: key.len() as u32,
            slot,
            resident: value.is_some(),
        });
        let rehash = |link: &Link| spread(link.hash);
        self.tables[usize::from(slot)].insert_unique(spread(hash), Link { hash, id }, rehash);
        if value.is_some() {
            self.recency.push(&mut self.slab, id);
        }
        self.bytes_used += self.footprint(id);
        id
    }

    /// Gives an entry another value (`None`: only its key stays in memory) and version.
    fn replace(&mut self, id: u32, value: Option<&[u8]>, version: u64) {
        self.bytes_used -= self.footprint(id);
        let entry = &mut self.slab[id];
        let was_resident = entry.resident;
        entry.version = version;
        entry.resident = value.is_some();
        let bytes = value.unwrap_or_default();
        let key_size = entry.key_size as usize;
        if entry.data.len() == key_size + bytes.len() {
            entry.data[key_size..].copy_from_slice(bytes);
        } else {
            entry.data = join(entry.key(), bytes);
        }
        match (was_resident, value.is_some()) {
            (true, true) => self.recency.touch(&mut self.slab, id),
            (true, false) => self.recency.remove(&mut self.slab, id),
            (false, true) => self.recency.push(&mut self.slab, id),
            (false, false) => (),
        }
        self.bytes_used += self.footprint(id);
    }

    fn set_deadline(&mut self, id: u32, expires_at_ms: u64) {
        let before = self.slab[id].expires_at_ms;
        if before == expires_at_ms {
            return;
        }
        self.bytes_used -= self.footprint(id);
        if before != 0 {
            self.deadlines.remove(&(before, id));
        }
        if expires_at_ms != 0 {
            self.deadlines.insert((expires_at_ms, id));
        }
        self.slab[id].expires_at_ms = expires_at_ms;
        self.bytes_used += self.footprint(id);
    }

    /// Evicts until the budget holds, or nothing is left that may go.
    fn evict(&mut self) {
        while self.memory_bytes_max < self.bytes_used
            && let Some(id) = self.recency.oldest()
        {
            self.stats.evicted += 1;
            match self.tier {
                Tier::MemoryOnly => self.drop_key(id),
                Tier::BackedByLog => {
                    let version = self.slab[id].version;
                    self.replace(id, None, version);
                }
            }
        }
    }

    fn drop_key(&mut self, id: u32) {
        let entry = &self.slab[id];
        let hash = hash(entry.key());
        let link = self.tables[usize::from(entry.slot)]
            .find_entry(spread(hash), |link| link.id == id)
            .unwrap_or_else(|_| unreachable!("every entry is in its slot's table"));
        link.remove();
        self.drop_entry(id);
    }

    /// The part of forgetting a key that does not touch its table.
    fn drop_entry(&mut self, id: u32) {
        self.bytes_used -= self.footprint(id);
        let entry = &self.slab[id];
        if self.tier == Tier::BackedByLog {
            self.census.went(entry.key_size as usize, self.slab.home(id));
        }
        if entry.expires_at_ms != 0 {
            self.deadlines.remove(&(entry.expires_at_ms, id));
        }
        if entry.resident {
            self.recency.remove(&mut self.slab, id);
        }
        self.slab.remove(id);
    }

    fn footprint(&self, id: u32) -> u64 {
        let entry = &self.slab[id];
        let deadline_bytes = if entry.expires_at_ms == 0 { 0 } else { DEADLINE_BYTES };
        self.tier.entry_overhead() + entry.data.len() as u64 + deadline_bytes
    }
}

fn hash(key: &[u8]) -> u32 {
    const STATE: FixedState = FixedState::with_seed(HASH_SEED);
    let mut hasher = STATE.build_hasher();
    hasher.write(key);
    hasher.finish() as u32
}

/// A table takes its position from the low bits and its tag from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

fn join(key: &[u8], value: &[u8]) -> Box<[u8]> {
    let mut data = Vec::with_capacity(key.len() + value.len());
    data.extend_from_slice(key);
    data.extend_from_slice(value);
    data.into_boxed_slice()
}

#[cfg(test)]
mod tests;
