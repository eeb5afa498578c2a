//! Giving the disk's space back, and saying so when there is none.
//!
//! One cycle after another: the values that are still needed are copied out of the segments that are
//! worth emptying, then a checkpoint makes everything before its mark superfluous for a restart. See
//! `evenkeel_engine::compaction` for what that rests on.
//!
//! **Invariant.** What a checkpoint says of a group (its state, its keys' places, its open entries) is
//! read and appended without waiting in between. Between the mark and a group's turn nothing of that
//! group may be half way: no snapshot is being installed, and one that is arriving is given up.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_core::consensus::{Consensus, Entry, Payload, ReplicaId};
use evenkeel_engine::compaction::{self, Need};
use evenkeel_engine::limits::RECORD_OVERHEAD_MAX;
use evenkeel_engine::store::{Rebase, Store};
use evenkeel_engine::{
    Checkpoint, Engine, EngineError, Location, Piece, Record, RecordKind, Sequence,
};
use evenkeel_runtime as runtime;
use evenkeel_wire::reply::Reply;
use tokio::sync::oneshot;

use crate::bugs::{Bug, planted};
use crate::driver::state_record;
use crate::entry;
use crate::group::{Group, PLACEMENT_GROUP};
use crate::metrics::count;
use crate::node::Node;
use crate::outbox::payload_size;
use crate::state::{self, CheckpointState, State};
use crate::views::Write;

/// How often it is looked whether anything is to be done.
const PAUSE: Duration = Duration::from_millis(50);
/// How long is waited for others before looking again.
const WAIT: Duration = Duration::from_millis(5);
/// A snapshot that is arriving may hold up a checkpoint for so many waits.
const SNAPSHOT_WAITS_MAX: u32 = 2_000;

impl Node {
    /// Runs for as long as the node.
    pub(crate) async fn run_compaction(self: Rc<Node>) {
        loop {
            runtime::sleep(PAUSE).await;
            if self.stopping.get() {
                return;
            }
            let spoiled = self.scrub.spoiled();
            let need = {
                let (engine, store) = (self.engine.borrow(), self.store.borrow());
                compaction::need(&compaction::situation(&engine, &store, &spoiled, self.owed()))
            };
            let is_wanted = need == Need::Checkpoint || self.scrub.wants_checkpoint.get();
            let victims = match need {
                Need::Nothing | Need::Checkpoint => Vec::new(),
                Need::Space(wanted) => compaction::victims(
                    &self.engine.borrow(),
                    &self.store.borrow(),
                    &spoiled,
                    self.owed(),
                    wanted,
                ),
            };
            if victims.is_empty() && !is_wanted {
                continue;
            }
            for &victim in &victims {
                if !self.empty(victim).await {
                    break; // What is not empty is not given up.
                }
                if self.holds_live_bytes(victim) {
                    self.scrub.suspect(victim); // Something in it could not be copied.
                }
            }
            if self.stopping.get() {
                return; // Nothing may be appended to a log that is being closed.
            }
            self.scrub.wants_checkpoint.set(false); // Who wishes for one from here on needs the next.
            self.checkpoint(victims).await;
        }
    }

    /// Copies what is needed of a segment to elsewhere. `false`: there is no room for more.
    async fn empty(self: &Rc<Node>, victim: u32) -> bool {
        let mut next = Some(0);
        // What the index refers to no more need not be read.
        let holds = |at: &u64| {
            *at < self.engine.borrow().durable_end(victim) && self.holds_live_bytes(victim)
        };
        while let Some(offset) = next.filter(holds) {
            let (sender, receiver) = oneshot::channel();
            let ticket = self.engine.borrow_mut().scan(victim, offset);
            self.scans.borrow_mut().insert(ticket, sender);
            let Ok(piece) = receiver.await else { return false };
            loop {
                let least = compaction::ROOM_MOVE_SEGMENTS * self.engine.borrow().segment_size();
                if self.room() < least || self.stopping.get() {
                    return false;
                }
                match self.relocate(&piece) {
                    Ok(bytes) => {
                        self.metrics.moved_bytes.set(self.metrics.moved_bytes.get() + bytes);
                        break;
                    }
                    Err(EngineError::Busy { .. }) => runtime::sleep(WAIT).await,
                    Err(_) => return false,
                }
            }
            next = piece.next;
        }
        true
    }

