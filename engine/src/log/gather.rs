//! What has been appended and is not durable yet: chunks that fill, chunks that are being written.
//!
//! Invariant: `written` chunks come before `filling` ones, all in order of place and of sequence, and
//! only the last of `filling` still takes records.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Location;
use crate::disk::{Area, Buffer, Operation};
use crate::format::pack::{Counts, Packer};
use crate::format::{Place, chunk, record};
use crate::keys::{DataKey, Salt};
use crate::limits::{
    ASIDE_GROUP_SIZE_MAX, CHUNK_HEADER_SIZE, GROUP_SIZE_MAX, SPARE_COUNT_MAX, SPARE_SIZE_MAX,
    SPARE_SIZE_MIN,
};
use crate::record::Record;

/// Who writes; goes into every header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author {
    pub(super) cluster: u64,
    pub(super) node: u64,
    pub(super) incarnation: u64,
    pub(super) incarnation_start: u64,
    /// Its chunks are not part of the log's order.
    pub(super) aside: bool,
    /// There if what it writes is encrypted.
    pub(super) salt: Option<Salt>,
}

/// Where the next chunk goes, and what the last one was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// The last chunk written.
    pub(super) number: u64,
    /// Its header's checksum.
    pub(super) checksum: u32,
    /// The last record appended.
    pub(super) sequence: u64,
}

#[derive(Debug)]
struct Filling {
    place: Place,
    payload: Vec<u8>,
    first: u64,
}

#[derive(Debug)]
struct Written {
    place: Place,
    payload: Vec<u8>,
    last: u64,
}

#[derive(Debug)]
pub(super) struct Gather {
    author: Author,
    packer: Packer,
    chunk_size_max: usize,
    /// Its place is behind the last chunk, the open one as it is now.
    cursor: Cursor,
    filling: VecDeque<Filling>,
    written: Vec<Written>,
    pending: usize,
    /// The open chunk takes no more records.
    closed: bool,
    spares: Spares,
}

impl Gather {
    pub(super) fn new(
        author: Author,
        packer: Packer,
        chunk_size_max: usize,
        cursor: Cursor,
    ) -> Gather {
        assert!(author.salt.is_some() == packer.key().is_some(), "a key follows from its salt");
        Gather {
            author,
            packer,
            chunk_size_max,
            cursor,
            filling: VecDeque::new(),
            written: Vec::new(),
            pending: 0,
            closed: false,
            spares: Spares::default(),
        }
    }

