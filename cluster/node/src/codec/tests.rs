use super::*;
use crate::entry;

#[test]
fn every_message_of_the_core_survives_the_wire() {
    let ballot = Ballot { round: 7, replica: ReplicaId(3) };
    let promised = Ballot { round: 8, replica: ReplicaId(1) };
    let voters = Configuration { voters: vec![ReplicaId(1), ReplicaId(3)] };
    let payloads = vec![
        Payload::Noop,
        Payload::Application(entry::open_session(1, 2)),
        Payload::Configuration(voters),
    ];
    let entry = |slot| Entry { slot: Slot(slot), ballot, payload: payloads[slot as usize].clone() };
    let messages = [
        Message::PrePrepare { ballot, last: Slot(1), commit: Slot(2), transfer: true },
        Message::PrePromise { ballot, granted: true, promised },
        Message::Prepare { ballot, from: Slot(4), transfer: false },
        Message::Promise { ballot, accepted: vec![entry(0), entry(1), entry(2)], commit: Slot(0) },
        Message::Reject { promised },
        Message::Accept { ballot, after: Slot(3), payloads: payloads.clone(), commit: Slot(3) },
        Message::Accepted { ballot, upto: Slot(6) },
        Message::Gap { ballot, have: Slot(2) },
        Message::Heartbeat { ballot, commit: Slot(1), round: 9 },
        Message::HeartbeatOk { ballot, round: 9, have: Slot(1) },
        Message::TakeOver { ballot },
    ];
    for message in messages {
        assert_eq!(from_wire(to_wire(message.clone())), Some(message));
    }
}

/// Goal: bytes that are no entry never reach a log.
#[test]
fn a_foreign_payload_is_refused() {
    let payload = wire::Payload { kind: Some(PayloadKind::Application(Bytes::from_static(b"x"))) };
    let body = wire::Accept {
        ballot: Some(wire::Ballot { round: 1, replica: 1 }),
        after: 0,
        payloads: vec![payload],
        commit: 0,
    };
    assert_eq!(from_wire(ConsensusMessage::Accept(body)), None);
}
