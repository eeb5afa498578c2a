//! The bodies of peer frames, as protobuf messages written down by hand.
//!
//! A field's number is for ever; a new field gets a new number and a default that older releases meant.
//! Replica and node ids are one thing here, as they are in the core.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::consensus::{Ballot, Configuration};

/// Who speaks. A node closes a connection whose `cluster` is not its own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// The cluster both must belong to.
    #[prost(uint64, tag = "1")]
    pub cluster: u64,
    /// The speaker's id.
    #[prost(uint64, tag = "2")]
    pub node: u64,
    /// The speaker's name, for logs.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The oldest version of messages the speaker reads.
    #[prost(uint32, tag = "4")]
    pub version_min: u32,
    /// The newest.
    #[prost(uint32, tag = "5")]
    pub version_max: u32,
    /// The epoch of the speaker's placement map.
    #[prost(uint64, tag = "6")]
    pub map_epoch: u64,
    /// The name of the node that it is for; empty for any.
    #[prost(string, tag = "7")]
    pub to: String,
}

/// Work for a group's leader: commands, or one of `versions_of`, `open_session`, `placement`, `transfer`,
/// `describe` and `backup_begin`; or for a replica that holds a snapshot: `backup_next`, `backup_end`; or
/// for any replica: `value_of`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Forward {
    /// Comes back in the reply.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The keyspace's number.
    #[prost(uint32, tag = "2")]
    pub keyspace: u32,
    /// The epoch of the sender's placement map.
    #[prost(uint64, tag = "3")]
    pub map_epoch: u64,
    /// The shard all keys belong to.
    #[prost(uint32, tag = "4")]
    pub shard: u32,
    /// The sender's session with the shard; 0 for reads.
    #[prost(uint64, tag = "5")]
    pub session: u64,
    /// Numbers a write within its session.
    #[prost(uint64, tag = "6")]
    pub sequence: u64,
    /// Every write below has its answer: its saved reply may be forgotten.
    #[prost(uint64, tag = "7")]
    pub acknowledged_below: u64,
    /// A transaction is called off if one of these keys has another version by now.
    #[prost(message, repeated, tag = "8")]
    pub watches: Vec<Watch>,
    /// What to do.
    #[prost(message, repeated, tag = "9")]
    pub commands: Vec<ForwardedCommand>,
    /// All or none of `commands`; the reply is an array.
    #[prost(bool, tag = "10")]
    pub transaction: bool,
    /// Instead of commands: the reply is an array of these keys' versions.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub versions_of: Vec<Bytes>,
    /// Instead of commands: open a session with this nonce; the reply is its id.
    #[prost(uint64, optional, tag = "12")]
    pub open_session: Option<u64>,
    /// Instead of commands, in group 0: decide this change of the placement map.
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub placement: Option<Bytes>,
    /// Instead of commands: hand leadership over to this replica; 0 for whoever is best.
    #[prost(uint64, optional, tag = "14")]
    pub transfer: Option<u64>,
    /// Instead of commands: say who votes, and how far everybody is.
    #[prost(bool, tag = "15")]
    pub describe: bool,
    /// Instead of commands: take a snapshot of the shard, under this number, for a client to fetch.
    #[prost(uint64, optional, tag = "20")]
    pub backup_begin: Option<u64>,
    /// Instead of commands: the reply is a part of a snapshot, or null behind the last one.
    #[prost(message, optional, tag = "21")]
    pub backup_next: Option<BackupPart>,
    /// Instead of commands: give the snapshot of this number up.
    #[prost(uint64, optional, tag = "22")]
    pub backup_end: Option<u64>,
    /// Instead of commands, of any replica that has this key under this version: the reply is its value,
    /// or null if it is damaged there.
    #[prost(message, optional, tag = "23")]
    pub value_of: Option<Watch>,
}

/// A part of a snapshot for a backup.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BackupPart {
    /// Of the snapshot.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// 0, 1, 2, ...
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

/// What a client expects a key's version to be.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Watch {
    /// Which.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// 0: absent.
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// A command, as a client sent it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ForwardedCommand {
    /// The name first.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub arguments: Vec<Bytes>,
}

/// What became of a `Forward`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ForwardReply {
    /// Of the `Forward`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Absent: a newer release has more to say. What became of the work is then unknown.
    #[prost(oneof = "ForwardOutcome", tags = "2, 3, 4, 5, 6, 7")]
    pub outcome: Option<ForwardOutcome>,
}

/// Only after `Reply` and `Failed` may the work have been done.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ForwardOutcome {
    /// Done; the reply in RESP3.
    #[prost(bytes = "bytes", tag = "2")]
    Reply(Bytes),
    /// Ask elsewhere.
    #[prost(message, tag = "3")]
    NotLeader(NotLeader),
    /// Get a newer placement map first.
    #[prost(message, tag = "4")]
    StaleEpoch(StaleEpoch),
    /// Try again after a pause.
    #[prost(message, tag = "5")]
    Busy(Busy),
    /// Open a session first. This write was not applied now; whether it was before is unknown.
    #[prost(message, tag = "6")]
    UnknownSession(UnknownSession),
    /// It cannot be done, or nobody knows whether it was; why, for people.
    #[prost(string, tag = "7")]
    Failed(String),
}

