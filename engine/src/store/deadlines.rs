//! Which keys expire, in order of their deadlines.
//!
//! An entry names no item but says where to look: (deadline, hash slot, tag). Items move, and nothing
//! has to be mended here. Two keys with the same three share one entry.
//!
//! Invariant: an item with a deadline has its entry, and an entry has at least one such item.

use std::collections::BTreeSet;

use super::index::Tag;

/// Deadlines from here on, in Unix milliseconds, share one entry time: the year 10889.
const TIME_MAX: u64 = (1 << 48) - 1;
/// A tree of 12-byte entries, eleven to a node, two thirds full.
pub(super) const ENTRY_BYTES: u64 = 20;

/// Time (48 bits), slot (16), tag (24), so that the order of the numbers is the order of time.
type Entry = [u32; 3];

/// See the module's text.
#[derive(Default)]
pub(super) struct Deadlines {
    entries: BTreeSet<Entry>,
}

impl Deadlines {
    /// What the entries take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.len() as u64 * ENTRY_BYTES
    }

    /// Notes a deadline, Unix milliseconds.
    pub(super) fn insert(&mut self, expires_at_ms: u64, slot: u16, tag: Tag) {
        self.entries.insert(entry(expires_at_ms, slot, tag));
    }

    /// Takes an entry away; only if no other key shares it.
    pub(super) fn remove(&mut self, expires_at_ms: u64, slot: u16, tag: Tag) {
        let removed = self.entries.remove(&entry(expires_at_ms, slot, tag));
        assert!(removed, "an item with a deadline has its entry");
    }

    /// Entries whose time is at or before `now_ms`, the earliest first.
    pub(super) fn until(&self, now_ms: u64) -> impl Iterator<Item = (u64, u16, Tag)> {
        let end = [time_high(now_ms), time_low(now_ms) | 0xffff, u32::MAX];
        self.entries.range(..=end).map(|&[high, low, tag]| {
            let time = u64::from(high) << 16 | u64::from(low >> 16);
            (time, low as u16, Tag::from_number(tag))
        })
    }

    /// Whether two deadlines share an entry time.
    pub(super) fn is_same_time(one_ms: u64, other_ms: u64) -> bool {
        one_ms.min(TIME_MAX) == other_ms.min(TIME_MAX)
    }
}

fn entry(expires_at_ms: u64, slot: u16, tag: Tag) -> Entry {
    [time_high(expires_at_ms), time_low(expires_at_ms) | u32::from(slot), tag.number()]
}

fn time_high(time_ms: u64) -> u32 {
    (time_ms.min(TIME_MAX) >> 16) as u32
}

fn time_low(time_ms: u64) -> u32 {
    ((time_ms.min(TIME_MAX) & 0xffff) << 16) as u32
}
