//! The core's messages as the wire knows them, and back.
//!
//! `None` on the way back: a peer left out what no release leaves out. The message is dropped, as the
//! network might have.

use bytes::Bytes;
use evenkeel_core::consensus::{Ballot, Configuration, Entry, Message, Payload, ReplicaId, Slot};
use evenkeel_wire::peer::consensus as wire;
use evenkeel_wire::peer::consensus::{ConsensusMessage, PayloadKind};

pub(crate) fn to_wire(message: Message) -> ConsensusMessage {
    match message {
        Message::PrePrepare { ballot, last, commit, transfer } => {
            let (last, commit) = (last.0, commit.0);
            let ballot = Some(ballot_to(ballot));
            ConsensusMessage::PrePrepare(wire::PrePrepare { ballot, last, commit, transfer })
        }
        Message::PrePromise { ballot, granted, promised } => {
            let (ballot, promised) = (Some(ballot_to(ballot)), Some(ballot_to(promised)));
            ConsensusMessage::PrePromise(wire::PrePromise { ballot, granted, promised })
        }
        Message::Prepare { ballot, from, transfer } => {
            let ballot = Some(ballot_to(ballot));
            ConsensusMessage::Prepare(wire::Prepare { ballot, from: from.0, transfer })
        }
        Message::Promise { ballot, accepted, commit } => {
            let accepted = accepted.into_iter().map(entry_to).collect();
            let ballot = Some(ballot_to(ballot));
            ConsensusMessage::Promise(wire::Promise { ballot, accepted, commit: commit.0 })
        }
        Message::Reject { promised } => {
            ConsensusMessage::Reject(wire::Reject { promised: Some(ballot_to(promised)) })
        }
        Message::Accept { ballot, after, payloads, commit } => {
            let payloads = payloads.into_iter().map(payload_to).collect();
            let (ballot, after, commit) = (Some(ballot_to(ballot)), after.0, commit.0);
            ConsensusMessage::Accept(wire::Accept { ballot, after, payloads, commit })
        }
        Message::Accepted { ballot, upto } => {
            let ballot = Some(ballot_to(ballot));
            ConsensusMessage::Accepted(wire::Accepted { ballot, upto: upto.0 })
        }
        Message::Gap { ballot, have } => {
            ConsensusMessage::Gap(wire::Gap { ballot: Some(ballot_to(ballot)), have: have.0 })
        }
        Message::Heartbeat { ballot, commit, round } => {
            let ballot = Some(ballot_to(ballot));
            ConsensusMessage::Heartbeat(wire::Heartbeat { ballot, commit: commit.0, round })
        }
        Message::HeartbeatOk { ballot, round, have } => {
            let ballot = Some(ballot_to(ballot));
            ConsensusMessage::HeartbeatOk(wire::HeartbeatOk { ballot, round, have: have.0 })
        }
        Message::TakeOver { ballot } => {
            ConsensusMessage::TakeOver(wire::TakeOver { ballot: Some(ballot_to(ballot)) })
        }
    }
}

pub(crate) fn from_wire(message: ConsensusMessage) -> Option<Message> {
    Some(match message {
        ConsensusMessage::PrePrepare(body) => Message::PrePrepare {
            ballot: ballot_from(body.ballot)?,
            last: Slot(body.last),
            commit: Slot(body.commit),
            transfer: body.transfer,
        },
        ConsensusMessage::PrePromise(body) => Message::PrePromise {
            ballot: ballot_from(body.ballot)?,
            granted: body.granted,
            promised: ballot_from(body.promised)?,
        },
        ConsensusMessage::Prepare(body) => Message::Prepare {
            ballot: ballot_from(body.ballot)?,
            from: Slot(body.from),
            transfer: body.transfer,
        },
        ConsensusMessage::Promise(body) => Message::Promise {
            ballot: ballot_from(body.ballot)?,
            accepted: body.accepted.into_iter().map(entry_from).collect::<Option<_>>()?,
            commit: Slot(body.commit),
        },
        ConsensusMessage::Reject(body) => Message::Reject { promised: ballot_from(body.promised)? },
        ConsensusMessage::Accept(body) => Message::Accept {
            ballot: ballot_from(body.ballot)?,
            after: Slot(body.after),
            payloads: body.payloads.into_iter().map(payload_from).collect::<Option<_>>()?,
            commit: Slot(body.commit),
        },
        ConsensusMessage::Accepted(body) => {
            Message::Accepted { ballot: ballot_from(body.ballot)?, upto: Slot(body.upto) }
        }
        ConsensusMessage::Gap(body) => {
            Message::Gap { ballot: ballot_from(body.ballot)?, have: Slot(body.have) }
        }
        ConsensusMessage::Heartbeat(body) => Message::Heartbeat {
            ballot: ballot_from(body.ballot)?,
            commit: Slot(body.commit),
            round: body.round,
        },
        ConsensusMessage::HeartbeatOk(body) => Message::HeartbeatOk {
            ballot: ballot_from(body.ballot)?,
            round: body.round,
            have: Slot(body.have),
        },
        ConsensusMessage::TakeOver(body) => Message::TakeOver { ballot: ballot_from(body.ballot)? },
    })
}

pub(crate) fn voters_to(configuration: &Configuration) -> wire::Configuration {
    wire::Configuration { voters: configuration.voters.iter().map(|voter| voter.0).collect() }
}

/// `None`: empty, or out of order.
pub(crate) fn voters_from(configuration: wire::Configuration) -> Option<Configuration> {
    let voters: Vec<ReplicaId> = configuration.voters.into_iter().map(ReplicaId).collect();
    let sorted = voters.windows(2).all(|pair| pair[0] < pair[1]);
    (sorted && !voters.is_empty()).then_some(Configuration { voters })
}

fn ballot_to(ballot: Ballot) -> wire::Ballot {
    wire::Ballot { round: ballot.round, replica: ballot.replica.0 }
}

fn ballot_from(ballot: Option<wire::Ballot>) -> Option<Ballot> {
    ballot.map(|ballot| Ballot { round: ballot.round, replica: ReplicaId(ballot.replica) })
}

fn entry_to(entry: Entry) -> wire::Entry {
    wire::Entry {
        slot: entry.slot.0,
        ballot: Some(ballot_to(entry.ballot)),
        payload: Some(payload_to(entry.payload)),
    }
}

fn entry_from(entry: wire::Entry) -> Option<Entry> {
    Some(Entry {
        slot: Slot(entry.slot),
        ballot: ballot_from(entry.ballot)?,
        payload: payload_from(entry.payload?)?,
    })
}

fn payload_to(payload: Payload) -> wire::Payload {
    let kind = match payload {
        Payload::Noop => None,
        Payload::Application(bytes) => Some(PayloadKind::Application(bytes)),
        Payload::Configuration(voters) => Some(PayloadKind::Configuration(voters_to(&voters))),
    };
    wire::Payload { kind }
}

/// An application payload is copied out of its frame: kept for long, it must not keep a whole frame's
/// memory. One that is not an entry of ours is refused here, before it can enter any log.
fn payload_from(payload: wire::Payload) -> Option<Payload> {
    match payload.kind {
        None => Some(Payload::Noop),
        Some(PayloadKind::Application(bytes)) => {
            let bytes = Bytes::copy_from_slice(&bytes);
            match crate::entry::decode(&bytes)? {
                Payload::Application(bytes) => Some(Payload::Application(bytes)),
                Payload::Noop | Payload::Configuration(_) => None,
            }
        }
        Some(PayloadKind::Configuration(voters)) => voters_from(voters).map(Payload::Configuration),
    }
}

#[cfg(test)]
mod tests;
