//! One message of every kind, with something in every field.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::peer::Message;
use crate::peer::consensus::*;
use crate::peer::messages::*;

const BYTES: Bytes = Bytes::from_static(b"some bytes");

pub(super) fn samples() -> Vec<Message> {
    [consensus_samples(), elections(), forward_samples(), snapshots(), others()].concat()
}

fn ballot(round: u64, replica: u64) -> Option<Ballot> {
    Some(Ballot { round, replica })
}

fn consensus(message: ConsensusMessage) -> Message {
    let envelope = Envelope { shard: 3, from: 1, to: 2, message: Some(message) };
    Message::Consensus(ConsensusBatch { map_epoch: 9, messages: vec![envelope] })
}

fn voters() -> Configuration {
    Configuration { voters: vec![1, 2, 3] }
}

fn consensus_samples() -> Vec<Message> {
    let application = PayloadKind::Application(BYTES);
    let payloads = vec![
        Payload { kind: None },
        Payload { kind: Some(application) },
        Payload { kind: Some(PayloadKind::Configuration(voters())) },
    ];
    let accepted = payloads
        .iter()
        .map(|payload| Entry { slot: 7, ballot: ballot(1, 1), payload: Some(payload.clone()) })
        .collect();
    vec![
        consensus(ConsensusMessage::Promise(Promise { ballot: ballot(2, 3), accepted, commit: 6 })),
        consensus(ConsensusMessage::Accept(Accept {
            ballot: ballot(2, 3),
            after: 6,
            payloads,
            commit: 6,
        })),
    ]
}

fn elections() -> Vec<Message> {
    vec![
        consensus(ConsensusMessage::PrePrepare(PrePrepare {
            ballot: ballot(2, 3),
            last: 5,
            commit: 4,
            transfer: true,
        })),
        consensus(ConsensusMessage::PrePromise(PrePromise {
            ballot: ballot(2, 3),
            granted: true,
            promised: ballot(1, 1),
        })),
        consensus(ConsensusMessage::Prepare(Prepare {
            ballot: ballot(2, 3),
            from: 5,
            transfer: true,
        })),
        consensus(ConsensusMessage::Reject(Reject { promised: ballot(2, 3) })),
        consensus(ConsensusMessage::Accepted(Accepted { ballot: ballot(2, 3), upto: 9 })),
        consensus(ConsensusMessage::Gap(Gap { ballot: ballot(2, 3), have: 5 })),
        consensus(ConsensusMessage::Heartbeat(Heartbeat {
            ballot: ballot(2, 3),
            commit: 9,
            round: 77,
        })),
        consensus(ConsensusMessage::HeartbeatOk(HeartbeatOk {
            ballot: ballot(2, 3),
            round: 77,
            have: 9,
        })),
        consensus(ConsensusMessage::TakeOver(TakeOver { ballot: ballot(2, 3) })),
    ]
}

fn forward_samples() -> Vec<Message> {
    let outcomes = [
        ForwardOutcome::Reply(BYTES),
        ForwardOutcome::NotLeader(NotLeader { leader: Some(0) }),
        ForwardOutcome::NotLeader(NotLeader { leader: None }),
        ForwardOutcome::StaleEpoch(StaleEpoch { epoch: 4 }),
        ForwardOutcome::Busy(Busy {}),
        ForwardOutcome::UnknownSession(UnknownSession {}),
        ForwardOutcome::Failed("the disk is full".into()),
    ];
    let replies = outcomes
        .map(|outcome| Message::ForwardReply(ForwardReply { id: 8, outcome: Some(outcome) }));
    let mut samples = vec![Message::Forward(Forward {
        id: 1,
        keyspace: 1,
        map_epoch: 2,
        shard: 3,
        session: 4,
        sequence: 5,
        acknowledged_below: 5,
        watches: vec![Watch { key: BYTES, version: 6 }],
        commands: vec![ForwardedCommand { arguments: vec![BYTES, Bytes::new()] }],
        transaction: true,
        versions_of: vec![BYTES],
        open_session: Some(0),
        placement: Some(BYTES),
        transfer: Some(0),
        describe: true,
        backup_begin: Some(0),
        backup_next: Some(BackupPart { id: 1, index: 2 }),
        backup_end: Some(0),
        value_of: Some(Watch { key: BYTES, version: 6 }),
    })];
    samples.extend(replies);
    samples
}

fn snapshots() -> Vec<Message> {
    vec![
        Message::SnapshotBegin(SnapshotBegin {
            id: 1,
            map_epoch: 2,
            shard: 3,
            from: 1,
            to: 2,
            slot: 99,
            configuration: Some(voters()),
            state: BYTES,
        }),
        Message::SnapshotChunk(SnapshotChunk {
            id: 1,
            index: 2,
            items: vec![SnapshotItem { key: BYTES, value: BYTES, version: 3, expires_at_ms: 4 }],
            state: BYTES,
        }),
        Message::SnapshotEnd(SnapshotEnd { id: 1, chunk_count: 3 }),
        Message::SnapshotAck(SnapshotAck {
            id: 1,
            chunks_taken: 3,
            installed: true,
            refused: "no".into(),
            shard: 3,
        }),
    ]
}

fn others() -> Vec<Message> {
    vec![
        Message::Hello(Hello {
            cluster: u64::MAX,
            node: 1,
            name: "one".into(),
            version_min: 1,
            version_max: 2,
            map_epoch: 3,
            to: "two".into(),
        }),
        Message::MapRequest(MapRequest { epoch: 3 }),
        Message::MapReply(MapReply { epoch: 4, placement: BYTES }),
        Message::Join(Join {
            id: 1,
            node: 4,
            name: "four".into(),
            peer_address: "h:1".into(),
            client_address: "h:2".into(),
        }),
        Message::JoinReply(JoinReply {
            id: 1,
            epoch: 5,
            placement: BYTES,
            refused: "no".into(),
            leader: Some(1),
            met: vec![MetLife { name: "one".into(), replica: 1 }],
        }),
        Message::StatusRequest(StatusRequest { id: 1 }),
        Message::StatusReply(StatusReply {
            id: 1,
            node: 2,
            map_epoch: 3,
            shards: vec![ShardStatus {
                shard: 1,
                leader: Some(2),
                commit: 3,
                applied: 3,
                promised: ballot(1, 2),
            }],
        }),
    ]
}
