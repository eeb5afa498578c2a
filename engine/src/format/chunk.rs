//! A chunk: what one write carries. A header, records, zeros up to the next block.
//!
//! ```text
//! offset  size  field
//!      0     4  header_checksum    CRC-32 of bytes 4..128
//!      4     4  magic              "EKCH"
//!      8     2  format             3
//!     10     2  flags              1 the file had another life before this one, 2 aside, 4 encrypted
//!                                  (format 1: 0, format 2: never 4)
//!     12     4  payload_size       bytes of records, 1..=CHUNK_SIZE_MAX - 128
//!     16     4  payload_checksum   CRC-32 of the records
//!     20     4  previous_checksum  header_checksum of the chunk before, 0 if there is none
//!     24     4  segment            where this chunk lies
//!     28     4  offset             its first byte in the segment, a multiple of 4096
//!     32     8  incarnation        the writer's
//!     40     8  incarnation_start  sequence of the incarnation's first record
//!     48     8  number             1 for the first chunk of the log, then one more each
//!     56     8  first_sequence     of the first record
//!     64     8  last_sequence      of the last record
//!     72     8  durable_upto       every record up to here was durable when this was written
//!     80     8  cluster            who wrote it
//!     88     8  node
//!     96    16  salt               encrypted: the key of its records follows from it; else zeros
//!    112    16  zeros
//!    128     …  records, then zeros up to a multiple of 4096
//! ```
//!
//! Two checksums, since a flipped bit in a size must not look like the end of the log: a header that
//! holds is believed, whatever has become of the payload. A chunk *aside* is not part of the log's
//! order: its records are found by their places only, and its number, sequences and `durable_upto` are
//! 0. `incarnation_start` tells which chunks of
//! older incarnations are the remains of writes that were never acknowledged: those whose records a
//! later incarnation numbered anew. The header is within the first sector, so a power cut leaves all
//! of it or nothing.

use super::{
    FORMAT, FORMAT_MIN, Place, SECTOR_SIZE, array_at, checksum_matches, is_blank, put, u16_at,
    u32_at, u64_at,
};
use crate::bugs::{Bug, planted};
use crate::disk::{BLOCK_SIZE, Buffer};
use crate::keys::{SALT_SIZE, Salt};
use crate::limits::{CHUNK_HEADER_SIZE, CHUNK_SIZE_MAX};

const MAGIC: [u8; 4] = *b"EKCH";
const FLAG_RECYCLED: u16 = 1;
const FLAG_ASIDE: u16 = 2;
const FLAG_ENCRYPTED: u16 = 4;
const SALT_OFFSET: usize = 96;
/// A header with fewer bytes that are not zero was never written: magic, format, sizes, sequences
/// and two checksums have more, and a few flipped bits do not make up for them.
const WRITTEN_BYTES_MIN: usize = 8;

/// What a header says; see the table. The checksums are not in here but for the chain's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where, and in which incarnation.
    pub(crate) place: Place,
    /// The segment's file had another life.
    pub(crate) recycled: bool,
    /// Not part of the log's order.
    pub(crate) aside: bool,
    pub(crate) incarnation_start: u64,
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) durable_upto: u64,
    pub(crate) cluster: u64,
    pub(crate) node: u64,
    pub(crate) previous_checksum: u32,
    pub(crate) payload_size: u32,
    /// There if its records are encrypted.
    pub(crate) salt: Option<Salt>,
}

impl Header {
    /// The whole chunk, padding included, in bytes.
    pub(crate) fn chunk_size(&self) -> usize {
        chunk_size(self.payload_size as usize)
    }
}

/// What is at a block boundary where a chunk may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A whole chunk.
    Chunk {
        /// What it says.
        header: Header,
        /// Its header's checksum, for the chain.
        checksum: u32,
    },
    /// The header holds, the payload does not.
    BadPayload {
        /// What it says.
        header: Header,
        /// Its header's checksum, for the chain.
        checksum: u32,
        /// A power cut may have done it: some sector is all zeros.
        torn: bool,
    },
    /// No header, and yet not blank.
    BadBlock {
        /// A power cut may have done it: the first sector is (all but) zeros.
        torn: bool,
    },
    /// A header that holds, of another segment: what the file held in an earlier life, or a
    /// misdirected write.
    Stale,
    /// The header holds and has a format of its own.
    OtherFormat(u16),
    /// A block of zeros.
    Blank,
    /// The window ends within the chunk: look again with this many bytes.
    More(usize),
}

/// How many bytes a chunk with that much payload takes.
pub(crate) fn chunk_size(payload_size: usize) -> usize {
    (CHUNK_HEADER_SIZE + payload_size).next_multiple_of(BLOCK_SIZE)
}

