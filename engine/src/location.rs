//! Where a record lies in the log.

/// A record's place: enough to read it back with one device read.
///
/// Stays true for as long as the segment is neither recycled nor compacted; the log says when that
/// happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Location {
    /// The log's segment.
    pub segment: u32,
    /// First byte of the record in the segment.
    pub offset: u32,
    /// The record's size in bytes, header included.
    pub size: u32,
}
