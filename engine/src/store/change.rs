//! How items come, move and go. Every step keeps index, arena and deadlines in line.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use super::arena::Queue;
use super::deadlines::Deadlines;
use super::index::{Place, Tag};
use super::item::{self, Header};
use super::policy::{Filled, Rule, Verdict};
use super::{
    CHANCES_MAX, DEAD_PARTS_MIN, Eviction, Found, HASH_SEED, QUEUES, SLOTS_PER_GROUP, Store, Tier,
    Value,
};
use crate::bugs::{Bug, planted};

impl Store {
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        hash(key) & self.hash_mask
    }

    pub(super) fn find(&self, slot: u16, tag: Tag, key: &[u8]) -> Option<Place> {
        self.index
            .candidates(slot, tag)
            .find(|place| self.key(*place) == key || planted(Bug::TagTakenForKey))
    }

    pub(super) fn key(&self, place: Place) -> &[u8] {
        item::key(self.tier, self.arena.item(place))
    }

    pub(super) fn header(&self, place: Place) -> Header {
        Header::read(self.tier, self.arena.item(place))
    }

    pub(super) fn found(&self, place: Place) -> Found<'_> {
        let item = self.arena.item(place);
        let header = Header::read(self.tier, item);
        let value = match self.arena.queue(place) {
            Queue::Keys => Value::Log(header.home.location, header.home.operation),
            Queue::Young | Queue::Main => Value::Memory(header.value(item)),
        };
        let Header { version, expires_at_ms, value_size, .. } = header;
        Found { version, expires_at_ms, value, size: value_size }
    }

    /// Notes a use: one byte, if it changes.
    pub(super) fn used(&mut self, place: Place) {
        let item = self.arena.item_mut(place);
        let usage = item::usage(item);
        let after = self.policy.rule().used(usage);
        if usage != after {
            item::set_usage(item, after);
        }
    }

    /// A key of `auto`'s sample was asked for.
    pub(super) fn tell_auto(&mut self, hash: u64, place: Option<Place>) {
        let resident = place.filter(|place| self.arena.queue(*place) != Queue::Keys);
        let size = resident.map(|place| self.header(place).item_size(self.tier, true) as u32);
        self.policy.asked(hash, size, self.arena.resident_len(), self.memory_bytes_max);
    }

    /// A key that was not there. `None`: only the log has its value.
    pub(super) fn insert(
        &mut self,
        slot: u16,
        hash: u64,
        header: Header,
        key: &[u8],
        value: Option<&[u8]>,
    ) {
        let tag = Tag::of(hash);
        let queue = self.queue_for(hash, value.is_some());
        let place = self.push(queue, &header, key, value);
        let _moved = self.index.insert(slot, tag, place);
        self.group_lens[usize::from(slot) / SLOTS_PER_GROUP] += 1;
        self.note_deadline(slot, tag, header.expires_at_ms);
        if self.tier == Tier::BackedByLog {
            self.census.came(&header);
            if header.is_changed {
                self.census.changed(slot, tag);
            }
        }
    }

    /// Another value, version, deadline and home for the key at `place`.
    pub(super) fn replace(
        &mut self,
        slot: u16,
        hash: u64,
        place: Place,
        mut header: Header,
        key: &[u8],
        value: Option<&[u8]>,
    ) {
        let tag = Tag::of(hash);
        let old = self.header(place);
        let old_queue = self.arena.queue(place);
        let queue = match (old_queue, value.is_some()) {
            (Queue::Young | Queue::Main, true) => old_queue,
            (_, is_resident) => self.queue_for(hash, is_resident),
        };
        // The same version elsewhere was moved by compaction: that is no use.
        let is_moved = old.version == header.version && old.home != header.home;
        if old_queue != Queue::Keys && value.is_some() && !is_moved {
            header.usage = self.policy.rule().used(old.usage);
        }
        if old.expires_at_ms != header.expires_at_ms {
            self.forget_deadline(slot, tag, old.expires_at_ms, place);
            self.note_deadline(slot, tag, header.expires_at_ms);
        }
        if self.tier == Tier::BackedByLog {
            self.census.went(&old);
            self.census.came(&header);
            if header.is_changed && !old.is_changed {
                self.census.changed(slot, tag);
            }
        }
        if queue == old_queue {
            let item = self.arena.item_mut(place);
            if header.write_over(self.tier, &old, value.unwrap_or_default(), item) {
                return;
            }
        }
        let new = self.push(queue, &header, key, value);
        let found = self.index.replace(slot, tag, place, new);
        assert!(found, "every item is in the index");
        self.arena.kill(place);
    }

    fn push(&mut self, queue: Queue, header: &Header, key: &[u8], value: Option<&[u8]>) -> Place {
        let tier = self.tier;
        let size = header.item_size(tier, value.is_some());
        let value = value.unwrap_or_default();
        self.arena.push(queue, size, |items| header.write(tier, key, value, items))
    }

    fn queue_for(&mut self, hash: u64, is_resident: bool) -> Queue {
        if !is_resident {
            return Queue::Keys;
        }
        let (len, filled) = (self.arena.resident_len(), self.filled());
        self.policy.admit(hash, len, filled, self.memory_bytes_max)
    }

    fn filled(&self) -> Filled {
        let bytes = |queue| self.arena.bytes(queue);
        Filled { young: bytes(Queue::Young), main: bytes(Queue::Main) }
    }

    fn note_deadline(&mut self, slot: u16, tag: Tag, expires_at_ms: u64) {
        if expires_at_ms != 0 {
            self.volatile += 1;
            self.deadlines.insert(expires_at_ms, slot, tag);
        }
    }

    /// The item at `place` is about to lose this deadline.
    fn forget_deadline(&mut self, slot: u16, tag: Tag, expires_at_ms: u64, place: Place) {
        if expires_at_ms == 0 {
            return;
        }
        self.volatile -= 1;
        let is_shared = self.index.candidates(slot, tag).any(|other| {
            other != place && {
                let other_ms = self.header(other).expires_at_ms;
                other_ms != 0 && Deadlines::is_same_time(other_ms, expires_at_ms)
            }
        });
        if !is_shared {
            self.deadlines.remove(expires_at_ms, slot, tag);
        }
    }

    pub(super) fn drop_key(&mut self, slot: u16, tag: Tag, place: Place) {
        let header = self.header(place);
        self.forget_deadline(slot, tag, header.expires_at_ms, place);
        if self.tier == Tier::BackedByLog {
            self.census.went(&header);
        }
        let found = self.index.remove(slot, tag, place);
        assert!(found, "every item is in the index");
        self.group_lens[usize::from(slot) / SLOTS_PER_GROUP] -= 1;
        self.arena.kill(place);
    }

    /// `drop_key`, counted as an expiry if it is one.
    pub(super) fn drop_expired(&mut self, slot: u16, tag: Tag, place: Place, now_ms: u64) {
        let expires_at_ms = self.header(place).expires_at_ms;
        if expires_at_ms != 0 && expires_at_ms <= now_ms {
            self.stats.expired += 1;
            self.lag.record(now_ms - expires_at_ms);
        }
        self.census.gone(slot, item::key(self.tier, self.arena.item(place)));
        self.drop_key(slot, tag, place);
        self.tidy();
    }

    /// Evicts until the budget holds, or nothing is left that may go.
    pub(super) fn evict(&mut self) {
        let mut chances = CHANCES_MAX;
        while self.memory_bytes_max < self.bytes_used() {
            if self.is_dirty(DEAD_PARTS_MIN) && self.squeeze() {
                continue;
            }
            if self.eviction == Eviction::None && self.tier == Tier::MemoryOnly {
                return; // `fits` said no in time, but for the odd bytes of a growing index.
            }
            if !self.evict_one(&mut chances) {
                return;
            }
        }
    }

    /// Judges one item. False if there is none.
    fn evict_one(&mut self, chances: &mut usize) -> bool {
        let next = self.policy.next(self.filled(), self.memory_bytes_max);
        let other = if next == Queue::Main { Queue::Young } else { Queue::Main };
        let Some(place) = self.arena.oldest(next).or_else(|| self.arena.oldest(other)) else {
            return false;
        };
        let mut place = place;
        let mut rival = None;
        if matches!(self.policy.rule(), Rule::Lfu(_))
            && self.arena.queue(place) == Queue::Young
            && let Some(main) = self.arena.oldest(Queue::Main)
        {
            rival = Some(self.hash(self.key(main)));
            if 0 < self.header(main).usage {
                place = main; // Its turn first: the rival is one that was not used.
            }
        }
        let queue = self.arena.queue(place);
        let key = self.key(place);
        let (hash, slot) = (self.hash(key), (self.slot_of)(key));
        let usage = self.header(place).usage;
        let verdict = self.policy.judge(queue, usage, hash, rival, self.arena.resident_len());
        match verdict {
            Verdict::Again(queue, usage) if 0 < *chances => {
                *chances -= 1;
                let new = self.arena.renew(place, queue, usage);
                let found = self.index.replace(slot, Tag::of(hash), place, new);
                assert!(found, "every item is in the index");
            }
            Verdict::Again(..) | Verdict::Out => {
                self.stats.evicted += 1;
                match self.tier {
                    Tier::MemoryOnly => self.drop_key(slot, Tag::of(hash), place),
                    Tier::BackedByLog => self.forget_value(slot, Tag::of(hash), place),
                }
            }
        }
        true
    }

    /// The key stays, its value is in the log only.
    fn forget_value(&mut self, slot: u16, tag: Tag, place: Place) {
        let header = self.header(place);
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        key.extend_from_slice(self.key(place));
        let new = self.push(Queue::Keys, &header, &key, None);
        self.scratch = key;
        let found = self.index.replace(slot, tag, place, new);
        assert!(found, "every item is in the index");
        self.arena.kill(place);
    }

    /// Gives memory back that dead items hold, one step: when they are half of all, or, if nobody has
    /// to go for newcomers, as soon as room runs short. False if there was nothing to do.
    pub(super) fn tidy(&mut self) -> bool {
        let enough = match self.eviction {
            Eviction::None => self.memory_bytes_max / DEAD_PARTS_MIN * (DEAD_PARTS_MIN - 1),
            _ => self.memory_bytes_max,
        };
        let is_short = enough < self.bytes_used();
        let parts = if is_short { DEAD_PARTS_MIN } else { 2 };
        self.is_dirty(parts) && self.squeeze()
    }

    /// Whether at least one part in so many is dead.
    fn is_dirty(&self, parts: u64) -> bool {
        let dead: u64 = QUEUES.map(|queue| self.arena.dead(queue)).into_iter().sum();
        let bytes: u64 = QUEUES.map(|queue| self.arena.bytes(queue)).into_iter().sum();
        0 < dead && bytes <= dead * parts
    }

    /// Squeezes one segment of the chain with the most dead bytes.
    fn squeeze(&mut self) -> bool {
        let dead = |queue: &Queue| self.arena.dead(*queue);
        let queue = QUEUES.into_iter().max_by_key(dead).expect("there are three");
        let (tier, slot_of, hash_mask) = (self.tier, self.slot_of, self.hash_mask);
        let index = &mut self.index;
        self.arena.squeeze(queue, |item, old, new| {
            let key = item::key(tier, item);
            let tag = Tag::of(hash(key) & hash_mask);
            let found = planted(Bug::MoveNotIndexed) || index.replace(slot_of(key), tag, old, new);
            assert!(found, "every item is in the index");
        })
    }
}

pub(super) fn hash(key: &[u8]) -> u64 {
    const STATE: FixedState = FixedState::with_seed(HASH_SEED);
    let mut hasher = STATE.build_hasher();
    hasher.write(key);
    hasher.finish()
}