/// See `ForwardOutcome`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct NotLeader {
    /// Who leads, as far as is known.
    #[prost(uint64, optional, tag = "1")]
    pub leader: Option<u64>,
}

/// See `ForwardOutcome`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StaleEpoch {
    /// The epoch of the responder's map.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
}

/// See `ForwardOutcome`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Busy {}

/// See `ForwardOutcome`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UnknownSession {}

/// The state of a shard follows, in chunks of this `id`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotBegin {
    /// Chosen by the sender; grows.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The epoch of the sender's placement map.
    #[prost(uint64, tag = "2")]
    pub map_epoch: u64,
    /// Which shard.
    #[prost(uint32, tag = "3")]
    pub shard: u32,
    /// The replica that sends.
    #[prost(uint64, tag = "4")]
    pub from: u64,
    /// The replica that shall install it.
    #[prost(uint64, tag = "5")]
    pub to: u64,
    /// The last slot it contains.
    #[prost(uint64, tag = "6")]
    pub slot: u64,
    /// The voters as of `slot`.
    #[prost(message, optional, tag = "7")]
    pub configuration: Option<Configuration>,
    /// What is not keys: sessions, the shard's time. What is too large for this frame is in the chunks.
    #[prost(bytes = "bytes", tag = "8")]
    pub state: Bytes,
}

/// Some keys of a shard.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotChunk {
    /// Of the `SnapshotBegin`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// 0, 1, 2, ...
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// The keys.
    #[prost(message, repeated, tag = "3")]
    pub items: Vec<SnapshotItem>,
    /// More of what is not keys: to be put behind what came before.
    #[prost(bytes = "bytes", tag = "4")]
    pub state: Bytes,
}

/// One key of a shard.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SnapshotItem {
    /// Which.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// What.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The slot that wrote it.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// Unix milliseconds, 0 for never.
    #[prost(uint64, tag = "4")]
    pub expires_at_ms: u64,
}

/// That was all of it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SnapshotEnd {
    /// Of the `SnapshotBegin`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// How many chunks there were.
    #[prost(uint64, tag = "2")]
    pub chunk_count: u64,
}

/// How far the receiver is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotAck {
    /// Of the `SnapshotBegin`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Chunks below this are taken: the sender may send some more.
    #[prost(uint64, tag = "2")]
    pub chunks_taken: u64,
    /// It is installed and durable.
    #[prost(bool, tag = "3")]
    pub installed: bool,
    /// Not empty: it was refused, and why.
    #[prost(string, tag = "4")]
    pub refused: String,
    /// Which shard.
    #[prost(uint32, tag = "5")]
    pub shard: u32,
}

/// "Which placement map do you have?"
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct MapRequest {
    /// The epoch of the asker's own.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
}

/// This one.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MapReply {
    /// Its epoch.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// The map; empty if it is not newer than the asker's.
    #[prost(bytes = "bytes", tag = "2")]
    pub placement: Bytes,
}

/// "I would like to belong to this cluster."
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Join {
    /// Comes back in the reply.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The candidate's id.
    #[prost(uint64, tag = "2")]
    pub node: u64,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Where peers reach it, `host:port`.
    #[prost(string, tag = "4")]
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    #[prost(string, tag = "5")]
    pub client_address: String,
}

/// Yes or no.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JoinReply {
    /// Of the `Join`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The epoch of `placement`.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The map with the new node in it.
    #[prost(bytes = "bytes", tag = "3")]
    pub placement: Bytes,
    /// Not empty: it was refused, and why.
    #[prost(string, tag = "4")]
    pub refused: String,
    /// Ask this node instead.
    #[prost(uint64, optional, tag = "5")]
    pub leader: Option<u64>,
    /// The lives that the answering node has met: what it knows must not end with its disk.
    #[prost(message, repeated, tag = "6")]
    pub met: Vec<MetLife>,
}

/// A life of a member that somebody has met.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetLife {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its identity.
    #[prost(uint64, tag = "2")]
    pub replica: u64,
}

/// "How are you?"
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StatusRequest {
    /// Comes back in the reply.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// Like this.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusReply {
    /// Of the `StatusRequest`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Who answers.
    #[prost(uint64, tag = "2")]
    pub node: u64,
    /// The epoch of its placement map.
    #[prost(uint64, tag = "3")]
    pub map_epoch: u64,
    /// Its shards.
    #[prost(message, repeated, tag = "4")]
    pub shards: Vec<ShardStatus>,
}

/// One replica, as it sees itself.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ShardStatus {
    /// Which shard.
    #[prost(uint32, tag = "1")]
    pub shard: u32,
    /// Who leads, as far as it knows.
    #[prost(uint64, optional, tag = "2")]
    pub leader: Option<u64>,
    /// The highest slot known chosen.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
    /// The highest slot applied.
    #[prost(uint64, tag = "4")]
    pub applied: u64,
    /// The highest ballot promised.
    #[prost(message, optional, tag = "5")]
    pub promised: Option<Ballot>,
}
