//! What a log entry says: the context that goes in front of a batch's operations.
//!
//! Every entry of every group is an engine batch, so that the engine can walk its own log without
//! knowing what a group is. The batch's context holds, in this order:
//!
//! ```text
//! size     field
//!    1     kind             0 noop, 1 or 6 write, 2 open session, 3 voters, 4 placement command
//! kind 6:
//!    8     round            of the ballot in which the write was evaluated
//!    8     replica          that led in it
//!    8     opening          the slot that opened it
//!          then as kind 1, which earlier releases wrote
//! kind 1:
//!    8     time_ms          the leader's clock; decides what has expired, on every replica alike
//!    8     session          0: none
//!    8     sequence         of this write within its session
//!    8     acknowledged     every sequence below has been answered and may be forgotten
//!    4     reply size, then the reply for the client, RESP3
//!    4     condition count, then each: 8 version (0: absent), 4 key size, key
//! kind 2:  8 time_ms, 8 nonce      the nonce tells two openings apart
//! kind 3:  4 voter count, then 8 each
//! kind 4:  the placement command, as evenkeel-core encodes it
//! ```
//!
//! Integers are little-endian.

use bytes::Bytes;
use evenkeel_core::consensus::{Ballot, Configuration, Payload, ReplicaId};
use evenkeel_engine::batch::{Batch, BatchBuilder};

use crate::reader::Reader;

const KIND_NOOP: u8 = 0;
const KIND_WRITE: u8 = 1;
const KIND_OPEN_SESSION: u8 = 2;
const KIND_VOTERS: u8 = 3;
const KIND_PLACEMENT: u8 = 4;
const KIND_WRITE_OF_BALLOT: u8 = 6;

/// The most keys whose version one entry may depend on.
pub(crate) const CONDITION_COUNT_MAX: usize = 8192;

/// A context, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Context<'a> {
    Noop,
    Write(WriteContext<'a>),
    OpenSession { time_ms: u64, nonce: u64 },
    Voters(Configuration),
    Placement(&'a [u8]),
}

/// Everything about a write but the operations themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteContext<'a> {
    pub(crate) evaluated_in: Leading,
    pub(crate) time_ms: u64,
    pub(crate) session: SessionStamp,
    pub(crate) reply: &'a [u8],
    /// Keys and the versions they must have for the write to take effect; 0 for absent.
    pub(crate) conditions: Vec<(&'a [u8], u64)>,
}

/// One replica's time as leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Leading {
    /// No two leaders have the same, though they may have had the same round. Round 0 in what an
    /// earlier release wrote.
    pub(crate) ballot: Ballot,
    /// Up to this slot it knew what was chosen before it evaluated anything.
    pub(crate) opening: u64,
}

/// Tells a repeated write from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SessionStamp {
    /// The session; 0 for none, and then the write may be applied twice if it is sent twice.
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) acknowledged_below: u64,
}

impl WriteContext<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        assert!(self.conditions.len() <= CONDITION_COUNT_MAX, "conditions are bounded");
        let mut target = Vec::with_capacity(65 + self.reply.len() + self.conditions.len() * 32);
        target.push(KIND_WRITE_OF_BALLOT);
        put_ballot(&mut target, self.evaluated_in.ballot);
        target.extend_from_slice(&self.evaluated_in.opening.to_le_bytes());
        target.extend_from_slice(&self.time_ms.to_le_bytes());
        target.extend_from_slice(&self.session.session.to_le_bytes());
        target.extend_from_slice(&self.session.sequence.to_le_bytes());
        target.extend_from_slice(&self.session.acknowledged_below.to_le_bytes());
        put_bytes(&mut target, self.reply);
        target.extend_from_slice(&(self.conditions.len() as u32).to_le_bytes());
        for (key, version) in &self.conditions {
            target.extend_from_slice(&version.to_le_bytes());
            put_bytes(&mut target, key);
        }
        target
    }
}

/// The payload that opens a session.
pub(crate) fn open_session(time_ms: u64, nonce: u64) -> Bytes {
    let mut context = vec![KIND_OPEN_SESSION];
    context.extend_from_slice(&time_ms.to_le_bytes());
    context.extend_from_slice(&nonce.to_le_bytes());
    BatchBuilder::new(&context).finish()
}

