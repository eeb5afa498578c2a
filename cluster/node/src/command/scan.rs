//! The cursor of `SCAN`, and which keys it shows.
//!
//! A scan walks the hash slots in order, and within a slot the keys by a hash of their names. So its
//! cursor is a place that is the same on every replica, for ever: it needs no memory on any node,
//! survives a change of leader, and a key that stays is shown.
//!
//! ```text
//!   63 62 ──────────── 14 13 ──────── 0
//!    0 │ hash, 48 bits   │ slot        │      0: the start, and the end
//! ```

use bytes::Bytes;
use evenkeel_core::placement::slots::SLOT_COUNT;
use evenkeel_wire::glob;
use evenkeel_wire::reply::Reply;

use crate::observe::digest;

const SLOT_BITS: u32 = SLOT_COUNT.ilog2();
const HASH_BITS: u32 = 48;
const HASH_MAX: u64 = (1 << HASH_BITS) - 1;
const _: () = assert!(SLOT_COUNT.is_power_of_two() && SLOT_BITS + HASH_BITS < 63);

/// Where a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Everything in the slots before it was looked at.
    pub slot: u16,
    /// And everything in this slot whose hash is below this one.
    pub hash: u64,
}

impl Place {
    /// Where a cursor of a client leads; `None`: it is none of ours.
    pub fn of(cursor: u64) -> Option<Place> {
        let slot = (cursor % u64::from(SLOT_COUNT)) as u16; // Below `SLOT_COUNT`.
        let hash = cursor >> SLOT_BITS;
        (hash <= HASH_MAX).then_some(Place { slot, hash })
    }

    /// The beginning of a slot.
    pub fn start(slot: u16) -> Place {
        Place { slot, hash: 0 }
    }

    /// Behind everything with this hash in a slot.
    pub fn behind(slot: u16, hash: u64) -> Place {
        if hash == HASH_MAX { Place::start(slot + 1) } else { Place { slot, hash: hash + 1 } }
    }

    /// What a client gets to come back with; 0 when there is nothing left.
    pub fn cursor(self) -> u64 {
        assert!(self.slot <= SLOT_COUNT && self.hash <= HASH_MAX);
        if self.slot == SLOT_COUNT { 0 } else { self.hash << SLOT_BITS | u64::from(self.slot) }
    }
}

/// Where in its slot a key is. It must never change: cursors outlive nodes.
pub fn hash(key: &[u8]) -> u64 {
    digest(0, key) >> (u64::BITS - HASH_BITS)
}

/// Of the keys of one slot, those from `first` on that come next: about `count` of them, all of one
/// hash together. And the last hash among them, unless that was all.
pub fn next_part<'a>(
    keys: impl Iterator<Item = &'a [u8]>,
    first: u64,
    count: usize,
) -> (Vec<&'a [u8]>, Option<u64>) {
    assert!(0 < count, "no keys at all are no progress");
    let hashed = keys.map(|key| (hash(key), key));
    let mut left: Vec<(u64, &[u8])> = hashed.filter(|(hash, _)| first <= *hash).collect();
    if left.len() <= count {
        return (left.into_iter().map(|(_, key)| key).collect(), None);
    }
    let (_, &mut (last, _), _) = left.select_nth_unstable_by_key(count - 1, |(hash, _)| *hash);
    left.retain(|(hash, _)| *hash <= last);
    (left.into_iter().map(|(_, key)| key).collect(), Some(last))
}

/// What the client gets: the cursor, as text, and the keys.
pub fn reply(cursor: u64, keys: Vec<Bytes>) -> Reply {
    let keys = keys.into_iter().map(Reply::Bulk).collect();
    Reply::Array(vec![Reply::bulk(cursor.to_string()), Reply::Array(keys)])
}

/// Which keys a scan shows.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    /// False if the client asked for a type that we do not have.
    strings: bool,
}

impl<'a> Filter<'a> {
    /// From `MATCH` and `TYPE`.
    pub fn new(pattern: Option<&'a [u8]>, kind: Option<&[u8]>) -> Filter<'a> {
        let strings = kind.is_none_or(|kind| kind.eq_ignore_ascii_case(b"string"));
        Filter { pattern: pattern.filter(|&pattern| pattern != b"*"), strings }
    }

    /// Whether a key is shown.
    pub fn shows(&self, key: &[u8]) -> bool {
        self.strings && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}

#[cfg(test)]
mod tests;
