//! Takes chunks apart, sound or not.

use crate::Location;
use crate::format::chunk::Header;
use crate::format::{Place, record};
use crate::keys::DataKey;
use crate::limits::CHUNK_HEADER_SIZE;
use crate::record::Record;

/// Takes a chunk apart: every record whose own checksum holds and whose payload can be had. A broken one
/// says how large it was, and if it lied, no other checksum holds behind it.
pub(super) struct Found<'k> {
    key: Option<&'k DataKey>,
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

impl<'k> Found<'k> {
    /// `key` opens the chunk's records, in a folder that is encrypted.
    pub(super) fn new(header: &Header, key: Option<&'k DataKey>) -> Found<'k> {
        Found { key, count: 0, expected: header.first_sequence, missing: None }
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
                Ok(frame) => {
                    let size = frame.size;
                    let Ok(decoded) = frame.open(self.key) else {
                        start += size;
                        continue;
                    };
                    let sequence = header.first_sequence + u64::from(frame.sequence_delta);
                    let fits = self.expected <= sequence && sequence <= header.last_sequence;
                    if !(fits || header.aside) {
                        return None;
                    }
                    if self.expected < sequence {
                        self.miss(self.expected, sequence - 1);
                    }
                    self.expected = sequence + 1;
                    self.count += 1;
                    let segment = header.place.segment;
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
    key: Option<&DataKey>,
    mut each: impl FnMut(&Record<'_>, Location),
) {
    let (mut found, mut start) = (Found::new(header, key), 0);
    while let Some(next) = found.next(chunk, header, start) {
        each(&next.decoded.record(), next.location);
        start = next.end;
    }
}
