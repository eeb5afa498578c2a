//! Values whose bytes are damaged on this node's disk, and where to get them: every other replica of the
//! shard has the same value under the same version.
//!
//! **Invariant.** A key has one value under one version, on every replica: versions are slots of the
//! shard's log. So a replica that has the key under that version has the value, however far behind or
//! ahead it is, and one that has another version says nothing.
//!
//! **Invariant.** While a checkpoint is being taken no key is moved to another place in the log: the
//! checkpoint may have said already where the key is, and that it is somewhere else now no record in the
//! log's order says. (A write may move it: its entry is behind the checkpoint's mark.)

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::{Consensus, ReplicaId, Slot};
use evenkeel_core::placement::slots;
use evenkeel_engine::EngineError;
use evenkeel_engine::compaction::{self, ROOM_MOVE_SEGMENTS};
use evenkeel_engine::scrub::Lost;
use evenkeel_engine::store::{Found, Value};
use evenkeel_runtime as runtime;
use evenkeel_wire::reply::Reply;
use tokio::sync::oneshot;

use crate::bugs::{Bug, planted};
use crate::forward::Answer;
use crate::group::group_of;
use crate::lead::Attempt;
use crate::metrics::count;
use crate::node::Node;
use crate::observe::{Fact, observe};
use crate::request::{NotHere, Request, Task};

/// A replica that has not answered within this is not waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long is waited for a checkpoint, or for room in the log, before looking again.
const WAIT: Duration = Duration::from_millis(5);

/// What became of a value that should have been found somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mend {
    /// It could be read all the same, or nobody needs it any more: nothing was damaged.
    Sound,
    /// It came from memory or from another replica, and has a new place.
    Moved,
    /// Nobody has it who can be asked, or there is no room to write it.
    Left,
}

/// What the others say of a value.
pub(crate) enum Asked {
    Value(Bytes),
    /// Every replica has answered, and it is damaged on all of them.
    Nobody,
    /// Some replica has not been asked, or has not answered.
    Unsure,
}

impl Node {
    /// A value whose bytes cannot be read here: another replica's. It is put back, unless a checkpoint is
    /// being taken; then the look at its segment, which this asks for, mends it.
    pub(crate) async fn value_from_others(self: &Rc<Node>, wanted: Lost) -> Asked {
        if self.closing.get() {
            return Asked::Unsure; // Reads are given up then: nothing is known of the value.
        }
        let (Lost { slot, version, home, .. }, key) = (&wanted, &wanted.key);
        let now = match self.store.borrow().peek(*slot, key) {
            Some(found) if found.version == *version => match found.value {
                Value::Memory(value) => return Asked::Value(Bytes::copy_from_slice(value)),
                Value::Log(location, index) => Some((location, index)),
            },
            Some(_) | None => None,
        };
        if now != Some(*home) {
            // It has moved on since the read was asked for, and its segment may be gone.
            if let Some((location, index)) = now
                && let Some(value) = self.read_value(location, index).await
            {
                return Asked::Value(value);
            }
            let (segment, offset) = (home.0.segment, u64::from(home.0.offset));
            if self.engine.borrow().durable_end(segment) <= offset {
                return Asked::Unsure;
            }
        }
        count(&self.metrics.damaged_reads);
        self.observe_damage(*slot);
        self.scrub.suspect(home.0.segment);
        let asked = self.ask_others(&wanted).await;
        if let Asked::Value(value) = &asked
            && !self.checkpointing.get()
            && !self.is_out_of_room_to_move()
            && let Err(error) = self.put_back_now(&wanted, value)
        {
            tracing::debug!(%error, "a mended value waits for the look at its segment");
        }
        asked
    }

    /// Gives a value that was not found where it should be another place.
    pub(crate) async fn mend(self: &Rc<Node>, lost: &Lost) -> Mend {
        let resident = match self.store.borrow().peek(lost.slot, &lost.key) {
            Some(Found { version, value: Value::Memory(value), .. }) if version == lost.version => {
                Some(Bytes::copy_from_slice(value))
            }
            _ => None,
        };
        let (location, index) = lost.home;
        let (value, outcome) = match self.read_value(location, index).await {
            Some(value) => (Some(value), Mend::Sound),
            None if self.is_elsewhere(lost) => return Mend::Sound,
            None if self.closing.get() => return Mend::Left,
            None => {
                self.observe_damage(lost.slot);
                let value = match (resident, self.scrub.is_hopeless()) {
                    (Some(value), _) => Some(value),
                    (None, true) => None,
                    (None, false) => match self.ask_others(lost).await {
                        Asked::Value(value) => Some(value),
                        Asked::Nobody | Asked::Unsure => None,
                    },
                };
                (value, Mend::Moved)
            }
        };
        match value {
            Some(value) if self.put_back(lost, &value).await => outcome,
            // Without room it stays where it is; it can be read.
            Some(_) if outcome == Mend::Sound => outcome,
            Some(_) | None if self.is_elsewhere(lost) => Mend::Sound,
            Some(_) | None => Mend::Left,
        }
    }

    fn observe_damage(&self, slot: u16) {
        let group = group_of(slot, self.config.cluster.shard_count);
        observe(self.replica, group, || Fact::ValueDamaged);
    }

    /// Whether the index does not refer to this place for this key any more.
    fn is_elsewhere(&self, lost: &Lost) -> bool {
        let store = self.store.borrow();
        let version = store.peek(lost.slot, &lost.key).map(|found| found.version);
        version != Some(lost.version) || store.home(lost.slot, &lost.key) != Some(lost.home)
    }

