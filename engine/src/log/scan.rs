//! Going through a segment in pieces, behind everybody who waits: for compaction and scrubbing.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::records::records_of;
use super::{Engine, ScanTicket};
use crate::Location;
use crate::disk::{Area, BLOCK_SIZE, Buffer, Completion, Operation, Ticket};
use crate::format::chunk::{self, Extent};
use crate::keys::DataKey;
use crate::limits::SCAN_SIZE;
use crate::record::Record;

/// Some blocks of a segment. `next` says where to go on; `None` at the end.
#[derive(Debug)]
pub struct Piece {
    /// The segment.
    pub segment: u32,
    /// First byte.
    pub offset: u64,
    /// Where the next piece begins, if there is one.
    pub next: Option<u64>,
    /// Chunks in here whose checksum does not hold, and blocks that cannot be read: how many.
    pub damaged: u64,
    /// The sequences of the first and the last record in here that is part of the log's order.
    pub sequences: Option<(u64, u64)>,
    bytes: Buffer,
    /// Where the chunks are, and how large.
    chunks: Vec<(usize, usize)>,
    key: Option<Rc<DataKey>>,
}

impl PartialEq for Piece {
    fn eq(&self, other: &Piece) -> bool {
        (self.segment, self.offset, &self.bytes[..])
            == (other.segment, other.offset, &other.bytes[..])
    }
}

impl Eq for Piece {}

impl Piece {
    /// How much was read, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Hands out every record whose checksum holds, and that was encrypted here if anything is.
    pub fn records(&self, mut each: impl FnMut(&Record<'_>, Location)) {
        for &(start, _) in &self.chunks {
            let window = &self.bytes[start..];
            if let Ok((header, _)) = chunk::header(window, self.segment, self.place(start)) {
                records_of(window, &header, self.key.as_deref(), &mut each);
            }
        }
    }

    /// Where the chunks in here are: (first byte, end) in the segment, in order.
    pub fn chunks(&self) -> impl Iterator<Item = (u64, u64)> {
        let chunks = self.chunks.iter();
        chunks
            .map(|&(start, size)| (self.offset + start as u64, self.offset + (start + size) as u64))
    }

    fn place(&self, start: usize) -> u32 {
        u32::try_from(self.offset + start as u64).expect("a segment has a bound")
    }
}

#[derive(Debug, Clone)]
pub(super) struct Scan {
    ticket: ScanTicket,
    segment: u32,
    end: u64,
    offset: u64,
    size: usize,
    /// What is no chunk is what the file held before.
    recycled: bool,
    /// What opens the records, in a folder that is encrypted.
    key: Option<Rc<DataKey>>,
    retried: bool,
}

/// Invariant: one scan is in flight at a time, and none while reads wait.
#[derive(Debug, Default)]
pub(super) struct Scans {
    waiting: VecDeque<Scan>,
    flying: BTreeMap<Ticket, Scan>,
    tickets: u64,
}

impl Engine {
    /// Asks for a piece of a segment, from `offset` on: a multiple of 4096 at which a chunk may begin.
    /// `Event::Scanned` answers, when nobody else has anything to read. What is not durable yet is left
    /// out.
    ///
    /// # Panics
    /// There is no such segment, or it ends before `offset`.
    pub fn scan(&mut self, segment: u32, offset: u64) -> ScanTicket {
        let end = self.durable_end(segment);
        assert!(self.segments.exists(segment) && offset < end, "there is such a place");
        // Behind the last chunk of a segment that is full may be whatever its file held before.
        let recycled = self.segments.is_recycled(segment) && !self.is_open(segment);
        let key = self.keyring.key(segment, self.segments.incarnation(segment)).cloned();
        let ticket = self.scans.add(segment, end, offset, recycled, key);
        self.wake();
        ticket
    }

    /// How far what lies in a segment would survive a power cut, in bytes: all of it, but in those that
    /// are being written. 0 if there is no such segment.
    pub fn durable_end(&self, segment: u32) -> u64 {
        let size = if self.segments.exists(segment) { self.segments.size(segment) } else { 0 };
        let open = [&self.log, &self.aside].map(|lane| lane.gather.open_from(segment));
        open.into_iter().flatten().fold(size, u64::min)
    }

