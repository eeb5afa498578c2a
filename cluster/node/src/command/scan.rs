//! The cursor of `SCAN`, and which keys it shows.
//!
//! A scan walks the hash slots in order and never stops within one, so its cursor is just the next
//! slot: it needs no memory on any node, survives a change of leader, and a key that stays is shown.
//! The price is that one call returns whole slots, however many keys a `{tag}` gathered there.

use bytes::Bytes;
use evenkeel_core::placement::slots::SLOT_COUNT;
use evenkeel_wire::glob;
use evenkeel_wire::reply::Reply;

/// The slot at which a cursor continues; 0 starts. `None`: past the end, nothing is left to show.
pub fn slot(cursor: u64) -> Option<u16> {
    u16::try_from(cursor).ok().filter(|&slot| slot < SLOT_COUNT)
}

/// The cursor after all slots below `slot`; 0 when that is all of them.
pub fn cursor(slot: u16) -> u64 {
    assert!(slot <= SLOT_COUNT);
    u64::from(slot % SLOT_COUNT)
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