/// The chunk as it is written, and its header's checksum. `buffer` has its size, and any content.
pub(crate) fn encode(header: &Header, payload: &[u8], mut buffer: Buffer) -> (Buffer, u32) {
    assert!(!payload.is_empty(), "a chunk has records");
    assert!(payload.len() == header.payload_size as usize, "the header describes the payload");
    assert!(header.chunk_size() <= CHUNK_SIZE_MAX, "a chunk has a bound");
    assert!((header.place.offset as usize).is_multiple_of(BLOCK_SIZE), "chunks start at blocks");
    assert!(header.first_sequence <= header.last_sequence, "a chunk has records");
    assert!(
        header.aside || header.durable_upto < header.first_sequence,
        "what is being written is not durable"
    );
    let flag = |set: bool, flag: u16| if set { flag } else { 0 };
    let flags = flag(header.recycled, FLAG_RECYCLED)
        | flag(header.aside, FLAG_ASIDE)
        | flag(header.salt.is_some(), FLAG_ENCRYPTED);
    assert!(buffer.len() == header.chunk_size(), "the buffer was made for this chunk");
    buffer[..CHUNK_HEADER_SIZE].fill(0);
    buffer[CHUNK_HEADER_SIZE + payload.len()..].fill(0);
    put(&mut buffer, 4, &MAGIC);
    put(&mut buffer, 8, &FORMAT.to_le_bytes());
    put(&mut buffer, 10, &flags.to_le_bytes());
    put(&mut buffer, 12, &header.payload_size.to_le_bytes());
    put(&mut buffer, 16, &crc32fast::hash(payload).to_le_bytes());
    put(&mut buffer, 20, &header.previous_checksum.to_le_bytes());
    put(&mut buffer, 24, &header.place.segment.to_le_bytes());
    put(&mut buffer, 28, &header.place.offset.to_le_bytes());
    put(&mut buffer, 32, &header.place.incarnation.to_le_bytes());
    put(&mut buffer, 40, &header.incarnation_start.to_le_bytes());
    put(&mut buffer, 48, &header.number.to_le_bytes());
    put(&mut buffer, 56, &header.first_sequence.to_le_bytes());
    put(&mut buffer, 64, &header.last_sequence.to_le_bytes());
    put(&mut buffer, 72, &header.durable_upto.to_le_bytes());
    put(&mut buffer, 80, &header.cluster.to_le_bytes());
    put(&mut buffer, 88, &header.node.to_le_bytes());
    put(&mut buffer, SALT_OFFSET, &header.salt.unwrap_or_default());
    let checksum = crc32fast::hash(&buffer[4..CHUNK_HEADER_SIZE]);
    put(&mut buffer, 0, &checksum.to_le_bytes());
    put(&mut buffer, CHUNK_HEADER_SIZE, payload);
    (buffer, checksum)
}

/// Looks at `window`, whole blocks from `offset` of `segment` on.
pub(crate) fn examine(window: &[u8], segment: u32, offset: u32) -> Extent {
    let block = &window[..BLOCK_SIZE];
    let (header, checksum) = match header(block, segment, offset) {
        Ok(found) => found,
        Err(extent) => return extent,
    };
    let Some(chunk) = window.get(..header.chunk_size()) else {
        return Extent::More(header.chunk_size());
    };
    let written = &chunk[..CHUNK_HEADER_SIZE + header.payload_size as usize];
    if checksum_matches(u32_at(block, 16), crc32fast::hash(&written[CHUNK_HEADER_SIZE..])) {
        return Extent::Chunk { header, checksum };
    }
    let torn = written.chunks(SECTOR_SIZE).any(is_blank);
    Extent::BadPayload { header, checksum, torn }
}

/// The header in this block and its checksum, or what is there instead.
pub(crate) fn header(block: &[u8], segment: u32, offset: u32) -> Result<(Header, u32), Extent> {
    if is_blank(block) {
        return Err(Extent::Blank);
    }
    let checksum = crc32fast::hash(&block[4..CHUNK_HEADER_SIZE]);
    if u32_at(block, 0) != checksum || block[4..8] != MAGIC {
        return Err(Extent::BadBlock { torn: unwritten(block) });
    }
    if !(FORMAT_MIN..=FORMAT).contains(&u16_at(block, 8)) {
        return Err(Extent::OtherFormat(u16_at(block, 8)));
    }
    let header = fields(block);
    let here = header.place.segment == segment && header.place.offset == offset;
    let payload_size = header.payload_size as usize;
    let sensible = payload_size != 0
        && payload_size <= CHUNK_SIZE_MAX - CHUNK_HEADER_SIZE
        && header.first_sequence <= header.last_sequence;
    if (here || planted(Bug::StaleBlockAccepted)) && sensible {
        Ok((header, checksum))
    } else if header.place.segment != segment {
        Err(Extent::Stale)
    } else {
        Err(Extent::BadBlock { torn: false })
    }
}

fn fields(block: &[u8]) -> Header {
    let flags = u16_at(block, 10);
    Header {
        place: Place {
            incarnation: u64_at(block, 32),
            segment: u32_at(block, 24),
            offset: u32_at(block, 28),
        },
        recycled: flags & FLAG_RECYCLED != 0,
        aside: flags & FLAG_ASIDE != 0,
        incarnation_start: u64_at(block, 40),
        number: u64_at(block, 48),
        first_sequence: u64_at(block, 56),
        last_sequence: u64_at(block, 64),
        durable_upto: u64_at(block, 72),
        cluster: u64_at(block, 80),
        node: u64_at(block, 88),
        previous_checksum: u32_at(block, 20),
        payload_size: u32_at(block, 12),
        salt: (flags & FLAG_ENCRYPTED != 0).then(|| array_at::<SALT_SIZE>(block, SALT_OFFSET)),
    }
}

fn unwritten(block: &[u8]) -> bool {
    let written = block[..CHUNK_HEADER_SIZE].iter().filter(|&&byte| byte != 0).count();
    written < WRITTEN_BYTES_MIN
}
