//! What consensus cores say to each other: the core's types as protobuf messages, without knowing them.
//! The node translates.

use alloc::vec::Vec;

use bytes::Bytes;

/// Messages of any number of shards, in the order they were sent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConsensusBatch {
    /// The epoch of the sender's placement map.
    #[prost(uint64, tag = "1")]
    pub map_epoch: u64,
    /// What it says.
    #[prost(message, repeated, tag = "2")]
    pub messages: Vec<Envelope>,
}

/// One message of one shard.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// The shard.
    #[prost(uint32, tag = "1")]
    pub shard: u32,
    /// The replica that sends.
    #[prost(uint64, tag = "2")]
    pub from: u64,
    /// The replica that shall receive.
    #[prost(uint64, tag = "3")]
    pub to: u64,
    /// Always there, unless a newer release invented a kind.
    #[prost(oneof = "ConsensusMessage", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20")]
    pub message: Option<ConsensusMessage>,
}

/// As in `evenkeel_core::consensus::Message`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ConsensusMessage {
    /// Would you promise?
    #[prost(message, tag = "10")]
    PrePrepare(PrePrepare),
    /// I would, or not.
    #[prost(message, tag = "11")]
    PrePromise(PrePromise),
    /// Phase 1a.
    #[prost(message, tag = "12")]
    Prepare(Prepare),
    /// Phase 1b.
    #[prost(message, tag = "13")]
    Promise(Promise),
    /// A higher ballot is promised.
    #[prost(message, tag = "14")]
    Reject(Reject),
    /// Phase 2a.
    #[prost(message, tag = "15")]
    Accept(Accept),
    /// Phase 2b.
    #[prost(message, tag = "16")]
    Accepted(Accepted),
    /// Something before is missing.
    #[prost(message, tag = "17")]
    Gap(Gap),
    /// The leader lives.
    #[prost(message, tag = "18")]
    Heartbeat(Heartbeat),
    /// It was heard.
    #[prost(message, tag = "19")]
    HeartbeatOk(HeartbeatOk),
    /// Stand for election.
    #[prost(message, tag = "20")]
    TakeOver(TakeOver),
}

/// Who leads, and since when.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Ballot {
    /// Grows with every election.
    #[prost(uint64, tag = "1")]
    pub round: u64,
    /// Who may lead in it.
    #[prost(uint64, tag = "2")]
    pub replica: u64,
}

/// What a slot holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// Absent: a no-op.
    #[prost(oneof = "PayloadKind", tags = "1, 2")]
    pub kind: Option<PayloadKind>,
}

/// What a slot holds, if it holds something.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum PayloadKind {
    /// Bytes for the state machine.
    #[prost(bytes = "bytes", tag = "1")]
    Application(Bytes),
    /// New voters.
    #[prost(message, tag = "2")]
    Configuration(Configuration),
}

/// Who votes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Configuration {
    /// Sorted, without duplicates; a receiver must check that there is one.
    #[prost(uint64, repeated, tag = "1")]
    pub voters: Vec<u64>,
}

/// A value accepted at a slot.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Where.
    #[prost(uint64, tag = "1")]
    pub slot: u64,
    /// When; absent means zero.
    #[prost(message, optional, tag = "2")]
    pub ballot: Option<Ballot>,
    /// What; absent means a no-op.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PrePrepare {
    /// The ballot the sender would use.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// The highest slot accepted.
    #[prost(uint64, tag = "2")]
    pub last: u64,
    /// The highest slot known chosen.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
    /// The leader asked for it.
    #[prost(bool, tag = "4")]
    pub transfer: bool,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PrePromise {
    /// As asked.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// Yes or no.
    #[prost(bool, tag = "2")]
    pub granted: bool,
    /// What to exceed.
    #[prost(message, optional, tag = "3")]
    pub promised: Option<Ballot>,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Prepare {
    /// The ballot asked for.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// The first slot to report.
    #[prost(uint64, tag = "2")]
    pub from: u64,
    /// The leader asked for it.
    #[prost(bool, tag = "3")]
    pub transfer: bool,
}

/// See the core.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Promise {
    /// The ballot promised.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// What was accepted.
    #[prost(message, repeated, tag = "2")]
    pub accepted: Vec<Entry>,
    /// The highest slot known chosen.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Reject {
    /// A higher ballot.
    #[prost(message, optional, tag = "1")]
    pub promised: Option<Ballot>,
}

/// See the core.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Accept {
    /// The leader's ballot.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// The slot before the first payload.
    #[prost(uint64, tag = "2")]
    pub after: u64,
    /// Values of consecutive slots.
    #[prost(message, repeated, tag = "3")]
    pub payloads: Vec<Payload>,
    /// The highest slot known chosen.
    #[prost(uint64, tag = "4")]
    pub commit: u64,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Accepted {
    /// The ballot vouched in.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// Vouched up to.
    #[prost(uint64, tag = "2")]
    pub upto: u64,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Gap {
    /// The leader's ballot.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// Equal to the leader's log up to here.
    #[prost(uint64, tag = "2")]
    pub have: u64,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Heartbeat {
    /// The leader's ballot.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// The highest slot known chosen.
    #[prost(uint64, tag = "2")]
    pub commit: u64,
    /// Which heartbeat.
    #[prost(uint64, tag = "3")]
    pub round: u64,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HeartbeatOk {
    /// The leader's ballot.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
    /// Which heartbeat.
    #[prost(uint64, tag = "2")]
    pub round: u64,
    /// Equal to the leader's log up to here.
    #[prost(uint64, tag = "3")]
    pub have: u64,
}

/// See the core.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TakeOver {
    /// The old leader's ballot.
    #[prost(message, optional, tag = "1")]
    pub ballot: Option<Ballot>,
}
