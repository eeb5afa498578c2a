//! The index and the memory tier of one keyspace: key → version, deadline, and value or its place.
//!
//! ```text
//! slot, hash ─► index: (tag, place)… ─► arena: header, key, value ◄─ policy: who has to go
//!                       ▲                      in order of age
//!               deadlines: (time, slot, tag)
//! ```
//!
//! The index is arranged by hash slot: a shard's keys can be walked, moved and cleared without touching
//! the others. A `MemoryOnly` store drops keys when its budget is full, and which ones is the policy's
//! decision; a `BackedByLog` store drops only their bytes and keeps where the log has them, so it never
//! forgets a key.
//!
//! Invariant: `bytes_used` stays within the budget after every call, as far as there are bytes that
//! may be dropped, and the process holds at most `BASE_BYTES` more for it, and what is noted for the
//! next checkpoint (`census`: some MiB). There is no clock in here: whoever asks knows the time, and
//! compares deadlines.

use self::arena::{Arena, QUEUES, Queue, SLACK_BYTES};
use self::census::Census;
use self::deadlines::Deadlines;
use self::index::{Index, Tag};
use self::item::{HEADER_SIZE_MAX, Header, Home};
use self::policy::Policy;
use crate::Location;
use crate::batch::{KEY_SIZE_MAX, VALUE_SIZE_MAX};

pub use self::lag::Lag;
pub use self::pages::Rebase;
pub use self::policy::Eviction;
pub use self::warm::Hint;

mod arena;
mod census;
mod change;
mod deadlines;
mod index;
mod item;
mod lag;
mod pages;
mod policy;
mod walk;
mod warm;

/// Redis Cluster's number of hash slots.
pub const SLOT_COUNT: u16 = 16_384;
/// What a store may hold beside its budget, in bytes: the index of no keys, and unfilled segments.
pub const BASE_BYTES: usize =
    index::base_bytes(SLOT_COUNT as usize) + size_of::<Store>() + SLACK_BYTES as usize;

/// Slots are counted in groups of so many, so that a random key is found in a few steps.
const SLOTS_PER_GROUP: usize = 128;
/// So many items get another chance in one call; then the next one has to go, used or not.
const CHANCES_MAX: usize = 256;
/// Below this share of dead bytes, nothing is squeezed: one part in so many.
const DEAD_PARTS_MIN: u64 = 8;
/// Any number does, as long as it is the same in every run.
const HASH_SEED: u64 = 0x6576_656e_6b65_656c;

const _: () = assert!(KEY_SIZE_MAX <= u32::MAX as usize);
const _: () = assert!(VALUE_SIZE_MAX <= u32::MAX as usize);
const _: () = assert!((SLOT_COUNT as usize).is_multiple_of(SLOTS_PER_GROUP));

/// What happens to a value when the budget is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Memory is all there is: the key goes with its value.
    MemoryOnly,
    /// The log has the value too: its bytes leave memory, the key stays.
    BackedByLog,
}

/// How a store is made.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// See `Tier`.
    pub tier: Tier,
    /// The budget in bytes, `BASE_BYTES` not counted.
    pub memory_bytes_max: u64,
    /// Who has to go when it is full.
    pub eviction: Eviction,
    /// The hash slot of a key, below `SLOT_COUNT`; the same that every call names.
    pub slot_of: fn(&[u8]) -> u16,
}

/// What the store knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// As given to `put`; only its low 32 bits in a `MemoryOnly` store.
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
    /// Keys that were removed because their time was over.
    pub expired: u64,
}

/// See the module's text.
pub struct Store {
    tier: Tier,
    memory_bytes_max: u64,
    eviction: Eviction,
    slot_of: fn(&[u8]) -> u16,
    /// Which bits of a hash count: all of them, but in tests that force collisions.
    hash_mask: u64,
    index: Index,
    arena: Arena,
    policy: Policy,
    deadlines: Deadlines,
    /// How many keys have a deadline.
    volatile: usize,
    /// Keys by groups of slots.
    group_lens: [usize; SLOT_COUNT as usize / SLOTS_PER_GROUP],
    /// A key on its way from one place to another.
    scratch: Vec<u8>,
    stats: Stats,
    lag: Lag,
    census: Census,
}

impl Store {
    /// An empty store.
    pub fn new(options: StoreOptions) -> Store {
        let StoreOptions { tier, memory_bytes_max, eviction, slot_of } = options;
        Store {
            tier,
            memory_bytes_max,
            eviction,
            slot_of,
            hash_mask: u64::MAX,
            index: Index::new(usize::from(SLOT_COUNT)),
            arena: Arena::new(tier),
            policy: Policy::of(eviction),
            deadlines: Deadlines::default(),
            volatile: 0,
            group_lens: [0; SLOT_COUNT as usize / SLOTS_PER_GROUP],
            scratch: Vec::new(),
            stats: Stats::default(),
            lag: Lag::default(),
            census: Census::default(),
        }
    }

