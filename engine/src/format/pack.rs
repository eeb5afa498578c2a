//! What becomes of a payload on its way to the disk: compressed, if that is worth it, then encrypted.
//!
//! Invariant: a payload is stored compressed only if it has at least `COMPRESSED_SIZE_MIN` bytes and
//! becomes smaller by an eighth or more.
//!
//! LZ4 in its block format (no frame, no size: the record has both sizes). Data that does not compress
//! is mostly like the data before it, so after some failures in a row only every so many-th payload is
//! tried, until one succeeds again.

use std::rc::Rc;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use crate::batch::Batch;
use crate::keys::DataKey;
use crate::limits::{COMPRESSED_SIZE_MIN, SEAL_TAG_SIZE};
use crate::record::{Record, RecordKind};

/// So many failures in a row, and most payloads are not tried any more.
const FAILURE_COUNT_MAX: u32 = 4;
/// Of those, one in so many still is.
const TRIED_ONE_IN: u32 = 16;
/// What one byte of LZ4 makes at most, in bytes: a run is lengthened by 255 for each.
pub(crate) const EXPANSION_MAX: usize = 255;

/// Packs payloads, one after another.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    compressor: Option<Compressor>,
    key: Option<Rc<DataKey>>,
    pub(crate) counts: Counts,
}

/// What was packed, in bytes of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// As they were given.
    pub(crate) given: u64,
    /// As they are stored.
    pub(crate) stored: u64,
    /// How many are stored compressed.
    pub(crate) compressed: u64,
    /// How many were compressed in vain.
    pub(crate) futile: u64,
}

impl Packer {
    pub(crate) fn new(compress: bool, key: Option<Rc<DataKey>>) -> Packer {
        let compressor = compress.then(Compressor::default);
        Packer { compressor, key, counts: Counts::default() }
    }

    /// What encrypts, if anything does.
    pub(crate) fn key(&self) -> Option<&DataKey> {
        self.key.as_deref()
    }

    /// What encryption adds to a record, in bytes.
    pub(crate) fn tag_size(&self) -> usize {
        if self.key.is_some() { SEAL_TAG_SIZE } else { 0 }
    }

    /// The record's payload compressed, if that is how it is to be stored.
    pub(crate) fn compress(&mut self, record: &Record<'_>) -> Option<&[u8]> {
        let payload = record.payload;
        self.counts.given += payload.len() as u64;
        let packed = self.compressor.as_mut().filter(|_| is_worth_a_try(record));
        let packed = packed.and_then(|compressor| compressor.compress(payload, &mut self.counts));
        self.counts.stored += packed.map_or(payload.len(), <[u8]>::len) as u64;
        packed
    }
}

/// Long enough, and not several values in one: the index tells by a record's size what of a segment is
/// still needed (`store::census`), and that of several values says little about one of them.
fn is_worth_a_try(record: &Record<'_>) -> bool {
    if record.payload.len() < COMPRESSED_SIZE_MIN {
        return false;
    }
    match record.kind {
        RecordKind::State | RecordKind::Page => true,
        RecordKind::Entry | RecordKind::Item | RecordKind::Moved => {
            Batch::decode(record.payload).map_or(true, |batch| batch.operation_count() <= 1)
        }
    }
}

#[derive(Default)]
struct Compressor {
    /// For up to 64 KiB: what has to be cleared before each use is half the size.
    small: CompressTable,
    large: Option<CompressTable>,
    buffer: Vec<u8>,
    /// In a row.
    failures: u32,
    /// Not to be tried.
    passed: u32,
}

impl Compressor {
    fn compress(&mut self, payload: &[u8], counts: &mut Counts) -> Option<&[u8]> {
        if FAILURE_COUNT_MAX <= self.failures && self.passed + 1 < TRIED_ONE_IN {
            self.passed += 1;
            return None;
        }
        self.passed = 0;
        let size_max = get_maximum_output_size(payload.len());
        if self.buffer.len() < size_max {
            self.buffer.resize(size_max, 0);
        }
        let table = match payload.len() < usize::from(u16::MAX) {
            true => &mut self.small,
            false => self.large.get_or_insert_with(CompressTable::large),
        };
        let size = compress_into_with_table(payload, &mut self.buffer, table);
        let size = size.expect("the buffer has the size that this never exceeds");
        if payload.len() - payload.len() / 8 < size {
            self.failures = self.failures.saturating_add(1);
            counts.futile += 1;
            return None;
        }
        self.failures = 0;
        counts.compressed += 1;
        Some(&self.buffer[..size])
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Compressor({} failures)", self.failures)
    }
}

/// `None`: these bytes are not what compresses to `plain_size`. Allocates that much and no more; the
/// caller has checked it against the limits.
pub(crate) fn expand(packed: &[u8], plain_size: usize) -> Option<Vec<u8>> {
    let mut plain = vec![0; plain_size];
    let size = decompress_into(packed, &mut plain).ok()?;
    (size == plain_size).then_some(plain)
}

#[cfg(test)]
mod tests;
