//! Replies in bytes, for the log's sessions and for other nodes: RESP3, as a client would get them.

use evenkeel_wire::reply::{Limits, Protocol, Reply};

/// RESP3.
pub(crate) fn encode(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(Protocol::Resp3, &mut bytes);
    bytes
}

/// The reply in `bytes`; an empty one stands for a reply that was too large to be kept.
pub(crate) fn decode(bytes: &[u8]) -> Reply {
    if bytes.is_empty() {
        return Reply::error("ERR the request was applied, but its reply is no longer kept");
    }
    match evenkeel_wire::reply::decode(bytes, &Limits::default()) {
        Ok(Some((reply, _))) => reply,
        Ok(None) | Err(_) => Reply::error("ERR another node sent a reply that cannot be read"),
    }
}
