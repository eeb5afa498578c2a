//! Handing a group's whole state to a replica whose next entries are gone from memory.
//!
//! The sender takes a cut of the keys at one slot (see `cut`) and streams it in chunks, a few ahead of the
//! receiver's acknowledgements; so is the rest of the state if it is large. The receiver writes every item
//! to its own log at once, and one last record makes all of them valid together with the group's state: a
//! crash leaves all or nothing.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::{Consensus, Input, ReplicaId, Slot, SnapshotMark};
use evenkeel_core::placement::PlacementMap;
use evenkeel_engine::batch::BatchBuilder;
use evenkeel_engine::{Location, Record, RecordKind};
use evenkeel_runtime as runtime;
use evenkeel_wire::peer::Message as Frame;
use evenkeel_wire::peer::messages::{
    SnapshotAck, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotItem,
};
use tokio::sync::Notify;

use crate::bugs::{Bug, planted};
use crate::codec;
use crate::cut::{Cut, Frozen};
use crate::entry::put_bytes;
use crate::group::{Group, PLACEMENT_GROUP};
use crate::machine::Machine;
use crate::metrics::count;
use crate::node::Node;
use crate::observe::{Fact, observe};
use crate::reader::Reader;
use crate::recovery::install_items;
use crate::state::{self, State};

/// A chunk is closed when its items hold this much.
const CHUNK_BYTES: usize = 256 * 1024;
/// More of a group's state than this is refused by a receiver, in bytes: no sender has so much.
const STATE_SIZE_MAX: usize = 1 << 30;
/// How many chunks may be on their way.
const CHUNKS_AHEAD_MAX: u64 = 4;
/// A receiver that acknowledges nothing for so long is given up, for now.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// A snapshot on its way to a peer.
pub(crate) struct Outbound {
    taken: Cell<u64>,
    ended: Cell<bool>,
    news: Notify,
}

/// A snapshot that is arriving.
pub(crate) struct Inbound {
    from: ReplicaId,
    begin: SnapshotBegin,
    /// The group's state, as far as it has arrived.
    state: Vec<u8>,
    items: Vec<(Bytes, Slot, Location)>,
    chunks: u64,
    /// How many checkpoints there were of the group when it began.
    checkpoints: u64,
}

/// Chunks on their way to one receiver.
struct Stream<'a> {
    node: &'a Node,
    to: ReplicaId,
    id: u64,
    outbound: Rc<Outbound>,
    /// How many have been sent.
    sent: u64,
}

impl Node {
    pub(crate) fn start_snapshot(self: &Rc<Node>, group: &mut Group, to: ReplicaId) {
        if group.snapshots.contains(&to) {
            return;
        }
        group.snapshots.push(to);
        count(&self.metrics.snapshots_sent);
        let (node, number) = (Rc::clone(self), group.number);
        drop(runtime::spawn(async move {
            let id = runtime::random_u64().max(1);
            // What the keys are now stays readable until all of it has been sent.
            let pin = node.engine.borrow_mut().pin();
            let sent = node.send_snapshot(number, to, id).await;
            node.engine.borrow_mut().unpin(pin);
            node.outbound.borrow_mut().remove(&id);
            tracing::info!(
                group = number,
                peer = to.0,
                installed = sent.is_some(),
                "snapshot sent"
            );
            node.groups[number as usize].borrow_mut().snapshots.retain(|peer| *peer != to);
            node.step(number, Input::SnapshotEnded { to });
        }));
    }

    /// `None`: the receiver did not take it.
    async fn send_snapshot(self: &Rc<Node>, number: u32, to: ReplicaId, id: u64) -> Option<()> {
        let (mut begin, cut) = self.begin_snapshot(number, to, id)?;
        let outbound =
            Rc::new(Outbound { taken: Cell::new(0), ended: Cell::new(false), news: Notify::new() });
        self.outbound.borrow_mut().insert(id, Rc::clone(&outbound));
        let part_size = state::part_size(self.engine.borrow().segment_size()).min(CHUNK_BYTES);
        let mut rest = begin.state.split_off(part_size.min(begin.state.len()));
        self.peers.send(to, &Frame::SnapshotBegin(begin)).then_some(())?;
        let mut stream = Stream { node: self, to, id, outbound, sent: 0 };
        while !rest.is_empty() {
            let state = rest.split_to(part_size.min(rest.len()));
            stream.send(SnapshotChunk { state, ..SnapshotChunk::default() }).await?;
        }
        loop {
            let frozen = cut.next(&self.store.borrow(), CHUNK_BYTES)?;
            if frozen.is_empty() {
                break;
            }
            let mut items = Vec::with_capacity(frozen.len());
            let take = |frozen: &Frozen, value: &[u8]| items.push(item(frozen, value));
            self.thaw(frozen, take).await.ok()?;
            stream.send(SnapshotChunk { items, ..SnapshotChunk::default() }).await?;
        }
        let end = SnapshotEnd { id, chunk_count: stream.sent };
        self.peers.send(to, &Frame::SnapshotEnd(end)).then_some(())?;
        stream.outbound.wait(|outbound| outbound.ended.get()).await
    }

