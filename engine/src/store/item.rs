//! How one key lies in memory: a few bytes of header, the key, the value.
//!
//! ```text
//! size     field
//!    1     usage         bits 0–6: what the eviction policy remembers of this key,
//!                        bit 7: changed since it was last written to a page (`super::pages`)
//!    1     flags         bit 7: dead, bit 6: has a deadline, bits 0–5: key_size, 63 for "it follows"
//!    –, …  key_size      varint, only if it follows
//!    …     value_size    varint
//!    4, …  version       MemoryOnly: the low 32 bits; BackedByLog: varint, all of it
//!    –, 8  deadline      Unix milliseconds, only if there is one
//!    –, …  home          BackedByLog: varints segment, offset, size, operation
//!    …     key
//!    –, …  value         unless only the log has it
//! ```
//!
//! Invariant: an item's size follows from its first bytes, so a segment can be walked. Integers are
//! little-endian; nothing here is ever stored or sent.

use super::Tier;
use crate::Location;

const CHANGED: u8 = 0x80;
const DEAD: u8 = 0x80;
const VOLATILE: u8 = 0x40;
const KEY_SIZE_FOLLOWS: u8 = 0x3f;
/// Usage and flags, two sizes, version, deadline, home.
pub(super) const HEADER_SIZE_MAX: usize = 2 + 2 * 5 + 10 + 8 + 4 * 5;

/// Where the log has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Home {
    pub(super) location: Location,
    /// The index of its operation in the record's batch.
    pub(super) operation: u32,
}

/// What stands before key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) usage: u8,
    /// No page has the key as it is now.
    pub(super) is_changed: bool,
    pub(super) is_dead: bool,
    pub(super) version: u64,
    /// Unix milliseconds, 0 for never.
    pub(super) expires_at_ms: u64,
    /// All zero in a `MemoryOnly` store.
    pub(super) home: Home,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    /// Where the key begins.
    key_at: u32,
}

impl Header {
    /// For a new item.
    pub(super) fn new(
        key: &[u8],
        value_size: usize,
        version: u64,
        expires_at_ms: u64,
        home: Home,
    ) -> Header {
        Header {
            usage: 0,
            is_changed: false,
            is_dead: false,
            version,
            expires_at_ms,
            home,
            key_size: key.len() as u32,
            value_size: value_size as u32,
            key_at: 0,
        }
    }

    /// The item's size in memory, in bytes.
    pub(super) fn item_size(&self, tier: Tier, is_resident: bool) -> usize {
        let is_short = self.key_size < u32::from(KEY_SIZE_FOLLOWS);
        let key_size = if is_short { 0 } else { varint_size(self.key_size.into()) };
        let deadline = if self.expires_at_ms == 0 { 0 } else { 8 };
        let rest = match tier {
            Tier::MemoryOnly => 4,
            Tier::BackedByLog => {
                let Location { segment, offset, size } = self.home.location;
                let home = [segment, offset, size, self.home.operation];
                let home: usize = home.into_iter().map(|part| varint_size(part.into())).sum();
                varint_size(self.version) + home
            }
        };
        let header = 2 + key_size + varint_size(self.value_size.into()) + rest + deadline;
        let value_size = if is_resident { self.value_size as usize } else { 0 };
        header + self.key_size as usize + value_size
    }

    /// Appends the item; `value` is empty if only the log has it.
    pub(super) fn write(&self, tier: Tier, key: &[u8], value: &[u8], target: &mut Vec<u8>) {
        let (bytes, size) = self.encode(tier);
        target.extend_from_slice(&bytes[..size]);
        target.extend_from_slice(key);
        target.extend_from_slice(value);
    }

    /// Writes header and value over those of an item that has the same key and `old` as its header.
    /// False, and nothing is done, if they do not fit exactly.
    pub(super) fn write_over(
        &self,
        tier: Tier,
        old: &Header,
        value: &[u8],
        item: &mut [u8],
    ) -> bool {
        let (bytes, size) = self.encode(tier);
        if size != old.key_at as usize || self.value_size != old.value_size {
            return false;
        }
        item[..size].copy_from_slice(&bytes[..size]);
        item[size + self.key_size as usize..][..value.len()].copy_from_slice(value);
        true
    }

