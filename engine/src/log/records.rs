//! Takes chunks apart, sound or not.

use crate::Location;
use crate::format::chunk::Header;
use crate::format::{Place, record};
use crate::limits::CHUNK_HEADER_SIZE;

/// Takes a chunk apart: every record whose own checksum holds. A broken one says how large it was, and
/// if it lied, no other checksum holds behind it.
pub(super) struct Found {
    pub(super) count: u64,
    /// The sequence that comes next.
    expected: u64,
    /// First and last sequence of what is not among them.
    pub(super) missing: Option<(u64, u64)>,
}

/// One record, and where in the payload the next one begins.
pub(super) struct Taken<'a> {
    pub(super) decoded: record::Decoded<'a>,
    pub(super) location: Location,
    pub(super) end: usize,
}

impl Found {
    pub(super) fn new(header: &Header) -> Found {
        Found { count: 0, expected: header.first_sequence, missing: None }
    }

    /// The first sound record from `start` of the payload on.
    pub(super) fn next<'a>(
        &mut self,
        chunk: &'a [u8],
        header: &Header,
        mut start: usize,
    ) -> Option<Taken<'a>> {
        let payload_size = header.payload_size as usize;
        let payload = &chunk[CHUNK_HEADER_SIZE..CHUNK_HEADER_SIZE + payload_size];
        while start < payload_size {
            let offset = header.place.offset + (CHUNK_HEADER_SIZE + start) as u32;
            match record::decode(&payload[start..], Place { offset, ..header.place }) {
                Ok(decoded) => {
                    let sequence = header.first_sequence + u64::from(decoded.sequence_delta);
                    let fits = self.expected <= sequence && sequence <= header.last_sequence;
                    if !(fits || header.aside) {
                        return None;
                    }
                    if self.expected < sequence {
                        self.miss(self.expected, sequence - 1);
                    }
                    self.expected = sequence + 1;
                    self.count += 1;
                    let (segment, size) = (header.place.segment, decoded.size);
                    let location = Location { segment, offset, size: size as u32 };
                    return Some(Taken { decoded, location, end: start + size });
                }
                Err(record::RecordError::Checksum { size }) => start += size,
                Err(record::RecordError::Field(_)) => return None,
            }
        }
        None
    }

    pub(super) fn end(&mut self, header: &Header) {
        if self.expected <= header.last_sequence {
            self.miss(self.expected, header.last_sequence);
        }
    }

    fn miss(&mut self, first: u64, last: u64) {
        let start = self.missing.map_or(first, |(start, _)| start);
        self.missing = Some((start, last));
    }
}

/// Hands out every sound record of a chunk.
pub(super) fn records_of(
    chunk: &[u8],
    header: &Header,
    mut each: impl FnMut(&record::Decoded<'_>, Location),
) {
    let (mut found, mut start) = (Found::new(header), 0);
    while let Some(next) = found.next(chunk, header, start) {
        each(&next.decoded, next.location);
        start = next.end;
    }
}