    fn begin_snapshot(
        &self,
        number: u32,
        to: ReplicaId,
        id: u64,
    ) -> Option<(SnapshotBegin, Rc<Cut>)> {
        let mut group = self.groups[number as usize].borrow_mut();
        let slot = group.machine.applied;
        let configuration = group.core.configuration_at(slot)?;
        let mut state = Vec::new();
        put_bytes(&mut state, &group.machine.encode());
        let map = if number == PLACEMENT_GROUP { self.map.borrow().encode() } else { Vec::new() };
        put_bytes(&mut state, &map);
        let begin = SnapshotBegin {
            id,
            map_epoch: self.peers.map_epoch.get(),
            shard: number,
            from: self.replica.0,
            to: to.0,
            slot: slot.0,
            configuration: Some(codec::voters_to(configuration)),
            state: state.into(),
        };
        let slots = if number == PLACEMENT_GROUP { 0..0 } else { self.slots_of(number) };
        // Without a limit: who lags must be brought up to date, whatever is written meanwhile. (There is a
        // note at most for each key that the shard has now.)
        let cut = Rc::new(Cut::new(slot, slots, usize::MAX));
        group.cuts.push(Rc::downgrade(&cut));
        Some((begin, cut))
    }

    pub(crate) fn snapshot_acknowledged(&self, ack: SnapshotAck) {
        if let Some(outbound) = self.outbound.borrow().get(&ack.id) {
            outbound.taken.set(outbound.taken.get().max(ack.chunks_taken));
            outbound.ended.set(outbound.ended.get() || ack.installed);
            outbound.news.notify_one();
        }
    }

    pub(crate) fn snapshot_begins(&self, from: ReplicaId, begin: SnapshotBegin) {
        let number = begin.shard;
        let wanted = begin.to == self.replica.0
            && (number as usize) < self.groups.len()
            && self.groups[number as usize].borrow().machine.applied.0 < begin.slot;
        if !wanted {
            let ack = SnapshotAck { id: begin.id, installed: true, ..SnapshotAck::default() };
            self.peers.send(from, &Frame::SnapshotAck(ack)); // We have that already.
            return;
        }
        let checkpoints = self.groups[number as usize].borrow().checkpoints;
        let (state, items) = (begin.state.to_vec(), Vec::new());
        let inbound = Inbound { from, begin, state, items, chunks: 0, checkpoints };
        self.inbound.borrow_mut().insert(number, inbound);
    }

    pub(crate) fn snapshot_chunk(&self, from: ReplicaId, chunk: SnapshotChunk) {
        if self.closing.get() || self.is_out_of_room() {
            return; // The sender will give up, and try again.
        }
        let mut all = self.inbound.borrow_mut();
        let Some(inbound) = all.values_mut().find(|inbound| inbound.begin.id == chunk.id) else {
            return;
        };
        let state_size = inbound.state.len() + chunk.state.len();
        if inbound.from != from || inbound.chunks != chunk.index || STATE_SIZE_MAX < state_size {
            return; // A piece is missing: the sender will give up and start over.
        }
        inbound.state.extend_from_slice(&chunk.state);
        for item in chunk.items {
            let mut batch = BatchBuilder::new(&[]);
            batch.put(&item.key, &item.value, item.expires_at_ms);
            let payload = batch.finish();
            let record = Record {
                kind: RecordKind::Item,
                stream: inbound.begin.shard,
                position: item.version,
                stamp: [inbound.begin.id, 0],
                commit: 0,
                payload: &payload,
            };
            let (_, location) = self.append(&record);
            inbound.items.push((payload, Slot(item.version), location));
        }
        inbound.chunks += 1;
        let ack = SnapshotAck { id: chunk.id, chunks_taken: inbound.chunks, ..Default::default() };
        self.peers.send(from, &Frame::SnapshotAck(ack));
    }

