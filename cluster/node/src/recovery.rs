//! Turns the log back into groups: what the engine replays, in order, becomes state.
//!
//! An entry is applied here as soon as a later record says that its slot was chosen; what is left at
//! the end was accepted and may or may not be chosen, and goes to the core.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use evenkeel_core::consensus::{
    Ballot, Configuration, Entry, HardState, Payload, Recovered, ReplicaId, Slot, SnapshotMark,
};
use evenkeel_core::placement::PlacementMap;
use evenkeel_engine::batch::Batch;
use evenkeel_engine::store::Store;
use evenkeel_engine::{Location, Record, RecordKind, Replay};

use crate::bugs::{Bug, planted};
use crate::entry;
use crate::group::{PLACEMENT_GROUP, slots_of};
use crate::machine::{Machine, Outcome, perform};
use crate::state::{CheckpointState, Parts, State};

/// How many applied entries a group keeps at hand, so that a peer a little behind needs no snapshot.
const APPLIED_KEPT_MAX: usize = 256;

/// Everything the log says, while it is being read.
pub(crate) struct Recovery<'a> {
    pub(crate) groups: BTreeMap<u32, RecoveredGroup>,
    /// Whether this node is a founder, and the map it began with.
    pub(crate) genesis: Option<(bool, PlacementMap)>,
    pub(crate) map: Option<PlacementMap>,
    /// Lives of members that this node has met: (name, replica).
    pub(crate) met: Vec<(String, ReplicaId)>,
    pub(crate) store: &'a mut Store,
    shard_count: u32,
    /// Replay began at a checkpoint: what there is of a group counts from its part of it on.
    from_checkpoint: bool,
    /// Pages to be fetched.
    wanted: Vec<Location>,
    /// Where the checkpoint's pages are: until another one is in effect, every replay fetches them first,
    /// whatever makes them superfluous later in the log.
    pub(crate) page_segments: BTreeSet<u32>,
    /// The first record that nobody could have written, if any.
    pub(crate) foreign: Option<Location>,
}

/// One group, as far as the log has been read.
#[derive(Default)]
pub(crate) struct RecoveredGroup {
    pub(crate) machine: Machine,
    /// Its part of the checkpoint has been read.
    begun: bool,
    /// The checkpoint's bytes so far.
    checkpoint: Parts,
    /// Those of a state that is too large for one record.
    parts: Parts,
    promised: Ballot,
    /// The voters, by the slot that named them.
    configurations: BTreeMap<Slot, Configuration>,
    entries: BTreeMap<Slot, (Ballot, Bytes, Location)>,
    commit: Slot,
    /// Items of a snapshot that is still arriving: (payload, version, where).
    items: Vec<(Bytes, Slot, Location)>,
    items_of: u64,
}

impl<'a> Recovery<'a> {
    pub(crate) fn new(store: &'a mut Store, shard_count: u32) -> Recovery<'a> {
        Recovery {
            groups: BTreeMap::new(),
            genesis: None,
            map: None,
            met: Vec::new(),
            store,
            shard_count,
            from_checkpoint: false,
            wanted: Vec::new(),
            page_segments: BTreeSet::new(),
            foreign: None,
        }
    }

    fn entry(&mut self, record: &Record<'_>, location: Location) -> Option<()> {
        let payload = Bytes::copy_from_slice(record.payload);
        entry::decode(&payload)?;
        let ballot = Ballot { round: record.stamp[0], replica: ReplicaId(record.stamp[1]) };
        let group = self.groups.entry(record.stream).or_default();
        group.promised = group.promised.max(ballot);
        let slot = Slot(record.position);
        if slot <= group.machine.applied && !group.entries.contains_key(&slot) {
            return Some(()); // A checkpoint that never came into effect appended it again.
        }
        group.entries.insert(Slot(record.position), (ballot, payload, location));
        Some(())
    }

    fn state(&mut self, stream: u32, payload: &[u8]) -> Option<()> {
        let group = self.groups.entry(stream).or_default();
        match State::decode(payload)? {
            State::Promised(ballot) => group.promised = group.promised.max(ballot),
            State::Checkpoint { index, count, bytes } => {
                if self.from_checkpoint && !group.begun {
                    return self.checkpoint_part(stream, index, count, &bytes);
                }
            }
            State::Part { index, count, bytes } => {
                if let Some(whole) = group.parts.add(index, count, &bytes)? {
                    // A part of a part would be one too many.
                    let nested = whole.first() == payload.first();
                    return if nested { None } else { self.state(stream, &whole) };
                }
            }
            State::Met { name, replica } => self.met.push((name, replica)),
            State::Genesis { founder, map } => {
                let map = PlacementMap::decode(&map).ok()?;
                self.genesis = Some((founder, map.clone()));
                self.map = Some(map);
            }
            State::Snapshot { id, configuration, machine, map, promised } => {
                let items = std::mem::take(&mut group.items);
                if stream != PLACEMENT_GROUP {
                    self.store.clear_slots(slots_of(stream, self.shard_count));
                }
                if group.items_of == id {
                    install_items(&items, self.store)?;
                }
                group.promised = group.promised.max(promised);
                group.configurations = BTreeMap::from([(machine.applied, configuration)]);
                group.commit = group.commit.max(machine.applied);
                group.entries = group.entries.split_off(&Slot(machine.applied.0 + 1));
                group.machine = machine;
                if let Some(map) = map {
                    self.map = Some(PlacementMap::decode(&map).ok()?);
                }
            }
        }
        Some(())
    }

    /// One part of what the checkpoint says of a group; the last one takes effect.
    fn checkpoint_part(&mut self, stream: u32, index: u32, count: u32, part: &[u8]) -> Option<()> {
        let group = self.groups.entry(stream).or_default();
        let Some(whole) = group.checkpoint.add(index, count, part)? else { return Some(()) };
        let state = CheckpointState::decode(&whole)?;
        let (begun, promised, machine) = (true, state.promised, state.machine);
        *group = RecoveredGroup { machine, begun, promised, ..RecoveredGroup::default() };
        let applied = group.machine.applied;
        group.configurations.insert(applied, state.configuration);
        group.commit = applied;
        if stream == PLACEMENT_GROUP {
            let genesis = PlacementMap::decode(&state.genesis).ok()?;
            self.genesis = Some((state.founder, genesis));
            self.map = Some(PlacementMap::decode(&state.map).ok()?);
            self.met = state.met;
        } else {
            let slots = slots_of(stream, self.shard_count);
            self.wanted = self.store.adopt_pages(&slots, &state.pages)?;
            self.page_segments.extend(self.wanted.iter().map(|page| page.segment));
        }
        Some(())
    }

    /// Applies what is known to be chosen, as far as it is there.
    fn advance(&mut self, stream: u32, commit: Slot) {
        let Some(group) = self.groups.get_mut(&stream) else { return };
        group.commit = group.commit.max(commit);
        while group.machine.applied < group.commit {
            let slot = Slot(group.machine.applied.0 + 1);
            let Some((_, payload, location)) = group.entries.get(&slot) else { break };
            let outcome = group.machine.apply(slot, payload, *location, self.store);
            if let Outcome::Placement(command) = outcome
                && let Some(map) = &mut self.map
            {
                let _refused_alike_everywhere = crate::map::apply(map, &command);
            }
            if let Some(Payload::Configuration(voters)) = entry::decode(payload) {
                group.configurations.insert(slot, voters);
            }
            let kept = slot.0.saturating_sub(APPLIED_KEPT_MAX as u64);
            while group.entries.first_key_value().is_some_and(|(first, _)| first.0 <= kept) {
                group.entries.pop_first();
            }
        }
    }
}

impl Replay for Recovery<'_> {
    fn checkpoint(&mut self) {
        self.from_checkpoint = true;
    }

