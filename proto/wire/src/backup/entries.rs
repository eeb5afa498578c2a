//! Keys with their values, one after the other.
//!
//! ```text
//! size  field
//!    4  key_size
//!    4  value_size
//!    8  expires_at_ms    Unix milliseconds, 0 for never
//!    …  key, value
//! ```

use alloc::vec::Vec;

use bytes::Bytes;

use super::{BODY_SIZE_MAX, PART_SIZE};

/// What an entry takes beside its key and value, in bytes.
pub const ENTRY_OVERHEAD: usize = 16;

/// Bytes of a part before its entries.
const PART_HEAD_SIZE: usize = 8;

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Which.
    pub key: &'a [u8],
    /// What.
    pub value: &'a [u8],
    /// Unix milliseconds, 0 for never.
    pub expires_at_ms: u64,
}

/// The entries of a part, all of which are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entries<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Entries<'a> {
    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Their size in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (entry, after) = split(rest)?;
            rest = after;
            Some(entry)
        })
    }
}

/// Reads a part: its shard and its entries. `None`: it is none, or not exactly one.
pub fn part(bytes: &[u8]) -> Option<(u32, Entries<'_>)> {
    if BODY_SIZE_MAX < bytes.len() {
        return None;
    }
    let (shard, rest) = number(bytes)?;
    let (count, bytes) = number(rest)?;
    let entries = Entries { count, bytes };
    let mut rest = bytes;
    for _ in 0..count {
        (_, rest) = split(rest)?;
    }
    rest.is_empty().then_some((shard, entries))
}

/// A part in the making.
#[derive(Debug)]
pub struct PartBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl PartBuilder {
    /// A part of this shard, without any entry.
    pub fn new(shard: u32) -> PartBuilder {
        let mut bytes = Vec::with_capacity(PART_HEAD_SIZE);
        bytes.extend_from_slice(&shard.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        PartBuilder { bytes, count: 0 }
    }

    /// Whether an entry of these sizes belongs into this part, or a new one should begin with it.
    pub fn has_room(&self, key_size: usize, value_size: usize) -> bool {
        let size = self.bytes.len() + ENTRY_OVERHEAD + key_size + value_size;
        self.count == 0 || size <= PART_SIZE
    }

    /// Adds an entry.
    ///
    /// # Panics
    /// `has_room` says no, or no part has room for such an entry.
    pub fn push(&mut self, entry: &Entry<'_>) {
        let Entry { key, value, expires_at_ms } = *entry;
        assert!(self.has_room(key.len(), value.len()), "a part is closed before it is too large");
        let size = self.bytes.len() + ENTRY_OVERHEAD + key.len() + value.len();
        assert!(size <= BODY_SIZE_MAX, "the doors refuse keys and values over the limit");
        self.bytes.reserve(size - self.bytes.len());
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&expires_at_ms.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.count += 1;
    }

    /// How many entries it has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The part, as it is sent and stored.
    pub fn finish(mut self) -> Bytes {
        self.bytes[4..PART_HEAD_SIZE].copy_from_slice(&self.count.to_le_bytes());
        Bytes::from(self.bytes)
    }
}

fn split(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (key_size, rest) = number(bytes)?;
    let (value_size, rest) = number(rest)?;
    let (expires_at_ms, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(key_size as usize)?;
    let (value, rest) = rest.split_at_checked(value_size as usize)?;
    Some((Entry { key, value, expires_at_ms: u64::from_le_bytes(*expires_at_ms) }, rest))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}
