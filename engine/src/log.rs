//! The log: how bytes become durable.
//!
//! ```text
//! append ───────► filling chunks ─► group: write, write, … ─► flush ─► Event::Durable
//!                      read ◄────────────┴─ from memory until here, from the device after
//! append_aside ─► the same, in segments of its own, in small groups ─► Event::Housekeeping
//! ```
//!
//! Records gather in chunks while one group of chunks is written and flushed; then all that has
//! gathered is the next group. So one flush is in flight at a time, and it serves everyone who waited
//! for the one before. Reads are never behind a flush. What compaction and checkpoints write goes
//! *aside*: cold beside hot data would have to be moved again and again. It is no part of the log's
//! order, and nobody waits for it.
//!
//! A group of one chunk, as most are, is one operation of the disk (`Commit`): nobody has to be woken
//! between the write and the flush.
//!
//! Invariant: `durable` grows only when a flush has completed that was submitted after every write of
//! its group had completed, and all earlier groups were durable.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use self::conversation::Conversation;
pub use self::errand::Checkpoint;
use self::errand::Errand;
use self::gather::Gather;
use self::keyring::Keyring;
use self::reads::Reads;
pub use self::report::{
    DamagedRange, EngineStatus, Event, Opened, Options, ReadTicket, ScanTicket,
};
pub use self::scan::Piece;
use self::scan::Scans;
use self::segments::Segments;
use self::space::Leaving;
pub use self::space::{Mark, Pin};
use crate::bugs::{Bug, planted};
use crate::disk::{Area, Completion, Disk, Operation, Ticket};
use crate::error::{EngineError, ReadError};
use crate::format::superblock::Superblock;
use crate::limits::{
    ASIDE_PENDING_SIZE_MAX, CHUNK_HEADER_SIZE, PENDING_SIZE_MAX, RECORD_PAYLOAD_SIZE_MAX,
};
use crate::record::{Record, RecordKind, Replay, Sequence};
use crate::{Identity, Location};

mod conversation;
mod errand;
mod gather;
mod keyring;
mod open;
mod reads;
mod records;
mod recovery;
mod rekey;
mod report;
mod scan;
mod segments;
mod space;
mod window;

/// Records on their way to the disk, in one order.
#[derive(Debug)]
struct Lane {
    gather: Gather,
    group: Option<Group>,
    durable: u64,
}

/// The group that is on its way to the disk.
#[derive(Debug)]
struct Group {
    /// Tells its writes from those of other groups.
    number: u64,
    writes_left: usize,
    flushing: bool,
}

/// Which lane a group belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Log,
    Aside,
}

/// What a completion that is not a read's is about.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Write {
        side: Side,
        group: u64,
        segment: u32,
    },
    /// The only write of its group, and its flush.
    Commit {
        side: Side,
        segment: u32,
    },
    Flush {
        side: Side,
        segment: u32,
    },
    Arrange {
        segment: u32,
    },
    SuperWrite,
    SuperFlush,
}

/// A bug is planted between a group's writes and its flush.
fn is_planted_between() -> bool {
    [Bug::FlushErrorIgnored, Bug::CompletionsOutOfOrder, Bug::DurableBeforeFlush]
        .into_iter()
        .any(planted)
}

