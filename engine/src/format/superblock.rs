//! The superblock: whose directory this is, and what must be known before the log is read.
//!
//! ```text
//! offset  size  field
//!      0     4  checksum           CRC-32 of bytes 4..4096
//!      4     8  magic              "EVENKEEL"
//!     12     2  format             3
//!     14     1  state              0 in use, 1 stopped cleanly
//!     15     1  name_size          bytes, 0..=NAME_SIZE_MAX
//!     16     8  generation         copy = generation % 2; the higher valid one counts
//!     24     8  cluster            the identity
//!     32     8  node
//!     40     8  incarnation        the last one that may have written
//!     48     8  incarnation_start  sequence of its first record
//!     56     8  durable_upto       every record up to here was durable when this was written
//!     64     4  tail_segment       after a clean stop: where the next chunk would go
//!     68     4  tail_offset
//!     72     8  tail_number        the last chunk's number
//!     80     4  tail_checksum      the last chunk's header_checksum
//!     84     4  zeros
//!     88    64  name               UTF-8, zeros behind it
//!    152     4  start_segment      where replay begins; 0: at the first segment (format 1: zeros)
//!    156     4  start_offset
//!    160     8  start_sequence     of the first record behind the start
//!    168     1  cipher             0 none, 1 AES-256-GCM (formats 1 and 2: 0)
//!    169     7  zeros
//!    176     8  root_key           which root key opens the wrap; this and what follows: else zeros
//!    184    12  wrap_nonce
//!    196    32  wrapped_key        the directory key, encrypted
//!    228    16  wrap_tag
//!    244     …  zeros
//! ```
//!
//! The file has two copies of 4096 bytes, and a write touches one of them; all that is not zero is in
//! its first sector. Both are written when the engine opens, so either one tells the incarnation.

use super::{FORMAT, FORMAT_MIN, array_at, put, u16_at, u32_at, u64_at};
use crate::Identity;
use crate::disk::{BLOCK_SIZE, Buffer};
use crate::keys::{KEY_SIZE, KeyId, Wrap};
use crate::limits::{NAME_SIZE_MAX, SEAL_TAG_SIZE};

/// Two copies.
pub(crate) const SUPER_SIZE: usize = 2 * BLOCK_SIZE;

const MAGIC: [u8; 8] = *b"EVENKEEL";
const NAME_OFFSET: usize = 88;

const START_OFFSET: usize = NAME_OFFSET + NAME_SIZE_MAX;

const CIPHER_OFFSET: usize = START_OFFSET + 16;
const CIPHER_AES_256_GCM: u8 = 1;
const WRAP_OFFSET: usize = CIPHER_OFFSET + 8;

const _: () = assert!(WRAP_OFFSET == 176);
const _: () = assert!(WRAP_OFFSET + 8 + 12 + KEY_SIZE + SEAL_TAG_SIZE <= super::SECTOR_SIZE);

/// See the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) generation: u64,
    pub(crate) identity: Identity,
    pub(crate) incarnation: u64,
    pub(crate) incarnation_start: u64,
    pub(crate) durable_upto: u64,
    /// There after a clean stop.
    pub(crate) tail: Option<Tail>,
    /// There once a checkpoint has made what lies before it superfluous for replay.
    pub(crate) start: Option<Start>,
    /// There if the directory is encrypted, from its first record on.
    pub(crate) wrap: Option<Wrap>,
}

/// Where replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    /// Of the first record behind it.
    pub(crate) sequence: u64,
}

/// Where the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) number: u64,
    pub(crate) checksum: u32,
}

/// Why a copy is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SuperblockError {
    /// Never written.
    Blank,
    /// Damaged, or cut short by a power cut.
    Damaged,
    /// Written by another release.
    Format(u16),
}

impl Superblock {
    /// Where in the file this generation goes.
    pub(crate) fn offset(&self) -> u64 {
        self.generation % 2 * BLOCK_SIZE as u64
    }

