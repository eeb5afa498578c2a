//! Every bound of the engine, with its unit. Relations between them are checked by the compiler.

use crate::batch;
use crate::disk::BLOCK_SIZE;

/// Longest key that other rooms should let in, in bytes.
pub const KEY_SIZE_MAX: usize = 4 * 1024;
/// Largest value that other rooms should let in, in bytes.
pub const VALUE_SIZE_MAX: usize = 1024 * 1024;
/// Largest payload of one record, in bytes: a value, its key, and what a batch adds to them.
pub const RECORD_PAYLOAD_SIZE_MAX: usize = VALUE_SIZE_MAX + 64 * 1024;
/// What a record adds to its payload at most, in bytes.
pub const RECORD_OVERHEAD_MAX: usize = 64;
/// What encryption adds to a record, in bytes.
pub const SEAL_TAG_SIZE: usize = 16;
/// A shorter payload is never compressed, in bytes.
pub const COMPRESSED_SIZE_MIN: usize = 256;
/// Largest chunk (what one write carries), in bytes, header and padding included.
pub const CHUNK_SIZE_MAX: usize = 2 * 1024 * 1024;
/// The chunk header, in bytes.
pub const CHUNK_HEADER_SIZE: usize = 128;
/// Chunks written together before one flush, in bytes, unless a single one is larger.
pub const GROUP_SIZE_MAX: usize = 8 * 1024 * 1024;
/// The same for what is written aside: small, so that a commit does not wait for it for long.
pub const ASIDE_GROUP_SIZE_MAX: usize = 1024 * 1024;
/// Appended aside and not yet durable, in bytes: more is refused with `EngineError::Busy`.
pub const ASIDE_PENDING_SIZE_MAX: usize = 4 * 1024 * 1024;
/// What one `Engine::scan` reads, in bytes, unless a single chunk is larger.
pub const SCAN_SIZE: usize = 256 * 1024;
/// Buffers of chunks that have been written, kept for the next ones.
pub(crate) const SPARE_COUNT_MAX: usize = 4;
/// A new buffer for a chunk has at least so much room, in bytes, so that most chunks fit into any.
pub(crate) const SPARE_SIZE_MIN: usize = 64 * 1024;
/// A larger one is given back, in bytes.
pub(crate) const SPARE_SIZE_MAX: usize = 512 * 1024;
/// Appended and not yet durable, in bytes: more is refused with `EngineError::Busy`.
pub const PENDING_SIZE_MAX: usize = 256 * 1024 * 1024;
/// Device reads in flight; more wait in the engine.
pub const READ_COUNT_MAX: usize = 64;
/// A segment, in bytes, unless the options say otherwise.
pub const SEGMENT_SIZE_DEFAULT: u64 = 64 * 1024 * 1024;
/// Smallest segment, in bytes; useful in tests only.
pub const SEGMENT_SIZE_MIN: u64 = 2 * BLOCK_SIZE as u64;
/// Largest segment, in bytes.
pub const SEGMENT_SIZE_MAX: u64 = 1024 * 1024 * 1024;
/// A node's name, in bytes.
pub const NAME_SIZE_MAX: usize = 64;
/// What recovery and inspection look at in one piece, in bytes.
pub(crate) const WINDOW_SIZE: usize = 4 * 1024 * 1024;

const _: () = {
    assert!(KEY_SIZE_MAX <= batch::KEY_SIZE_MAX);
    assert!(VALUE_SIZE_MAX <= batch::VALUE_SIZE_MAX);
    assert!(KEY_SIZE_MAX + VALUE_SIZE_MAX < RECORD_PAYLOAD_SIZE_MAX);
    let record_size_max = RECORD_PAYLOAD_SIZE_MAX + RECORD_OVERHEAD_MAX + SEAL_TAG_SIZE;
    assert!(CHUNK_HEADER_SIZE + record_size_max <= CHUNK_SIZE_MAX);
    assert!(CHUNK_SIZE_MAX.is_multiple_of(BLOCK_SIZE));
    assert!(CHUNK_SIZE_MAX <= GROUP_SIZE_MAX);
    assert!(GROUP_SIZE_MAX <= PENDING_SIZE_MAX);
    assert!(SPARE_SIZE_MIN <= SPARE_SIZE_MAX);
    assert!(SPARE_SIZE_MIN.is_multiple_of(BLOCK_SIZE));
    // The header is in the first sector: a torn write has all of it or nothing.
    assert!(CHUNK_HEADER_SIZE <= 512);
    // A chunk fits into any window that starts at its first byte.
    assert!(CHUNK_SIZE_MAX <= WINDOW_SIZE);
    assert!(CHUNK_SIZE_MAX as u64 <= SEGMENT_SIZE_DEFAULT);
    assert!(SEGMENT_SIZE_MIN <= SEGMENT_SIZE_DEFAULT && SEGMENT_SIZE_DEFAULT <= SEGMENT_SIZE_MAX);
    assert!(SEGMENT_SIZE_MAX <= u32::MAX as u64);
};
