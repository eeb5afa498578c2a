//! The log: how bytes become durable.
//!
//! ```text
//! append ─► filling chunks ─► group: write, write, … ─► flush ─► Event::Durable
//!                 read ◄──────────────┴─ from memory until here, from the device after
//! ```
//!
//! Records gather in chunks while one group of chunks is written and flushed; then all that has
//! gathered is the next group. So one flush is in flight at a time, and it serves everyone who waited
//! for the one before. Reads are never behind a flush.
//!
//! Invariant: `durable` grows only when a flush has completed that was submitted after every write of
//! its group had completed, and all earlier groups were durable.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use self::conversation::Conversation;
use self::gather::Gather;
use self::reads::Reads;
use self::segments::Segments;
use crate::bugs::{Bug, planted};
use crate::disk::{Area, Completion, Disk, Operation, Ticket};
use crate::error::{EngineError, ReadError};
use crate::format::record;
use crate::format::superblock::Superblock;
use crate::limits::{
    CHUNK_HEADER_SIZE, CHUNK_SIZE_MAX, PENDING_SIZE_MAX, RECORD_OVERHEAD_MAX,
    RECORD_PAYLOAD_SIZE_MAX, SEGMENT_SIZE_DEFAULT,
};
use crate::record::{Record, Replay, Sequence};
use crate::{Identity, Location};

mod conversation;
mod gather;
mod open;
mod reads;
mod recovery;
mod segments;
mod window;

/// How a log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Size of new segments in bytes, a multiple of 4096.
    pub segment_size: u64,
    /// Open although acknowledged data is damaged; `Opened::damaged` says where.
    pub serve_with_holes: bool,
    /// Most bytes in segments; 0 for as many as the device has.
    pub log_size_max: u64,
    /// A chunk is closed at this size in bytes, at most `CHUNK_SIZE_MAX`; a record that is larger has
    /// a chunk to itself.
    pub chunk_size: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_size: SEGMENT_SIZE_DEFAULT,
            serve_with_holes: false,
            log_size_max: 0,
            chunk_size: CHUNK_SIZE_MAX,
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

/// The group that is on its way to the disk.
#[derive(Debug)]
struct Group {
    /// Tells its writes from those of other groups.
    number: u64,
    writes_left: usize,
    flushing: bool,
}

/// What a completion that is not a read's is about.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Write { group: u64, segment: u32 },
    Flush { segment: u32 },
    Create { segment: u32 },
    WatermarkWrite,
    WatermarkFlush,
}

/// See the module's text. Single-threaded: whoever appends and whoever polls take turns.
#[derive(Debug)]
pub struct Engine {
    conversation: Conversation,
    superblock: Superblock,
    segments: Segments,
    gather: Gather,
    reads: Reads,
    group: Option<Group>,
    /// `durable_upto` that is being written to the superblock.
    watermark: Option<u64>,
    purposes: BTreeMap<Ticket, Purpose>,
    durable: u64,
    read_ticket: u64,
    /// Not yet handed out.
    events: Vec<Event>,
    waker: Option<Waker>,
    failed: bool,
    status: EngineStatus,
}

impl Engine {
    /// Makes a new log on a disk that has none.
    ///
    /// # Errors
    /// `NotEmpty`, `Option`, `Size` (of the name), `Full`, `Disk`.
    pub async fn create(
        disk: Box<dyn Disk>,
        options: Options,
        identity: Identity,
    ) -> Result<Engine, EngineError> {
        open::create(disk, options, identity).await
    }

    /// Recovers what is there and hands it to `replay`, in order. Until it is certain that the log can
    /// be used, nothing is written.
    ///
    /// # Errors
    /// `Empty`, `Format`, `Damaged`, `Superblock`, `Option`, `Disk`.
    pub async fn open(
        disk: Box<dyn Disk>,
        options: Options,
        replay: &mut dyn Replay,
    ) -> Result<(Engine, Opened), EngineError> {
        open::open(disk, options, replay).await
    }

    fn new(
        conversation: Conversation,
        superblock: Superblock,
        segments: Segments,
        gather: Gather,
    ) -> Engine {
        let durable = gather.cursor().sequence;
        let status = EngineStatus { disk: conversation.disk.name(), ..EngineStatus::default() };
        Engine {
            conversation,
            superblock,
            segments,
            gather,
            reads: Reads::default(),
            group: None,
            watermark: None,
            purposes: BTreeMap::new(),
            durable,
            read_ticket: 0,
            events: Vec::new(),
            waker: None,
            failed: false,
            status,
        }
    }

