//! What a store that is backed by a log says about the log: how much of each segment is still needed,
//! and which keys have changed since the last checkpoint.
//!
//! Invariant: `live` is the sum, over all keys and pages whose place is in a segment, of what a copy of
//! them would take. A segment that is not in it holds nothing that the index refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::index::Tag;
use super::item::Header;
use crate::Location;
use crate::batch::operation_size_max;
use crate::bugs::{Bug, planted};
use crate::limits::RECORD_OVERHEAD_MAX;

/// Slots of one bucket at most: what is rewritten at once is a few thousand keys, not all of them.
const BUCKET_SLOT_COUNT_MAX: u16 = 64;

#[derive(Default)]
pub(super) struct Census {
    live: BTreeMap<u32, u64>,
    /// In order of slots; empty if nobody takes checkpoints.
    buckets: Vec<Bucket>,
    change_count: usize,
}

/// Keys that are written to pages together.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) slots: Range<u16>,
    pub(super) changes: Changes,
    /// The pages that hold the bucket's keys as of some checkpoint.
    pub(super) base: Vec<Location>,
    /// What changed from there to the last one, oldest first.
    pub(super) deltas: Vec<Location>,
    /// One of the pages cannot be read any more: all of it is to be written anew.
    pub(super) is_spoiled: bool,
}

/// What happened to a bucket's keys since they were written to pages.
#[derive(Default)]
pub(super) struct Changes {
    /// Where keys were put or moved. It only says where to look: which keys it was is noted with them
    /// (`Header::is_changed`), so that a key that is written again and again costs nothing here.
    pub(super) hints: Vec<(u16, Tag)>,
    /// Who left. Some may be back.
    pub(super) gone: BTreeSet<(u16, Box<[u8]>)>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.hints.is_empty() && self.gone.is_empty()
    }

    fn count(&self) -> usize {
        let gone = self.gone.iter().map(|(_, key)| gone_count(key));
        self.hints.len() + gone.sum::<usize>()
    }
}

/// A long key that is gone counts as several: it is memory that is counted here.
fn gone_count(key: &[u8]) -> usize {
    1 + key.len() / 64
}

/// What a copy of the key and its value takes in the log, about: the same for the same sizes and place.
pub(super) fn weight(header: &Header) -> u64 {
    let (key_size, value_size) = (header.key_size as usize, header.value_size as usize);
    let stored = header.home.location.size as usize;
    // A record smaller than what it holds is compressed, and holds nothing else (`format::pack`).
    if stored < key_size + value_size && !planted(Bug::CompressedCountsWhole) {
        return (stored + RECORD_OVERHEAD_MAX) as u64;
    }
    (operation_size_max(key_size, value_size) + RECORD_OVERHEAD_MAX) as u64
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

    /// Whether anybody takes checkpoints.
    pub(super) fn is_tracking(&self) -> bool {
        !self.buckets.is_empty()
    }

    pub(super) fn change_count(&self) -> usize {
        self.change_count
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

    pub(super) fn take_changes(&mut self, number: usize) -> Changes {
        let changes = std::mem::take(&mut self.buckets[number].changes);
        self.change_count -= changes.count();
        changes
    }

    /// What was taken is not written yet after all.
    pub(super) fn put_back(&mut self, number: usize, changes: Changes) {
        assert!(self.buckets[number].changes.is_empty(), "nothing changed in between");
        self.change_count += changes.count();
        self.buckets[number].changes = changes;
    }

    /// A key is marked as changed that was not.
    pub(super) fn changed(&mut self, slot: u16, tag: Tag) {
        if let Some(number) = self.bucket_of(slot) {
            self.buckets[number].changes.hints.push((slot, tag));
            self.change_count += 1;
        }
    }

    /// A key is gone, and a checkpoint must tell.
    pub(super) fn gone(&mut self, slot: u16, key: &[u8]) {
        if let Some(number) = self.bucket_of(slot)
            && self.buckets[number].changes.gone.insert((slot, key.into()))
        {
            self.change_count += gone_count(key);
        }
    }

    /// Whether the bucket of this slot lies whole in `slots`, or there is none.
    pub(super) fn goes_whole(&self, slot: u16, slots: &Range<u16>) -> bool {
        let bucket = self.bucket_of(slot).map(|number| &self.buckets[number].slots);
        bucket.is_none_or(|bucket| slots.start <= bucket.start && bucket.end <= slots.end)
    }

    fn bucket_of(&self, slot: u16) -> Option<usize> {
        let end = self.buckets.partition_point(|bucket| bucket.slots.start <= slot);
        let number = end.checked_sub(1)?;
        self.buckets[number].slots.contains(&slot).then_some(number)
    }

    /// All keys of these slots are gone, and so are the pages of buckets that lie in them whole.
    pub(super) fn cleared(&mut self, slots: &Range<u16>) {
        for number in self.buckets_of(slots) {
            if self.buckets[number].slots.end <= slots.end {
                drop(self.take_changes(number));
                self.set_pages(number, Vec::new(), Vec::new());
                self.buckets[number].is_spoiled = false;
            }
        }
    }

    /// A key's value is at its home now.
    pub(super) fn came(&mut self, header: &Header) {
        self.add(header.home.location.segment, weight(header));
    }

    /// A key's value is needed at this home no more.
    pub(super) fn went(&mut self, header: &Header) {
        self.subtract(header.home.location.segment, weight(header));
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

    /// Marks the buckets with a page in this segment that is not `sound`. How many such pages there are.
    pub(super) fn spoil(&mut self, segment: u32, sound: impl Fn(Location) -> bool) -> usize {
        let mut count = 0;
        for bucket in &mut self.buckets {
            let pages = bucket.base.iter().chain(&bucket.deltas);
            let lost = pages.filter(|page| page.segment == segment && !sound(**page)).count();
            bucket.is_spoiled |= lost != 0;
            count += lost;
        }
        count
    }

    pub(super) fn has_spoiled(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.is_spoiled)
    }

    /// The bucket was written anew.
    pub(super) fn renewed(&mut self, number: usize) {
        self.buckets[number].is_spoiled = false;
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