    /// Whether a segment is one of those that are being written: it holds chunks one after another, up to
    /// its `durable_end`, and behind that nothing yet.
    pub fn is_open(&self, segment: u32) -> bool {
        let lanes = [&self.log, &self.aside].map(|lane| &lane.gather);
        lanes.into_iter().any(|gather| {
            // After a crash the log is said to be at the end of a segment of the life before.
            let is_own = self.segments.incarnation(segment) == Some(gather.author().incarnation);
            is_own && gather.open_from(segment).is_some()
        })
    }
}

impl Scans {
    fn add(
        &mut self,
        segment: u32,
        end: u64,
        offset: u64,
        recycled: bool,
        key: Option<Rc<DataKey>>,
    ) -> ScanTicket {
        self.tickets += 1;
        let ticket = ScanTicket(self.tickets);
        let size = (end - offset).min(SCAN_SIZE as u64) as usize;
        let retried = false;
        self.waiting.push_back(Scan { ticket, segment, end, offset, size, recycled, key, retried });
        ticket
    }

    pub(super) fn next(&mut self, quiet: bool) -> Option<(Scan, Operation)> {
        if !quiet || !self.flying.is_empty() {
            return None;
        }
        let scan = self.waiting.pop_front()?;
        let (area, offset) = (Area::Segment(scan.segment), scan.offset);
        let buffer = Buffer::zeroed(scan.size);
        Some((scan, Operation::Read { area, offset, buffer }))
    }

    pub(super) fn submitted(&mut self, ticket: Ticket, scan: Scan) {
        self.flying.insert(ticket, scan);
    }

    pub(super) fn touches(&self, segment: u32) -> bool {
        let mut all = self.waiting.iter().chain(self.flying.values());
        all.any(|scan| scan.segment == segment)
    }

    /// The answer to a scan, unless more has to be read for it. `None` too if it is not a scan.
    pub(super) fn complete(&mut self, completion: &Completion) -> Option<(ScanTicket, Piece)> {
        let scan = self.flying.remove(&completion.ticket)?;
        let mut bytes = Buffer::zeroed(scan.size);
        match (&completion.result, &completion.buffer) {
            (Ok(()), Some(read)) => bytes.copy_from_slice(read),
            (Ok(()) | Err(_), _) if !scan.retried => {
                self.waiting.push_front(Scan { retried: true, ..scan });
                return None;
            }
            (Ok(()) | Err(_), _) => {
                let end = scan.offset + scan.size as u64;
                let next = (end < scan.end).then_some(end);
                let (segment, offset, chunks) = (scan.segment, scan.offset, Vec::new());
                let (key, sequences) = (scan.key, None);
                let piece =
                    Piece { segment, offset, next, damaged: 1, sequences, bytes, chunks, key };
                return Some((scan.ticket, piece));
            }
        }
        match examine(&scan, bytes) {
            Ok(piece) => Some((scan.ticket, piece)),
            Err(size) => {
                self.waiting.push_front(Scan { size, ..scan });
                None
            }
        }
    }
}

/// `Err`: the first chunk has that many bytes.
fn examine(scan: &Scan, bytes: Buffer) -> Result<Piece, usize> {
    let &Scan { segment, end, offset, recycled, ref key, .. } = scan;
    let (mut chunks, mut damaged, mut at) = (Vec::new(), 0, 0);
    let mut sequences: Option<(u64, u64)> = None;
    while at < bytes.len() {
        let here = u32::try_from(offset + at as u64).expect("a segment has a bound");
        at += match chunk::examine(&bytes[at..], segment, here) {
            Extent::Chunk { header, .. } => {
                chunks.push((at, header.chunk_size()));
                if !header.aside {
                    let first = sequences.map_or(header.first_sequence, |(first, _)| first);
                    sequences = Some((first, header.last_sequence));
                }
                header.chunk_size()
            }
            Extent::BadPayload { header, .. } => {
                chunks.push((at, header.chunk_size()));
                damaged += 1;
                header.chunk_size()
            }
            Extent::More(size) if at == 0 && offset + size as u64 <= end => {
                return Err(size);
            }
            Extent::More(size) if offset + (at + size) as u64 <= end => break,
            Extent::Blank => BLOCK_SIZE,
            Extent::Stale | Extent::BadBlock { .. } if recycled => BLOCK_SIZE,
            Extent::More(_) | Extent::Stale | Extent::BadBlock { .. } | Extent::OtherFormat(_) => {
                damaged += 1;
                BLOCK_SIZE
            }
        };
    }
    let upto = offset + at as u64;
    let next = (upto < end).then_some(upto);
    Ok(Piece { segment, offset, next, damaged, sequences, bytes, chunks, key: key.clone() })
}
