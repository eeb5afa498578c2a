use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::consensus::*;
use super::messages::*;
use super::*;

fn framed(message: &Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(message, &mut bytes).expect("small enough");
    bytes
}

fn ballot(round: u64, replica: u64) -> Option<Ballot> {
    Some(Ballot { round, replica })
}

fn consensus(message: ConsensusMessage) -> Message {
    let envelope = Envelope { shard: 3, from: 1, to: 2, message: Some(message) };
    Message::Consensus(ConsensusBatch { map_epoch: 9, messages: vec![envelope] })
}

/// One of every kind, with something in every field.
fn samples() -> Vec<Message> {
    let bytes = Bytes::from_static(b"some bytes");
    let application = PayloadKind::Application(bytes.clone());
    let voters = Configuration { voters: vec![1, 2, 3] };
    let payloads = vec![
        Payload { kind: None },
        Payload { kind: Some(application) },
        Payload { kind: Some(PayloadKind::Configuration(voters.clone())) },
    ];
    let accepted = payloads
        .iter()
        .map(|payload| Entry { slot: 7, ballot: ballot(1, 1), payload: Some(payload.clone()) })
        .collect();
    let outcomes = [
        ForwardOutcome::Reply(bytes.clone()),
        ForwardOutcome::NotLeader(NotLeader { leader: Some(0) }),
        ForwardOutcome::NotLeader(NotLeader { leader: None }),
        ForwardOutcome::StaleEpoch(StaleEpoch { epoch: 4 }),
        ForwardOutcome::Busy(Busy {}),
        ForwardOutcome::UnknownSession(UnknownSession {}),
        ForwardOutcome::Failed("the disk is full".into()),
    ];
    let mut samples = vec![
        Message::Hello(Hello {
            cluster: u64::MAX,
            node: 1,
            name: "one".into(),
            version_min: 1,
            version_max: 2,
            map_epoch: 3,
        }),
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
        consensus(ConsensusMessage::Promise(Promise { ballot: ballot(2, 3), accepted, commit: 6 })),
        consensus(ConsensusMessage::Reject(Reject { promised: ballot(2, 3) })),
        consensus(ConsensusMessage::Accept(Accept {
            ballot: ballot(2, 3),
            after: 6,
            payloads,
            commit: 6,
        })),
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
        Message::Forward(Forward {
            id: 1,
            keyspace: 1,
            map_epoch: 2,
            shard: 3,
            session: 4,
            sequence: 5,
            acknowledged_below: 5,
            watches: vec![Watch { key: bytes.clone(), version: 6 }],
            commands: vec![ForwardedCommand { arguments: vec![bytes.clone(), Bytes::new()] }],
            transaction: true,
            versions_of: vec![bytes.clone()],
            open_session: Some(0),
        }),
        Message::SnapshotBegin(SnapshotBegin {
            id: 1,
            map_epoch: 2,
            shard: 3,
            from: 1,
            to: 2,
            slot: 99,
            configuration: Some(voters),
            state: bytes.clone(),
        }),
        Message::SnapshotChunk(SnapshotChunk {
            id: 1,
            index: 2,
            items: vec![SnapshotItem {
                key: bytes.clone(),
                value: bytes.clone(),
                version: 3,
                expires_at_ms: 4,
            }],
        }),
        Message::SnapshotEnd(SnapshotEnd { id: 1, chunk_count: 3 }),
        Message::SnapshotAck(SnapshotAck {
            id: 1,
            chunks_taken: 3,
            installed: true,
            refused: "no".into(),
            shard: 3,
        }),
        Message::MapRequest(MapRequest { epoch: 3 }),
        Message::MapReply(MapReply { epoch: 4, placement: bytes.clone() }),
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
            placement: bytes,
            refused: "no".into(),
            leader: Some(1),
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
    ];
    samples.extend(
        outcomes
            .map(|outcome| Message::ForwardReply(ForwardReply { id: 8, outcome: Some(outcome) })),
    );
    samples
}

