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
    ] {
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Some(state));
        for cut in 0..bytes.len() {
            assert_eq!(State::decode(&bytes[..cut]), None, "cut at byte {cut}");
        }
    }
}
