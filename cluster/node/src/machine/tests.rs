use evenkeel_core::consensus::ReplicaId;
use evenkeel_engine::batch::BatchBuilder;
use evenkeel_engine::store::{Eviction, StoreOptions, Tier, Value};

use super::*;
use crate::entry::SessionStamp;

/// A ballot of the round, led by the replica, opened by the slot.
fn leading(round: u64, replica: u64, opening: u64) -> Leading {
    Leading { ballot: Ballot { round, replica: ReplicaId(replica) }, opening }
}

/// A write of `x` that relies on what slot `relies_on` wrote.
fn write(evaluated_in: Leading, relies_on: u64, value: &[u8]) -> bytes::Bytes {
    let context = WriteContext {
        evaluated_in,
        time_ms: 1,
        session: SessionStamp::default(),
        reply: b"+OK\r\n",
        conditions: vec![(b"x", relies_on)],
    };
    let mut batch = BatchBuilder::new(&context.encode());
    batch.put(b"x", value, 0);
    batch.finish()
}

/// The value of `x` after these writes, from slot 1 on.
fn after(writes: &[bytes::Bytes]) -> Vec<u8> {
    let mut store = Store::new(StoreOptions {
        tier: Tier::BackedByLog,
        memory_bytes_max: 1 << 20,
        eviction: Eviction::Lru,
        slot_of: slots::slot,
    });
    let mut machine = Machine::default();
    for (slot, payload) in (1..).map(Slot).zip(writes) {
        let home = Location { segment: 0, offset: 0, size: 0 };
        machine.apply(slot, payload, home, &mut store);
        let bytes = machine.encode();
        assert_eq!(Machine::decode(&mut Reader::new(&bytes)), Some(machine.clone()));
    }
    let found = store.peek(slots::slot(b"x"), b"x").unwrap();
    let Value::Memory(value) = found.value else { panic!("nothing leaves memory here") };
    value.to_vec()
}

/// Goal: an acknowledged write is not undone by entries of a deposed leader that come back. Method: its
/// slot 2 went to another leader, its slot 3 relies on slot 2.
#[test]
fn what_a_deposed_leader_built_on_its_own_entries_falls_with_them() {
    let first = write(leading(1, 7, 0), 0, b"a");
    let we = leading(2, 7, 1);
    let (ours, built_on_ours) = (write(we, 1, b"ab"), write(we, 2, b"abc"));
    assert_eq!(after(&[first.clone(), ours.clone(), built_on_ours.clone()]), b"abc");
    // A later round, and a higher ballot of the same round: two candidates may both have led in it.
    for they in [leading(3, 8, 1), leading(2, 8, 1)] {
        let theirs = write(they, 1, b"aX");
        assert_eq!(after(&[first.clone(), theirs, built_on_ours.clone()]), b"aX");
    }
    // What was chosen before the ballot began may be relied on, whoever wrote it.
    assert_eq!(after(&[first, ours, write(leading(4, 8, 2), 2, b"abY")]), b"abY");
}

#[test]
fn the_state_that_an_earlier_release_wrote_is_read() {
    let ballot = Ballot { round: 3, replica: ReplicaId(7) };
    let machine = Machine { applied: Slot(8), ballot, since: 5, ..Machine::default() };
    let bytes = machine.encode();
    let old = Machine::decode(&mut Reader::new(&bytes[..bytes.len() - 24]));
    assert_eq!(old, Some(Machine { ballot: Ballot::default(), since: 0, ..machine }));
}