    fn holds_live_bytes(&self, segment: u32) -> bool {
        self.store.borrow().live_bytes().contains_key(&segment)
    }

    fn relocate(&self, piece: &Piece) -> Result<u64, EngineError> {
        let (mut engine, mut store) = (self.engine.borrow_mut(), self.store.borrow_mut());
        let mut result = Ok(0);
        piece.records(|record, location| {
            let is_shard = (1..self.groups.len() as u32).contains(&record.stream);
            let Ok(so_far) = result.as_ref().copied() else { return };
            if is_shard {
                let slots = self.slots_of(record.stream);
                let slot_of = evenkeel_core::placement::slots::slot;
                let moved = compaction::relocate(
                    &mut engine,
                    &mut store,
                    record,
                    location,
                    &slots,
                    slot_of,
                );
                result = moved.map(|bytes| so_far + bytes);
            }
        });
        result
    }

    /// Takes a checkpoint of all groups, and waits until it is in effect.
    async fn checkpoint(self: &Rc<Node>, victims: Vec<u32>) {
        self.wait_for_quiet().await;
        if self.stopping.get() {
            return;
        }
        self.checkpointing.set(true);
        self.checkpoint_from_here(victims).await;
        self.checkpointing.set(false);
    }

    async fn checkpoint_from_here(&self, mut victims: Vec<u32>) {
        let start = self.engine.borrow_mut().mark();
        let mut upto = Sequence(0);
        let mut rebase = Rebase::up_to(self.engine.borrow().segment_size() / 2);
        for number in 0..self.groups.len() as u32 {
            loop {
                let installing = self.groups[number as usize].borrow().installing;
                match if installing { None } else { self.checkpoint_group(number, &mut rebase) } {
                    Some(sequence) => {
                        upto = sequence;
                        break;
                    }
                    None if self.stopping.get() => return,
                    None => runtime::sleep(WAIT).await,
                }
            }
            runtime::yield_now().await;
            if self.stopping.get() {
                return;
            }
        }
        // What was applied, or installed, before its group's turn may lie in a victim; what was not applied
        // then has been written again, and lies elsewhere.
        victims.retain(|victim| !self.is_needed(*victim) || planted(Bug::VictimNotAskedAgain));
        let aside_upto = self.engine.borrow().aside_appended();
        let checkpoint = Checkpoint { start, upto, aside_upto, victims };
        self.engine.borrow_mut().commit_checkpoint(checkpoint);
        while self.engine.borrow().is_committing() && !self.stopping.get() {
            runtime::sleep(WAIT).await;
        }
    }

    /// Waits until what a checkpoint appends again is little, and until snapshots have arrived.
    async fn wait_for_quiet(&self) {
        for _ in 0..SNAPSHOT_WAITS_MAX {
            let is_small = self.unapplied_bytes.get() <= self.engine.borrow().segment_size() / 4;
            let is_quiet = is_small && self.inbound.borrow().is_empty();
            // Nothing is accepted any more then, so nothing would be applied either.
            let may_wait = !self.is_out_of_room();
            if is_quiet || !may_wait || self.stopping.get() {
                break;
            }
            runtime::sleep(WAIT).await;
        }
    }

    /// Whether the index or an entry that is not applied yet refers to something in a segment.
    fn is_needed(&self, segment: u32) -> bool {
        self.holds_live_bytes(segment)
            || self.groups.iter().any(|group| group.borrow().unapplied.touches(segment))
    }