    pub(super) fn author(&self) -> Author {
        self.author
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// What it was given so far.
    pub(super) fn counts(&self) -> Counts {
        self.packer.counts
    }

    /// How much a record with so large a payload takes at most, in bytes.
    pub(super) fn size_max(&self, payload_size: usize) -> usize {
        record::size_max(payload_size, &self.packer)
    }

    /// Bytes appended and not durable.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Whether there is more than one chunk, or one that is large: worth a write that nobody waits for.
    pub(super) fn is_ample(&self) -> bool {
        1 < self.filling.len() || ASIDE_GROUP_SIZE_MAX / 2 <= self.pending
    }

    pub(super) fn is_idle(&self) -> bool {
        self.filling.is_empty() && self.written.is_empty()
    }

    /// Where in a segment the first byte is that a power cut may take, if there is one.
    pub(super) fn open_from(&self, segment: u32) -> Option<u64> {
        let written = self.written.iter().map(|chunk| chunk.place);
        let mut open = written.chain(self.filling.iter().map(|chunk| chunk.place));
        let first = open.find(|place| place.segment == segment);
        let next = (segment == self.cursor.segment).then_some(self.cursor.offset);
        first.map(|place| u64::from(place.offset)).or(next)
    }

    /// Whether a record of at most `size` bytes goes into the open chunk.
    pub(super) fn fits(&self, size: usize, segment_size: u64) -> bool {
        !self.closed
            && self.filling.back().is_some_and(|open| {
                let chunk_size = chunk::chunk_size(open.payload.len() + size);
                let end = u64::from(open.place.offset) + chunk_size as u64;
                chunk_size <= self.chunk_size_max && end <= segment_size
            })
    }

    /// Whether a new chunk with such a record fits into the current segment.
    pub(super) fn has_room(&self, size: usize, segment_size: u64) -> bool {
        let end = self.cursor.offset + chunk::chunk_size(size) as u64;
        self.cursor.segment != 0 && end <= segment_size
    }

    /// The next record begins a chunk.
    pub(super) fn close_chunk(&mut self) {
        self.closed = true;
    }

    /// The next record begins a chunk at the start of this segment, a later one.
    pub(super) fn begin_segment(&mut self, segment: u32) {
        assert!(self.cursor.segment < segment, "segments are filled in order");
        self.closed = true;
        (self.cursor.segment, self.cursor.offset) = (segment, 0);
    }

    /// Closes the open chunk and opens one in `segment`: the current one, or a later one.
    pub(super) fn open_chunk(&mut self, segment: u32) {
        self.closed = false;
        if segment != self.cursor.segment {
            assert!(self.cursor.segment < segment, "segments are filled in order");
            self.cursor.segment = segment;
            self.cursor.offset = 0;
        }
        let place = Place {
            incarnation: self.author.incarnation,
            segment,
            offset: u32::try_from(self.cursor.offset).expect("a segment has a bound"),
        };
        let first = self.cursor.sequence + 1;
        let payload = self.spares.payload();
        self.filling.push_back(Filling { place, payload, first });
    }

    /// Adds a record to the open chunk, which has room for it.
    pub(super) fn push(&mut self, appended: &Record<'_>) -> Location {
        let open = self.filling.back_mut().expect("a chunk was opened for this record");
        self.cursor.sequence += 1;
        let delta = self.cursor.sequence - open.first;
        let delta = u32::try_from(delta).expect("a chunk has fewer records than bytes");
        let offset = record_offset(open.place, open.payload.len());
        let place = Place { offset, ..open.place };
        let size = record::encode(appended, delta, place, &mut self.packer, &mut open.payload);
        self.pending += size;
        let chunk_size = chunk::chunk_size(open.payload.len()) as u64;
        self.cursor.offset = u64::from(open.place.offset) + chunk_size;
        Location { segment: place.segment, offset, size: size as u32 }
    }

    /// The segment of the next group, when no other is being written.
    pub(super) fn ready(&self) -> Option<u32> {
        let segment = self.filling.front().map(|first| first.place.segment);
        segment.filter(|_| self.written.is_empty())
    }

    /// Turns the chunks that come next, all of one segment, into writes.
    pub(super) fn start_group(
        &mut self,
        durable: u64,
        recycled: bool,
        writes: &mut Vec<Operation>,
    ) {
        assert!(self.written.is_empty(), "one group is written at a time");
        // What nobody waits for goes in small pieces: a commit may be behind it.
        let group_size_max = if self.author.aside { ASIDE_GROUP_SIZE_MAX } else { GROUP_SIZE_MAX };
        let mut size = 0;
        while let Some(next) = self.filling.front() {
            size += chunk::chunk_size(next.payload.len());
            let same = self.written.last().is_none_or(|last| {
                last.place.segment == next.place.segment && size <= group_size_max
            });
            if !same {
                break;
            }
            let next = self.filling.pop_front().expect("looked at just now");
            let last = self.filling.front().map_or(self.cursor.sequence, |after| after.first - 1);
            self.cursor.number += 1;
            let ordered = |number: u64| if self.author.aside { 0 } else { number };
            let header = chunk::Header {
                place: next.place,
                recycled,
                aside: self.author.aside,
                incarnation_start: self.author.incarnation_start,
                number: ordered(self.cursor.number),
                first_sequence: ordered(next.first),
                last_sequence: ordered(last),
                durable_upto: ordered(durable),
                cluster: self.author.cluster,
                node: self.author.node,
                previous_checksum: self.cursor.checksum,
                payload_size: next.payload.len() as u32,
                salt: self.author.salt,
            };
            let buffer = self.spares.buffer(header.chunk_size());
            let (buffer, checksum) = chunk::encode(&header, &next.payload, buffer);
            self.cursor.checksum = checksum;
            let (area, offset) = (Area::Segment(next.place.segment), next.place.offset.into());
            writes.push(Operation::Write { area, offset, buffer });
            self.written.push(Written { place: next.place, payload: next.payload, last });
        }
    }

    /// The segment and the last sequence of the group that is being written.
    pub(super) fn group(&self) -> Option<(u32, u64)> {
        self.written.last().map(|last| (last.place.segment, last.last))
    }

    /// The group is durable: reads of it go to the disk from now on.
    pub(super) fn end_group(&mut self) {
        for chunk in self.written.drain(..) {
            self.pending -= chunk.payload.len();
            self.spares.keep_payload(chunk.payload);
        }
    }

    /// A chunk's write has ended: its buffer can carry another.
    pub(super) fn reuse(&mut self, buffer: Buffer) {
        self.spares.keep_buffer(buffer);
    }

    /// The payload of a record that is still in here.
    pub(super) fn read(&self, location: Location) -> Option<Bytes> {
        let written = self.written.iter().map(|chunk| (chunk.place, &chunk.payload));
        let filling = self.filling.iter().map(|chunk| (chunk.place, &chunk.payload));
        for (place, payload) in written.chain(filling) {
            if let Some(start) = within(place, payload.len(), location) {
                return payload_at(payload, start, place, location, self.packer.key());
            }
        }
        None
    }
}

/// Memory of chunks that are done with. Chunks come hundreds a second and are large: asking the allocator
/// for each means pages that the kernel has to clear.
#[derive(Debug, Default)]
struct Spares {
    payloads: Vec<Vec<u8>>,
    buffers: Vec<Buffer>,
}

impl Spares {
    /// Empty, with or without room.
    fn payload(&mut self) -> Vec<u8> {
        self.payloads.pop().unwrap_or_default()
    }

