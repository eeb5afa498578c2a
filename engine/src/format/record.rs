//! A record within a chunk.
//!
//! ```text
//! offset  size  field
//!      0     4  checksum        CRC-32 of the writer's incarnation (8 bytes), the segment (4), this
//!                               record's offset in it (4), and bytes 4 to the end of the record
//!      4     1  kind            1 entry, 2 state, 3 item, 4 moved, 5 page
//!      5     …  sequence_delta  varint: this record's sequence less its chunk's first
//!      …     …  stream          varint, fits 32 bits
//!      …     …  position        varint
//!      …     …  stamp           two varints
//!      …     …  commit          varint
//!      …     …  payload_size    varint, 0..=RECORD_PAYLOAD_SIZE_MAX
//!      …     …  payload
//! ```
//!
//! A varint is LEB128 in its shortest form, at most ten bytes. The place is part of the checksum, so a
//! record that belongs elsewhere, or to an older life of the same offset, is not taken for this one.

use super::{Place, array_at, checksum_matches, varint};
use crate::bugs::{Bug, planted};
use crate::limits::{RECORD_OVERHEAD_MAX, RECORD_PAYLOAD_SIZE_MAX};
use crate::record::{Record, RecordKind};

const CHECKSUM_SIZE: usize = 4;

const _: () = assert!(CHECKSUM_SIZE + 1 + 2 * 5 + 5 * 10 - 1 <= RECORD_OVERHEAD_MAX);

/// Why bytes are not the record that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Cut short, or a field that no writer writes.
    #[error("field `{0}` is out of range")]
    Field(&'static str),
    /// The frame makes sense, its bytes are not the ones that were written here.
    #[error("checksum does not match")]
    Checksum {
        /// How large the record says it is; a guess.
        size: usize,
    },
}

/// A record read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    /// What was appended.
    pub(crate) record: Record<'a>,
    /// See the table.
    pub(crate) sequence_delta: u32,
    /// Bytes, checksum and header included.
    pub(crate) size: usize,
}

/// How much `encode` will append, in bytes.
pub(crate) fn size_max(payload_size: usize) -> usize {
    payload_size + RECORD_OVERHEAD_MAX
}

/// Appends the record to `target`.
pub(crate) fn encode(
    record: &Record<'_>,
    sequence_delta: u32,
    place: Place,
    target: &mut Vec<u8>,
) -> usize {
    assert!(record.payload.len() <= RECORD_PAYLOAD_SIZE_MAX, "checked by whoever appends");
    let start = target.len();
    target.extend_from_slice(&[0; CHECKSUM_SIZE]);
    target.push(record.kind as u8);
    varint::write(u64::from(sequence_delta), target);
    varint::write(u64::from(record.stream), target);
    varint::write(record.position, target);
    varint::write(record.stamp[0], target);
    varint::write(record.stamp[1], target);
    varint::write(record.commit, target);
    varint::write(record.payload.len() as u64, target);
    target.extend_from_slice(record.payload);
    let checksum = checksum(place, &target[start + CHECKSUM_SIZE..]);
    target[start..start + CHECKSUM_SIZE].copy_from_slice(&checksum.to_le_bytes());
    let size = target.len() - start;
    assert!(size <= size_max(record.payload.len()), "the overhead has a bound");
    size
}

/// Reads the record at the start of `source`.
pub(crate) fn decode(source: &[u8], place: Place) -> Result<Decoded<'_>, RecordError> {
    if source.len() <= CHECKSUM_SIZE {
        return Err(RecordError::Field("size"));
    }
    let stored = u32::from_le_bytes(array_at(source, 0));
    let mut rest = &source[CHECKSUM_SIZE + 1..];
    let kind = match source[CHECKSUM_SIZE] {
        1 => RecordKind::Entry,
        2 => RecordKind::State,
        3 => RecordKind::Item,
        4 => RecordKind::Moved,
        5 => RecordKind::Page,
        _ => return Err(RecordError::Field("kind")),
    };
    let sequence_delta = number(&mut rest, "sequence_delta")?;
    let stream = number(&mut rest, "stream")?;
    let position = varint::read(&mut rest).ok_or(RecordError::Field("position"))?;
    let round = varint::read(&mut rest).ok_or(RecordError::Field("stamp"))?;
    let replica = varint::read(&mut rest).ok_or(RecordError::Field("stamp"))?;
    let commit = varint::read(&mut rest).ok_or(RecordError::Field("commit"))?;
    let payload_size = number(&mut rest, "payload_size")? as usize;
    if RECORD_PAYLOAD_SIZE_MAX < payload_size || rest.len() < payload_size {
        return Err(RecordError::Field("payload_size"));
    }
    let payload = &rest[..payload_size];
    let size = source.len() - rest.len() + payload_size;
    if !checksum_matches(stored, checksum(place, &source[CHECKSUM_SIZE..size])) {
        return Err(RecordError::Checksum { size });
    }
    let stamp = [round, replica];
    let record = Record { kind, stream, position, stamp, commit, payload };
    Ok(Decoded { record, sequence_delta, size })
}

fn number(source: &mut &[u8], field: &'static str) -> Result<u32, RecordError> {
    let value = varint::read(source).ok_or(RecordError::Field(field))?;
    u32::try_from(value).map_err(|_| RecordError::Field(field))
}

fn checksum(place: Place, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    if !planted(Bug::StaleBlockAccepted) {
        hasher.update(&place.incarnation.to_le_bytes());
        hasher.update(&place.segment.to_le_bytes());
        hasher.update(&place.offset.to_le_bytes());
    }
    hasher.update(body);
    hasher.finalize()
}
