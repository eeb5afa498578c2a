//! What the log keeps: records, in one order.

use crate::Location;

/// A record's place in the log's one order; 1 is the first, 0 means "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// What a record is to its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// An entry of a consensus log: `position` is its slot, `stamp` its ballot.
    Entry = 1,
    /// What a stream must not forget beside its entries; the last one counts.
    State = 2,
    /// A piece of a snapshot: `stamp[0]` names the snapshot.
    Item = 3,
    /// A value that compaction moved: `position` is its version. Aside; replay does not see it.
    Moved = 4,
    /// A piece of the index as of a checkpoint. Aside; replay fetches it by its place.
    Page = 5,
}

/// One record. The engine keeps these fields and hands them back; what they mean is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// See `RecordKind`.
    pub kind: RecordKind,
    /// Whose it is: a shard.
    pub stream: u32,
    /// Where in the stream.
    pub position: u64,
    /// A ballot (round, replica), or a snapshot's id.
    pub stamp: [u64; 2],
    /// The highest position the writer knew chosen; a hint.
    pub commit: u64,
    /// At most `RECORD_PAYLOAD_SIZE_MAX` bytes.
    pub payload: &'a [u8],
}

/// Takes what recovery finds, in the order in which it was appended.
pub trait Replay {
    /// What comes now does not begin with the log's first record: it begins with the records of a
    /// checkpoint, which take the place of all that was before. Called first, if at all.
    fn checkpoint(&mut self) {}

    /// One record, and where it can be read again. If `Engine::open` fails later, forget it.
    fn record(&mut self, record: &Record<'_>, location: Location);

    /// Records from anywhere that are to be fetched now, before the next one; asked after each.
    fn wanted(&mut self) -> Vec<Location> {
        Vec::new()
    }

    /// One of those that were wanted, in the order in which they were. One that is damaged is left
    /// out, and reported.
    fn fetched(&mut self, _record: &Record<'_>, _location: Location) {}
}