    /// A buffer of that size, with any content.
    fn buffer(&mut self, size: usize) -> Buffer {
        let spare = self.buffers.pop().and_then(|buffer| buffer.resized(size));
        spare.or_else(|| Buffer::zeroed(size.max(SPARE_SIZE_MIN)).resized(size)).expect("it fits")
    }

    fn keep_payload(&mut self, mut payload: Vec<u8>) {
        if self.payloads.len() < SPARE_COUNT_MAX && payload.capacity() <= SPARE_SIZE_MAX {
            payload.clear();
            self.payloads.push(payload);
        }
    }

    fn keep_buffer(&mut self, buffer: Buffer) {
        if self.buffers.len() < SPARE_COUNT_MAX && buffer.capacity() <= SPARE_SIZE_MAX {
            self.buffers.push(buffer);
        }
    }
}

fn record_offset(chunk: Place, start: usize) -> u32 {
    chunk.offset + (CHUNK_HEADER_SIZE + start) as u32
}

/// Where in the chunk's payload the record starts.
fn within(chunk: Place, payload_size: usize, location: Location) -> Option<usize> {
    if chunk.segment != location.segment {
        return None;
    }
    let start = location.offset.checked_sub(record_offset(chunk, 0))? as usize;
    (start < payload_size).then_some(start)
}

fn payload_at(
    payload: &[u8],
    start: usize,
    chunk: Place,
    location: Location,
    key: Option<&DataKey>,
) -> Option<Bytes> {
    let place = Place { offset: location.offset, ..chunk };
    let frame = record::decode(&payload[start..], place).ok()?;
    if frame.size != location.size as usize {
        return None;
    }
    Some(frame.open(key).ok()?.into_bytes())
}