    /// The header, and how many bytes it takes.
    fn encode(&self, tier: Tier) -> ([u8; HEADER_SIZE_MAX], usize) {
        let mut target = Target { bytes: [0; HEADER_SIZE_MAX], size: 0 };
        let is_short = self.key_size < u32::from(KEY_SIZE_FOLLOWS);
        let mut flags = if is_short { self.key_size as u8 } else { KEY_SIZE_FOLLOWS };
        if self.expires_at_ms != 0 {
            flags |= VOLATILE;
        }
        let changed = if self.is_changed { CHANGED } else { 0 };
        target.push(&[self.usage | changed, flags]);
        if !is_short {
            target.push_varint(self.key_size.into());
        }
        target.push_varint(self.value_size.into());
        match tier {
            Tier::MemoryOnly => target.push(&(self.version as u32).to_le_bytes()),
            Tier::BackedByLog => target.push_varint(self.version),
        }
        if self.expires_at_ms != 0 {
            target.push(&self.expires_at_ms.to_le_bytes());
        }
        if tier == Tier::BackedByLog {
            let Location { segment, offset, size } = self.home.location;
            for part in [segment, offset, size, self.home.operation] {
                target.push_varint(part.into());
            }
        }
        (target.bytes, target.size)
    }

    /// Reads what `write` wrote.
    pub(super) fn read(tier: Tier, item: &[u8]) -> Header {
        let flags = item[1];
        let mut at = 2;
        let key_size = match flags & KEY_SIZE_FOLLOWS {
            KEY_SIZE_FOLLOWS => read_varint(item, &mut at) as u32,
            size => u32::from(size),
        };
        let value_size = read_varint(item, &mut at) as u32;
        let version = match tier {
            Tier::MemoryOnly => u64::from(u32::from_le_bytes(take(item, &mut at))),
            Tier::BackedByLog => read_varint(item, &mut at),
        };
        let expires_at_ms = match flags & VOLATILE {
            0 => 0,
            _ => u64::from_le_bytes(take(item, &mut at)),
        };
        let mut home = Home::default();
        if tier == Tier::BackedByLog {
            let mut next = || read_varint(item, &mut at) as u32;
            home.location = Location { segment: next(), offset: next(), size: next() };
            home.operation = next();
        }
        Header {
            usage: usage(item),
            is_changed: item[0] & CHANGED != 0,
            is_dead: flags & DEAD != 0,
            version,
            expires_at_ms,
            home,
            key_size,
            value_size,
            key_at: at as u32,
        }
    }

    /// The key, of the item this was read from.
    pub(super) fn key<'a>(&self, item: &'a [u8]) -> &'a [u8] {
        &item[self.key_at as usize..][..self.key_size as usize]
    }

    /// The value, of the item this was read from, if it has one.
    pub(super) fn value<'a>(&self, item: &'a [u8]) -> &'a [u8] {
        &item[(self.key_at + self.key_size) as usize..][..self.value_size as usize]
    }
}

/// The key alone: what a lookup compares.
pub(super) fn key(tier: Tier, item: &[u8]) -> &[u8] {
    let flags = item[1];
    if tier == Tier::MemoryOnly && flags & KEY_SIZE_FOLLOWS != KEY_SIZE_FOLLOWS {
        let mut at = 2;
        let _value_size = read_varint(item, &mut at);
        let key_at = at + 4 + if flags & VOLATILE == 0 { 0 } else { 8 };
        return &item[key_at..][..usize::from(flags & KEY_SIZE_FOLLOWS)];
    }
    Header::read(tier, item).key(item)
}

/// What the policy remembers.
pub(super) fn usage(item: &[u8]) -> u8 {
    item[0] & !CHANGED
}

/// The policy remembers something else.
pub(super) fn set_usage(item: &mut [u8], usage: u8) {
    item[0] = item[0] & CHANGED | usage;
}

/// A page has the item as it is now.
pub(super) fn clear_changed(item: &mut [u8]) {
    item[0] &= !CHANGED;
}

/// Marks an item as dead: nothing points at it any more.
pub(super) fn kill(item: &mut [u8]) {
    item[1] |= DEAD;
}

fn varint_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// A header that is being written.
struct Target {
    bytes: [u8; HEADER_SIZE_MAX],
    size: usize,
}

impl Target {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.size..][..bytes.len()].copy_from_slice(bytes);
        self.size += bytes.len();
    }

    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.push(&[value as u8]);
    }
}

fn read_varint(item: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = item[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

fn take<const SIZE: usize>(item: &[u8], at: &mut usize) -> [u8; SIZE] {
    let bytes = item[*at..][..SIZE].try_into().expect("the slice has this size");
    *at += SIZE;
    bytes
}

#[cfg(test)]
mod tests;
