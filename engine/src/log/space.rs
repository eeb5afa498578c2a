//! Room in the log: what there is, who keeps it, and how it is given back.

use super::{Engine, Event, Side};
use crate::disk::BLOCK_SIZE;
use crate::error::EngineError;
use crate::limits::ASIDE_PENDING_SIZE_MAX;
use crate::record::Sequence;

/// A place in the log's order between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The segment.
    pub segment: u32,
    /// A multiple of 4096: the records behind the mark begin here, or in a later segment.
    pub offset: u32,
    /// Of the first record behind it.
    pub sequence: Sequence,
}

/// As long as it is held, nothing leaves that was there when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(u64);

/// A segment that nobody refers to, but for pins and reads that began earlier.
#[derive(Debug)]
pub(super) struct Leaving {
    segment: u32,
    /// Pins below this one came before.
    pin: u64,
}

impl Engine {
    /// Between what was appended so far and what will be; behind every segment that is to be passed by, if
    /// there is room.
    pub fn mark(&mut self) -> Mark {
        if self.log.gather.cursor().segment <= self.passed_by
            && let Ok(segment) = self.claim(Side::Log)
        {
            self.log.gather.begin_segment(segment);
            self.passed_by = 0;
        }
        let gather = &mut self.log.gather;
        gather.close_chunk();
        let cursor = gather.cursor();
        let offset = u32::try_from(cursor.offset).expect("a segment has a bound");
        assert!((offset as usize).is_multiple_of(BLOCK_SIZE), "chunks end at blocks");
        Mark { segment: cursor.segment, offset, sequence: Sequence(cursor.sequence + 1) }
    }

    /// Replay should not come to this segment any more: something in it is not as it was written, and one
    /// that lacks its headers cannot be told from a part of the log. The next `mark` is behind it.
    pub fn pass_by(&mut self, segment: u32) {
        self.passed_by = self.passed_by.max(segment);
    }

    /// Bytes that can still be appended, padding and headers included; `u64::MAX` if nothing is known
    /// to limit them.
    pub fn room(&self) -> u64 {
        let cursor = self.log.gather.cursor();
        let rest = self.segments.size(cursor.segment).saturating_sub(cursor.offset);
        self.segments.room().saturating_add(rest)
    }

    /// To be called once, when the log has been replayed: the next checkpoint will append so many bytes
    /// again. If there is no room for them they are granted beyond the limit, as when the engine opened.
    pub fn grant_room(&mut self, owed: u64) {
        self.segments.exceed_limit(owed);
    }

    /// So much of the room is beyond the log's limit, in bytes: granted when the engine opened, to give
    /// space back with.
    pub fn room_granted(&self) -> u64 {
        self.segments.excess()
    }

    /// Segments with records, in order, with their sizes in bytes; the last ones of both lanes are
    /// still being written.
    pub fn segments(&self) -> impl Iterator<Item = (u32, u64)> {
        self.segments
            .claimed()
            .filter(|(segment, _)| !self.leaving.iter().any(|leaving| leaving.segment == *segment))
    }

    /// Replay would begin in here: what lies before is found by its place only.
    pub fn start_segment(&self) -> u32 {
        self.superblock.start.map_or(1, |start| start.segment)
    }

    /// The sequence of the first record that replay would come to.
    pub fn start_sequence(&self) -> Sequence {
        Sequence(self.superblock.start.map_or(1, |start| start.sequence))
    }

    /// The segment that the log is at.
    pub fn log_segment(&self) -> u32 {
        self.log.gather.cursor().segment
    }

    /// The segment being written aside, 0 if there is none.
    pub fn aside_segment(&self) -> u32 {
        self.aside.gather.cursor().segment
    }

    /// Whether no more pages should be written aside before some of what was appended is durable.
    pub fn is_busy_aside(&self) -> bool {
        ASIDE_PENDING_SIZE_MAX < self.aside.gather.pending()
    }

    /// The size of a new segment, in bytes.
    pub fn segment_size(&self) -> u64 {
        self.segments.size_min()
    }

    /// To be called once, when the log has been opened and replayed: gives up what lies before the
    /// start of replay and is not `needed`: neither by what replay came to nor by what it fetched on the
    /// way, since the next replay fetches that again.
    pub fn give_up_unneeded(&mut self, needed: impl Fn(u32) -> bool) {
        let start = self.start_segment();
        let before = self.segments.used();
        self.give_up(before.filter(|&segment| segment < start && !needed(segment)).collect());
        self.release_leaving();
    }

    /// Segments that nothing refers to, and that would be free if it were not for pins and reads.
    pub fn leaving_count(&self) -> usize {
        self.leaving.len()
    }

    /// See `Pin`.
    pub fn pin(&mut self) -> Pin {
        let pin = Pin(self.next_pin);
        self.next_pin += 1;
        self.pins.insert(pin, ());
        pin
    }

    /// Gives a pin back.
    pub fn unpin(&mut self, pin: Pin) {
        self.pins.remove(&pin).expect("a pin is given back once");
        self.wake();
    }

    /// A segment for one of the lanes, and never the same for both.
    pub(super) fn claim(&mut self, side: Side) -> Result<u32, EngineError> {
        let incarnation = self.log.gather.author().incarnation;
        let begun = self.log.gather.cursor().segment;
        let mut claimed = self.segments.claim(incarnation);
        if side == Side::Aside && claimed.as_ref().is_ok_and(|segment| *segment == begun) {
            // A log without a record begins there.
            claimed = self.segments.claim(incarnation);
        }
        if claimed.is_err() {
            self.wake(); // Even a refusal may have to look for room.
        }
        claimed
    }

    /// These are referred to by nothing that a restart would read, and by nobody who asks now.
    pub(super) fn give_up(&mut self, victims: Vec<u32>) {
        let pin = self.next_pin;
        let known = victims.into_iter().filter(|&victim| self.segments.exists(victim));
        self.leaving.extend(known.map(|segment| Leaving { segment, pin }));
    }

    pub(super) fn release_leaving(&mut self) {
        let oldest = self.pins.keys().next().map_or(u64::MAX, |pin| pin.0);
        let mut index = 0;
        while index < self.leaving.len() {
            let Leaving { segment, pin } = self.leaving[index];
            if oldest < pin || self.reads.touches(segment) || self.scans.touches(segment) {
                index += 1;
                continue;
            }
            self.leaving.swap_remove(index);
            self.segments.release(segment);
            self.keyring.forget(segment);
            self.status.segments_released += 1;
            self.events.push(Event::Housekeeping);
        }
    }
}
