//! A record within a chunk.
//!
//! ```text
//! offset  size  field
//!      0     4  checksum        CRC-32 of the writer's incarnation (8 bytes), the segment (4), this
//!                               record's offset in it (4), and bytes 4 to the end of the record
//!      4     1  kind            1 entry, 2 state, 3 item, 4 moved, 5 page; and, since format 3,
//!                               64 for a compressed payload, 128 for an encrypted one
//!      5     …  sequence_delta  varint: this record's sequence less its chunk's first
//!      …     …  stream          varint, fits 32 bits
//!      …     …  position        varint
//!      …     …  stamp           two varints
//!      …     …  commit          varint
//!      …     …  payload_size    varint, 0..=RECORD_PAYLOAD_SIZE_MAX: as stored
//!      –, …  …  plain_size      varint, ..=RECORD_PAYLOAD_SIZE_MAX, only if compressed: as given
//!      …     …  payload         LZ4 (block format) if compressed; that, or the payload, encrypted
//!      –, … 16  tag             only if encrypted
//! ```
//!
//! A varint is LEB128 in its shortest form, at most ten bytes. The place is part of the checksum, so a
//! record that belongs elsewhere, or to an older life of the same offset, is not taken for this one.
//!
//! Encryption is AES-256-GCM; key and nonce as in `keys`. The nonce is segment (4 bytes), offset (4),
//! zeros (4). Authenticated with the payload: incarnation (8), segment (4), offset (4), and the record
//! from `kind` up to the payload. The checksum covers what is stored, so a record can be checked without
//! a key.

use std::borrow::Cow;

use bytes::Bytes;

use super::pack::{EXPANSION_MAX, Packer, expand};
use super::{Place, array_at, checksum_matches, varint};
use crate::bugs::{Bug, planted};
use crate::keys::DataKey;
use crate::limits::{
    COMPRESSED_SIZE_MIN, RECORD_OVERHEAD_MAX, RECORD_PAYLOAD_SIZE_MAX, SEAL_TAG_SIZE,
};
use crate::record::{Record, RecordKind};

const CHECKSUM_SIZE: usize = 4;
const COMPRESSED: u8 = 64;
const ENCRYPTED: u8 = 128;

const _: () = assert!(CHECKSUM_SIZE + 1 + 2 * 5 + 5 * 10 - 1 <= RECORD_OVERHEAD_MAX);
// The second size is there only if the payload has become smaller by more than it takes.
const _: () = assert!(5 < COMPRESSED_SIZE_MIN / 8);

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

/// Why a record whose checksum holds cannot be had all the same: damage like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// The bytes are as they were written, and not what this folder's key has encrypted here.
    #[error("it was not encrypted for this place with this folder's key")]
    Sealed,
    /// The folder is encrypted and the record is not, or the other way round.
    #[error("it is encrypted and the folder is not, or the other way round")]
    Mixed,
    /// What should be compressed is not.
    #[error("its compressed payload cannot be expanded")]
    Compressed,
}

/// A record as it lies on the disk: its checksum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Its payload is as stored.
    stored: Record<'a>,
    place: Place,
    /// From `kind` up to the payload.
    fields: &'a [u8],
    /// Before it was compressed, in bytes.
    pub(crate) plain_size: Option<usize>,
    /// There if the payload is encrypted.
    tag: Option<&'a [u8]>,
    /// See the table.
    pub(crate) sequence_delta: u32,
    /// Bytes, checksum and header included.
    pub(crate) size: usize,
}

/// A record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    frame: Frame<'a>,
    payload: Cow<'a, [u8]>,
}

/// How much `encode` will append at most, in bytes.
pub(crate) fn size_max(payload_size: usize, packer: &Packer) -> usize {
    payload_size + RECORD_OVERHEAD_MAX + packer.tag_size()
}

