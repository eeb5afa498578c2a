//! What the door sees of a node: requests in, replies out, and what there is to tell about the cluster.

use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use evenkeel_wire::reply::Reply;

pub use crate::order::Order;
pub use evenkeel_core::placement::slots;

/// The keyspace that `SELECT 0` means: replicated, strong, durable.
pub const KEYSPACE_DEFAULT: u8 = 0;
/// The keyspace that `SELECT 1` means: in this node's memory, not replicated, not durable.
pub const KEYSPACE_CACHE: u8 = 1;
/// The names of the keyspaces, by number.
pub const KEYSPACE_NAMES: [&str; 2] = ["default", "cache"];

/// A reply that is not there yet. It borrows nothing and may be dropped: the request goes on, and only
/// its reply is lost.
pub type PendingReply = Pin<Box<dyn Future<Output = Reply>>>;

/// What became of a request so far.
pub enum Execution {
    /// Answered.
    Done(Reply),
    /// Under way; later commands of the same connection may start meanwhile.
    Pending(PendingReply),
}

/// A key that commands are about to name: see `Node::warm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hint {
    pub(crate) keyspace: u8,
    pub(crate) hint: evenkeel_engine::store::Hint,
}

/// A key as `WATCH` saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The keyspace's number.
    pub keyspace: u8,
    /// The key.
    pub key: Bytes,
    /// Its version then; of an absent key, since when at the earliest.
    pub version: u64,
}

/// Who serves what, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The placement map's epoch.
    pub epoch: u64,
    /// Grows whenever anything in here changes, leaders included: a key for cached replies.
    pub generation: u64,
    /// This node's place in `members`.
    pub me: usize,
    /// The cluster's members, by name.
    pub members: Vec<TopologyMember>,
    /// The shards, by number.
    pub shards: Vec<TopologyShard>,
    /// Whether clients should follow the leaders themselves (`cluster_enabled`).
    pub redirect: bool,
}

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyMember {
    /// Its name.
    pub name: String,
    /// Forty hexadecimal digits, as cluster clients expect.
    pub id: String,
    /// Where clients reach it.
    pub client_address: SocketAddr,
    /// Where peers reach it.
    pub peer_address: SocketAddr,
    /// Whether this node has heard from it lately; always true of itself.
    pub connected: bool,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyShard {
    /// The hash slots it owns.
    pub slots: Range<u16>,
    /// Its leader's place in `members`, if known.
    pub leader: Option<usize>,
    /// Its voters' places in `members`.
    pub voters: Vec<usize>,
}

/// What an operator may ask for. Nodes go by their names, shards by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Who votes on each shard, who leads it, and who is on the way.
    Shards,
    /// Another leader for a shard: this node, or the best one. Done when it leads.
    Transfer {
        /// Which shard.
        shard: u16,
        /// Whom; `None` for whoever is best.
        to: Option<String>,
    },
    /// These voters for a shard. Done when it is decided; then they change one by one.
    Move {
        /// Which shard.
        shard: u16,
        /// All of them.
        voters: Vec<String>,
    },
    /// Every vote of a node goes to another one, and so does its leadership.
    Drain {
        /// Which node.
        node: String,
    },
    /// Votes spread evenly.
    Balance {
        /// Over all nodes but these.
        without: Vec<String>,
    },
    /// A node of this name may join. Done when that is decided; it joins when it is started.
    Join {
        /// Its name.
        node: String,
    },
    /// A node without votes goes for good. Done when it is decided.
    Remove {
        /// Which node.
        node: String,
    },
    /// Who is in the cluster, and who is expected.
    Nodes,
    /// How far the node that is asked has read its disk, and what it found.
    Scrub {
        /// A pass is to begin.
        begin: bool,
    },
    /// Take a snapshot of a shard, for a client to fetch in parts.
    SnapshotBegin {
        /// Which shard.
        shard: u16,
    },
    /// One part of it.
    SnapshotNext {
        /// From `SnapshotBegun`.
        token: String,
        /// Parts count from 0.
        index: u64,
    },
    /// It is not wanted any more.
    SnapshotEnd {
        /// From `SnapshotBegun`.
        token: String,
    },
}

/// What came of an `Operation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operated {
    /// It is done.
    Done,
    /// It is decided, and under way.
    Decided(Decided),
    /// The answer to `Operation::Shards`, by number.
    Shards(Vec<ShardState>),
    /// It is decided, by the map of this epoch.
    Epoch(u64),
    /// The answer to `Operation::Nodes`, by name.
    Nodes(Vec<NodeState>),
    /// The answer to `Operation::Scrub`.
    Scrub(ScrubStatus),
    /// The answer to `Operation::SnapshotBegin`.
    Begun(SnapshotBegun),
    /// The answer to `Operation::SnapshotNext`, as `evenkeel_wire::backup` has it; `None`: that was all.
    Part(Option<Bytes>),
}

/// A node of the cluster, or the name of one that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Who and where it is; `None` while it is expected.
    pub place: Option<NodePlace>,
    /// Whether the node that was asked has heard from it lately.
    pub is_connected: bool,
    /// On how many shards it should vote.
    pub votes: usize,
}

/// Who a node is, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePlace {
    /// Its identity; another one after it has lost its disk.
    pub replica: u64,
    /// Where its peers reach it.
    pub peer_address: SocketAddr,
    /// Where clients reach it.
    pub client_address: SocketAddr,
}

/// A snapshot of a shard that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotBegun {
    /// Names it, to any node of the cluster.
    pub token: String,
    /// Which shard.
    pub shard: u16,
    /// The slot of the shard's log that it is as of.
    pub position: u64,
    /// What had expired by then is not in it: Unix milliseconds.
    pub taken_ms: u64,
    /// The cluster's number.
    pub cluster: u64,
    /// The epoch of the placement map.
    pub epoch: u64,
    /// How many shards there are.
    pub shard_count: u32,
}

