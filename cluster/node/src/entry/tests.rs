use super::*;

/// Goal: a context cut short anywhere is refused, never misread and never a panic.
#[test]
fn a_context_cut_anywhere_is_refused() {
    let full = WriteContext {
        evaluated_in: Leading { round: 3, opening: 4 },
        time_ms: 7,
        session: SessionStamp { session: 1, sequence: 2, acknowledged_below: 2 },
        reply: b"+OK\r\n",
        conditions: vec![(b"key", 9), (b"other", 0)],
    };
    let bytes = full.encode();
    assert_eq!(context(&bytes), Some(Context::Write(full)));
    for cut in 0..bytes.len() {
        assert_eq!(context(&bytes[..cut]), None, "cut at byte {cut}");
    }
}

#[test]
fn every_payload_of_the_core_comes_back() {
    let voters = Configuration { voters: vec![ReplicaId(3), ReplicaId(9)] };
    for payload in [
        Payload::Noop,
        Payload::Configuration(voters),
        Payload::Application(open_session(5, 77)),
        Payload::Application(placement(b"command")),
    ] {
        assert_eq!(decode(&encode(&payload)), Some(payload));
    }
}

#[test]
fn voters_out_of_order_are_refused() {
    let mut bytes = Vec::new();
    put_voters(&mut bytes, &Configuration { voters: vec![ReplicaId(9), ReplicaId(3)] });
    assert_eq!(voters(&mut Reader::new(&bytes)), None);
}
