//! What a node counts.

use std::cell::Cell;

/// Counters since the node started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Leaderships of this node won or lost.
    pub(crate) leader_changes: Cell<u64>,
    /// Changes of any group's role or known leader.
    pub(crate) role_changes: Cell<u64>,
    pub(crate) proposals: Cell<u64>,
    pub(crate) forwarded: Cell<u64>,
    pub(crate) retried: Cell<u64>,
    pub(crate) snapshots_sent: Cell<u64>,
    pub(crate) snapshots_installed: Cell<u64>,
    pub(crate) damaged_reads: Cell<u64>,
    /// Bytes of values (and pages) that compaction copied.
    pub(crate) moved_bytes: Cell<u64>,
    /// Bytes of pages that checkpoints wrote.
    pub(crate) page_bytes: Cell<u64>,
    /// Writes refused for want of room.
    pub(crate) full_refusals: Cell<u64>,
}

/// Adds one.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
