//! From bytes back to records: what is the log, what is a torn tail, what is damage.
//!
//! The log is read in order, and what can be said for certain decides:
//!
//! 1. A record is *proved durable* if its sequence is not above some `durable_upto` that was read, or
//!    below the `incarnation_start` of some incarnation: that one began behind it.
//! 2. A chunk whose sequences a later incarnation numbers anew is dead: the remains of writes that
//!    were never acknowledged.
//! 3. Bytes that are neither what was written nor zeros cannot come from a power cut, unless the
//!    segment's file had another life: then they may be what it held before.
//!
//! Missing records that are proved durable, and bytes that no power cut explains, are damage: the
//! range is reported, and what follows it is kept. Anything else that is missing is the torn tail, and
//! the log ends before it.
//!
//! Once a checkpoint is in effect the log is read from its start on only, and without the segments
//! written aside: what lies elsewhere is found by its place.

use std::collections::{BTreeMap, BTreeSet};

use super::conversation::Conversation;
use super::gather::Cursor;
use super::keyring::Keyring;
use super::records::{Found, Taken};
use super::window::Window;
use super::{DamagedRange, Replay};
use crate::Location;
use crate::bugs::{Bug, planted};
use crate::disk::{Area, BLOCK_SIZE};
use crate::error::{AreaName, EngineError};
use crate::format::chunk::{self, Extent, Header};
use crate::format::superblock::{Start, Superblock, Tail};
use crate::format::{FORMAT, Place, record};
use crate::record::Sequence;

/// What was found.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Behind the last chunk that counts.
    pub(super) cursor: Cursor,
    /// The last process stopped cleanly, and nothing was written after that.
    pub(super) clean: bool,
    pub(super) torn: bool,
    pub(super) damaged: Vec<DamagedRange>,
    pub(super) records: u64,
    /// The highest incarnation that is known of.
    pub(super) incarnation: u64,
    pub(super) incarnations: BTreeMap<u32, u64>,
    /// Those whose files had another life.
    pub(super) recycled: BTreeSet<u32>,
    /// The last segment that holds anything, 0 if none does.
    pub(super) used: u32,
    /// Those that hold nothing and will not be used under their numbers.
    pub(super) blank: Vec<u32>,
    /// Opens what was found.
    pub(super) keyring: Keyring,
}

/// A byte of the log.
#[derive(Debug, Clone, Copy)]
struct Position {
    segment: u32,
    offset: u64,
}

pub(super) struct Recovery<'a> {
    window: Window<'a>,
    superblock: &'a Superblock,
    replay: &'a mut dyn Replay,
    keyring: Keyring,
    /// Those that hold anything.
    segments: Vec<(u32, u64)>,
    /// Sizes of all.
    sizes: BTreeMap<u32, u64>,
    /// First sequence of every incarnation that is known of.
    starts: BTreeMap<u64, u64>,
    incarnations: BTreeMap<u32, u64>,
    recycled: BTreeSet<u32>,
    blank: Vec<u32>,
    /// Where replay begins.
    start: Position,
    cursor: Cursor,
    /// The incarnation of the chunk before, unless something is missing since.
    chain: Option<u64>,
    durable_seen: u64,
    /// Where the first bytes lie that are no chunk, since the last chunk.
    bad: Option<Position>,
    /// The same, if no power cut explains them.
    unexplained: Option<Position>,
    torn: bool,
    clean: bool,
    damaged: Vec<DamagedRange>,
    records: u64,
}

/// What to do after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Look on, behind this many bytes; a chunk may start there.
    Chunk(u64),
    /// Look on in the next block, which may be in the middle of something.
    Block,
    /// The log ends here.
    End,
}