    /// Asks the other replicas of the shard that can be reached, one after the other.
    async fn ask_others(self: &Rc<Node>, wanted: &Lost) -> Asked {
        let group = group_of(wanted.slot, self.config.cluster.shard_count);
        let key = Bytes::copy_from_slice(&wanted.key);
        let task = Task::Value { key, version: wanted.version };
        let request = Request { group, task, stamp: None };
        let (heard, silent) = self.holders_of(group);
        let mut is_certain = silent.is_empty();
        for replica in heard {
            let deadline = runtime::clock::monotonic_us() + ANSWER_TIMEOUT.as_micros() as u64;
            match self.forward(replica, &request, deadline).await {
                Answer::Reply(Reply::Bulk(value)) if self.may_be(wanted, &value) => {
                    return Asked::Value(value);
                }
                Answer::Reply(Reply::Null) => (),
                // An older release, for one.
                Answer::Reply(_) | Answer::NotHere(_) | Answer::Lost => is_certain = false,
            }
        }
        if is_certain { Asked::Nobody } else { Asked::Unsure }
    }

    /// The other replicas of a shard: those that are heard of, and those that are not.
    fn holders_of(&self, number: u32) -> (Vec<ReplicaId>, Vec<ReplicaId>) {
        let mut holders = {
            let group = self.groups[number as usize].borrow();
            group.core.status().configuration.voters.clone()
        };
        let map = self.map.borrow();
        let shard = map.shards().get((number as usize).wrapping_sub(1));
        holders.extend(shard.into_iter().flat_map(|shard| shard.voters.voters.iter().copied()));
        holders.sort_unstable();
        holders.dedup();
        holders.retain(|holder| !self.is_self(*holder));
        holders.into_iter().partition(|holder| {
            map.node(*holder).is_some_and(|node| self.peers.is_connected(&node.name))
        })
    }

    /// What the index knows of a value does not speak against this one.
    fn may_be(&self, wanted: &Lost, value: &[u8]) -> bool {
        let store = self.store.borrow();
        let found = store.peek(wanted.slot, &wanted.key);
        let same = found.filter(|found| found.version == wanted.version);
        same.is_none_or(|found| found.size as usize == value.len())
    }

    /// Writes a value aside and lets the index refer to that, unless the key has moved on meanwhile.
    /// `false`: there is no room for it, or no time left.
    async fn put_back(&self, lost: &Lost, value: &[u8]) -> bool {
        loop {
            if self.stopping.get() || self.is_out_of_room_to_move() {
                return false;
            }
            if !self.checkpointing.get() {
                match self.put_back_now(lost, value) {
                    Ok(()) => return true,
                    Err(EngineError::Busy { .. }) => (),
                    Err(_) => return false,
                }
            }
            runtime::sleep(WAIT).await;
        }
    }

    fn put_back_now(&self, lost: &Lost, value: &[u8]) -> Result<(), EngineError> {
        if self.is_elsewhere(lost) || planted(Bug::MendNotKept) {
            return Ok(());
        }
        let group = group_of(lost.slot, self.config.cluster.shard_count);
        let (mut engine, mut store) = (self.engine.borrow_mut(), self.store.borrow_mut());
        let entry = (&lost.key[..], value);
        compaction::copy_aside(&mut engine, &mut store, group, lost.slot, entry, lost.home)?;
        self.scrub.has_moved.set(true);
        Ok(())
    }

    fn is_out_of_room_to_move(&self) -> bool {
        self.room() < ROOM_MOVE_SEGMENTS * self.engine.borrow().segment_size()
    }

    /// What any replica can say: the value of a key, if it has that very version, or that it is damaged here,
    /// too. `None`: something else was asked for.
    pub(crate) fn attempt_value(self: &Rc<Node>, task: &Task) -> Option<Attempt<Slot>> {
        let Task::Value { key, version } = task else { return None };
        let slot = slots::slot(key);
        let group = group_of(slot, self.config.cluster.shard_count);
        let applied = self.groups[group as usize].borrow().machine.applied;
        if applied.0 < *version && !planted(Bug::AnotherVersionGiven) {
            return Some(Attempt::NotHere(NotHere::Busy)); // It will have it.
        }
        let store = self.store.borrow();
        let found = store.peek(slot, key);
        let is_it =
            |found: &Found<'_>| found.version == *version || planted(Bug::AnotherVersionGiven);
        let Some(found) = found.filter(is_it) else {
            // One of the two is behind: it says nothing of the value.
            return Some(Attempt::NotHere(NotHere::Busy));
        };
        let (location, index) = match found.value {
            Value::Memory(value) => {
                return Some(Attempt::Answered(Reply::Bulk(Bytes::copy_from_slice(value))));
            }
            Value::Log(location, index) => (location, index),
        };
        let (sender, receiver) = oneshot::channel();
        let node = Rc::clone(self);
        drop(runtime::spawn(async move {
            let value = node.read_value(location, index).await;
            if value.is_none() && !node.closing.get() {
                node.scrub.suspect(location.segment); // Damaged here, too.
            }
            let _gone = sender.send(value.map_or(Reply::Null, Reply::Bulk));
        }));
        Some(Attempt::Part(receiver))
    }
}

#[cfg(test)]
mod tests;
