//! What a server sends, as our client and our forwarding read it: anything that decodes must encode
//! to something that decodes to the same.
#![no_main]

use evenkeel_wire::reply::{Limits, Protocol, Reply, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let Ok(Some((reply, consumed))) = decode(bytes, &limits) else { return };
    assert!(0 < consumed && consumed <= bytes.len());
    let mut encoded = Vec::new();
    reply.encode(Protocol::Resp3, &mut encoded);
    let Ok(Some((again, size))) = decode(&encoded, &limits) else {
        panic!("{reply:?} was encoded to something else than a reply");
    };
    assert_eq!(size, encoded.len());
    // Not-a-number is unlike itself; comparing the text is enough.
    assert_eq!(text(&again), text(&reply));
});

fn text(reply: &Reply) -> String {
    format!("{reply:?}")
}
