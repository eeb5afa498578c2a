//! Which segments there are, who wrote them, and when the next one must be made.

use std::collections::BTreeMap;
use std::io;

use crate::error::EngineError;

/// Invariant: at most one segment is being made, and it is the one behind all others.
#[derive(Debug)]
pub(super) struct Segments {
    /// Sizes in bytes, of those that exist.
    sizes: BTreeMap<u32, u64>,
    /// Whose records are in a segment: each one is written by a single incarnation.
    incarnations: BTreeMap<u32, u64>,
    size_new: u64,
    size_max: u64,
    making: Option<u32>,
    /// The last attempt failed for want of room.
    refused: bool,
    /// Someone found no room: try once more.
    retry: bool,
}

impl Segments {
    pub(super) fn new(
        sizes: BTreeMap<u32, u64>,
        incarnations: BTreeMap<u32, u64>,
        size_new: u64,
        size_max: u64,
    ) -> Segments {
        let (making, refused, retry) = (None, false, false);
        Segments { sizes, incarnations, size_new, size_max, making, refused, retry }
    }

    pub(super) fn exists(&self, segment: u32) -> bool {
        self.sizes.contains_key(&segment)
    }

    /// The size of a segment, or the size that it will have.
    pub(super) fn size(&self, segment: u32) -> u64 {
        self.sizes.get(&segment).copied().unwrap_or(self.size_new)
    }

    /// The least that the current segment or a new one can hold, in bytes.
    pub(super) fn size_min(&self) -> u64 {
        self.size_new
    }

    /// Whose records are in it.
    pub(super) fn incarnation(&self, segment: u32) -> Option<u64> {
        self.incarnations.get(&segment).copied()
    }

    pub(super) fn count(&self) -> u64 {
        self.sizes.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    pub(super) fn is_full(&self) -> bool {
        self.refused
    }

    /// From now on `incarnation` writes into this segment, whether it exists or is to be made.
    ///
    /// # Errors
    /// `Full`: there is no room for it.
    pub(super) fn claim(&mut self, segment: u32, incarnation: u64) -> Result<(), EngineError> {
        if !self.exists(segment) {
            if self.size_max != 0 && self.size_max < self.bytes() + self.size_new {
                self.refused = true;
                return Err(EngineError::Full { used: self.bytes(), max: self.size_max });
            }
            if self.refused {
                self.retry = true;
                return Err(EngineError::Full { used: self.bytes(), max: 0 });
            }
        }
        self.incarnations.insert(segment, incarnation);
        Ok(())
    }

    /// The segment to make now, if any, and its size; it then counts as being made. `used` bytes of
    /// `current` are taken.
    pub(super) fn make(&mut self, current: u32, used: u64) -> Option<(u32, u64)> {
        let next = self.sizes.last_key_value().map_or(1, |(&last, _)| last + 1);
        let half = next <= current || (next == current + 1 && self.size(current) < 2 * used);
        let room = self.size_max == 0 || self.bytes() + self.size_new <= self.size_max;
        let again = !self.refused || self.retry;
        if self.making.is_some() || !(half && room && again) {
            return None;
        }
        self.making = Some(next);
        self.retry = false;
        Some((next, self.size_new))
    }

    /// The segment was made, or not. Gives the error back if someone already counts on it, or if it
    /// is not one that more room would cure.
    pub(super) fn made(&mut self, segment: u32, result: io::Result<()>) -> io::Result<()> {
        assert!(self.making == Some(segment), "one segment is made at a time");
        self.making = None;
        match result {
            Ok(()) => {
                self.sizes.insert(segment, self.size_new);
                self.refused = false;
                Ok(())
            }
            Err(error) if is_full(&error) && !self.incarnations.contains_key(&segment) => {
                self.refused = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// There was no room when the engine opened.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    pub(super) fn add(&mut self, segment: u32) {
        self.sizes.insert(segment, self.size_new);
    }

    /// The segments in which a crash may have left writes that were not flushed.
    pub(super) fn newest(&self) -> impl Iterator<Item = u32> {
        self.sizes.keys().rev().take(3).copied()
    }
}

/// Whether more room would cure it.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