    pub(crate) fn snapshot_ends(self: &Rc<Node>, from: ReplicaId, end: SnapshotEnd) {
        let mut all = self.inbound.borrow_mut();
        let found = all.iter().find(|(_, inbound)| inbound.begin.id == end.id);
        let Some(number) = found.map(|(number, _)| *number) else { return };
        let inbound = all.remove(&number).expect("found just now");
        if inbound.from != from || inbound.chunks != end.chunk_count {
            return;
        }
        let node = Rc::clone(self);
        drop(runtime::spawn(async move {
            let id = inbound.begin.id;
            if node.install_snapshot(number, inbound).await.is_some() {
                let ack = SnapshotAck { id, installed: true, ..SnapshotAck::default() };
                node.peers.send(from, &Frame::SnapshotAck(ack));
            }
        }));
    }

    /// `None`: it was malformed, or has been overtaken.
    async fn install_snapshot(self: &Rc<Node>, number: u32, inbound: Inbound) -> Option<()> {
        if self.closing.get() {
            return None;
        }
        let Inbound { begin, state, items, checkpoints, .. } = inbound;
        let mut reader = Reader::new(&state);
        let machine = Machine::decode(&mut Reader::new(reader.sized()?))?;
        let map = Some(reader.sized()?.to_vec()).filter(|map| !map.is_empty());
        let decoded = match &map {
            Some(bytes) => Some(PlacementMap::decode(bytes).ok()?),
            None => None,
        };
        let configuration = codec::voters_from(begin.configuration?)?;
        let configuration = match planted(Bug::SnapshotWithoutVoters) {
            true => self.groups[number as usize].borrow().core.status().configuration,
            false => configuration,
        };
        let mark = SnapshotMark { slot: Slot(begin.slot), configuration: configuration.clone() };
        if machine.applied != mark.slot {
            return None;
        }
        let sequence = {
            let mut group = self.groups[number as usize].borrow_mut();
            if mark.slot <= group.machine.applied || group.installing || group.is_leader() {
                return None;
            }
            if checkpoints != group.checkpoints && !planted(Bug::SnapshotAcrossCheckpoint) {
                return None; // A restart would not see the items: they are before its beginning.
            }
            group.installing = true;
            let promised = group.core.status().promised;
            let state = State::Snapshot {
                id: begin.id,
                promised,
                configuration,
                machine: machine.clone(),
                map,
            };
            self.append_state(number, &state)
        };
        if !planted(Bug::SnapshotBeforeFlush) {
            self.flushed(sequence).await;
        }
        let mut group = self.groups[number as usize].borrow_mut();
        group.installing = false;
        if number != PLACEMENT_GROUP {
            group.break_cuts();
            let mut store = self.store.borrow_mut();
            if !planted(Bug::SnapshotKeepsOldKeys) {
                store.clear_slots(self.slots_of(number));
            }
            install_items(&items, &mut store)?;
        }
        group.unapplied.forget_up_to(mark.slot);
        let (applied, digest) = (machine.applied, machine.digest);
        group.machine = machine;
        observe(self.replica, number, || Fact::Installed { applied, state: digest });
        let (slot, voters) = (mark.slot, mark.configuration.clone());
        observe(self.replica, number, || Fact::Voters { slot, voters });
        count(&self.metrics.snapshots_installed);
        self.step_group(&mut group, Input::SnapshotInstalled(mark));
        drop(group);
        if let Some(map) = decoded {
            self.adopt_map(map);
        }
        Some(())
    }
}

fn item(frozen: &Frozen, value: &[u8]) -> SnapshotItem {
    SnapshotItem {
        key: frozen.key.clone(),
        value: Bytes::copy_from_slice(value),
        version: frozen.version,
        expires_at_ms: frozen.expires_at_ms,
    }
}

impl Stream<'_> {
    /// Sends the next chunk, and waits while too many are on their way.
    async fn send(&mut self, chunk: SnapshotChunk) -> Option<()> {
        let chunk = SnapshotChunk { id: self.id, index: self.sent, ..chunk };
        self.node.peers.send(self.to, &Frame::SnapshotChunk(chunk)).then_some(())?;
        self.sent += 1;
        let sent = self.sent;
        self.outbound.wait(|outbound| sent <= outbound.taken.get() + CHUNKS_AHEAD_MAX).await
    }
}

impl Outbound {
    /// `None`: nothing was heard for too long.
    async fn wait(&self, enough: impl Fn(&Outbound) -> bool) -> Option<()> {
        while !enough(self) {
            runtime::timeout(ACK_TIMEOUT, self.news.notified()).await.ok()?;
        }
        Some(())
    }
}