    /// What a restart must know of a group, as of now. `None`: later.
    fn checkpoint_group(&self, number: u32, rebase: &mut Rebase) -> Option<Sequence> {
        let mut group = self.groups[number as usize].borrow_mut();
        // What is arriving has its items before the group's new beginning.
        self.inbound.borrow_mut().remove(&number);
        group.checkpoints += 1;
        let pages =
            if number == PLACEMENT_GROUP { Vec::new() } else { self.write_pages(number, rebase)? };
        let slot = group.machine.applied;
        let configuration = group.core.configuration_at(slot)?.clone();
        let is_placement = number == PLACEMENT_GROUP;
        let state = CheckpointState {
            promised: group.core.status().promised,
            configuration,
            machine: group.machine.clone(),
            pages,
            map: if is_placement { self.map.borrow().encode() } else { Vec::new() },
            genesis: if is_placement { self.genesis.encode() } else { Vec::new() },
            founder: self.founder,
            met: if is_placement { self.everybody_met() } else { Vec::new() },
        };
        let bytes = state.encode();
        let part_size = state::part_size(self.engine.borrow().segment_size());
        let parts: Vec<&[u8]> = bytes.chunks(part_size).collect();
        let mut upto = None;
        for (index, part) in (0..).zip(&parts) {
            let part = State::Checkpoint { index, count: parts.len() as u32, bytes: part.to_vec() };
            let part = part.encode();
            upto = Some(self.append(&state_record(number, slot, &part)).0);
        }
        upto.max(self.append_open(&mut group))
    }

    fn everybody_met(&self) -> Vec<(String, ReplicaId)> {
        let (met, meeting) = (self.met.borrow(), self.meeting.borrow());
        met.iter().chain(meeting.iter()).cloned().collect()
    }

    fn write_pages(&self, number: u32, rebase: &mut Rebase) -> Option<Vec<u8>> {
        if self.engine.borrow().is_busy_aside() {
            return None;
        }
        let (mut engine, mut store) = (self.engine.borrow_mut(), self.store.borrow_mut());
        let slots = self.slots_of(number);
        let mut append = |page: &[u8]| append_page(&mut engine, number, page);
        match store.write_pages(&slots, rebase, &mut append) {
            Ok(bytes) => {
                self.metrics.page_bytes.set(self.metrics.page_bytes.get() + bytes);
                Some(store.page_list(&slots))
            }
            Err(EngineError::Busy { .. } | EngineError::Full { .. }) => None,
            Err(error) => runtime::process::fail_now(format!("cannot append a page: {error}")),
        }
    }

    /// Appends again what is accepted and not applied.
    fn append_open(&self, group: &mut Group) -> Option<Sequence> {
        let last = group.core.status().last;
        let mut slot = group.machine.applied.next();
        let mut upto = None;
        while slot <= last {
            if let Some(entry) = group.core.entry(slot) {
                let payload = entry::encode(&entry.payload);
                let record = Record {
                    kind: RecordKind::Entry,
                    stream: group.number,
                    position: slot.0,
                    stamp: [entry.ballot.round, entry.ballot.replica.0],
                    commit: group.machine.applied.0,
                    payload: &payload,
                };
                let (sequence, location) = self.append(&record);
                upto = Some(sequence);
                group.unapplied.insert(slot, location);
            }
            slot = slot.next();
        }
        upto
    }

