//! The bytes on disk. `superblock`, `chunk` and `record` have a byte table each; all integers are
//! little-endian, all checksums CRC-32 (IEEE 802.3, as in zlib).
//!
//! ```text
//! SUPER                  two copies of the superblock, 4096 bytes each
//! segment-00000001.log   chunk │ chunk │ … │ chunk │ zeros
//!                        chunk = header (128 bytes) │ records │ zeros up to a multiple of 4096
//! ```
//!
//! A segment is zeros when it is made, and no offset of it is written twice. Hence what a power cut can
//! leave behind is known: each sector of 512 bytes is either as it was written or zeros. Bytes that
//! are neither were damaged later, wherever they are. Of a *recycled* segment (a file that got another
//! number when nobody needed its records any more) less is known: what was not written may be anything
//! that the file held before, and only what is proved durable can be called damaged.

use crate::bugs::{Bug, planted};

pub(crate) mod chunk;
pub(crate) mod pack;
pub(crate) mod record;
pub(crate) mod superblock;
pub(crate) mod varint;

/// The format that this release writes.
pub(crate) const FORMAT: u16 = 3;
/// The oldest one that it reads.
pub(crate) const FORMAT_MIN: u16 = 1;
/// What a power cut keeps or loses as a whole, in bytes.
pub(crate) const SECTOR_SIZE: usize = 512;

/// Whether there are zeros only. Recovery and compaction ask it of most blocks that they see, so it is
/// left to `memcmp`.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    const ZEROS: [u8; SECTOR_SIZE] = [0; SECTOR_SIZE];
    bytes.chunks(SECTOR_SIZE).all(|sector| *sector == ZEROS[..sector.len()])
}

/// Where a chunk or record must lie, and who must have written it. Part of what checksums cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The writer's incarnation.
    pub(crate) incarnation: u64,
    /// The segment.
    pub(crate) segment: u32,
    /// First byte in the segment.
    pub(crate) offset: u32,
}

fn checksum_matches(stored: u32, computed: u32) -> bool {
    planted(Bug::TornTakenAsValid) || stored == computed
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, offset))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    *bytes[offset..].first_chunk().expect("every field ends within its header")
}

fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes[offset..offset + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests;
