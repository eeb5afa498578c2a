//! What a peer sends. Checksums stop nearly all random bytes at the door, so the input is tried twice:
//! as it is, and as the body of a frame whose checksums are right.
#![no_main]

use bytes::BytesMut;
use evenkeel_wire::peer::{self, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut raw = BytesMut::from(bytes);
    while let Ok(Some(message)) = peer::decode(&mut raw) {
        round_trip(&message);
    }
    if let Some((&kind, body)) = bytes.split_first() {
        let mut framed = frame(kind, body);
        if let Ok(Some(message)) = peer::decode(&mut framed) {
            assert!(framed.is_empty(), "a frame is taken whole");
            round_trip(&message);
        }
    }
});

/// ```text
/// 0  2  magic     3  1  kind         8  4  checksum of the body
/// 2  1  version   4  4  body size   12  4  checksum of the header
/// ```
fn frame(kind: u8, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    let any = Message::MapRequest(Default::default());
    peer::encode(&any, &mut frame).expect("an empty message fits");
    frame.truncate(3); // Magic and version, whatever they are.
    frame.extend_from_slice(&[kind]);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    let header_checksum = crc32fast::hash(&frame);
    frame.extend_from_slice(&header_checksum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

fn round_trip(message: &Message) {
    let mut encoded = BytesMut::new();
    peer::encode(message, &mut encoded).expect("what fitted into a frame fits again");
    let again = peer::decode(&mut encoded).expect("our own frame is sound");
    assert_eq!(format!("{:?}", again.as_ref()), format!("{:?}", Some(message)));
}
