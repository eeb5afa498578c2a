//! Backups as bytes: a file that knows when a bit of it is wrong, and the same keys on their way there.
//!
//! ```text
//! header │ part … part │ shard end │ part … │ shard end │ … │ end        shards in order, each once
//!
//! every frame:
//! offset  size  field
//!      0     4  magic            0x4B42_4B45, "EKBK"
//!      4     1  version          1
//!      5     1  kind             1 header, 2 part, 3 shard end, 4 end
//!      6     2  zero
//!      8     4  body_size        bytes, 0..=BODY_SIZE_MAX
//!     12     4  body_checksum    CRC-32 (IEEE) of the body
//!     16     8  index            of the frame in the file: 0, 1, 2, …
//!     24     4  head_checksum    CRC-32 of the backup's id (0 in the header), of where in the file the
//!                                frame is, 8 bytes each, and of bytes 0 to 23
//!     28     …  body
//!
//! header:     8 id, never 0; 8 cluster; 8 epoch of the placement map; 8 started_ms; 4 shard_count;
//!             4 + the name and version of what wrote it
//! part:       4 shard; 4 entry_count; that many entries, see `entries`
//! shard end:  4 shard; 8 position; 8 taken_ms; 8 key_count; 8 part_count; 8 entry_bytes
//! end:        8 finished_ms; 8 key_count; 8 part_count; 8 entry_bytes; 4 CRC-32 of all before this frame
//! ```
//!
//! Integers are little-endian, times Unix milliseconds.
//!
//! **Invariant.** No bytes but those that `Writer` made, all of them and in their order, are read to the
//! end without a `Damage`: a frame is good only in its own place of its own file, each shard says how
//! much there was of it, and the last frame how much there was of everything.

use alloc::string::String;

use crc32fast::Hasher;

mod entries;
mod read;
mod write;

pub use entries::{ENTRY_OVERHEAD, Entries, Entry, PartBuilder, part};
pub use read::{Damage, Fault, Frame, Reader};
pub use write::{Progress, Writer};

/// Bytes before the body.
pub const HEAD_SIZE: usize = 28;
/// Bytes of a body. A part holds whole entries, so the largest key with the largest value must fit.
pub const BODY_SIZE_MAX: usize = 1024 * 1024 + 64 * 1024;
/// A part is closed before it would be larger than this, in bytes, unless it is one entry.
pub const PART_SIZE: usize = 128 * 1024;
/// Shards of one backup.
pub const SHARD_COUNT_MAX: u32 = 16_384;
/// Bytes of the name of what wrote it.
pub const SOFTWARE_SIZE_MAX: usize = 256;
/// The version of the format that this release writes, and the newest that it reads.
pub const VERSION: u8 = 1;

const MAGIC: u32 = 0x4B42_4B45;
const KIND_HEADER: u8 = 1;
const KIND_PART: u8 = 2;
const KIND_SHARD_END: u8 = 3;
const KIND_END: u8 = 4;

const _: () = {
    assert!(PART_SIZE <= BODY_SIZE_MAX);
    assert!(BODY_SIZE_MAX <= u32::MAX as usize);
};

/// What a backup says of itself before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Tells backups apart; never 0.
    pub id: u64,
    /// The number of the cluster it was taken of.
    pub cluster: u64,
    /// The epoch of the cluster's placement map.
    pub epoch: u64,
    /// When it was begun.
    pub started_ms: u64,
    /// How many shards follow.
    pub shard_count: u32,
    /// Name and version of what wrote it, at most `SOFTWARE_SIZE_MAX` bytes.
    pub software: String,
}

/// One shard, of which all parts came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardEnd {
    /// Which.
    pub shard: u32,
    /// The slot of the shard's log up to which it has everything, and beyond which nothing.
    pub position: u64,
    /// When that was; what had expired by then is not in it.
    pub taken_ms: u64,
    /// Of its parts.
    pub size: Size,
}

/// The last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// When it was finished.
    pub finished_ms: u64,
    /// Of all parts.
    pub size: Size,
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Keys.
    pub key_count: u64,
    /// Parts.
    pub part_count: u64,
    /// Bytes of their entries.
    pub entry_bytes: u64,
}

impl Size {
    /// One more part.
    fn add(&mut self, key_count: u32, entry_bytes: usize) {
        self.key_count += u64::from(key_count);
        self.part_count += 1;
        self.entry_bytes += entry_bytes as u64;
    }
}

/// The checksum of a frame's head, in its place.
fn head_checksum(id: u64, offset: u64, head: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(head);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
