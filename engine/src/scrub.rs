//! Looking at what nobody has read for long, before it is needed: is all of it there that the index and
//! a restart would ask for?
//!
//! ```text
//! each segment, in order ─► read it piece by piece (`Engine::scan`) ─► `Look`: what is sound in it
//!   ─► less than the index refers to, or chunks that do not hold? ─► which keys and pages (`lost_in`)
//! ```
//!
//! A segment is judged by what the index says of it, not by its chunks alone: of a file that had another
//! life, a chunk whose header was destroyed looks like something that never was. That needs no list of
//! what must be where: the sum of what was found must be what `Store::live_bytes` says. Only if it is
//! less, or a chunk does not hold, the keys are gone through, which costs a walk over the index.
//!
//! A torn tail looks damaged too, for as long as its segment is there; nothing is lost with it, as the
//! walk finds out. And what dies in a segment while it is being looked at can hide as much that is lost
//! (not where a chunk does not hold): look at one segment quickly, and at the next one later.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::batch::{Batch, Operation};
use crate::bugs::{Bug, planted};
use crate::log::Piece;
use crate::store::Store;
use crate::{Engine, Location, Record, RecordKind, Sequence};

/// One time through the log.
#[derive(Debug)]
pub struct Pass {
    left: BTreeSet<u32>,
    /// The record that comes next behind the start of replay.
    expected: Sequence,
    /// The last one that there must be.
    durable: Sequence,
}

/// What was found of one segment.
#[derive(Debug)]
pub struct Look {
    segment: u32,
    /// More was being written into it: the index may refer to what is not there yet.
    is_open: bool,
    /// Where the next piece begins.
    next: Option<u64>,
    /// So much of it there was to be looked at.
    end: u64,
    /// Where the records are that the index refers to and that hold, in order.
    sound: Vec<u32>,
    /// Their sum, as `Store::live_bytes` counts it.
    live: u64,
    /// Chunks that do not hold, and places where one must have been.
    damaged: u64,
    /// Where the next chunk must begin, if there is one.
    chunks_end: u64,
    /// Of the first and the last record that are part of the log's order.
    sequences: Option<(Sequence, Sequence)>,
}

/// A value that the index refers to and that could not be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Of the key.
    pub slot: u16,
    /// Whose value.
    pub key: Box<[u8]>,
    /// Which value.
    pub version: u64,
    /// Where it should be.
    pub home: (Location, u32),
}

impl Pass {
    /// Through all that there is now, and all that the index refers to.
    pub fn begin(engine: &Engine, store: &Store) -> Pass {
        let known = engine.segments().map(|(segment, _)| segment);
        let left = known.chain(store.live_bytes().keys().copied()).collect();
        let (expected, durable) = (engine.start_sequence(), engine.durable());
        Pass { left, expected, durable }
    }

    /// The next segment, if any.
    pub fn next(&mut self, engine: &Engine, store: &Store) -> Option<Look> {
        loop {
            let segment = self.left.pop_first()?;
            let is_needed = store.live_bytes().contains_key(&segment);
            // Those that went meanwhile need nobody's look.
            let is_there = engine.segments().any(|(there, _)| there == segment);
            if (is_there || is_needed)
                && let Some(look) = Look::begin(engine, segment)
            {
                return Some(look);
            }
        }
    }

    /// Bytes that are still to be read, about.
    pub fn bytes_left(&self, engine: &Engine) -> u64 {
        let left = self.left.iter();
        left.map(|segment| engine.durable_end(*segment)).sum()
    }

    /// What was found of a segment. Whether a restart would miss something before it: see `is_short`.
    pub fn took(&mut self, engine: &Engine, look: &Look) -> bool {
        if look.segment < engine.start_segment() {
            return false; // What a restart needs of it, the index refers to.
        }
        let Some((first, last)) = look.sequences else { return false };
        let is_gap = self.expected < first;
        self.expected = self.expected.max(Sequence(last.0 + 1));
        is_gap
    }

    /// Whether a restart would miss something at the end of the log. To be asked when there is no next
    /// segment. Take a checkpoint, and the restart will not ask for it.
    pub fn is_short(&self, engine: &Engine) -> bool {
        // Unless a checkpoint has passed it meanwhile.
        self.expected <= self.durable && engine.start_sequence() <= self.durable
    }
}

