use super::*;

fn stamp(session: u64, sequence: u64, acknowledged_below: u64) -> SessionStamp {
    SessionStamp { session, sequence, acknowledged_below }
}

#[test]
fn a_repeated_write_gets_its_first_reply() {
    let mut sessions = Sessions::default();
    sessions.open(4);
    assert_eq!(sessions.look(stamp(4, 1, 0)), Seen::New);
    sessions.applied(stamp(4, 1, 0), 5, b":1\r\n");
    assert_eq!(sessions.look(stamp(4, 1, 0)), Seen::Applied(b":1\r\n".to_vec()));
    assert_eq!(sessions.look(stamp(4, 2, 0)), Seen::New);
}

#[test]
fn acknowledged_writes_are_forgotten_but_never_applied_again() {
    let mut sessions = Sessions::default();
    sessions.open(4);
    sessions.applied(stamp(4, 1, 0), 5, b"+OK\r\n");
    sessions.applied(stamp(4, 2, 2), 6, b"+OK\r\n");
    assert_eq!(sessions.sessions[&4].applied.len(), 1);
    assert_eq!(sessions.look(stamp(4, 1, 0)), Seen::Applied(Vec::new()));
}

/// Goal: an evicted session is reported as unknown, never taken for a new one.
#[test]
fn the_idlest_session_goes_first_and_its_writes_are_refused() {
    let mut sessions = Sessions::default();
    for slot in 1..=SESSION_COUNT_MAX as u64 {
        sessions.open(slot);
    }
    sessions.applied(stamp(1, 1, 0), 5000, b"");
    sessions.open(6000);
    assert_eq!(sessions.sessions.len(), SESSION_COUNT_MAX);
    assert_eq!(sessions.look(stamp(2, 1, 0)), Seen::NoSession);
    assert_eq!(sessions.look(stamp(1, 1, 0)), Seen::Applied(Vec::new()));
}

#[test]
fn the_table_travels_in_a_snapshot() {
    let mut sessions = Sessions::default();
    sessions.open(4);
    sessions.open(9);
    sessions.applied(stamp(9, 3, 1), 11, b":7\r\n");
    let mut bytes = Vec::new();
    sessions.encode(&mut bytes);
    assert_eq!(Sessions::decode(&mut Reader::new(&bytes)), Some(sessions));
    for cut in 0..bytes.len() {
        assert_eq!(Sessions::decode(&mut Reader::new(&bytes[..cut])), None, "cut at {cut}");
    }
}
