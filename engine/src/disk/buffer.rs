//! An aligned buffer, without `unsafe`: allocate a block more than asked and start at the boundary.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::BLOCK_SIZE;

/// Owned bytes whose address and size are multiples of `BLOCK_SIZE`, as `O_DIRECT` wants them.
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    size: usize,
}

impl Buffer {
    /// `size` zero bytes; `size` is a multiple of `BLOCK_SIZE` and not zero.
    pub fn zeroed(size: usize) -> Buffer {
        assert!(size > 0, "a buffer holds something");
        assert!(size.is_multiple_of(BLOCK_SIZE), "buffers are whole blocks");
        let bytes = vec![0; size + BLOCK_SIZE];
        let start = bytes.as_ptr().align_offset(BLOCK_SIZE);
        assert!(start <= BLOCK_SIZE, "a byte pointer can always be aligned");
        Buffer { bytes, start, size }
    }

    /// The same memory as a buffer of `size` bytes, whatever they are; `None` if it is too small.
    pub(crate) fn resized(mut self, size: usize) -> Option<Buffer> {
        assert!(size > 0, "a buffer holds something");
        assert!(size.is_multiple_of(BLOCK_SIZE), "buffers are whole blocks");
        self.size = size;
        (size <= self.capacity()).then_some(self)
    }

    /// How large it can become, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len() - BLOCK_SIZE
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.size]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.size]
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} bytes)", self.size)
    }
}
