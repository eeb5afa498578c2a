//! What the log is told when it opens, and what it tells.

use bytes::Bytes;

use super::scan::Piece;
use crate::Identity;
use crate::error::ReadError;
use crate::keys::{Encryption, KeyId};
use crate::limits::{CHUNK_SIZE_MAX, SEGMENT_SIZE_DEFAULT};
use crate::record::Sequence;

/// How a log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Size of new segments in bytes, a multiple of 4096.
    pub segment_size: u64,
    /// Open although acknowledged data is damaged; `Opened::damaged` says where.
    pub serve_with_holes: bool,
    /// Most bytes in segments, free ones included; 0 for as many as the device has.
    pub log_size_max: u64,
    /// A chunk is closed at this size in bytes, at most `CHUNK_SIZE_MAX`; a record that is larger has
    /// a chunk to itself.
    pub chunk_size: usize,
    /// Payloads are stored compressed where that saves an eighth or more.
    pub compress: bool,
    /// Payloads are encrypted. A directory is encrypted from its first record on or not at all: it opens
    /// only with this as it was when it was made.
    pub encryption: Option<Encryption>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_size: SEGMENT_SIZE_DEFAULT,
            serve_with_holes: false,
            log_size_max: 0,
            chunk_size: CHUNK_SIZE_MAX,
            compress: false,
            encryption: None,
        }
    }
}

/// A stretch of the log that cannot be read as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRange {
    /// Where it starts.
    pub segment: u32,
    /// First damaged byte in that segment, at chunk granularity.
    pub offset: u64,
    /// How many bytes; 0 if unknown.
    pub size: u64,
    /// The first record that may be missing; 0 if it is one of the index's, whose order is unknown.
    pub first: Sequence,
    /// The last record that may be missing.
    pub last: Sequence,
    /// The log proves that these records were durable. If not, the bytes are merely such that no
    /// power cut explains them.
    pub acknowledged: bool,
}

impl std::fmt::Display for DamagedRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DamagedRange { segment, offset, first, last, .. } = self;
        write!(
            formatter,
            "segment-{segment:08}.log at byte {offset}, records {} to {}",
            first.0, last.0
        )
    }
}

/// What `Engine::open` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Whose directory it is.
    pub identity: Identity,
    /// Grows with every open that was not preceded by a clean stop, and, in a directory that is
    /// encrypted, with every one that was preceded by any record.
    pub incarnation: u64,
    /// The last process stopped cleanly.
    pub clean: bool,
    /// A torn tail was cut off: writes that were never reported durable.
    pub torn: bool,
    /// Where acknowledged data is missing; empty unless `Options::serve_with_holes`.
    pub damaged: Vec<DamagedRange>,
    /// Records replayed.
    pub records: u64,
    /// The last record's sequence.
    pub sequence: Sequence,
}

/// Names a read from `Engine::read` to `Event::Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadTicket(pub u64);

/// Names a scan from `Engine::scan` to `Event::Scanned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScanTicket(pub u64);

/// What `Engine::poll` reports.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything up to here would survive a power cut.
    Durable(Sequence),
    /// A read has ended.
    Read {
        /// As given by `Engine::read`.
        ticket: ReadTicket,
        /// The record's payload.
        result: Result<Bytes, ReadError>,
    },
    /// A scan has ended.
    Scanned {
        /// As given by `Engine::scan`.
        ticket: ScanTicket,
        /// What lies there.
        piece: Piece,
    },
    /// Something became durable aside, a checkpoint took effect, or there is more room than before.
    Housekeeping,
    /// The clean stop that was asked for is noted: the engine does nothing more.
    Closed,
}

/// For people and metrics. Counted since the engine was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineStatus {
    /// Which disk backend this is.
    pub disk: &'static str,
    /// This run's incarnation.
    pub incarnation: u64,
    /// Segments, spare and free ones included.
    pub segments: u64,
    /// Files of segments that nobody needs, waiting to be written again.
    pub segments_free: u64,
    /// Segments that were given up because compaction had moved what was needed.
    pub segments_released: u64,
    /// Of these, those written again so far.
    pub segments_recycled: u64,
    /// Bytes in segments.
    pub segment_bytes: u64,
    /// Bytes appended and not yet durable.
    pub pending_bytes: u64,
    /// The last record appended.
    pub appended: Sequence,
    /// The last record durable.
    pub durable: Sequence,
    /// Chunks written.
    pub chunks: u64,
    /// Bytes written in chunks, headers and padding included.
    pub chunk_bytes: u64,
    /// Chunks written aside, by compaction and checkpoints.
    pub aside_chunks: u64,
    /// Bytes in these.
    pub aside_bytes: u64,
    /// Checkpoints that took effect.
    pub checkpoints: u64,
    /// The segment in which replay would begin.
    pub start_segment: u32,
    /// Bytes that can still be appended; `u64::MAX` if nothing is known to limit them.
    pub room_bytes: u64,
    /// Bytes read by scans.
    pub scan_bytes: u64,
    /// Flushes of the log.
    pub flushes: u64,
    /// Flushes by how many records they made durable: element i counts those with less than 2^i
    /// (and not less than 2^(i-1)); the last one also those with more.
    pub flush_records: [u64; 16],
    /// Reads answered by the device.
    pub device_reads: u64,
    /// Reads answered from chunks not yet durable.
    pub memory_reads: u64,
    /// Reads repeated because the first answer was wrong.
    pub read_retries: u64,
    /// Reads that ended in `ReadError`.
    pub read_errors: u64,
    /// Times that `durable_upto` was noted in the superblock.
    pub watermarks: u64,
    /// No room for another segment.
    pub full: bool,
    /// Bytes of payloads appended, as they were given.
    pub payload_bytes: u64,
    /// The same as they are stored.
    pub stored_bytes: u64,
    /// Payloads that are stored compressed.
    pub compressed: u64,
    /// Payloads that were compressed in vain: stored as they were given.
    pub compressed_in_vain: u64,
    /// The root key that opens the directory, if it is encrypted.
    pub key: Option<KeyId>,
}
