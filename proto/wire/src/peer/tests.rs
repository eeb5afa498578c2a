use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::messages::{MapReply, StatusRequest};
use super::*;
use samples::samples;

mod samples;

fn framed(message: &Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(message, &mut bytes).expect("small enough");
    bytes
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