#[test]
fn every_message_survives_the_way_in_pieces_and_back_to_back() {
    let samples = samples();
    let mut sent = BytesMut::new();
    for message in &samples {
        encode(message, &mut sent).expect("small enough");
    }
    let mut arrived = BytesMut::new();
    let mut read = Vec::new();
    for byte in sent {
        arrived.put_u8(byte);
        if let Some(message) = decode(&mut arrived).expect("ours") {
            read.push(message);
        }
    }
    assert_eq!(read, samples);
    assert!(arrived.is_empty());
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    for message in samples() {
        let good = framed(&message);
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let result = decode(&mut bad);
            assert!(result.is_err(), "bit {bit} of {message:?}: {result:?}");
        }
    }
}

#[test]
fn every_refusal_says_why() {
    fn check(change: impl FnOnce(&mut [u8]), expected: &str) {
        let mut bytes = framed(&Message::StatusRequest(StatusRequest { id: 1 }));
        change(&mut bytes);
        let header_checksum = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&header_checksum.to_le_bytes());
        assert_eq!(decode(&mut bytes).expect_err(expected).to_string(), expected);
    }
    check(
        |bytes| bytes[..4].copy_from_slice(b"GET "),
        "this is not a peer: its frame starts with 0x4547, ours with 0x4b45",
    );
    check(|bytes| bytes[2] = 2, "the peer speaks version 2, this node up to 1");
    check(|bytes| bytes[3] = 99, "the frame's kind is 99, which this node does not know");
    check(
        |bytes| bytes[4..8].copy_from_slice(&(16 * 1024 * 1024 + 1u32).to_le_bytes()),
        "the frame's body is 16777217 bytes, at most 16777216 are allowed",
    );
    check(|bytes| bytes[17] = 2, "the frame's body checksum does not match");
    check(
        |bytes| {
            bytes[16] = 0xFF;
            let checksum = crc32fast::hash(&bytes[16..]);
            bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        },
        "the frame's body, of kind 13, is malformed",
    );
    let mut short = BytesMut::from(&b"GE"[..]);
    assert!(decode(&mut short).is_err(), "two bytes are enough to know a stranger");
}

#[test]
fn a_message_too_large_for_a_frame_is_refused_whole() {
    let fits = |size: usize| {
        let mut bytes = BytesMut::from(&b"before"[..]);
        let placement = Bytes::from(vec![7; size]);
        let result = encode(&Message::MapReply(MapReply { epoch: 0, placement }), &mut bytes);
        if result.is_err() {
            assert_eq!(&bytes[..], b"before", "nothing was appended");
        }
        result.is_ok()
    };
    assert!(fits(FRAME_BODY_SIZE_MAX - 5), "five bytes say which field, and how long");
    assert!(!fits(FRAME_BODY_SIZE_MAX - 4));
}

#[test]
fn byte_fields_are_views_of_the_frame() {
    let placement = Bytes::from(vec![7; 1000]);
    let mut bytes = framed(&Message::MapReply(MapReply { epoch: 1, placement }));
    let memory = bytes.as_ptr_range();
    let Ok(Some(Message::MapReply(reply))) = decode(&mut bytes) else { panic!("it is a map") };
    assert!(memory.contains(&reply.placement.as_ptr()));
}

proptest! {
    #[test]
    fn hostile_bytes_do_no_harm(kind in 0u8..20, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = BytesMut::from(&body[..]);
        let _ = decode(&mut bytes);
        // And behind honest checksums.
        let mut frame = framed(&Message::MapReply(MapReply::default()));
        frame[3] = kind;
        frame[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
        frame[8..12].copy_from_slice(&crc32fast::hash(&body).to_le_bytes());
        let checksum = crc32fast::hash(&frame[..12]);
        frame[12..16].copy_from_slice(&checksum.to_le_bytes());
        frame.truncate(HEADER_SIZE);
        frame.extend_from_slice(&body);
        match decode(&mut frame) {
            Ok(Some(_)) => prop_assert!(frame.is_empty()),
            Ok(None) => prop_assert!(false, "it was all there"),
            Err(PeerError::Body { .. } | PeerError::Kind { .. }) => (),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