/// A change of voters that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decided {
    /// The map's epoch from which on it holds.
    pub epoch: u64,
    /// The shards that change, each with its voters to be.
    pub shards: Vec<(u16, Vec<String>)>,
    /// Copies of shards that have to be made.
    pub votes_moved: usize,
    /// Fewer than this cannot be enough.
    pub lower_bound: usize,
    /// Shards that should change and cannot: no node without a vote is there to take one.
    pub stuck: Vec<u16>,
}

/// One shard, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardState {
    /// Its number.
    pub shard: u16,
    /// Its leader, if one answered. Without one, `voters`, `learner` and `lag_max` are empty.
    pub leader: Option<String>,
    /// Who should vote.
    pub voters_wanted: Vec<String>,
    /// Who votes.
    pub voters: Vec<String>,
    /// Who is about to, and catches up.
    pub learner: Option<String>,
    /// How many slots the one that is furthest behind lacks.
    pub lag_max: u64,
}

impl ShardState {
    /// Whether those vote who should, under a leader.
    pub fn is_settled(&self) -> bool {
        self.leader.is_some() && self.voters == self.voters_wanted
    }
}

/// Everything about a node that a person or a metric may ask for. Sizes are bytes, times microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeStatus {
    /// The node's name.
    pub name: String,
    /// Forty hexadecimal digits.
    pub id: String,
    /// Since the node started.
    pub uptime_us: u64,
    /// How many shards this node leads.
    pub shards_led: usize,
    /// How many shards there are.
    pub shard_count: usize,
    /// How many shards have a leader that this node knows of.
    pub shards_with_leader: usize,
    /// How many slots this node knows chosen but has not applied, and a leader's followers lack, at most.
    pub lag_max: u64,
    /// Elections won or lost by this node.
    pub leader_changes: u64,
    /// Per keyspace, by number.
    pub keyspaces: Vec<KeyspaceStatus>,
    /// Bytes in the log.
    pub log_bytes: u64,
    /// Segments in the log.
    pub log_segments: u64,
    /// Of these, files that wait to be written again.
    pub log_segments_free: u64,
    /// Bytes of the log that the index refers to.
    pub log_live_bytes: u64,
    /// Bytes that can still be written to the log; `u64::MAX` if nothing is known to limit them.
    pub log_room_bytes: u64,
    /// Bytes that compaction has copied since the start.
    pub compaction_bytes: u64,
    /// Checkpoints that took effect since the start.
    pub checkpoints: u64,
    /// Bytes that they have written of the index.
    pub checkpoint_bytes: u64,
    /// Writes refused since the start because the disk is full.
    pub full_refusals: u64,
    /// Flushes since the start.
    pub flushes: u64,
    /// Reads from the device since the start, recovery excepted.
    pub device_reads: u64,
    /// Bytes of payloads appended to the log since the start, as they were given.
    pub log_payload_bytes: u64,
    /// The same as they are stored: less, if some are compressed.
    pub log_stored_bytes: u64,
    /// Payloads that are stored compressed.
    pub log_compressed: u64,
    /// Payloads that were compressed in vain.
    pub log_compressed_in_vain: u64,
    /// The root key that opens the data directory; empty if it is not encrypted.
    pub log_encryption_key: String,
    /// Which I/O backend serves the disk.
    pub disk_backend: String,
    /// Writes proposed by this node since the start.
    pub proposals: u64,
    /// Requests this node sent on to another.
    pub forwarded: u64,
    /// Writes of this node's clients that are numbered and not answered yet.
    pub writes_awaited: usize,
    /// Snapshots for backups that are fetched from this node now, and hold segments of the log.
    pub snapshots_held: usize,
    /// Reads of values whose bytes are damaged, since the start.
    pub damaged_reads: u64,
    /// What scrubbing has done and found.
    pub scrub: ScrubStatus,
}

/// What scrubbing has done and found, since the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubStatus {
    /// A pass is under way.
    pub is_running: bool,
    /// Bytes that it has read, or the last one did.
    pub bytes_read: u64,
    /// Of so many, about.
    pub bytes: u64,
    /// Passes that came to their end.
    pub passes: u64,
    /// When the last one did: Unix milliseconds, 0 for never.
    pub ended_ms: u64,
    /// Passes that somebody has asked for.
    pub asked: u64,
    /// Of these, so many are over.
    pub answered: u64,
    /// Values whose bytes were damaged.
    pub damaged: u64,
    /// Of these, so many came from memory or from other nodes and have a new place.
    pub mended: u64,
    /// Values that nobody could give back so far, now.
    pub left: u64,
    /// Checkpoints taken to pass damage that a restart would have met.
    pub detours: u64,
}

/// One keyspace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyspaceStatus {
    /// Its name.
    pub name: String,
    /// Keys on this node, replicas included.
    pub keys: u64,
    /// Those among them that will expire.
    pub volatile_keys: u64,
    /// Memory in use.
    pub bytes_used: u64,
    /// The budget.
    pub bytes_max: u64,
    /// Who has to go when it is full, as the configuration names it.
    pub eviction: &'static str,
    /// Lookups that found their key.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Keys (or, where the log has them, values) that made room for others.
    pub evicted: u64,
    /// Keys removed because their time was over.
    pub expired: u64,
    /// How long after their deadlines: half of them at most so late, 99 of 100, all; milliseconds. In
    /// `default` it is the time until the removal was proposed.
    pub expiry_lag_ms: [u64; 3],
}