/// The payload that carries a placement command.
pub(crate) fn placement(command: &[u8]) -> Bytes {
    let mut context = vec![KIND_PLACEMENT];
    context.extend_from_slice(command);
    BatchBuilder::new(&context).finish()
}

/// What the log stores for a payload of the core.
pub(crate) fn encode(payload: &Payload) -> Bytes {
    match payload {
        Payload::Application(bytes) => bytes.clone(),
        Payload::Noop => BatchBuilder::new(&[KIND_NOOP]).finish(),
        Payload::Configuration(configuration) => {
            let mut context = vec![KIND_VOTERS];
            put_voters(&mut context, configuration);
            BatchBuilder::new(&context).finish()
        }
    }
}

/// The payload of the core for what the log stores. `None`: not an entry of ours.
pub(crate) fn decode(bytes: &Bytes) -> Option<Payload> {
    let batch = Batch::decode(bytes).ok()?;
    Some(match context(batch.context())? {
        Context::Noop => Payload::Noop,
        Context::Voters(configuration) => Payload::Configuration(configuration),
        Context::Write(_) | Context::OpenSession { .. } | Context::Placement(_) => {
            Payload::Application(bytes.clone())
        }
    })
}

/// Reads a batch's context. `None`: a newer release wrote it, or nobody.
pub(crate) fn context(bytes: &[u8]) -> Option<Context<'_>> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        KIND_NOOP => Some(Context::Noop),
        kind @ (KIND_WRITE | KIND_WRITE_OF_BALLOT) => {
            let evaluated_in = match kind {
                KIND_WRITE => Leading::default(),
                _ => Leading { ballot: ballot(&mut reader)?, opening: reader.u64()? },
            };
            let time_ms = reader.u64()?;
            let session = SessionStamp {
                session: reader.u64()?,
                sequence: reader.u64()?,
                acknowledged_below: reader.u64()?,
            };
            let reply = reader.sized()?;
            let count = reader.u32()? as usize;
            if CONDITION_COUNT_MAX < count {
                return None;
            }
            let mut conditions = Vec::with_capacity(count.min(64));
            for _ in 0..count {
                let version = reader.u64()?;
                conditions.push((reader.sized()?, version));
            }
            let write = WriteContext { evaluated_in, time_ms, session, reply, conditions };
            Some(Context::Write(write))
        }
        KIND_OPEN_SESSION => {
            Some(Context::OpenSession { time_ms: reader.u64()?, nonce: reader.u64()? })
        }
        KIND_VOTERS => Some(Context::Voters(voters(&mut reader)?)),
        KIND_PLACEMENT => Some(Context::Placement(reader.rest())),
        _ => None,
    }
}

pub(crate) fn put_bytes(target: &mut Vec<u8>, bytes: &[u8]) {
    target.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    target.extend_from_slice(bytes);
}

pub(crate) fn put_ballot(target: &mut Vec<u8>, ballot: Ballot) {
    target.extend_from_slice(&ballot.round.to_le_bytes());
    target.extend_from_slice(&ballot.replica.0.to_le_bytes());
}

pub(crate) fn ballot(reader: &mut Reader<'_>) -> Option<Ballot> {
    Some(Ballot { round: reader.u64()?, replica: ReplicaId(reader.u64()?) })
}

pub(crate) fn put_voters(target: &mut Vec<u8>, configuration: &Configuration) {
    target.extend_from_slice(&(configuration.voters.len() as u32).to_le_bytes());
    for voter in &configuration.voters {
        target.extend_from_slice(&voter.0.to_le_bytes());
    }
}

pub(crate) fn voters(reader: &mut Reader<'_>) -> Option<Configuration> {
    let count = reader.u32()? as usize;
    if count == 0 || 64 < count {
        return None;
    }
    let mut voters = Vec::with_capacity(count);
    for _ in 0..count {
        voters.push(ReplicaId(reader.u64()?));
    }
    let sorted = voters.windows(2).all(|pair| pair[0] < pair[1]);
    sorted.then_some(Configuration { voters })
}

#[cfg(test)]
mod tests;
