//! A batch: the puts and deletes that one log entry does to the keys, all of them or none.
//!
//! ```text
//! offset  size  field
//!      0     1  format         1
//!      1     …  context_size   varint, 0..=CONTEXT_SIZE_MAX
//!      …     …  context        the caller's own bytes: who asked, when, on what condition
//!      …     …  operations     one after another, to the end of the payload
//!
//! an operation:
//!      0     1  tag            0 delete, 1 put, 2 put with a deadline
//!      1     …  key_size       varint, 0..=KEY_SIZE_MAX
//!      …     …  key
//!      …     8  expires_at_ms  tag 2 only: Unix milliseconds, little-endian, never 0
//!      …     …  value_size     varint, 0..=VALUE_SIZE_MAX; tags 1 and 2 only
//!      …     …  value
//! ```
//!
//! A varint is LEB128: seven bits a byte, lowest first, the high bit says that more follow; at most
//! five bytes. Operations carry no version: a key's version is the position of the entry that wrote
//! it, and the record around the payload knows that. The record also has the size and the checksum,
//! so a batch repeats neither. Decoding checks the whole payload once; what it then hands out borrows
//! from the payload.

use std::iter::FusedIterator;

use bytes::Bytes;

/// Longest key, in bytes. The empty key is a key.
pub const KEY_SIZE_MAX: usize = 64 * 1024;
/// Largest value, in bytes.
pub const VALUE_SIZE_MAX: usize = 16 * 1024 * 1024;
/// Largest context, in bytes.
pub const CONTEXT_SIZE_MAX: usize = 16 * 1024 * 1024;
/// Most operations in one batch.
pub const OPERATION_COUNT_MAX: usize = 1 << 20;

const FORMAT: u8 = 1;
const TAG_DELETE: u8 = 0;
const TAG_PUT: u8 = 1;
const TAG_PUT_EXPIRING: u8 = 2;
/// Enough for every size above.
const VARINT_SIZE_MAX: usize = 5;

const _: () = {
    assert!(KEY_SIZE_MAX <= u32::MAX as usize);
    assert!(VALUE_SIZE_MAX <= u32::MAX as usize);
    assert!(CONTEXT_SIZE_MAX <= u32::MAX as usize);
    assert!(OPERATION_COUNT_MAX <= u32::MAX as usize);
};

/// Why a payload is not a batch. The record's checksum held, so these mean another release or a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The payload ends within a field.
    #[error("batch is cut short")]
    Torn,
    /// Written by a newer release, or not a batch at all.
    #[error("batch has format {0}, this release reads format {FORMAT}")]
    Format(u8),
    /// A field has a value that no batch of this format has.
    #[error("batch field `{0}` is out of range")]
    Field(&'static str),
}

/// One change to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// The key now has this value and this deadline, whatever it had before.
    Put {
        /// At most `KEY_SIZE_MAX` bytes.
        key: &'a [u8],
        /// At most `VALUE_SIZE_MAX` bytes.
        value: &'a [u8],
        /// Unix milliseconds, 0 for never.
        expires_at_ms: u64,
    },
    /// The key is gone, whether or not it was there.
    Delete {
        /// At most `KEY_SIZE_MAX` bytes.
        key: &'a [u8],
    },
}

/// Writes a batch into one allocation.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    operation_count: usize,
}

impl BatchBuilder {
    /// A batch without operations, with room for a small one. See `with_capacity`.
    ///
    /// # Panics
    /// `context` is larger than `CONTEXT_SIZE_MAX`.
    pub fn new(context: &[u8]) -> BatchBuilder {
        BatchBuilder::with_capacity(context, 128)
    }

    /// A batch with room for `operations_size` bytes of operations; add up `operation_size_max`.
    ///
    /// # Panics
    /// `context` is larger than `CONTEXT_SIZE_MAX`.
    pub fn with_capacity(context: &[u8], operations_size: usize) -> BatchBuilder {
        assert!(context.len() <= CONTEXT_SIZE_MAX, "contexts are small");
        let mut bytes = Vec::with_capacity(1 + VARINT_SIZE_MAX + context.len() + operations_size);
        bytes.push(FORMAT);
        push_sized(&mut bytes, context);
        BatchBuilder { bytes, operation_count: 0 }
    }

    /// Adds a put. `expires_at_ms` is Unix milliseconds, 0 for never.
    ///
    /// # Panics
    /// The key, the value or the batch is over its limit: the doors refuse such commands first.
    pub fn put(&mut self, key: &[u8], value: &[u8], expires_at_ms: u64) {
        assert!(value.len() <= VALUE_SIZE_MAX, "the doors refuse values over the limit");
        let tag = if expires_at_ms == 0 { TAG_PUT } else { TAG_PUT_EXPIRING };
        self.bytes.reserve(operation_size_max(key.len(), value.len()));
        self.start(tag, key);
        if expires_at_ms != 0 {
            self.bytes.extend_from_slice(&expires_at_ms.to_le_bytes());
        }
        push_sized(&mut self.bytes, value);
    }