/// Appends the record to `target`.
pub(crate) fn encode(
    record: &Record<'_>,
    sequence_delta: u32,
    place: Place,
    packer: &mut Packer,
    target: &mut Vec<u8>,
) -> usize {
    assert!(record.payload.len() <= RECORD_PAYLOAD_SIZE_MAX, "checked by whoever appends");
    let start = target.len();
    let size_max = size_max(record.payload.len(), packer);
    let encrypted = if packer.key().is_some() { ENCRYPTED } else { 0 };
    let packed = packer.compress(record);
    let compressed = if packed.is_some() { COMPRESSED } else { 0 };
    let stored = packed.unwrap_or(record.payload);
    target.extend_from_slice(&[0; CHECKSUM_SIZE]);
    target.push(record.kind as u8 | compressed | encrypted);
    varint::write(u64::from(sequence_delta), target);
    varint::write(u64::from(record.stream), target);
    varint::write(record.position, target);
    varint::write(record.stamp[0], target);
    varint::write(record.stamp[1], target);
    varint::write(record.commit, target);
    varint::write(stored.len() as u64, target);
    if packed.is_some() {
        varint::write(record.payload.len() as u64, target);
    }
    let payload_start = target.len();
    target.extend_from_slice(stored);
    if let Some(key) = packer.key() {
        let (head, payload) = target.split_at_mut(payload_start);
        let tag = key.seal(place, &head[start + CHECKSUM_SIZE..], payload);
        target.extend_from_slice(&tag);
    }
    let checksum = checksum(place, &target[start + CHECKSUM_SIZE..]);
    target[start..start + CHECKSUM_SIZE].copy_from_slice(&checksum.to_le_bytes());
    let size = target.len() - start;
    assert!(size <= size_max, "the overhead has a bound");
    size
}

/// Reads the record at the start of `source`, as far as that needs no key.
pub(crate) fn decode(source: &[u8], place: Place) -> Result<Frame<'_>, RecordError> {
    if source.len() <= CHECKSUM_SIZE {
        return Err(RecordError::Field("size"));
    }
    let stored = u32::from_le_bytes(array_at(source, 0));
    let mut rest = &source[CHECKSUM_SIZE + 1..];
    let flags = source[CHECKSUM_SIZE] & (COMPRESSED | ENCRYPTED);
    let kind = match source[CHECKSUM_SIZE] & !(COMPRESSED | ENCRYPTED) {
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
    let plain_size = match flags & COMPRESSED {
        0 => None,
        _ => Some(number(&mut rest, "plain_size")? as usize),
    };
    let tag_size = if flags & ENCRYPTED == 0 { 0 } else { SEAL_TAG_SIZE };
    if RECORD_PAYLOAD_SIZE_MAX < payload_size || rest.len() < payload_size + tag_size {
        return Err(RecordError::Field("payload_size"));
    }
    if plain_size.is_some_and(|plain_size| !is_expansion(payload_size, plain_size)) {
        return Err(RecordError::Field("plain_size"));
    }
    let fields = &source[CHECKSUM_SIZE..source.len() - rest.len()];
    let (payload, rest) = rest.split_at(payload_size);
    let (tag, rest) = rest.split_at(tag_size);
    let size = source.len() - rest.len();
    if !checksum_matches(stored, checksum(place, &source[CHECKSUM_SIZE..size])) {
        return Err(RecordError::Checksum { size });
    }
    let stamp = [round, replica];
    let stored = Record { kind, stream, position, stamp, commit, payload };
    let tag = Some(tag).filter(|tag| !tag.is_empty());
    Ok(Frame { stored, place, fields, plain_size, tag, sequence_delta, size })
}

/// Whether that much can have become so little: nothing is allocated for a size that cannot be.
fn is_expansion(packed_size: usize, plain_size: usize) -> bool {
    let possible = packed_size.saturating_mul(EXPANSION_MAX);
    packed_size < plain_size && plain_size <= possible.min(RECORD_PAYLOAD_SIZE_MAX)
}

impl<'a> Frame<'a> {
    /// As it is stored: the payload may be compressed and encrypted.
    pub(crate) fn stored(&self) -> &Record<'a> {
        &self.stored
    }

    /// Whether the payload can be read with a key only.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tag.is_some()
    }

    /// What was appended. `key` is that of the record's writer, in a folder that is encrypted.
    pub(crate) fn open(self, key: Option<&DataKey>) -> Result<Decoded<'a>, OpenError> {
        let payload = match (key, self.tag) {
            (None, None) => Cow::Borrowed(self.stored.payload),
            (Some(key), Some(tag)) => {
                let opened = key.open(self.place, self.fields, self.stored.payload, tag);
                Cow::Owned(opened.ok_or(OpenError::Sealed)?)
            }
            (Some(_), None) | (None, Some(_)) => return Err(OpenError::Mixed),
        };
        let payload = match self.plain_size {
            Some(size) => Cow::Owned(expand(&payload, size).ok_or(OpenError::Compressed)?),
            None => payload,
        };
        Ok(Decoded { frame: self, payload })
    }
}

impl<'a> Decoded<'a> {
    /// What was appended.
    pub(crate) fn record(&self) -> Record<'_> {
        Record { payload: &self.payload, ..self.frame.stored }
    }

    /// The payload alone.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.payload {
            Cow::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        }
    }
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
