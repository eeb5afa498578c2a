//! What a store that is backed by a log says about the log: how much of each segment is still needed,
//! and which keys have changed since the last checkpoint.
//!
//! Invariant: `live` is the sum, over all keys and pages whose place is in a segment, of what a copy of
//! them would take. A segment that is not in it holds nothing that the index refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::slab::Home;
use crate::Location;
use crate::batch::operation_size_max;
use crate::limits::RECORD_OVERHEAD_MAX;

/// Slots of one bucket at most: what is rewritten at once is a few thousand keys, not all of them.
const BUCKET_SLOT_COUNT_MAX: u16 = 64;

#[derive(Default)]
pub(super) struct Census {
    live: BTreeMap<u32, u64>,
    /// In order of slots; empty if nobody takes checkpoints.
    buckets: Vec<Bucket>,
    changed_count: usize,
}

/// Keys that are written to pages together.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) slots: Range<u16>,
    /// Put, moved or gone since their page was written, with their slots.
    pub(super) changed: BTreeSet<(u16, Box<[u8]>)>,
    /// The pages that hold the bucket's keys as of some checkpoint.
    pub(super) base: Vec<Location>,
    /// What changed from there to the last one, oldest first.
    pub(super) deltas: Vec<Location>,
}

/// What a copy of the key and its value takes in the log, about: the same for the same sizes.
fn weight(key_size: usize, value_size: u32) -> u64 {
    (operation_size_max(key_size, value_size as usize) + RECORD_OVERHEAD_MAX) as u64
}

impl Census {
    /// From now on changes are noted, by buckets that do not cross these bounds: (first slot, end) of
    /// each shard, in order.
    pub(super) fn track(&mut self, shards: &[Range<u16>]) {
        assert!(self.buckets.is_empty(), "the buckets stay what they are");
        for shard in shards {
            for start in shard.clone().step_by(usize::from(BUCKET_SLOT_COUNT_MAX)) {
                let end = start.saturating_add(BUCKET_SLOT_COUNT_MAX).min(shard.end);
                self.buckets.push(Bucket { slots: start..end, ..Bucket::default() });
            }
        }
    }

    pub(super) fn live(&self) -> &BTreeMap<u32, u64> {
        &self.live
    }

    pub(super) fn changed_count(&self) -> usize {
        self.changed_count
    }

    /// The buckets of these slots, by number.
    pub(super) fn buckets_of(&self, slots: &Range<u16>) -> Range<usize> {
        let first = self.buckets.partition_point(|bucket| bucket.slots.start < slots.start);
        let end = self.buckets.partition_point(|bucket| bucket.slots.start < slots.end);
        first..end
    }

    pub(super) fn bucket(&self, number: usize) -> &Bucket {
        &self.buckets[number]
    }

    pub(super) fn take_changed(&mut self, number: usize) -> BTreeSet<(u16, Box<[u8]>)> {
        let changed = std::mem::take(&mut self.buckets[number].changed);
        self.changed_count -= changed.len();
        changed
    }

    /// A key changed, in a way that a checkpoint must tell.
    pub(super) fn changed(&mut self, slot: u16, key: &[u8]) {
        if self.buckets.is_empty() {
            return;
        }
        let number = self.buckets.partition_point(|bucket| bucket.slots.start <= slot);
        let Some(bucket) = number.checked_sub(1).map(|number| &mut self.buckets[number]) else {
            return;
        };
        if bucket.slots.contains(&slot) {
            self.changed_count += usize::from(bucket.changed.insert((slot, key.into())));
        }
    }

    /// Whether the bucket of this slot lies whole in `slots`, or there is none.
    pub(super) fn goes_whole(&self, slot: u16, slots: &Range<u16>) -> bool {
        let number = self.buckets.partition_point(|bucket| bucket.slots.start <= slot);
        let bucket = number.checked_sub(1).map(|number| &self.buckets[number].slots);
        let bucket = bucket.filter(|bucket| bucket.contains(&slot));
        bucket.is_none_or(|bucket| slots.start <= bucket.start && bucket.end <= slots.end)
    }

    /// All keys of these slots are gone, and so are the pages of buckets that lie in them whole.
    pub(super) fn cleared(&mut self, slots: &Range<u16>) {
        for number in self.buckets_of(slots) {
            if self.buckets[number].slots.end <= slots.end {
                drop(self.take_changed(number));
                self.set_pages(number, Vec::new(), Vec::new());
            }
        }
    }

    /// A key's value is at `home` now.
    pub(super) fn came(&mut self, key_size: usize, home: &Home) {
        self.add(home.location.segment, weight(key_size, home.value_size));
    }

    /// A key's value is needed at `home` no more.
    pub(super) fn went(&mut self, key_size: usize, home: &Home) {
        self.subtract(home.location.segment, weight(key_size, home.value_size));
    }

    pub(super) fn set_pages(&mut self, number: usize, base: Vec<Location>, deltas: Vec<Location>) {
        let bucket = &mut self.buckets[number];
        let before = [
            std::mem::replace(&mut bucket.base, base.clone()),
            std::mem::replace(&mut bucket.deltas, deltas.clone()),
        ];
        for page in before.iter().flatten() {
            self.subtract(page.segment, u64::from(page.size));
        }
        for page in base.iter().chain(&deltas) {
            self.add(page.segment, u64::from(page.size));
        }
    }

    /// The page of these slots that lies here lies there now. False if it is none of theirs.
    pub(super) fn move_page(&mut self, slots: &Range<u16>, from: Location, to: Location) -> bool {
        for number in self.buckets_of(slots) {
            let bucket = &self.buckets[number];
            let (mut base, mut deltas) = (bucket.base.clone(), bucket.deltas.clone());
            let mut pages = base.iter_mut().chain(&mut deltas);
            if let Some(page) = pages.find(|page| **page == from) {
                *page = to;
                self.set_pages(number, base, deltas);
                return true;
            }
        }
        false
    }

    pub(super) fn has_page(&self, slots: &Range<u16>, page: Location) -> bool {
        let mut buckets = self.buckets[self.buckets_of(slots)].iter();
        buckets.any(|bucket| bucket.base.contains(&page) || bucket.deltas.contains(&page))
    }

    fn add(&mut self, segment: u32, bytes: u64) {
        *self.live.entry(segment).or_default() += bytes;
    }

    fn subtract(&mut self, segment: u32, bytes: u64) {
        let live = self.live.get_mut(&segment).expect("what went came before");
        assert!(bytes <= *live, "what went came before");
        *live -= bytes;
        if *live == 0 {
            self.live.remove(&segment);
        }
    }
}