    /// Adds a record to the open chunk. It can be read at once, and is durable after an
    /// `Event::Durable` with its sequence or a higher one.
    ///
    /// Cost: one copy and one checksum of the payload; no I/O in here.
    ///
    /// # Errors
    /// `Size`, `Full`, `Busy`, `Failed`; the record was not appended.
    pub fn append(&mut self, record: &Record<'_>) -> Result<(Sequence, Location), EngineError> {
        if self.failed {
            return Err(EngineError::Failed);
        }
        self.check_size(record.payload.len())?;
        let pending = self.gather.pending();
        if PENDING_SIZE_MAX < pending + record.payload.len() {
            return Err(EngineError::Busy { pending, max: PENDING_SIZE_MAX });
        }
        let size = record::size_max(record.payload.len());
        let segment_size = self.segments.size(self.gather.cursor().segment);
        if !self.gather.fits(size, segment_size) {
            let segment = self.gather.segment_for(size, segment_size);
            self.wake(); // Even a refusal may have to look for room.
            self.segments.claim(segment, self.gather.author().incarnation)?;
            self.gather.open_chunk(segment);
        }
        let location = self.gather.push(record);
        self.wake();
        Ok((Sequence(self.gather.cursor().sequence), location))
    }

    fn check_size(&self, size: usize) -> Result<(), EngineError> {
        // Small segments, in tests, hold less than a record may have.
        let room = self.segments.size_min() as usize - CHUNK_HEADER_SIZE - RECORD_OVERHEAD_MAX;
        let size_max = RECORD_PAYLOAD_SIZE_MAX.min(room);
        if size_max < size {
            return Err(EngineError::Size { what: "the record's payload", size, size_max });
        }
        Ok(())
    }

    /// Everything up to here would survive a power cut.
    pub fn durable(&self) -> Sequence {
        Sequence(self.durable)
    }

