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
use crate::request::{Request, Task};

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
    /// Nobody has it, or it could not be written.
    Left,
}

impl Node {
    /// A value whose bytes cannot be read here: another replica's. It is put back behind the caller's back.
    pub(crate) async fn value_from_others(self: &Rc<Node>, wanted: Lost) -> Option<Bytes> {
        if self.closing.get() {
            return None; // Reads are given up then: nothing is known of the value.
        }
        self.note_damage(&wanted);
        self.scrub.suspect(wanted.home.0.segment);
        let value = self.ask_others(&wanted).await?;
        let (node, kept) = (Rc::clone(self), value.clone());
        drop(runtime::spawn(async move { node.put_back(&wanted, &kept).await }));
        Some(value)
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
                self.note_damage(lost);
                let value = match resident {
                    Some(value) => Some(value),
                    None => self.ask_others(lost).await,
                };
                (value, Mend::Moved)
            }
        };
        match value {
            Some(value) if self.put_back(lost, &value).await => outcome,
            Some(_) | None if self.is_elsewhere(lost) => Mend::Sound,
            Some(_) | None => Mend::Left,
        }
    }

    fn note_damage(&self, lost: &Lost) {
        count(&self.metrics.damaged_reads);
        let group = group_of(lost.slot, self.config.cluster.shard_count);
        observe(self.replica, group, || Fact::ValueDamaged);
    }

    /// Whether the index does not refer to this place for this key any more.
    fn is_elsewhere(&self, lost: &Lost) -> bool {
        let store = self.store.borrow();
        let version = store.peek(lost.slot, &lost.key).map(|found| found.version);
        version != Some(lost.version) || store.home(lost.slot, &lost.key) != Some(lost.home)
    }

    /// Asks the other replicas of the shard, one after the other.
    async fn ask_others(self: &Rc<Node>, wanted: &Lost) -> Option<Bytes> {
        let group = group_of(wanted.slot, self.config.cluster.shard_count);
        let key = Bytes::copy_from_slice(&wanted.key);
        let task = Task::Value { key, version: wanted.version };
        let request = Request { group, task, stamp: None };
        for replica in self.holders_of(group) {
            let deadline = runtime::clock::monotonic_us() + ANSWER_TIMEOUT.as_micros() as u64;
            match self.forward(replica, &request, deadline).await {
                Answer::Reply(Reply::Bulk(value)) if self.may_be(wanted, &value) => {
                    return Some(value);
                }
                Answer::Reply(_) | Answer::NotHere(_) | Answer::Lost => (),
            }
        }
        None
    }

    /// Other replicas of a shard, those first that are heard of.
    fn holders_of(&self, number: u32) -> Vec<ReplicaId> {
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
        let is_heard = |holder: &ReplicaId| {
            map.node(*holder).is_some_and(|node| self.peers.is_connected(&node.name))
        };
        holders.sort_by_key(|holder| !is_heard(holder));
        holders
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
        count(&self.metrics.mended);
        self.scrub.has_moved.set(true);
        Ok(())
    }

    fn is_out_of_room_to_move(&self) -> bool {
        let engine = self.engine.borrow();
        engine.room() < ROOM_MOVE_SEGMENTS * engine.segment_size()
    }

    /// What any replica can say: the value of a key, if it has that very version. `None`: something else
    /// was asked for.
    pub(crate) fn attempt_value(self: &Rc<Node>, task: &Task) -> Option<Attempt<Slot>> {
        let Task::Value { key, version } = task else { return None };
        let slot = slots::slot(key);
        let store = self.store.borrow();
        let found = store.peek(slot, key);
        let is_it =
            |found: &Found<'_>| found.version == *version || planted(Bug::AnotherVersionGiven);
        let Some(found) = found.filter(is_it) else {
            return Some(Attempt::Answered(Reply::Null));
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