    /// One copy.
    pub(crate) fn encode(&self) -> Buffer {
        let name = self.identity.name.as_bytes();
        assert!(name.len() <= NAME_SIZE_MAX, "an identity is checked when it is made");
        let tail = self.tail.unwrap_or(Tail { segment: 0, offset: 0, number: 0, checksum: 0 });
        let mut copy = Buffer::zeroed(BLOCK_SIZE);
        put(&mut copy, 4, &MAGIC);
        put(&mut copy, 12, &FORMAT.to_le_bytes());
        copy[14] = u8::from(self.tail.is_some());
        copy[15] = name.len() as u8;
        put(&mut copy, 16, &self.generation.to_le_bytes());
        put(&mut copy, 24, &self.identity.cluster.to_le_bytes());
        put(&mut copy, 32, &self.identity.node.to_le_bytes());
        put(&mut copy, 40, &self.incarnation.to_le_bytes());
        put(&mut copy, 48, &self.incarnation_start.to_le_bytes());
        put(&mut copy, 56, &self.durable_upto.to_le_bytes());
        put(&mut copy, 64, &tail.segment.to_le_bytes());
        put(&mut copy, 68, &tail.offset.to_le_bytes());
        put(&mut copy, 72, &tail.number.to_le_bytes());
        put(&mut copy, 80, &tail.checksum.to_le_bytes());
        put(&mut copy, NAME_OFFSET, name);
        if let Some(start) = self.start {
            assert!(start.segment != 0, "segments are numbered from 1");
            put(&mut copy, START_OFFSET, &start.segment.to_le_bytes());
            put(&mut copy, START_OFFSET + 4, &start.offset.to_le_bytes());
            put(&mut copy, START_OFFSET + 8, &start.sequence.to_le_bytes());
        }
        if let Some(wrap) = &self.wrap {
            copy[CIPHER_OFFSET] = CIPHER_AES_256_GCM;
            put(&mut copy, WRAP_OFFSET, &wrap.root.0);
            put(&mut copy, WRAP_OFFSET + 8, &wrap.nonce);
            put(&mut copy, WRAP_OFFSET + 20, &wrap.sealed);
            put(&mut copy, WRAP_OFFSET + 52, &wrap.tag);
        }
        let checksum = crc32fast::hash(&copy[4..]);
        put(&mut copy, 0, &checksum.to_le_bytes());
        copy
    }

    /// Reads one copy.
    pub(crate) fn decode(copy: &[u8]) -> Result<Superblock, SuperblockError> {
        assert!(copy.len() == BLOCK_SIZE, "a copy is a block");
        if super::is_blank(copy) {
            return Err(SuperblockError::Blank);
        }
        if u32_at(copy, 0) != crc32fast::hash(&copy[4..]) || copy[4..12] != MAGIC {
            return Err(SuperblockError::Damaged);
        }
        if !(FORMAT_MIN..=FORMAT).contains(&u16_at(copy, 12)) {
            return Err(SuperblockError::Format(u16_at(copy, 12)));
        }
        let name = copy.get(NAME_OFFSET..NAME_OFFSET + usize::from(copy[15]));
        let name = name.filter(|name| name.len() <= NAME_SIZE_MAX);
        let name = name.and_then(|name| str::from_utf8(name).ok());
        let name = name.ok_or(SuperblockError::Damaged)?.to_owned();
        let tail = Tail {
            segment: u32_at(copy, 64),
            offset: u32_at(copy, 68),
            number: u64_at(copy, 72),
            checksum: u32_at(copy, 80),
        };
        let start = Start {
            segment: u32_at(copy, START_OFFSET),
            offset: u32_at(copy, START_OFFSET + 4),
            sequence: u64_at(copy, START_OFFSET + 8),
        };
        let aligned = |offset: u32| offset.is_multiple_of(BLOCK_SIZE as u32);
        if !aligned(tail.offset) || !aligned(start.offset) {
            return Err(SuperblockError::Damaged); // A right checksum over what no release writes.
        }
        if CIPHER_AES_256_GCM < copy[CIPHER_OFFSET] {
            return Err(SuperblockError::Damaged); // The same.
        }
        let wrap = Wrap {
            root: KeyId(array_at(copy, WRAP_OFFSET)),
            nonce: array_at(copy, WRAP_OFFSET + 8),
            sealed: array_at(copy, WRAP_OFFSET + 20),
            tag: array_at(copy, WRAP_OFFSET + 52),
        };
        let has_start = start.segment != 0 && start.sequence != 0;
        Ok(Superblock {
            generation: u64_at(copy, 16),
            identity: Identity { cluster: u64_at(copy, 24), node: u64_at(copy, 32), name },
            incarnation: u64_at(copy, 40),
            incarnation_start: u64_at(copy, 48),
            durable_upto: u64_at(copy, 56),
            tail: (copy[14] == 1).then_some(tail),
            start: has_start.then_some(start),
            wrap: (copy[CIPHER_OFFSET] == CIPHER_AES_256_GCM).then_some(wrap),
        })
    }
}

/// Of both copies, the one that counts, and how many were readable.
pub(crate) fn choose(file: &[u8]) -> Result<(Superblock, usize), SuperblockError> {
    assert!(file.len() == SUPER_SIZE, "both copies were read");
    let copies = [&file[..BLOCK_SIZE], &file[BLOCK_SIZE..]].map(Superblock::decode);
    // The sole copy may be of a format that the other, older copy is not: a newer release was here.
    if let Some(format) = copies.iter().find_map(|copy| match copy {
        Err(SuperblockError::Format(format)) => Some(*format),
        Ok(_) | Err(_) => None,
    }) {
        return Err(SuperblockError::Format(format));
    }
    match copies {
        [Ok(first), Ok(second)] if first.generation < second.generation => Ok((second, 2)),
        [Ok(first), Ok(_)] => Ok((first, 2)),
        [Ok(copy), Err(_)] | [Err(_), Ok(copy)] => Ok((copy, 1)),
        [Err(SuperblockError::Blank), Err(SuperblockError::Blank)] => Err(SuperblockError::Blank),
        [Err(_), Err(_)] => Err(SuperblockError::Damaged),
    }
}
