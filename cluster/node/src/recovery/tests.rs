use evenkeel_core::placement::slots;
use evenkeel_engine::limits::RECORD_PAYLOAD_SIZE_MAX;
use evenkeel_engine::store::{Eviction, Rebase, StoreOptions, Tier};

use super::*;
use crate::entry::SessionStamp;
use crate::state::part_size;

const SHARD_COUNT: u32 = 1;
const GROUP: u32 = 1;
/// Where the checkpoint's only page is.
const PAGE: Location = Location { segment: 5, offset: 128, size: 64 };
/// Where the log is when it is read again.
const LOG: Location = Location { segment: 9, offset: 128, size: 64 };

fn store() -> Store {
    let mut store = Store::new(StoreOptions {
        tier: Tier::BackedByLog,
        memory_bytes_max: 1 << 20,
        eviction: Eviction::Lru,
        slot_of: slots::slot,
    });
    store.track_changes(&[slots_of(GROUP, SHARD_COUNT)]);
    store
}

fn state(payload: &[u8]) -> Record<'_> {
    let kind = RecordKind::State;
    Record { kind, stream: GROUP, position: 0, stamp: [0, 0], commit: 0, payload }
}

/// A checkpoint of a store with one key, as records.
fn checkpoint(voters: &Configuration) -> Vec<u8> {
    let mut store = store();
    store.put(slots::slot(b"x"), b"x", b"old", 1, 0, Some((LOG, 0)));
    let slots = slots_of(GROUP, SHARD_COUNT);
    let mut append = |_: &[u8]| Ok(PAGE);
    store.write_pages(&slots, &mut Rebase::up_to(u64::MAX), &mut append).unwrap();
    let whole = CheckpointState {
        promised: Ballot::default(),
        configuration: voters.clone(),
        machine: Machine { applied: Slot(1), ..Machine::default() },
        pages: store.page_list(&slots),
        map: Vec::new(),
        genesis: Vec::new(),
        founder: true,
        met: Vec::new(),
    };
    State::Checkpoint { index: 0, count: 1, bytes: whole.encode() }.encode()
}

/// Goal: whatever a replay fetches is there for the next one, which begins at the same checkpoint.
/// Method: a snapshot behind the checkpoint leaves nothing that refers to its page.
#[test]
fn pages_that_the_log_makes_superfluous_are_fetched_again() {
    let voters = Configuration { voters: vec![ReplicaId(1)] };
    let (part, mut store) = (checkpoint(&voters), store());
    let mut recovery = Recovery::new(&mut store, SHARD_COUNT);
    recovery.checkpoint();
    recovery.record(&state(&part), LOG);
    assert_eq!(recovery.foreign, None);
    assert_eq!(recovery.wanted(), [PAGE]);
    let snapshot = State::Snapshot {
        id: 7,
        promised: Ballot::default(),
        configuration: voters,
        machine: Machine { applied: Slot(20), ..Machine::default() },
        map: None,
    };
    recovery.record(&state(&snapshot.encode()), LOG);
    assert_eq!(recovery.foreign, None);
    assert_eq!(recovery.page_segments, BTreeSet::from([PAGE.segment]));
    assert!(!recovery.store.live_bytes().contains_key(&PAGE.segment), "that is the point");
}

/// Goal: what a group remembers of its clients may be larger than a record, and counts when all of it
/// is there. Method: a log that ends after each of a snapshot's parts.
#[test]
fn a_large_state_counts_when_its_last_part_is_there() {
    let machine = {
        let mut machine = Machine { applied: Slot(20), ..Machine::default() };
        machine.sessions.open(7);
        for sequence in 1..=3_000 {
            let stamp = SessionStamp { session: 7, sequence, acknowledged_below: 0 };
            machine.sessions.applied(stamp, 8, &[b'x'; 1_000]);
        }
        machine
    };
    let snapshot = State::Snapshot {
        id: 7,
        promised: Ballot::default(),
        configuration: Configuration { voters: vec![ReplicaId(1)] },
        machine: machine.clone(),
        map: None,
    };
    let payloads = snapshot.payloads(part_size(64 << 20));
    assert!(5 < payloads.len(), "{} parts", payloads.len());
    assert!(payloads.iter().all(|payload| payload.len() < RECORD_PAYLOAD_SIZE_MAX));
    for kept in 0..=payloads.len() {
        let mut store = store();
        let mut recovery = Recovery::new(&mut store, SHARD_COUNT);
        for payload in &payloads[..kept] {
            recovery.record(&state(payload), LOG);
        }
        assert_eq!(recovery.foreign, None);
        let found = recovery.groups.get(&GROUP).map(|group| group.machine.clone());
        let is_whole = kept == payloads.len();
        assert_eq!(found.as_ref() == Some(&machine), is_whole, "after {kept} parts");
    }
}

/// Goal: the segments of entries that are applied can be given back: it is the index that refers to what
/// they said. Method: three entries, of which the log says that two are chosen.
#[test]
fn only_what_is_not_applied_holds_its_place_in_the_log() {
    let voters = Configuration { voters: vec![ReplicaId(1)] };
    let mut store = store();
    let mut recovery = Recovery::new(&mut store, SHARD_COUNT);
    let payload = entry::open_session(1, 2);
    let place = |slot: u64| Location { segment: slot as u32, offset: 128, size: 64 };
    for (slot, commit) in [(1, 0), (2, 1), (3, 2)] {
        let (kind, stamp) = (RecordKind::Entry, [1, 1]);
        let payload = &payload[..];
        let record = Record { kind, stream: GROUP, position: slot, stamp, commit, payload };
        recovery.record(&record, place(slot));
    }
    assert_eq!(recovery.foreign, None);
    let group = recovery.groups.remove(&GROUP).unwrap();
    let (recovered, machine, locations) = group.into_core(&voters);
    assert_eq!((recovered.entries.len(), machine.applied), (3, Slot(2)));
    assert_eq!(locations, BTreeMap::from([(Slot(3), place(3))]));
}
