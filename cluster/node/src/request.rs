//! One request for one group, wherever its leader may be.

use bytes::Bytes;
use evenkeel_core::consensus::ReplicaId;
use evenkeel_wire::command::OwnedCommand;

use crate::entry::SessionStamp;

/// What a group's leader is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) group: u32,
    pub(crate) task: Task,
    /// Numbers a write, so that it can be repeated without harm. Reads have none.
    pub(crate) stamp: Option<SessionStamp>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// One command; the reply is its reply.
    Command(OwnedCommand),
    /// All of them or none; the reply is an array, or the null array if a watched key has changed.
    Transaction { commands: Vec<OwnedCommand>, watches: Vec<(Bytes, u64)> },
    /// The versions of these keys; the reply is an array of integers.
    Versions(Vec<Bytes>),
    /// Open a session; the reply is its id.
    OpenSession { nonce: u64 },
    /// Decide a change of the placement map; the reply is the map's new epoch. Group 0 only.
    Place(Bytes),
    /// Hand leadership over, to this replica or to the best one; the reply is `OK` at once.
    Transfer(Option<ReplicaId>),
    /// Who votes and how far everybody is; see `operate::Described`.
    Describe,
    /// Take a snapshot under this number; the reply is an array: who holds it, its slot, its time.
    BackupBegin { id: u64 },
    /// For its holder, whoever leads: a part of it; the reply is the part, or null behind the last.
    BackupNext { id: u64, index: u64 },
    /// For its holder: give it up; the reply is `OK`.
    BackupEnd { id: u64 },
    /// For any replica that has the key under this version: its value; the reply is null if it is damaged.
    Value { key: Bytes, version: u64 },
}

impl Task {
    /// Whether only the group's leader can do it.
    pub(crate) fn needs_leader(&self) -> bool {
        match self {
            Task::Command(_)
            | Task::Transaction { .. }
            | Task::Versions(_)
            | Task::OpenSession { .. }
            | Task::Place(_)
            | Task::Transfer(_)
            | Task::Describe
            | Task::BackupBegin { .. } => true,
            Task::BackupNext { .. } | Task::BackupEnd { .. } | Task::Value { .. } => false,
        }
    }
}

/// What a client hears of a value that nobody has.
pub(crate) const GONE: &str = "ERR the value is damaged on disk and there is no other copy: `evenkeel scrub` \
    says how many, the node's log where; write the key again, or delete it";

/// Why a request was not answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotHere {
    /// Another replica leads, as far as is known.
    Leader(Option<ReplicaId>),
    /// Whoever led may have put it into a log before it lost its office, or has not said.
    Unsure,
    /// Too much is in flight.
    Busy,
    /// The value's bytes are damaged on this node, and not every other replica has answered.
    Damaged,
    /// They are, and there is no other replica.
    Gone,
    /// The session is not known here: the write was not applied now; before, unknown.
    NoSession,
}