    /// Adds a delete.
    ///
    /// # Panics
    /// The key or the batch is over its limit: the doors refuse such commands first.
    pub fn delete(&mut self, key: &[u8]) {
        self.start(TAG_DELETE, key);
    }

    /// How many operations were added.
    pub fn operation_count(&self) -> usize {
        self.operation_count
    }

    /// The payload so far, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The payload.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bytes)
    }

    fn start(&mut self, tag: u8, key: &[u8]) {
        assert!(key.len() <= KEY_SIZE_MAX, "the doors refuse keys over the limit");
        assert!(self.operation_count < OPERATION_COUNT_MAX, "the doors refuse such commands");
        self.operation_count += 1;
        self.bytes.push(tag);
        push_sized(&mut self.bytes, key);
    }
}

/// The most that a put of these sizes (in bytes) takes in a batch, in bytes; a delete takes less.
pub fn operation_size_max(key_size: usize, value_size: usize) -> usize {
    1 + VARINT_SIZE_MAX + key_size + 8 + VARINT_SIZE_MAX + value_size
}

/// A payload that was checked whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    context: &'a [u8],
    /// Decodes to its end without an error.
    operations: &'a [u8],
    operation_count: usize,
}

impl<'a> Batch<'a> {
    /// Checks every field. Costs a few nanoseconds an operation and no allocation.
    ///
    /// # Errors
    /// The payload is not a batch of this format.
    pub fn decode(payload: &'a [u8]) -> Result<Batch<'a>, BatchError> {
        let (&format, mut rest) = payload.split_first().ok_or(BatchError::Torn)?;
        if format != FORMAT {
            return Err(BatchError::Format(format));
        }
        let context = take_sized(&mut rest, "context_size", CONTEXT_SIZE_MAX)?;
        let operations = rest;
        let mut operation_count = 0;
        while !rest.is_empty() {
            if operation_count == OPERATION_COUNT_MAX {
                return Err(BatchError::Field("operations"));
            }
            take_operation(&mut rest)?;
            operation_count += 1;
        }
        Ok(Batch { context, operations, operation_count })
    }

    /// The caller's own bytes.
    pub fn context(&self) -> &'a [u8] {
        self.context
    }

    /// How many operations there are.
    pub fn operation_count(&self) -> usize {
        self.operation_count
    }

    /// All operations, in the order in which they happen.
    pub fn operations(&self) -> Operations<'a> {
        Operations { rest: self.operations, left: self.operation_count }
    }

    /// The operation at `index`, from 0; walks there.
    pub fn operation(&self, index: u32) -> Option<Operation<'a>> {
        self.operations().nth(index as usize)
    }
}

/// Walks a batch.
#[derive(Debug, Clone)]
pub struct Operations<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Operations<'a> {
    type Item = Operation<'a>;

    fn next(&mut self) -> Option<Operation<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(take_operation(&mut self.rest).expect("`Batch::decode` checked all of it"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Operations<'_> {}
impl FusedIterator for Operations<'_> {}

fn take_operation<'a>(rest: &mut &'a [u8]) -> Result<Operation<'a>, BatchError> {
    let [tag] = *take(rest, 1)? else { unreachable!("took one byte") };
    if TAG_PUT_EXPIRING < tag {
        return Err(BatchError::Field("tag"));
    }
    let key = take_sized(rest, "key_size", KEY_SIZE_MAX)?;
    if tag == TAG_DELETE {
        return Ok(Operation::Delete { key });
    }
    let mut expires_at_ms = 0;
    if tag == TAG_PUT_EXPIRING {
        let bytes = take(rest, 8)?.first_chunk().expect("took eight bytes");
        expires_at_ms = u64::from_le_bytes(*bytes);
        if expires_at_ms == 0 {
            return Err(BatchError::Field("expires_at_ms"));
        }
    }
    let value = take_sized(rest, "value_size", VALUE_SIZE_MAX)?;
    Ok(Operation::Put { key, value, expires_at_ms })
}

fn take_sized<'a>(
    rest: &mut &'a [u8],
    field: &'static str,
    size_max: usize,
) -> Result<&'a [u8], BatchError> {
    let size = take_varint(rest, field)?;
    if size_max < size {
        return Err(BatchError::Field(field));
    }
    take(rest, size)
}

fn take_varint(rest: &mut &[u8], field: &'static str) -> Result<usize, BatchError> {
    let mut value = 0u64;
    for index in 0..VARINT_SIZE_MAX {
        let [byte] = *take(rest, 1)? else { unreachable!("took one byte") };
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| BatchError::Field(field));
        }
    }
    Err(BatchError::Field(field))
}

fn take<'a>(rest: &mut &'a [u8], size: usize) -> Result<&'a [u8], BatchError> {
    let (taken, after) = rest.split_at_checked(size).ok_or(BatchError::Torn)?;
    *rest = after;
    Ok(taken)
}

fn push_sized(bytes: &mut Vec<u8>, content: &[u8]) {
    let mut size = content.len();
    while 0x7f < size {
        bytes.push(size as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests;
