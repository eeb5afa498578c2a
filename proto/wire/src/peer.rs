//! What nodes say to each other: messages in frames that a flipped bit, a foreign program or a newer
//! release cannot pass off as something else.
//!
//! ```text
//! offset  size  field
//!      0     2  magic            0x4B45, "EK"
//!      2     1  version          1
//!      3     1  kind             what the body is, see `Message`
//!      4     4  body_size        bytes, 0..=FRAME_BODY_SIZE_MAX
//!      8     4  body_checksum    CRC-32 (IEEE) of the body
//!     12     4  header_checksum  CRC-32 (IEEE) of bytes 0 to 11
//!     16     …  body             a protobuf message
//! ```
//!
//! Integers are little-endian. The header has a checksum of its own, so that a size can be believed
//! before the body is waited for. Any error ends the connection: behind a broken frame there is no
//! telling where the next one starts.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;

use crate::limits::FRAME_BODY_SIZE_MAX;

pub mod consensus;
pub mod messages;

use consensus::ConsensusBatch;
use messages::{
    Forward, ForwardReply, Hello, Join, JoinReply, MapReply, MapRequest, SnapshotAck,
    SnapshotBegin, SnapshotChunk, SnapshotEnd, StatusReply, StatusRequest,
};

/// Bytes before the body.
pub const HEADER_SIZE: usize = 16;

/// The version of frames and messages that this release writes.
pub const VERSION: u8 = 1;

const MAGIC: u16 = 0x4B45;

/// One message to or from a peer.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first one on every connection, in both directions.
    Hello(Hello),
    /// What consensus cores say to each other.
    Consensus(ConsensusBatch),
    /// A client's command, to the node that leads its shard.
    Forward(Forward),
    /// What became of it.
    ForwardReply(ForwardReply),
    /// A shard's state is about to follow.
    SnapshotBegin(SnapshotBegin),
    /// Some of it.
    SnapshotChunk(SnapshotChunk),
    /// That was all.
    SnapshotEnd(SnapshotEnd),
    /// How far the receiver is.
    SnapshotAck(SnapshotAck),
    /// "Which placement map do you have?"
    MapRequest(MapRequest),
    /// This one.
    MapReply(MapReply),
    /// "I would like to belong to this cluster."
    Join(Join),
    /// Yes or no.
    JoinReply(JoinReply),
    /// "How are you?"
    StatusRequest(StatusRequest),
    /// Like this.
    StatusReply(StatusReply),
}

/// Why bytes are not a message. Close the connection, and say so in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Whoever connected speaks something else.
    #[error("this is not a peer: its frame starts with {found:#06x}, ours with {MAGIC:#06x}")]
    Magic {
        /// The first two bytes.
        found: u16,
    },
    /// The peer is of a newer release: upgrade this node.
    #[error("the peer speaks version {found}, this node up to {VERSION}")]
    Version {
        /// What it speaks.
        found: u8,
    },
    /// A message of ours would not be read, or a peer's is not worth waiting for.
    #[error("the frame's body is {size} bytes, at most {FRAME_BODY_SIZE_MAX} are allowed")]
    Size {
        /// Of the body.
        size: u64,
    },
    /// The bytes changed on their way.
    #[error("the frame's {part} checksum does not match")]
    Checksum {
        /// `header` or `body`.
        part: &'static str,
    },
    /// A message that this release does not know.
    #[error("the frame's kind is {found}, which this node does not know")]
    Kind {
        /// As sent.
        found: u8,
    },
    /// The checksums hold, and yet the body is not what its kind says.
    #[error("the frame's body, of kind {kind}, is malformed")]
    Body {
        /// As sent.
        kind: u8,
        /// What protobuf has to say.
        source: prost::DecodeError,
    },
}

/// Appends `message` to `target`, framed.
///
/// # Errors
///
/// * `PeerError::Size` — too large for a frame; nothing was appended. Send less at once.
pub fn encode(message: &Message, target: &mut BytesMut) -> Result<(), PeerError> {
    match message {
        Message::Hello(body) => encode_body(1, body, target),
        Message::Consensus(body) => encode_body(2, body, target),
        Message::Forward(body) => encode_body(3, body, target),
        Message::ForwardReply(body) => encode_body(4, body, target),
        Message::SnapshotBegin(body) => encode_body(5, body, target),
        Message::SnapshotChunk(body) => encode_body(6, body, target),
        Message::SnapshotEnd(body) => encode_body(7, body, target),
        Message::SnapshotAck(body) => encode_body(8, body, target),
        Message::MapRequest(body) => encode_body(9, body, target),
        Message::MapReply(body) => encode_body(10, body, target),
        Message::Join(body) => encode_body(11, body, target),
        Message::JoinReply(body) => encode_body(12, body, target),
        Message::StatusRequest(body) => encode_body(13, body, target),
        Message::StatusReply(body) => encode_body(14, body, target),
    }
}

