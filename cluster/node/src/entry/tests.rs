use super::*;

fn write() -> WriteContext<'static> {
    WriteContext {
        evaluated_in: Leading { ballot: Ballot { round: 3, replica: ReplicaId(8) }, opening: 4 },
        time_ms: 7,
        session: SessionStamp { session: 1, sequence: 2, acknowledged_below: 2 },
        reply: b"+OK\r\n",
        conditions: vec![(b"key", 9), (b"other", 0)],
    }
}

/// Goal: a context cut short anywhere is refused, never misread and never a panic.
#[test]
fn a_context_cut_anywhere_is_refused() {
    let full = write();
    let bytes = full.encode();
    assert_eq!(context(&bytes), Some(Context::Write(full)));
    for cut in 0..bytes.len() {
        assert_eq!(context(&bytes[..cut]), None, "cut at byte {cut}");
    }
}

/// Goal: a log of an earlier release reads on. Method: its kind of write is today's without the ballot.
#[test]
fn a_write_of_an_earlier_release_reads_as_of_no_ballot() {
    let new = write();
    let mut bytes = new.encode();
    bytes.drain(1..25);
    bytes[0] = KIND_WRITE;
    let old = WriteContext { evaluated_in: Leading::default(), ..new };
    assert_eq!(context(&bytes), Some(Context::Write(old)));
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
