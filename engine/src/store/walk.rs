//! Questions about many keys, and about the store itself.

use std::ops::Range;

use super::deadlines::Deadlines;
use super::index::{Place, Tag};
use super::item::Home;
use super::{Eviction, Found, Lag, QUEUES, SLOTS_PER_GROUP, Stats, Store, Tier, census, item};
use crate::Location;

impl Store {
    /// The keys of a slot, each once; the order depends only on the keys.
    pub fn keys_in(&self, slot: u16) -> impl Iterator<Item = (&[u8], Found<'_>)> {
        self.index.places(slot).map(|place| (self.key(place), self.found(place)))
    }

    /// The keys of a slot whose values lie in one segment of the log, with their versions and homes.
    pub fn homes_in(
        &self,
        slot: u16,
        segment: u32,
    ) -> impl Iterator<Item = (&[u8], u64, (Location, u32))> {
        let here = self.index.places(slot).filter_map(move |place| {
            let header = self.header(place);
            let Home { location, operation } = header.home;
            let is_here = location.segment == segment;
            is_here.then(|| (self.key(place), header.version, (location, operation)))
        });
        here.filter(|_| self.tier == Tier::BackedByLog)
    }

    /// What a key counts in `live_bytes`, if the index refers to this place for it.
    pub fn weight_at(&self, slot: u16, key: &[u8], home: (Location, u32)) -> Option<u64> {
        let place = self.find(slot, Tag::of(self.hash(key)), key)?;
        let header = self.header(place);
        let is_home = (header.home.location, header.home.operation) == home;
        (is_home && self.tier == Tier::BackedByLog).then(|| census::weight(&header))
    }

    /// How many keys a slot has.
    pub fn len_in(&self, slot: u16) -> usize {
        self.index.len_in(slot)
    }

    /// How many keys there are, those past their deadline and not yet removed included.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have a deadline.
    pub fn volatile_len(&self) -> usize {
        self.volatile
    }

    /// Bytes counted against the budget: keys, values in memory, dead bytes between them, and all that
    /// is kept about them.
    pub fn bytes_used(&self) -> u64 {
        let items: u64 = QUEUES.map(|queue| self.arena.bytes(queue)).into_iter().sum();
        items + self.index.bytes() + self.deadlines.bytes() + self.policy.bytes()
    }

    /// What the system was asked for to hold items, in bytes: at most `BASE_BYTES` more than is counted.
    pub fn allocated_bytes(&self) -> u64 {
        self.arena.allocated()
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

    /// Who has to go when the budget is full.
    pub fn eviction(&self) -> Eviction {
        self.eviction
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How long after their deadlines keys were removed.
    pub fn expiry_lag(&self) -> &Lag {
        &self.lag
    }

    /// A key, each as likely as any other if `random` is. A few hundred steps.
    pub fn random_key(&self, random: u64) -> Option<(u16, &[u8])> {
        if self.is_empty() {
            return None;
        }
        let mut left = (random % self.len() as u64) as usize;
        let mut group = 0;
        while self.group_lens[group] <= left {
            left -= self.group_lens[group];
            group += 1;
        }
        let mut slot = (group * SLOTS_PER_GROUP) as u16;
        while self.index.len_in(slot) <= left {
            left -= self.index.len_in(slot);
            slot += 1;
        }
        self.index.places(slot).nth(left).map(|place| (slot, self.key(place)))
    }

    /// Forgets all keys of these slots.
    pub fn clear_slots(&mut self, slots: Range<u16>) {
        for slot in slots.clone() {
            let is_told = !self.census.goes_whole(slot, &slots);
            let places: Vec<Place> = self.index.places(slot).collect();
            // From the last one, so that no word has to move.
            for place in places.into_iter().rev() {
                let tag = Tag::of(self.hash(self.key(place)));
                if is_told {
                    self.census.gone(slot, item::key(self.tier, self.arena.item(place)));
                }
                self.drop_key(slot, tag, place);
            }
        }
        self.census.cleared(&slots);
        while self.tidy() {}
    }

    /// All keys whose deadline is at or before `now_ms`, the longest overdue first. Looks at no other.
    pub fn expired(&self, now_ms: u64) -> impl Iterator<Item = (u16, &[u8])> {
        self.overdue(now_ms).map(|(slot, _, place)| (slot, self.key(place)))
    }

    pub(super) fn overdue(&self, now_ms: u64) -> impl Iterator<Item = (u16, Tag, Place)> {
        self.deadlines.until(now_ms).flat_map(move |(time_ms, slot, tag)| {
            let places = self.index.candidates(slot, tag);
            let places = places.filter(move |place| {
                let expires_at_ms = self.header(*place).expires_at_ms;
                let is_over = expires_at_ms != 0 && expires_at_ms <= now_ms;
                is_over && Deadlines::is_same_time(expires_at_ms, time_ms)
            });
            places.map(move |place| (slot, tag, place))
        })
    }
}