    fn wanted(&mut self) -> Vec<Location> {
        std::mem::take(&mut self.wanted)
    }

    fn fetched(&mut self, record: &Record<'_>, location: Location) {
        if record.kind != RecordKind::Page || self.store.restore_page(record.payload).is_none() {
            self.foreign.get_or_insert(location);
        }
    }

    fn record(&mut self, record: &Record<'_>, location: Location) {
        let begun = self.groups.get(&record.stream).is_some_and(|group| group.begun);
        if self.from_checkpoint && !begun && record.kind != RecordKind::State {
            return;
        }
        let understood = match record.kind {
            RecordKind::Moved | RecordKind::Page => None, // They are not in the log's order.
            RecordKind::Entry => self.entry(record, location),
            RecordKind::State => self.state(record.stream, record.payload),
            RecordKind::Item => {
                let group = self.groups.entry(record.stream).or_default();
                if group.items_of != record.stamp[0] {
                    group.items.clear(); // An older stream broke off; this one starts over.
                    group.items_of = record.stamp[0];
                }
                let payload = Bytes::copy_from_slice(record.payload);
                group.items.push((payload, Slot(record.position), location));
                Some(())
            }
        };
        if understood.is_none() {
            self.foreign.get_or_insert(location);
        }
        self.advance(record.stream, Slot(record.commit));
    }
}

impl RecoveredGroup {
    /// What the core takes over, and where those of its entries lie in the log that are not applied yet.
    ///
    /// `genesis` are the voters if the log never named any.
    pub(crate) fn into_core(
        self,
        genesis: &Configuration,
    ) -> (Recovered, Machine, BTreeMap<Slot, Location>) {
        let applied = self.machine.applied;
        let first = self.entries.keys().next().map_or(applied.0, |slot| slot.0 - 1);
        let mark = Slot(first.min(applied.0));
        let voters = self.configurations.range(..=mark).next_back().map(|(_, voters)| voters);
        let configuration = voters.unwrap_or(genesis).clone();
        let mut locations = BTreeMap::new();
        let mut entries = Vec::new();
        for (slot, (ballot, payload, location)) in self.entries.range(Slot(mark.0 + 1)..) {
            if applied < *slot || planted(Bug::AppliedHoldsSegments) {
                locations.insert(*slot, *location); // Of one that is applied, nobody asks where it is.
            }
            let payload = entry::decode(payload).expect("checked when it was replayed");
            entries.push(Entry { slot: *slot, ballot: *ballot, payload });
        }
        let snapshot = SnapshotMark { slot: mark, configuration };
        let hard_state = HardState { promised: self.promised };
        let recovered = Recovered { hard_state, snapshot, entries, commit: applied };
        (recovered, self.machine, locations)
    }
}

/// Puts a snapshot's items into the store. `None`: one of them is not an item.
pub(crate) fn install_items(items: &[(Bytes, Slot, Location)], store: &mut Store) -> Option<()> {
    for (payload, version, location) in items {
        let batch = Batch::decode(payload).ok()?;
        for (index, operation) in batch.operations().enumerate() {
            let _never = perform(&operation, *version, (*location, index as u32), 0, store);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