/// Takes the message at the start of `source` out of it; `None` if it is not all there yet, and then
/// room for the rest of it has been reserved.
///
/// Byte fields of the message are views of the frame's own memory: nothing is copied, and one kept
/// value keeps the memory of its whole frame.
///
/// # Errors
///
/// See `PeerError`; none of them gets better with more bytes.
pub fn decode(source: &mut BytesMut) -> Result<Option<Message>, PeerError> {
    let Some(header) = source.first_chunk::<HEADER_SIZE>() else {
        return check_start(source).map(|()| None);
    };
    let (kind, body_size, body_checksum) = check_header(header)?;
    let size = HEADER_SIZE + body_size;
    if source.len() < size {
        source.reserve(size - source.len());
        return Ok(None);
    }
    let mut frame = source.split_to(size).freeze();
    frame.advance(HEADER_SIZE);
    if crc32fast::hash(&frame) != body_checksum {
        return Err(PeerError::Checksum { part: "body" });
    }
    decode_body(kind, frame).map(Some)
}

fn encode_body<M: prost::Message>(
    kind: u8,
    body: &M,
    target: &mut BytesMut,
) -> Result<(), PeerError> {
    let body_size = body.encoded_len();
    if FRAME_BODY_SIZE_MAX < body_size {
        return Err(PeerError::Size { size: body_size as u64 });
    }
    let start = target.len();
    target.reserve(HEADER_SIZE + body_size);
    target.put_bytes(0, HEADER_SIZE);
    body.encode_raw(target);
    let (header, written) = target[start..].split_at_mut(HEADER_SIZE);
    assert_eq!(written.len(), body_size, "prost writes as much as it announced");
    header[0..2].copy_from_slice(&MAGIC.to_le_bytes());
    header[2] = VERSION;
    header[3] = kind;
    header[4..8].copy_from_slice(&(body_size as u32).to_le_bytes());
    header[8..12].copy_from_slice(&crc32fast::hash(written).to_le_bytes());
    let header_checksum = crc32fast::hash(&header[..12]);
    header[12..16].copy_from_slice(&header_checksum.to_le_bytes());
    Ok(())
}

fn decode_body(kind: u8, body: Bytes) -> Result<Message, PeerError> {
    match kind {
        1 => Hello::decode(body).map(Message::Hello),
        2 => ConsensusBatch::decode(body).map(Message::Consensus),
        3 => Forward::decode(body).map(Message::Forward),
        4 => ForwardReply::decode(body).map(Message::ForwardReply),
        5 => SnapshotBegin::decode(body).map(Message::SnapshotBegin),
        6 => SnapshotChunk::decode(body).map(Message::SnapshotChunk),
        7 => SnapshotEnd::decode(body).map(Message::SnapshotEnd),
        8 => SnapshotAck::decode(body).map(Message::SnapshotAck),
        9 => MapRequest::decode(body).map(Message::MapRequest),
        10 => MapReply::decode(body).map(Message::MapReply),
        11 => Join::decode(body).map(Message::Join),
        12 => JoinReply::decode(body).map(Message::JoinReply),
        13 => StatusRequest::decode(body).map(Message::StatusRequest),
        14 => StatusReply::decode(body).map(Message::StatusReply),
        found => return Err(PeerError::Kind { found }),
    }
    .map_err(|source| PeerError::Body { kind, source })
}

/// Someone who speaks HTTP should hear so at once, not when sixteen bytes have come.
fn check_start(start: &[u8]) -> Result<(), PeerError> {
    let Some(&magic) = start.first_chunk::<2>() else { return Ok(()) };
    let found = u16::from_le_bytes(magic);
    if found == MAGIC { Ok(()) } else { Err(PeerError::Magic { found }) }
}

fn check_header(header: &[u8; HEADER_SIZE]) -> Result<(u8, usize, u32), PeerError> {
    check_start(header)?;
    if crc32fast::hash(&header[..12]) != u32::from_le_bytes(field(header, 12)) {
        return Err(PeerError::Checksum { part: "header" });
    }
    let [version, kind] = field(header, 2);
    if VERSION < version {
        return Err(PeerError::Version { found: version });
    }
    let body_size = u32::from_le_bytes(field(header, 4));
    if FRAME_BODY_SIZE_MAX < body_size as usize {
        return Err(PeerError::Size { size: u64::from(body_size) });
    }
    Ok((kind, body_size as usize, u32::from_le_bytes(field(header, 8))))
}

fn field<const N: usize>(header: &[u8; HEADER_SIZE], offset: usize) -> [u8; N] {
    *header[offset..].first_chunk().expect("every field ends within the header")
}

#[cfg(test)]
mod tests;