/// See the module's text. Single-threaded: whoever appends and whoever polls take turns.
#[derive(Debug)]
pub struct Engine {
    conversation: Conversation,
    superblock: Superblock,
    segments: Segments,
    keyring: Keyring,
    log: Lane,
    aside: Lane,
    groups: u64,
    reads: Reads,
    scans: Scans,
    /// What is being written to the superblock, and how many copies are left to write.
    errand: Option<(Errand, u8)>,
    /// Both copies of the superblock are to be written anew.
    renews_super: bool,
    /// Takes effect when all that it refers to is durable.
    checkpoint: Option<Checkpoint>,
    /// Replay should begin behind this segment.
    passed_by: u32,
    leaving: Vec<Leaving>,
    pins: BTreeMap<Pin, ()>,
    next_pin: u64,
    purposes: BTreeMap<Ticket, Purpose>,
    read_ticket: u64,
    /// Not yet handed out.
    events: Vec<Event>,
    waker: Option<Waker>,
    closing: bool,
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
    /// `Empty`, `Format`, `Damaged`, `Superblock`, `KeyMissing`, `KeyWrong`, `KeyUnexpected`, `Option`,
    /// `Disk`.
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
        keyring: Keyring,
        gather: Gather,
        aside: Gather,
    ) -> Engine {
        let durable = gather.cursor().sequence;
        let status = EngineStatus { disk: conversation.disk.name(), ..EngineStatus::default() };
        Engine {
            conversation,
            superblock,
            segments,
            keyring,
            log: Lane { gather, group: None, durable },
            aside: Lane { gather: aside, group: None, durable: 0 },
            groups: 0,
            reads: Reads::default(),
            scans: Scans::default(),
            errand: None,
            renews_super: false,
            checkpoint: None,
            passed_by: 0,
            leaving: Vec::new(),
            pins: BTreeMap::new(),
            next_pin: 0,
            purposes: BTreeMap::new(),
            read_ticket: 0,
            events: Vec::new(),
            waker: None,
            closing: false,
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
        let (sequence, location) = self.append_to(Side::Log, record)?;
        Ok((Sequence(sequence), location))
    }

    /// As `append`, aside: replay will not see the record, it is found by its place only. Durable once
    /// `aside_durable` is not below the number that this returns.
    ///
    /// # Errors
    /// As `append`.
    pub fn append_aside(&mut self, record: &Record<'_>) -> Result<(u64, Location), EngineError> {
        self.append_to(Side::Aside, record)
    }

    fn append_to(
        &mut self,
        side: Side,
        record: &Record<'_>,
    ) -> Result<(u64, Location), EngineError> {
        if self.failed || self.closing {
            return Err(EngineError::Failed);
        }
        self.check_size(record.payload.len())?;
        let (lane, max) = match side {
            Side::Log => (&mut self.log, PENDING_SIZE_MAX),
            Side::Aside => (&mut self.aside, ASIDE_PENDING_SIZE_MAX),
        };
        let pending = lane.gather.pending();
        // A bucket's pages are written in one go, however many keys one hash tag has.
        let is_bounded = record.kind != RecordKind::Page;
        if is_bounded && max < pending + record.payload.len() {
            return Err(EngineError::Busy { pending, max });
        }
        let size = lane.gather.size_max(record.payload.len());
        let current = lane.gather.cursor().segment;
        let segment_size = self.segments.size(current);
        if !lane.gather.fits(size, segment_size) {
            let own = self.segments.incarnation(current) == Some(lane.gather.author().incarnation);
            let segment = match lane.gather.has_room(size, segment_size) && own {
                true => current,
                false => self.claim(side)?,
            };
            self.lane(side).gather.open_chunk(segment);
        }
        let lane = self.lane(side);
        let location = lane.gather.push(record);
        let sequence = lane.gather.cursor().sequence;
        self.wake();
        Ok((sequence, location))
    }

    fn check_size(&self, size: usize) -> Result<(), EngineError> {
        // Small segments, in tests, hold less than a record may have.
        let room =
            self.segments.size_min() as usize - CHUNK_HEADER_SIZE - self.log.gather.size_max(0);
        let size_max = RECORD_PAYLOAD_SIZE_MAX.min(room);
        if size_max < size {
            return Err(EngineError::Size { what: "the record's payload", size, size_max });
        }
        Ok(())
    }

    /// Everything up to here would survive a power cut.
    pub fn durable(&self) -> Sequence {
        Sequence(self.log.durable)
    }

    /// So many of the records appended aside, since the engine was opened, would survive a power cut.
    pub fn aside_durable(&self) -> u64 {
        self.aside.durable
    }

    /// How many records were appended aside since the engine was opened.
    pub fn aside_appended(&self) -> u64 {
        self.aside.gather.cursor().sequence
    }

    /// Asks for a record's payload; `Event::Read` answers. From memory if the record is not durable
    /// yet, else with one device read; verified either way.
    pub fn read(&mut self, location: Location) -> ReadTicket {
        self.read_ticket += 1;
        let ticket = ReadTicket(self.read_ticket);
        let in_memory = self.log.gather.read(location);
        if let Some(payload) = in_memory.or_else(|| self.aside.gather.read(location)) {
            self.status.memory_reads += 1;
            self.events.push(Event::Read { ticket, result: Ok(payload) });
        } else {
            let Location { segment, offset, size } = location;
            let end = u64::from(offset) + u64::from(size);
            let there = self.segments.exists(segment) && end <= self.segments.size(segment);
            match self.segments.incarnation(segment).filter(|_| there && size != 0) {
                Some(incarnation) => {
                    let key = self.keyring.key(segment, Some(incarnation)).cloned();
                    self.reads.add(ticket, location, incarnation, key);
                }
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

    /// Asks for a clean stop: what was appended becomes durable, nothing more may be appended, and
    /// when `Event::Closed` comes it is noted that the log ends here. Reads go on until then.
    pub fn begin_close(&mut self) {
        self.closing = true;
        self.wake();
    }

    /// `begin_close`, and waits for it. Reads that have not ended are given up.
    ///
    /// # Errors
    /// `Disk`, `Failed`.
    pub async fn close(mut self) -> Result<(), EngineError> {
        self.begin_close();
        let mut events = Vec::new();
        poll_fn(|context| {
            loop {
                match self.poll(context, &mut events) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => {
                        if events.drain(..).any(|event| matches!(event, Event::Closed)) {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// See `EngineStatus`.
    pub fn status(&self) -> EngineStatus {
        let (log, aside) = (self.log.gather.counts(), self.aside.gather.counts());
        EngineStatus {
            incarnation: self.log.gather.author().incarnation,
            segments: self.segments.count(),
            segments_free: self.segments.free_count(),
            segment_bytes: self.segments.bytes(),
            pending_bytes: (self.log.gather.pending() + self.aside.gather.pending()) as u64,
            appended: Sequence(self.log.gather.cursor().sequence),
            durable: Sequence(self.log.durable),
            start_segment: self.start_segment(),
            room_bytes: self.room(),
            read_retries: self.reads.retries,
            full: self.segments.is_full(),
            payload_bytes: log.given + aside.given,
            stored_bytes: log.stored + aside.stored,
            compressed: log.compressed + aside.compressed,
            compressed_in_vain: log.futile + aside.futile,
            key: self.superblock.wrap.map(|wrap| wrap.root),
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

    /// Foreground reads first, then commits, then what nobody waits for.
    fn start_work(&mut self) {
        while let Some((read, operation)) = self.reads.next() {
            let ticket = self.conversation.submit(operation);
            self.reads.submitted(ticket, read);
            self.status.device_reads += 1;
        }
        self.start_group(Side::Log);
        self.start_group(Side::Aside);
        if let Some((scan, operation)) = self.scans.next(self.reads.is_quiet()) {
            let ticket = self.conversation.submit(operation);
            self.scans.submitted(ticket, scan);
        }
        self.release_leaving();
        let cursor = self.log.gather.cursor();
        while let Some((segment, operation)) = self.segments.work(cursor.segment, cursor.offset) {
            self.status.segments_recycled +=
                u64::from(matches!(operation, Operation::Rename { .. }));
            self.submit(operation, Purpose::Arrange { segment });
        }
        self.start_errand();
    }

    fn start_group(&mut self, side: Side) {
        let durable = self.log.durable;
        let hurry = self.checkpoint.is_some() || self.closing;
        let lane = self.lane(side);
        let awaited = side == Side::Log || lane.gather.is_ample() || hurry;
        let ready = lane.gather.ready().filter(|_| awaited && lane.group.is_none());
        let Some(segment) = ready.filter(|&segment| self.segments.exists(segment)) else { return };
        let recycled = self.segments.is_recycled(segment);
        self.groups += 1;
        let number = self.groups;
        let lane = self.lane(side);
        let mut writes = Vec::new();
        lane.gather.start_group(durable, recycled, &mut writes);
        let one_step = writes.len() == 1 && !is_planted_between();
        lane.group = Some(Group { number, writes_left: writes.len(), flushing: one_step });
        for write in writes {
            if let Operation::Write { buffer, .. } = &write {
                let (chunks, bytes) = match side {
                    Side::Log => (&mut self.status.chunks, &mut self.status.chunk_bytes),
                    Side::Aside => (&mut self.status.aside_chunks, &mut self.status.aside_bytes),
                };
                *chunks += 1;
                *bytes += buffer.len() as u64;
            }
            match write {
                Operation::Write { area, offset, buffer } if one_step => {
                    let commit = Operation::Commit { area, offset, buffer };
                    self.submit(commit, Purpose::Commit { side, segment });
                }
                write => self.submit(write, Purpose::Write { side, group: number, segment }),
            }
        }
    }

    fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Log => &mut self.log,
            Side::Aside => &mut self.aside,
        }
    }

    fn complete(&mut self, completion: Completion) -> Result<(), EngineError> {
        let Some(purpose) = self.purposes.remove(&completion.ticket) else {
            if let Some((ticket, piece)) = self.scans.complete(&completion) {
                self.status.scan_bytes += piece.size() as u64;
                self.events.push(Event::Scanned { ticket, piece });
            } else if let Some((ticket, result)) = self.reads.complete(&completion) {
                self.end_read(ticket, result);
            }
            return Ok(());
        };
        let failed = |action, area| move |source| EngineError::disk(action, area, source);
        match purpose {
            Purpose::Write { side, group, segment } => {
                completion.result.map_err(failed("write", Area::Segment(segment)))?;
                if let Some(buffer) = completion.buffer {
                    self.lane(side).gather.reuse(buffer);
                }
                self.on_written(side, group, segment);
            }
            Purpose::Commit { side, segment } => {
                completion.result.map_err(failed("write and flush", Area::Segment(segment)))?;
                if let Some(buffer) = completion.buffer {
                    self.lane(side).gather.reuse(buffer);
                }
                self.on_flushed(side);
            }
            Purpose::Flush { side, segment } => {
                if !planted(Bug::FlushErrorIgnored) {
                    completion.result.map_err(failed("flush", Area::Segment(segment)))?;
                }
                self.on_flushed(side);
            }
            Purpose::Arrange { segment } => {
                let was_full = self.segments.is_full();
                let done = self.segments.done(segment, completion.result);
                done.map_err(failed("make", Area::Segment(segment)))?;
                if was_full && !self.segments.is_full() {
                    self.events.push(Event::Housekeeping);
                }
            }
            Purpose::SuperWrite => {
                completion.result.map_err(failed("write", Area::Super))?;
                self.submit(Operation::Flush { area: Area::Super }, Purpose::SuperFlush);
            }
            Purpose::SuperFlush => {
                completion.result.map_err(failed("flush", Area::Super))?;
                self.continue_errand();
            }
        }
        Ok(())
    }

    fn on_written(&mut self, side: Side, number: u64, segment: u32) {
        let lane = self.lane(side);
        let Some(group) = lane.group.as_mut().filter(|group| group.number == number) else {
            return;
        };
        group.writes_left -= 1;
        let written = group.writes_left == 0 || planted(Bug::CompletionsOutOfOrder);
        if written && !group.flushing {
            group.flushing = true;
            if planted(Bug::DurableBeforeFlush) {
                self.vouch(side);
            }
            let flush = Operation::Flush { area: Area::Segment(segment) };
            self.submit(flush, Purpose::Flush { side, segment });
        }
    }

    fn on_flushed(&mut self, side: Side) {
        let lane = self.lane(side);
        let group = lane.group.take().expect("a flush belongs to a group");
        assert!(group.flushing, "the writes come before the flush");
        let before = lane.durable;
        self.vouch(side);
        let lane = self.lane(side);
        lane.gather.end_group();
        let records = lane.durable - before;
        if side == Side::Log {
            let bucket = (u64::BITS - records.leading_zeros()) as usize;
            let last = self.status.flush_records.len() - 1;
            self.status.flush_records[bucket.min(last)] += 1;
            self.status.flushes += 1;
        }
    }

    /// The group's records would survive a power cut.
    fn vouch(&mut self, side: Side) {
        let lane = self.lane(side);
        let (_, last) = lane.gather.group().expect("a group was written");
        if lane.durable < last {
            lane.durable = last;
            self.events.push(match side {
                Side::Log => Event::Durable(Sequence(last)),
                Side::Aside => Event::Housekeeping,
            });
        }
    }

    fn end_read(&mut self, ticket: ReadTicket, result: Result<Bytes, ReadError>) {
        if result.is_err() {
            self.status.read_errors += 1;
        }
        self.events.push(Event::Read { ticket, result });
    }
}
