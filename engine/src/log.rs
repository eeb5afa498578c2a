//! The log: how bytes become durable.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::disk::Disk;
use crate::error::{EngineError, ReadError};
use crate::limits::SEGMENT_SIZE_DEFAULT;
use crate::record::{Record, Replay, Sequence};
use crate::{Identity, Location};

/// How a log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Size of new segments in bytes, a multiple of 4096.
    pub segment_size: u64,
    /// Open although acknowledged data is damaged; `Opened::damaged` says where.
    pub serve_with_holes: bool,
    /// Most bytes in segments; 0 for as many as the device has.
    pub log_size_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_size: SEGMENT_SIZE_DEFAULT, serve_with_holes: false, log_size_max: 0 }
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
    /// The first record that may be missing.
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
    /// Grows with every open that was not preceded by a clean stop.
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

/// What `Engine::poll` reports.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// For people and metrics. Counted since the engine was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineStatus {
    /// Which disk backend this is.
    pub disk: &'static str,
    /// This run's incarnation.
    pub incarnation: u64,
    /// Segments, the spare one included.
    pub segments: u64,
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
}

/// See the module's text.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Makes a new log on an empty disk.
    ///
    /// # Errors
    /// `NotEmpty`, `Option`, `Size` (of the name), `Full`, `Disk`.
    pub async fn create(
        disk: Box<dyn Disk>,
        options: Options,
        identity: Identity,
    ) -> Result<Engine, EngineError> {
        let _ = (disk, options, identity);
        unimplemented!()
    }

    /// Recovers what is there and hands it to `replay`, in order.
    ///
    /// # Errors
    /// `Empty`, `Format`, `Damaged`, `Superblock`, `Option`, `Disk`.
    pub async fn open(
        disk: Box<dyn Disk>,
        options: Options,
        replay: &mut dyn Replay,
    ) -> Result<(Engine, Opened), EngineError> {
        let _ = (disk, options, replay);
        unimplemented!()
    }

    /// Adds a record to the open chunk. It can be read at once, and is durable after an
    /// `Event::Durable` with its sequence or a higher one.
    ///
    /// # Errors
    /// `Size`, `Full`, `Busy`, `Failed`; the record was not appended.
    pub fn append(&mut self, record: &Record<'_>) -> Result<(Sequence, Location), EngineError> {
        let _ = record;
        unimplemented!()
    }

    /// Everything up to here would survive a power cut.
    pub fn durable(&self) -> Sequence {
        unimplemented!()
    }

    /// Asks for a record's payload; `Event::Read` answers.
    pub fn read(&mut self, location: Location) -> ReadTicket {
        let _ = location;
        unimplemented!()
    }

    /// Drives everything, and appends what has happened to `events`. `Pending` when nothing has.
    ///
    /// # Errors
    /// `Disk`, once, and `Failed` ever after: end the process.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        events: &mut Vec<Event>,
    ) -> Poll<Result<(), EngineError>> {
        let _ = (context, events);
        unimplemented!()
    }

    /// Call this every 50 to 100 ms or so: when nothing is being committed, it notes in the
    /// superblock how far the log is durable, so that later damage to the last chunks is not taken
    /// for a torn tail. Cheap when there is nothing new to note.
    pub fn tick(&mut self) {
        unimplemented!()
    }

    /// Makes everything durable and notes a clean stop.
    ///
    /// # Errors
    /// `Disk`, `Failed`.
    pub async fn close(self) -> Result<(), EngineError> {
        unimplemented!()
    }

    /// See `EngineStatus`.
    pub fn status(&self) -> EngineStatus {
        unimplemented!()
    }
}