impl<'a> Recovery<'a> {
    pub(super) fn new(
        conversation: &'a mut Conversation,
        superblock: &'a Superblock,
        segments: Vec<(u32, u64)>,
        keyring: Keyring,
        replay: &'a mut dyn Replay,
    ) -> Recovery<'a> {
        let starts = BTreeMap::from([(superblock.incarnation, superblock.incarnation_start)]);
        let start = superblock.start.unwrap_or(Start { segment: 1, offset: 0, sequence: 1 });
        let (segment, offset) = (start.segment, u64::from(start.offset));
        let sequence = start.sequence - 1;
        let cursor = Cursor { segment, offset, number: 0, checksum: 0, sequence };
        let start = Position { segment, offset };
        Recovery {
            window: Window::new(conversation),
            superblock,
            replay,
            keyring,
            sizes: segments.iter().copied().collect(),
            segments,
            starts,
            incarnations: BTreeMap::new(),
            recycled: BTreeSet::new(),
            blank: Vec::new(),
            start,
            cursor,
            chain: None,
            durable_seen: superblock.durable_upto,
            bad: None,
            unexplained: None,
            torn: false,
            clean: false,
            damaged: Vec::new(),
            records: 0,
        }
    }

    /// Reads the whole log.
    ///
    /// # Errors
    /// `Format`: a newer release was here.
    pub(super) async fn run(mut self) -> Result<Recovered, EngineError> {
        let used = self.survey().await;
        if self.superblock.start.is_some() {
            self.replay.checkpoint();
        }
        for (segment, size) in self.segments.clone() {
            if !self.read_segment(segment, size).await? {
                break;
            }
        }
        if !self.torn && !self.is_clean_tail().await {
            self.end_of_log();
        }
        let clean = self.clean && self.damaged.is_empty();
        let incarnation = *self.starts.keys().next_back().expect("the superblock has one");
        Ok(Recovered {
            cursor: self.cursor,
            clean,
            torn: self.torn,
            damaged: self.damaged,
            records: self.records,
            incarnation,
            incarnations: self.incarnations,
            recycled: self.recycled,
            used,
            blank: self.blank,
            keyring: self.keyring,
        })
    }

    /// Learns from the first header of each segment who wrote it. Returns the last one that holds
    /// anything, 0 if none does.
    async fn survey(&mut self) -> u32 {
        let mut used = 0;
        let mut segments = Vec::new();
        for (segment, size) in std::mem::take(&mut self.segments) {
            let spare = self.superblock.tail.is_some_and(|tail| tail.segment < segment);
            let first = self.window.first_header(segment, size, !spare).await;
            if !first.written {
                // Of a spare file only the first block was looked at: behind it there may be anything.
                if first.recycled || spare {
                    self.recycled.insert(segment);
                }
                self.blank.push(segment);
                continue;
            }
            used = segment;
            let header = first.header.filter(|header| self.is_ours(header));
            if let Some(header) = header {
                self.incarnations.insert(segment, header.place.incarnation);
                self.keyring.learn(&header);
                self.starts.insert(header.place.incarnation, header.incarnation_start);
            }
            if first.recycled {
                self.recycled.insert(segment);
            }
            if self.start.segment <= segment && header.is_none_or(|header| !header.aside) {
                segments.push((segment, size));
            }
        }
        self.segments = segments;
        // A header may be lost of a write whose other sectors are there: such a file gets another
        // number, so that no offset is written twice.
        let recycled = &self.recycled;
        self.blank.retain(|blank| *blank < used || recycled.contains(blank));
        used
    }

    fn is_ours(&self, header: &Header) -> bool {
        let identity = &self.superblock.identity;
        header.cluster == identity.cluster && header.node == identity.node
    }

    /// `false` if the log ends in here.
    async fn read_segment(&mut self, segment: u32, size: u64) -> Result<bool, EngineError> {
        let mut offset = if segment == self.start.segment { self.start.offset } else { 0 };
        let mut boundary = true;
        while offset < size {
            if boundary && self.is_clean_tail().await {
                return Ok(false);
            }
            let here = Position { segment, offset };
            let next = match self.examine(segment, size, offset).await {
                Extent::Blank => Next::Block,
                Extent::Stale => self.on_bad_block(here, false),
                Extent::OtherFormat(found) => return Err(newer(segment, found)),
                Extent::BadBlock { torn } => self.on_bad_block(here, torn || !boundary),
                // A chunk that does not fit into what is left of its segment.
                Extent::More(_) => self.on_bad_block(here, !boundary),
                Extent::Chunk { header, checksum } => {
                    self.on_chunk(here, size, &header, checksum, None).await
                }
                Extent::BadPayload { header, checksum, torn } => {
                    self.on_chunk(here, size, &header, checksum, Some(torn)).await
                }
            };
            match next {
                Next::Chunk(size) => offset += size,
                Next::Block => offset += BLOCK_SIZE as u64,
                Next::End => return Ok(false),
            }
            boundary = matches!(next, Next::Chunk(_));
        }
        Ok(true)
    }

    /// Whether the chunk before is the one at which the last process stopped cleanly, and nothing was
    /// written since. The log then goes on where that process would have gone on.
    async fn is_clean_tail(&mut self) -> bool {
        let Some(tail) = self.superblock.tail.filter(|_| !self.clean) else { return self.clean };
        let last = (self.cursor.number, self.cursor.checksum, self.cursor.sequence);
        if (tail.number, tail.checksum, self.superblock.durable_upto) != last {
            return false;
        }
        let offset = u64::from(tail.offset);
        let size = self.sizes.get(&tail.segment).copied().unwrap_or(0);
        if offset < size {
            let found = self.examine(tail.segment, size, offset).await;
            let nothing = match found {
                Extent::Blank => true,
                Extent::BadBlock { .. } => self.recycled.contains(&tail.segment),
                _ => false,
            };
            if !nothing {
                return false;
            }
        }
        self.cursor = Cursor { segment: tail.segment, offset, ..self.cursor };
        self.clean = true;
        true
    }

    /// What is at a block boundary. In a file that had another life, what was not written in this one
    /// may be anything.
    async fn examine(&mut self, segment: u32, size: u64, offset: u64) -> Extent {
        let window = self.window.at(segment, size, offset).await;
        let found = chunk::examine(window, segment, offset as u32);
        if planted(Bug::StaleBlockAccepted) || !self.recycled.contains(&segment) {
            return found;
        }
        match found {
            Extent::Stale => Extent::Blank,
            Extent::BadBlock { .. } => Extent::BadBlock { torn: true },
            Extent::BadPayload { header, checksum, .. } => {
                Extent::BadPayload { header, checksum, torn: true }
            }
            other => other,
        }
    }

    fn on_bad_block(&mut self, here: Position, torn: bool) -> Next {
        let incarnation = self.incarnations.get(&here.segment);
        let end = incarnation.and_then(|&incarnation| self.start_after(incarnation));
        if end.is_some_and(|end| end <= self.cursor.sequence + 1) {
            return Next::Block; // Whatever it is, a later incarnation began without it.
        }
        self.bad.get_or_insert(here);
        if !torn {
            self.unexplained.get_or_insert(here);
        }
        Next::Block
    }

    /// A header that holds; `damage` is there if its payload does not: may a power cut explain it?
    async fn on_chunk(
        &mut self,
        here: Position,
        segment_size: u64,
        header: &Header,
        checksum: u32,
        damage: Option<bool>,
    ) -> Next {
        if !self.belongs(here, header) {
            return self.on_bad_block(here, false);
        }
        self.durable_seen = self.durable_seen.max(header.durable_upto);
        let size = header.chunk_size() as u64;
        if self.is_dead(header) {
            return Next::Chunk(size);
        }
        if damage == Some(false) {
            self.unexplained.get_or_insert(here);
        }
        let expected = self.cursor.sequence + 1;
        let missing = if expected < header.first_sequence {
            Some((self.bad_since(here), header.first_sequence - 1))
        } else {
            damage.map(|_| (here, header.last_sequence))
        };
        if let Some((since, last)) = missing {
            if !self.is_damage(here, segment_size, expected).await {
                self.torn = true;
                return Next::End;
            }
            if expected < header.first_sequence {
                self.miss(since, here, expected, last);
            }
        }
        self.replay_chunk(here, segment_size, header).await;
        self.chain = Some(header.place.incarnation);
        (self.bad, self.unexplained) = (None, None);
        let (sequence, number) = (header.last_sequence, header.number);
        let offset = here.offset + size;
        self.cursor = Cursor { segment: here.segment, offset, number, checksum, sequence };
        Next::Chunk(size)
    }

    /// Whether this chunk was written by us, here, and behind the one before.
    fn belongs(&self, here: Position, header: &Header) -> bool {
        if planted(Bug::StaleBlockAccepted) {
            return self.cursor.sequence < header.first_sequence;
        }
        let incarnation = header.place.incarnation;
        let contiguous = self.cursor.sequence + 1 == header.first_sequence;
        let chained = !(contiguous && self.chain == Some(incarnation))
            || header.previous_checksum == self.cursor.checksum;
        self.is_ours(header)
            && self.incarnations.get(&here.segment) == Some(&incarnation)
            && (self.cursor.sequence < header.first_sequence || self.is_dead(header))
            && (chained || self.is_dead(header))
    }

    /// A later incarnation numbers these records anew.
    fn is_dead(&self, header: &Header) -> bool {
        let end = self.start_after(header.place.incarnation);
        !planted(Bug::StaleBlockAccepted) && end.is_some_and(|end| end <= header.first_sequence)
    }

    /// First sequence of the incarnations behind this one.
    fn start_after(&self, incarnation: u64) -> Option<u64> {
        self.starts.range(incarnation + 1..).map(|(_, &start)| start).min()
    }

    fn bad_since(&self, here: Position) -> Position {
        self.unexplained.or(self.bad).unwrap_or(here)
    }

    /// Whether the log says that `sequence` was durable.
    fn is_proved(&self, sequence: u64) -> bool {
        let start_last = self.starts.values().max().copied().unwrap_or(0);
        sequence <= self.durable_seen || sequence < start_last
    }

    /// Torn tail or damage? `sequence` is missing, and there is a chunk `here` or behind it.
    async fn is_damage(&mut self, here: Position, segment_size: u64, sequence: u64) -> bool {
        if planted(Bug::WrongTailDecision) {
            return false;
        }
        if self.is_proved(sequence) || self.unexplained.is_some() {
            return true;
        }
        let mut from = here.offset;
        for (segment, size) in self.segments.clone() {
            if segment < here.segment {
                continue;
            }
            let size = if segment == here.segment { segment_size } else { size };
            while from < size {
                let found = self.examine(segment, size, from).await;
                let (Extent::Chunk { header, .. } | Extent::BadPayload { header, .. }) = found
                else {
                    from += BLOCK_SIZE as u64;
                    continue;
                };
                from += header.chunk_size() as u64;
                if self.is_ours(&header) && !self.is_dead(&header) {
                    self.durable_seen = self.durable_seen.max(header.durable_upto);
                }
                if self.is_proved(sequence) {
                    return true;
                }
            }
            from = 0;
        }
        false
    }

    /// Records are missing, from `since` up to what lies `upto`.
    fn miss(&mut self, since: Position, upto: Position, first: u64, last: u64) {
        assert!(first <= last, "something is missing");
        let same = since.segment == upto.segment;
        let size = if same { upto.offset - since.offset } else { 0 };
        self.damaged.push(DamagedRange {
            segment: since.segment,
            offset: since.offset,
            size,
            first: Sequence(first),
            last: Sequence(last),
            acknowledged: self.is_proved(first),
        });
    }

    /// Hands out the records that are as they were written: all of them, unless the chunk is damaged.
    async fn replay_chunk(&mut self, here: Position, segment_size: u64, header: &Header) {
        let Position { segment, offset } = here;
        let window = self.window.at(segment, segment_size, offset).await;
        // The pieces of a checkpoint are fetched between records, through the same window.
        let chunk = window[..header.chunk_size()].to_vec();
        let mut wanted = Vec::new();
        let mut start = 0;
        let key = self.keyring.key(segment, None).cloned();
        let mut found = Found::new(header, key.as_deref());
        while let Some(next) = found.next(&chunk, header, start) {
            let Taken { decoded, location, end } = next;
            self.replay.record(&decoded.record(), location);
            wanted.extend(self.replay.wanted());
            start = end;
            for location in wanted.drain(..) {
                self.fetch(location).await;
            }
        }
        found.end(header);
        self.records += found.count;
        if let Some((first, last)) = found.missing {
            self.miss(
                here,
                Position { offset: offset + header.chunk_size() as u64, ..here },
                first,
                last,
            );
        }
    }

    /// A record that the checkpoint refers to, from wherever it is.
    async fn fetch(&mut self, location: Location) {
        let Location { segment, offset, size } = location;
        let start = u64::from(offset) / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
        let end = (u64::from(offset) + u64::from(size)).next_multiple_of(BLOCK_SIZE as u64);
        let there = self.sizes.get(&segment).is_some_and(|&size| end <= size);
        if let Some(&incarnation) = self.incarnations.get(&segment).filter(|_| there && size != 0) {
            let blocks = self.window.apart(segment, start, (end - start) as usize).await;
            let bytes = &blocks[(u64::from(offset) - start) as usize..][..size as usize];
            let key = self.keyring.key(segment, None).map(|key| &**key);
            let frame = record::decode(bytes, Place { incarnation, segment, offset });
            if let Some(decoded) = frame.ok().and_then(|frame| frame.open(key).ok()) {
                self.replay.fetched(&decoded.record(), location);
                return;
            }
        }
        self.damaged.push(DamagedRange {
            segment,
            offset: u64::from(offset),
            size: u64::from(size),
            first: Sequence(0),
            last: Sequence(0),
            acknowledged: true,
        });
    }

    /// Nothing follows. Is that all there was?
    fn end_of_log(&mut self) {
        let expected = self.cursor.sequence + 1;
        let start_last = self.starts.values().max().copied().unwrap_or(0);
        let proved = self.durable_seen.max(start_last.saturating_sub(1));
        let end = Position { segment: self.cursor.segment, offset: self.cursor.offset };
        let since = self.bad_since(end);
        if planted(Bug::WrongTailDecision) {
            self.torn = true;
        } else if expected <= proved {
            self.miss(since, since, expected, proved);
            self.cursor.sequence = proved;
        } else if self.unexplained.is_some() {
            self.miss(since, since, expected, expected);
            self.cursor.sequence = expected;
        } else {
            self.torn = self.bad.is_some();
        }
    }
}

/// Where a clean stop at this point would leave the log.
pub(super) fn tail_of(cursor: Cursor) -> Tail {
    Tail {
        segment: cursor.segment,
        offset: u32::try_from(cursor.offset).expect("a segment has a bound"),
        number: cursor.number,
        checksum: cursor.checksum,
    }
}

fn newer(segment: u32, found: u16) -> EngineError {
    let area = AreaName(Area::Segment(segment));
    EngineError::Format { area, found, supported: FORMAT }
}
