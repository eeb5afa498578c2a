use evenkeel_core::consensus::Slot;

use super::*;

/// Goal: whatever a node wrote it reads back, and anything shorter is refused.
#[test]
fn states_come_back_whole_or_not_at_all() {
    let ballot = Ballot { round: 3, replica: ReplicaId(9) };
    let mut machine = Machine { applied: Slot(8), time_ms: 5, digest: 6, ..Machine::default() };
    machine.sessions.open(7);
    for state in [
        State::Promised(ballot),
        State::Met { name: "node-2".to_string(), replica: ReplicaId(4) },
        State::Snapshot {
            id: 11,
            promised: ballot,
            configuration: Configuration { voters: vec![ReplicaId(1), ReplicaId(2)] },
            machine,
            map: Some(b"map".to_vec()),
        },
        State::Part { index: 1, count: 3, bytes: Vec::new() },
    ] {
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Some(state));
        for cut in 0..bytes.len() {
            assert_eq!(State::decode(&bytes[..cut]), None, "cut at byte {cut}");
        }
    }
}

#[test]
fn parts_are_a_whole_only_in_order_and_all_of_them() {
    let state = State::Genesis { founder: true, map: (0..=255).collect() };
    assert_eq!(state.payloads(1_000), [state.encode()], "small enough for one record");
    let payloads = state.payloads(100);
    assert_eq!(payloads.len(), 3);
    let parts: Vec<_> = payloads
        .iter()
        .map(|payload| match State::decode(payload) {
            Some(State::Part { index, count, bytes }) => (index, count, bytes),
            other => panic!("{other:?} is no part"),
        })
        .collect();
    let mut broken_off = Parts::default();
    let mut add =
        |(index, count, bytes): &(u32, u32, Vec<u8>)| broken_off.add(*index, *count, bytes);
    assert_eq!(add(&parts[1]), None, "the first one is missing");
    assert_eq!(add(&parts[0]), Some(None));
    assert_eq!(add(&parts[2]), None, "the second one is missing");
    assert_eq!(add(&parts[0]), Some(None), "it starts over");
    assert_eq!(add(&parts[1]), Some(None));
    assert_eq!(add(&parts[2]), Some(Some(state.encode())));
    assert_eq!(add(&parts[1]), None, "it is complete");
}