    /// Asks for a record's payload; `Event::Read` answers. From memory if the record is not durable
    /// yet, else with one device read; verified either way.
    pub fn read(&mut self, location: Location) -> ReadTicket {
        self.read_ticket += 1;
        let ticket = ReadTicket(self.read_ticket);
        if let Some(payload) = self.gather.read(location) {
            self.status.memory_reads += 1;
            self.events.push(Event::Read { ticket, result: Ok(payload) });
        } else {
            let Location { segment, offset, size } = location;
            let end = u64::from(offset) + u64::from(size);
            let there = self.segments.exists(segment) && end <= self.segments.size(segment);
            match self.segments.incarnation(segment).filter(|_| there && size != 0) {
                Some(incarnation) => self.reads.add(ticket, location, incarnation),
                None => {
                    let cause = "there is no such place in the log".to_owned();
                    self.end_read(ticket, Err(ReadError::Damaged { segment, offset, cause }));
                }
            }
        }
        self.wake();
        ticket
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
        if self.failed {
            return Poll::Ready(Err(EngineError::Failed));
        }
        let mut completions = Vec::new();
        loop {
            self.start_work();
            if self.conversation.disk.poll(context, &mut completions).is_pending() {
                break;
            }
            for completion in completions.drain(..) {
                if let Err(error) = self.complete(completion) {
                    self.failed = true;
                    return Poll::Ready(Err(error));
                }
            }
        }
        if self.events.is_empty() {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        events.append(&mut self.events);
        Poll::Ready(Ok(()))
    }

    /// Call this every 50 to 100 ms or so: when nothing is being committed, it notes in the
    /// superblock how far the log is durable, so that later damage to the last chunks is not taken
    /// for a torn tail. Free when there is nothing new to note.
    pub fn tick(&mut self) {
        let new = self.superblock.durable_upto < self.durable;
        if new && self.gather.is_idle() && self.watermark.is_none() && !self.failed {
            self.watermark = Some(self.durable);
            self.superblock.durable_upto = self.durable;
            self.superblock.generation += 1;
            let (offset, buffer) = (self.superblock.offset(), self.superblock.encode());
            let write = Operation::Write { area: Area::Super, offset, buffer };
            self.submit(write, Purpose::WatermarkWrite);
            self.wake();
        }
    }

    /// Makes everything durable and notes a clean stop. Reads that have not ended are given up.
    ///
    /// # Errors
    /// `Disk`, `Failed`.
    pub async fn close(mut self) -> Result<(), EngineError> {
        let mut events = Vec::new();
        poll_fn(|context| {
            loop {
                let polled = self.poll(context, &mut events);
                if let Poll::Ready(Err(error)) = polled {
                    return Poll::Ready(Err(error));
                }
                events.clear();
                if self.gather.is_idle() && self.watermark.is_none() {
                    return Poll::Ready(Ok::<(), EngineError>(()));
                }
                if polled.is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await?;
        assert!(self.durable == self.gather.cursor().sequence, "nothing is left to flush");
        self.superblock.durable_upto = self.durable;
        self.superblock.tail = Some(recovery::tail_of(self.gather.cursor()));
        // Twice: what a clean stop knows must survive the loss of either copy.
        open::write_superblock(&mut self.conversation, &mut self.superblock).await?;
        open::write_superblock(&mut self.conversation, &mut self.superblock).await
    }

    /// See `EngineStatus`.
    pub fn status(&self) -> EngineStatus {
        EngineStatus {
            incarnation: self.gather.author().incarnation,
            segments: self.segments.count(),
            segment_bytes: self.segments.bytes(),
            pending_bytes: self.gather.pending() as u64,
            appended: Sequence(self.gather.cursor().sequence),
            durable: Sequence(self.durable),
            read_retries: self.reads.retries,
            full: self.segments.is_full(),
            ..self.status.clone()
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn submit(&mut self, operation: Operation, purpose: Purpose) {
        let ticket = self.conversation.submit(operation);
        self.purposes.insert(ticket, purpose);
    }

    fn start_work(&mut self) {
        while let Some((read, operation)) = self.reads.next() {
            let ticket = self.conversation.submit(operation);
            self.reads.submitted(ticket, read);
            self.status.device_reads += 1;
        }
        if self.group.is_none()
            && let Some(segment) = self.gather.ready()
            && self.segments.exists(segment)
        {
            self.start_group(segment);
        }
        let cursor = self.gather.cursor();
        if let Some((segment, size)) = self.segments.make(cursor.segment, cursor.offset) {
            let create = Operation::Create { area: Area::Segment(segment), size };
            self.submit(create, Purpose::Create { segment });
        }
    }

    fn start_group(&mut self, segment: u32) {
        let mut writes = Vec::new();
        self.gather.start_group(self.durable, &mut writes);
        let number = self.status.flushes + 1;
        self.group = Some(Group { number, writes_left: writes.len(), flushing: false });
        for write in writes {
            if let Operation::Write { buffer, .. } = &write {
                self.status.chunks += 1;
                self.status.chunk_bytes += buffer.len() as u64;
            }
            self.submit(write, Purpose::Write { group: number, segment });
        }
    }

    fn complete(&mut self, completion: Completion) -> Result<(), EngineError> {
        let Some(purpose) = self.purposes.remove(&completion.ticket) else {
            if let Some((ticket, result)) = self.reads.complete(&completion) {
                self.end_read(ticket, result);
            }
            return Ok(());
        };
        let failed = |action, area| move |source| EngineError::disk(action, area, source);
        match purpose {
            Purpose::Write { group, segment } => {
                completion.result.map_err(failed("write", Area::Segment(segment)))?;
                if let Some(buffer) = completion.buffer {
                    self.gather.reuse(buffer);
                }
                self.on_written(group, segment);
            }
            Purpose::Flush { segment } => {
                if !planted(Bug::FlushErrorIgnored) {
                    completion.result.map_err(failed("flush", Area::Segment(segment)))?;
                }
                self.on_flushed();
            }
            Purpose::Create { segment } => {
                let made = self.segments.made(segment, completion.result);
                made.map_err(failed("make", Area::Segment(segment)))?;
            }
            Purpose::WatermarkWrite => {
                completion.result.map_err(failed("write", Area::Super))?;
                self.submit(Operation::Flush { area: Area::Super }, Purpose::WatermarkFlush);
            }
            Purpose::WatermarkFlush => {
                completion.result.map_err(failed("flush", Area::Super))?;
                self.watermark = None;
                self.status.watermarks += 1;
            }
        }
        Ok(())
    }

    fn on_written(&mut self, number: u64, segment: u32) {
        let Some(group) = self.group.as_mut().filter(|group| group.number == number) else {
            return;
        };
        group.writes_left -= 1;
        let written = group.writes_left == 0 || planted(Bug::CompletionsOutOfOrder);
        if written && !group.flushing {
            group.flushing = true;
            if planted(Bug::DurableBeforeFlush) {
                self.vouch();
            }
            self.submit(
                Operation::Flush { area: Area::Segment(segment) },
                Purpose::Flush { segment },
            );
        }
    }

    fn on_flushed(&mut self) {
        let group = self.group.take().expect("a flush belongs to a group");
        assert!(group.flushing, "the writes come before the flush");
        let before = self.durable;
        self.vouch();
        self.gather.end_group();
        let records = self.durable - before;
        let bucket = (u64::BITS - records.leading_zeros()) as usize;
        let last = self.status.flush_records.len() - 1;
        self.status.flush_records[bucket.min(last)] += 1;
        self.status.flushes += 1;
    }

    /// The group's records would survive a power cut.
    fn vouch(&mut self) {
        let (_, last) = self.gather.group().expect("a group was written");
        if self.durable < last {
            self.durable = last;
            self.events.push(Event::Durable(Sequence(last)));
        }
    }

    fn end_read(&mut self, ticket: ReadTicket, result: Result<Bytes, ReadError>) {
        if result.is_err() {
            self.status.read_errors += 1;
        }
        self.events.push(Event::Read { ticket, result });
    }
}