    /// Whether there is room for writes like these; if not, what the client hears.
    pub(crate) fn refusal(&self, writes: &[Write]) -> Option<Reply> {
        let puts = writes.iter().any(|write| matches!(write, Write::Put { .. }));
        let engine = self.engine.borrow();
        let segments =
            if puts { compaction::ROOM_PUT_SEGMENTS } else { compaction::ROOM_DELETE_SEGMENTS };
        if writes.is_empty() || segments * engine.segment_size() <= self.room() {
            return None;
        }
        count(&self.metrics.full_refusals);
        let (name, used, room) = (&self.config.name, engine.status().segment_bytes, engine.room());
        let (refused, way_out) = if puts {
            ("no value can be written, reads and deletes go on", "delete keys")
        } else {
            ("not even a delete can be written now, reads go on", "try again in a moment")
        };
        Some(Reply::error(match self.config.engine.log_size_max {
            0 => format!(
                "DISKFULL the disk of node `{name}` is full, the log has {used} bytes: {refused}; give \
                 the disk more room, or {way_out}"
            ),
            max => format!(
                "DISKFULL the log of node `{name}` takes {used} of {max} bytes (`disk_bytes_max`), and \
                 the {room} that are left in it are kept for giving space back: {refused}; raise the \
                 limit, or {way_out}"
            ),
        }))
    }

    /// Whether this node must not take more from others: what it has left is for giving space back.
    pub(crate) fn is_out_of_room(&self) -> bool {
        self.room() < compaction::ROOM_DELETE_SEGMENTS * self.engine.borrow().segment_size()
    }

    /// Drops those of a leader's values that there is no room for, as if the network had lost them: the
    /// others go on without this node.
    pub(crate) fn take_what_fits(&self, payloads: &mut Vec<Payload>) {
        if self.engine.borrow().room() == u64::MAX {
            return; // Nothing is known to limit it.
        }
        let segment = self.engine.borrow().segment_size();
        let room = self.room();
        if room < compaction::ROOM_DELETE_SEGMENTS * segment {
            return payloads.clear();
        }
        // Whatever is taken costs twice its size now, at worst, and twice again what is owed.
        let mut left = (room - compaction::ROOM_MOVE_SEGMENTS * segment) / 4;
        let fitting = payloads.iter().take_while(|payload| {
            let size = (payload_size(payload) + RECORD_OVERHEAD_MAX) as u64;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let count = fitting.count().max(1); // A record is small beside what is left.
        payloads.truncate(count);
    }

    /// Whether there is room for what another replica has accepted, as far as it is not here. A candidate
    /// writes all of it if it wins; without room for that it had better not.
    pub(crate) fn has_room_for(&self, number: u32, accepted: &[Entry]) -> bool {
        let group = self.groups[number as usize].borrow();
        let news = accepted.iter().filter(|entry| !group.unapplied.has(entry.slot));
        let sizes = news.map(|entry| payload_size(&entry.payload) + RECORD_OVERHEAD_MAX);
        let least = compaction::ROOM_MOVE_SEGMENTS * self.engine.borrow().segment_size();
        4 * sizes.sum::<usize>() as u64 <= self.room().saturating_sub(least)
    }

    /// Bytes that can be appended beside what the next checkpoint will, whatever else happens.
    pub(crate) fn room(&self) -> u64 {
        self.engine.borrow().room().saturating_sub(self.owed())
    }

    /// What a checkpoint would append again, in bytes. Twice what it has to say, since a record that does
    /// not fit into a segment begins the next one: two that follow each other are more than half full.
    pub(crate) fn owed(&self) -> u64 {
        if planted(Bug::UnappliedNotReserved) { 0 } else { 2 * self.unapplied_bytes.get() }
    }
}

#[cfg(test)]
mod tests;

/// Whether a reply says that a write was refused for want of room.
pub(crate) fn is_refusal(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("DISKFULL"))
}

fn append_page(engine: &mut Engine, number: u32, page: &[u8]) -> Result<Location, EngineError> {
    let record = Record {
        kind: RecordKind::Page,
        stream: number,
        position: 0,
        stamp: [0, 0],
        commit: 0,
        payload: page,
    };
    engine.append_aside(&record).map(|(_, location)| location)
}

/// The ranges of slots that checkpoints are taken of.
pub(crate) fn track_changes(store: &mut Store, shard_count: u32) {
    let shards: Vec<_> =
        (1..=shard_count).map(|group| crate::group::slots_of(group, shard_count)).collect();
    store.track_changes(&shards);
}