impl Look {
    /// `None`: nothing in it is durable yet. One that is not there at all lacks everything.
    pub fn begin(engine: &Engine, segment: u32) -> Option<Look> {
        let (end, is_open) = (engine.durable_end(segment), engine.is_open(segment));
        let is_blank = is_open && end == 0;
        (!is_blank).then(|| Look {
            segment,
            is_open,
            next: (end != 0).then_some(0),
            end,
            sound: Vec::new(),
            live: 0,
            damaged: 0,
            chunks_end: 0,
            sequences: None,
        })
    }

    /// Which.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Which piece to read next.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// That piece was read. `slots_of` are the slots of a stream's keys.
    ///
    /// # Panics
    /// It is of another segment.
    pub fn take(
        &mut self,
        piece: &Piece,
        store: &Store,
        slots_of: impl Fn(u32) -> Range<u16>,
        slot_of: fn(&[u8]) -> u16,
    ) {
        assert!(piece.segment == self.segment, "one segment at a time");
        // What came later into one that was open is for the next look.
        self.next = piece.next.filter(|next| *next < self.end);
        self.damaged += piece.damaged;
        for (start, end) in piece.chunks() {
            self.damaged += u64::from(self.chunks_end < start);
            self.chunks_end = end;
        }
        // Of one that is being written, all that is durable are chunks.
        self.damaged +=
            u64::from(self.is_open && self.next.is_none() && self.chunks_end < self.end);
        if let Some((first, last)) = piece.sequences {
            let first = self.sequences.map_or(Sequence(first), |(first, _)| first);
            self.sequences = Some((first, Sequence(last)));
        }
        piece.records(|record, location| {
            let live = live_in(store, record, location, &slots_of(record.stream), slot_of);
            if live != 0 {
                self.live += live;
                self.sound.push(location.offset);
            }
        });
    }

    /// How many places are not as they were written.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Whether a restart would meet one of them.
    pub fn is_broken(&self, engine: &Engine) -> bool {
        engine.start_segment() <= self.segment && 0 < self.damaged
    }

    /// Whether less was found than the index refers to.
    pub fn is_short(&self, store: &Store) -> bool {
        let live = store.live_bytes().get(&self.segment).copied().unwrap_or(0);
        !self.is_open && self.live < live
    }

    /// Whether something may be missing: then each slot is to be asked for what is `lost_in` it.
    pub fn is_suspect(&self, store: &Store) -> bool {
        (self.is_short(store) || 0 < self.damaged) && !planted(Bug::ScrubBlind)
    }

    /// Whether the record at this place was found, or was not looked for.
    pub fn has(&self, location: Location) -> bool {
        location.segment != self.segment
            || self.is_open && self.end <= u64::from(location.offset)
            || self.sound.binary_search(&location.offset).is_ok()
    }

    /// The values of a slot's keys that should have been found in this segment. One that can be read all
    /// the same must leave too: without its chunk's header, a restart may not know whose it is. (Keys that
    /// came since are among them. That costs a copy.)
    pub fn lost_in(&self, store: &Store, slot: u16) -> Vec<Lost> {
        let here = store.homes_in(slot, self.segment);
        let lost = here.filter(|(_, _, (location, _))| !self.has(*location));
        lost.map(|(key, version, home)| Lost { slot, key: key.into(), version, home }).collect()
    }
}

/// How much of this record the index refers to, as `Store::live_bytes` counts it.
fn live_in(
    store: &Store,
    record: &Record<'_>,
    location: Location,
    slots: &Range<u16>,
    slot_of: fn(&[u8]) -> u16,
) -> u64 {
    match record.kind {
        RecordKind::State => return 0,
        RecordKind::Page => {
            let is_needed = store.has_page(slots, location);
            return if is_needed { u64::from(location.size) } else { 0 };
        }
        RecordKind::Entry | RecordKind::Item | RecordKind::Moved => (),
    }
    let Ok(batch) = Batch::decode(record.payload) else { return 0 };
    let mut live = 0;
    for (index, operation) in (0..).zip(batch.operations()) {
        if let Operation::Put { key, .. } = operation {
            let slot = slot_of(key);
            let here = slots.contains(&slot).then(|| store.weight_at(slot, key, (location, index)));
            live += here.flatten().unwrap_or(0);
        }
    }
    live
}
