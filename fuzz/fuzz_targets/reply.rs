//! What a server sends, as our client and our forwarding read it: anything that decodes must encode
//! to something that decodes, and encodes to the same bytes. (Not to the same reply: a stray carriage
//! return in an error's text is sent as a space.)
#![no_main]

use evenkeel_wire::reply::{Limits, Protocol, decode};
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
    let mut encoded_again = Vec::new();
    again.encode(Protocol::Resp3, &mut encoded_again);
    assert_eq!(encoded_again, encoded);
});