    /// Finds a key and marks it as used. No allocation; writes at most one byte of the item.
    pub fn get(&mut self, slot: u16, key: &[u8]) -> Option<Found<'_>> {
        let hash = self.hash(key);
        self.policy.seen(hash);
        let mut place = self.find(slot, Tag::of(hash), key);
        if self.policy.samples(hash) {
            self.tell_auto(hash, place);
            if self.memory_bytes_max < self.bytes_used() {
                self.evict(); // What the sample has come to take, somebody has to give.
                place = self.find(slot, Tag::of(hash), key);
            }
        }
        let Some(place) = place else {
            self.stats.misses += 1;
            return None;
        };
        if self.arena.queue(place) == Queue::Keys {
            self.stats.hits_log += 1;
        } else {
            self.stats.hits += 1;
            self.used(place);
        }
        Some(self.found(place))
    }

    /// Finds a key and leaves no trace: neither the order of use nor the counters change.
    pub fn peek(&self, slot: u16, key: &[u8]) -> Option<Found<'_>> {
        self.find(slot, Tag::of(self.hash(key)), key).map(|place| self.found(place))
    }

    /// Where the log has a key's value, in memory or not. `None` in a `MemoryOnly` store.
    pub fn home(&self, slot: u16, key: &[u8]) -> Option<(Location, u32)> {
        if self.tier == Tier::MemoryOnly {
            return None;
        }
        let place = self.find(slot, Tag::of(self.hash(key)), key)?;
        let Home { location, operation } = self.header(place).home;
        Some((location, operation))
    }

    /// Stores a value, then evicts down to the budget. A value of the same size is replaced where it
    /// is.
    ///
    /// A value that does not fit (see `fits`) is not kept: `BackedByLog` notes its place only,
    /// `MemoryOnly` is left without the key.
    ///
    /// # Panics
    /// `home` is missing in a `BackedByLog` store or given to a `MemoryOnly` one; a size is over the
    /// limits of `batch`; `slot` is not the key's, or not below `SLOT_COUNT`.
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
        debug_assert!(slot == (self.slot_of)(key), "a key has one slot");
        let hash = self.hash(key);
        let old = self.find(slot, Tag::of(hash), key);
        if old.is_some() {
            self.policy.seen(hash); // A newcomer was asked for before, and counted then.
        }
        let is_resident = self.fits(key.len(), value.len());
        if !is_resident && self.tier == Tier::MemoryOnly {
            self.stats.evicted += 1;
            if let Some(place) = old {
                self.drop_key(slot, Tag::of(hash), place);
            }
            return;
        }
        let (location, operation) = home.unwrap_or_default();
        let home = Home { location, operation };
        let mut header = Header::new(key, value.len(), version, expires_at_ms, home);
        header.is_changed = self.census.is_tracking();
        if self.policy.samples(hash) && is_resident {
            self.policy.stored(hash, header.item_size(self.tier, true) as u32);
        }
        match old {
            None => self.insert(slot, hash, header, key, is_resident.then_some(value)),
            Some(place) => {
                self.replace(slot, hash, place, header, key, is_resident.then_some(value));
            }
        }
        self.evict();
        self.tidy();
    }

    /// Puts bytes that were read from the log back into memory; does nothing if the key is gone, was
    /// overwritten (`version` differs) or has its bytes already.
    pub fn fill(&mut self, slot: u16, key: &[u8], version: u64, value: &[u8]) {
        let hash = self.hash(key);
        let Some(place) = self.find(slot, Tag::of(hash), key) else { return };
        let header = self.header(place);
        let is_away = self.arena.queue(place) == Queue::Keys;
        if header.version == version && is_away && self.fits(key.len(), value.len()) {
            assert!(value.len() == header.value_size as usize, "one version has one value");
            self.replace(slot, hash, place, header, key, Some(value));
            self.evict();
            self.tidy();
        }
    }

    /// Forgets a key. False if it was not there.
    pub fn remove(&mut self, slot: u16, key: &[u8]) -> bool {
        let tag = Tag::of(self.hash(key));
        let found = self.find(slot, tag, key);
        if let Some(place) = found {
            self.drop_key(slot, tag, place);
            self.census.gone(slot, key);
            self.tidy();
        }
        found.is_some()
    }

    /// `remove`, counted as an expiry if the key's deadline is at or before `now_ms`.
    pub fn remove_expired(&mut self, slot: u16, key: &[u8], now_ms: u64) -> bool {
        let tag = Tag::of(self.hash(key));
        let found = self.find(slot, tag, key);
        if let Some(place) = found {
            self.drop_expired(slot, tag, place, now_ms);
        }
        found.is_some()
    }

    /// Removes up to `count_max` keys whose deadline is at or before `now_ms`, the longest overdue
    /// first. Returns how many.
    pub fn expire(&mut self, now_ms: u64, count_max: usize) -> usize {
        for count in 0..count_max {
            let Some((slot, tag, place)) = self.overdue(now_ms).next() else { return count };
            self.drop_expired(slot, tag, place, now_ms);
        }
        count_max
    }

    /// Whether a key and value of these sizes, in bytes, would be kept: they fit into the budget at
    /// all, and, if nobody has to go (`Eviction::None`), into what is left of it.
    pub fn fits(&self, key_size: usize, value_size: usize) -> bool {
        let size = Store::item_size_max(key_size, value_size);
        let taken = match self.eviction {
            Eviction::None => self.bytes_used(),
            _ => self.policy.bytes(),
        };
        taken.saturating_add(size) <= self.memory_bytes_max
    }

    /// The most that a key and value of these sizes take in memory, index and deadline included, in
    /// bytes.
    pub fn item_size_max(key_size: usize, value_size: usize) -> u64 {
        // A word of the index, and a run's room to grow.
        let index = 24;
        (HEADER_SIZE_MAX + key_size + value_size) as u64 + index + deadlines::ENTRY_BYTES
    }

    /// What a key takes in memory, index and deadline included, in bytes.
    pub fn footprint(&self, slot: u16, key: &[u8]) -> Option<u64> {
        let place = self.find(slot, Tag::of(self.hash(key)), key)?;
        let header = self.header(place);
        let size = header.item_size(self.tier, self.arena.queue(place) != Queue::Keys) as u64;
        let deadline = if header.expires_at_ms == 0 { 0 } else { deadlines::ENTRY_BYTES };
        Some(size + deadline + self.index.bytes().div_ceil(self.index.len() as u64))
    }
}

#[cfg(test)]
mod tests;
