//! Executes what the cores decide, and tells them what came of it.
//!
//! **Invariant.** A message with `after` leaves only once the engine has reported the records of that
//! token durable. Nothing in here knows why a message is sent.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::{
    Consensus, Effect, Entry, HardState, Input, Micros, Payload, Refusal, ReplicaId, Role, Slot,
    Token,
};
use evenkeel_engine::batch::{Batch, Operation};
use evenkeel_engine::{Event, Record, RecordKind, Sequence};
use evenkeel_runtime as runtime;

use crate::bugs::{Bug, planted};
use crate::entry::{self, Leading};
use crate::group::{Fate, Group, PLACEMENT_GROUP, Proposed, ReadOutcome};
use crate::machine::Outcome;
use crate::metrics::count;
use crate::node::Node;
use crate::observe::{Fact, digest, observe, observed};
use crate::reply;
use crate::state::{self, State};

/// A batch of records on its way to the disk.
pub(crate) struct Unflushed {
    sequence: Sequence,
    group: u32,
    token: Token,
    facts: Vec<Fact>,
}

pub(crate) fn now() -> Micros {
    Micros(runtime::clock::monotonic_us())
}

impl Node {
    /// Hands one input to a group and executes everything that follows from it.
    pub(crate) fn step(self: &Rc<Node>, group: u32, input: Input) {
        if self.closing.get() {
            return; // As if the process had ended.
        }
        let mut group = self.groups[group as usize].borrow_mut();
        if group.installing && !matches!(input, Input::Persisted(_)) {
            return; // As if the network had lost it, or the tick came late.
        }
        self.step_group(&mut group, input);
    }

    pub(crate) fn step_group(self: &Rc<Node>, group: &mut Group, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut effects = self.effects.take();
        while let Some(input) = inputs.pop_front() {
            group.core.step(now(), input, &mut effects);
            for effect in effects.drain(..) {
                self.execute_effect(group, effect, &mut inputs);
            }
        }
        self.effects.replace(effects);
    }

    fn execute_effect(
        self: &Rc<Node>,
        group: &mut Group,
        effect: Effect,
        inputs: &mut VecDeque<Input>,
    ) {
        match effect {
            Effect::Persist { token, hard_state, entries, commit } => {
                self.persist(group, token, hard_state, &entries, commit);
            }
            Effect::Send { to, message, after } => match after {
                Some(token) if group.persisted < token && !planted(Bug::VouchBeforeFlush) => {
                    group.held.push_back((token, to, message));
                }
                Some(_) | None => self.peers.consensus(to, group.number, message),
            },
            Effect::Commit(upto) => {
                self.apply(group, upto);
                inputs.push_back(Input::Applied(upto));
            }
            Effect::Proposed(_, slot, _) => group.proposed = Some(Proposed::At(slot)),
            Effect::Refused(_, refusal) => {
                let (leader, busy) = match refusal {
                    Refusal::NotLeader { leader } => (leader, false),
                    Refusal::Busy | Refusal::BadConfiguration | Refusal::CatchingUp => (None, true),
                };
                group.proposed = Some(Proposed::Refused { leader, busy });
            }
            Effect::ReadReady(id, slot, _) => {
                assert!(slot <= group.machine.applied, "what is chosen here is applied at once");
                if let Some(sender) = group.reads.remove(&id) {
                    let _gone = sender.send(ReadOutcome::Ready);
                }
            }
            Effect::ReadRefused(id, _) => {
                if let Some(sender) = group.reads.remove(&id) {
                    let _gone = sender.send(ReadOutcome::Refused);
                }
            }
            Effect::SendSnapshot { to } => self.start_snapshot(group, to),
            Effect::Role(role) => self.role_changed(group, role),
        }
    }

    fn role_changed(self: &Rc<Node>, group: &mut Group, role: Role) {
        let led = group.is_leader();
        group.role = role;
        if role == Role::Leader {
            let status = group.core.status();
            group.leading = Leading { ballot: status.promised, opening: status.last.0 };
        }
        count(&self.metrics.role_changes);
        match role {
            Role::Follower { leader: Some(leader) } => self.leader_changed(group.number, leader),
            Role::Leader => self.leader_changed(group.number, self.replica),
            Role::Follower { leader: None } | Role::Candidate => (),
        }
        if led && !group.is_leader() {
            for waiter in group.abandon_waiters().into_values() {
                self.tell(waiter.asker, Fate::Unknown);
            }
        }
        if led != group.is_leader() {
            tracing::debug!(group = group.number, leads = !led, "leadership changed");
            count(&self.metrics.leader_changes);
        }
        observe(self.replica, group.number, || Fact::Role {
            role,
            ballot: group.core.status().promised,
        });
    }

    fn persist(
        &self,
        group: &mut Group,
        token: Token,
        hard_state: Option<HardState>,
        entries: &[Entry],
        commit: Slot,
    ) {
        let mut facts = Vec::new();
        let mut sequence = None;
        if let Some(hard_state) = hard_state {
            let payload = State::Promised(hard_state.promised).encode();
            let record = state_record(group.number, commit, &payload);
            sequence = Some(self.append(&record).0);
            if observed() {
                facts.push(Fact::PromiseDurable(hard_state.promised));
            }
        }
        for entry in entries {
            let payload = entry::encode(&entry.payload);
            let record = Record {
                kind: RecordKind::Entry,
                stream: group.number,
                position: entry.slot.0,
                stamp: [entry.ballot.round, entry.ballot.replica.0],
                commit: commit.0,
                payload: &payload,
            };
            let (appended, location) = self.append(&record);
            sequence = Some(appended);
            if group.machine.applied < entry.slot {
                group.unapplied.insert(entry.slot, location);
            }
            if observed() {
                let (slot, ballot) = (entry.slot, entry.ballot);
                facts.push(Fact::AcceptDurable { slot, ballot, digest: digest(0, &payload) });
            }
        }
        let sequence = sequence.expect("a batch of records is not empty");
        let unflushed = Unflushed { sequence, group: group.number, token, facts };
        self.unflushed.borrow_mut().push_back(unflushed);
    }

    /// Appends to the log. A log that cannot grow ends the process: its promises are void.
    pub(crate) fn append(&self, record: &Record<'_>) -> (Sequence, evenkeel_engine::Location) {
        match self.engine.borrow_mut().append(record) {
            Ok(appended) => appended,
            Err(error) => runtime::process::fail_now(format!("cannot append to the log: {error}")),
        }
    }

    /// Appends what a node must not forget of a group; it is valid when all of it is durable.
    pub(crate) fn append_state(&self, group: u32, state: &State) -> Sequence {
        let part_size = state::part_size(self.engine.borrow().segment_size());
        let payloads = state.payloads(part_size);
        let appended =
            payloads.iter().map(|payload| self.append(&state_record(group, Slot(0), payload)).0);
        appended.last().expect("there is at least one part")
    }

    /// Applies everything chosen up to `upto`, and tells who waits.
    fn apply(self: &Rc<Node>, group: &mut Group, upto: Slot) {
        while group.machine.applied < upto {
            let slot = Slot(group.machine.applied.0 + 1);
            let entry = group.core.entry(slot).expect("a chosen entry stays until it is applied");
            let payload = entry::encode(&entry.payload);
            if let Payload::Configuration(voters) = &entry.payload {
                let voters = voters.clone();
                observe(self.replica, group.number, || Fact::Voters { slot, voters });
            }
            let home = group.unapplied.remove(slot).expect("appended before it was chosen here");
            group.note_for_cuts(&payload, &self.store.borrow());
            let outcome = group.machine.apply(slot, &payload, home, &mut self.store.borrow_mut());
            observe(self.replica, group.number, || Fact::Chosen {
                slot,
                digest: digest(0, &payload),
            });
            let state = group.machine.digest;
            observe(self.replica, group.number, || Fact::Applied { slot, state });
            let outcome = match outcome {
                Outcome::Placement(command) => {
                    Outcome::Applied(reply::encode(&self.placement_decided(&command)))
                }
                outcome => outcome,
            };
            settle_overlay(group, slot, &payload);
            self.settle_waiter(group, slot, &payload, outcome);
        }
    }

    fn settle_waiter(
        self: &Rc<Node>,
        group: &mut Group,
        slot: Slot,
        payload: &Bytes,
        outcome: Outcome,
    ) {
        if let Some(waiter) = group.waiting.remove(&slot) {
            let is_its_own = waiter.payload == *payload;
            self.tell(
                waiter.asker,
                if is_its_own { Fate::Settled(outcome) } else { Fate::Displaced },
            );
        }
    }

    /// The disk has everything up to `sequence`: tell the cores, release what waited for it.
    fn durable(self: &Rc<Node>, sequence: Sequence) {
        loop {
            let mut unflushed = self.unflushed.borrow_mut();
            if unflushed.front().is_none_or(|front| sequence < front.sequence) {
                return;
            }
            let done = unflushed.pop_front().expect("looked at just now");
            drop(unflushed);
            let mut group = self.groups[done.group as usize].borrow_mut();
            for fact in done.facts {
                observe(self.replica, done.group, || fact);
            }
            group.persisted = done.token;
            while group.held.front().is_some_and(|(token, ..)| *token <= done.token) {
                let (_, to, message) = group.held.pop_front().expect("looked at just now");
                self.peers.consensus(to, done.group, message);
            }
            if !self.closing.get() {
                // It may have something to append, and the log takes no more.
                self.step_group(&mut group, Input::Persisted(done.token));
            }
        }
    }

    /// Runs for as long as the node: the engine's completions.
    pub(crate) async fn run_engine(self: Rc<Node>) {
        let mut events = Vec::new();
        loop {
            let polled =
                std::future::poll_fn(|context| self.engine.borrow_mut().poll(context, &mut events));
            if let Err(error) = polled.await {
                runtime::process::fail_now(format!("the disk failed: {error}"));
            }
            for event in events.drain(..) {
                match event {
                    Event::Durable(sequence) => {
                        self.durable(sequence);
                        self.wake_durable(sequence);
                    }
                    Event::Scanned { ticket, piece } => {
                        if let Some(sender) = self.scans.borrow_mut().remove(&ticket) {
                            let _gone = sender.send(piece);
                        }
                    }
                    Event::Housekeeping => (),
                    Event::Closed => {
                        if let Some(sender) = self.closed.borrow_mut().take() {
                            let _gone = sender.send(());
                        }
                        return;
                    }
                    Event::Read { ticket, result } => {
                        if let Some(sender) = self.disk_reads.borrow_mut().remove(&ticket) {
                            let _gone = sender.send(result);
                        }
                    }
                }
            }
        }
    }

    /// Runs for as long as the node: time, for every group.
    pub(crate) async fn run_ticks(self: Rc<Node>) {
        let tick = Duration::from_micros(self.config.timing.tick.0);
        loop {
            runtime::sleep(tick).await;
            for group in 0..self.groups.len() {
                self.step(group as u32, Input::Tick);
            }
        }
    }

    /// Waits until the disk has everything that has been appended so far.
    pub(crate) async fn flushed(&self, sequence: Sequence) {
        if sequence <= self.engine.borrow().durable() {
            return;
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.durable_waiters.borrow_mut().push((sequence, sender));
        let _ended = receiver.await;
    }

    fn wake_durable(&self, sequence: Sequence) {
        let mut waiters = self.durable_waiters.borrow_mut();
        let (ready, waiting) = waiters.drain(..).partition(|(upto, _)| *upto <= sequence);
        *waiters = waiting;
        let ready: Vec<(Sequence, tokio::sync::oneshot::Sender<()>)> = ready;
        for (_, sender) in ready {
            let _gone = sender.send(());
        }
    }

    /// Whether `replica` is this node.
    pub(crate) fn is_self(&self, replica: ReplicaId) -> bool {
        self.replica == replica
    }
}

pub(crate) fn state_record(group: u32, commit: Slot, payload: &[u8]) -> Record<'_> {
    Record {
        kind: RecordKind::State,
        stream: group,
        position: 0,
        stamp: [0, 0],
        commit: commit.0,
        payload,
    }
}

fn settle_overlay(group: &mut Group, slot: Slot, payload: &Bytes) {
    if group.number == PLACEMENT_GROUP || !group.is_leader() {
        return;
    }
    let batch = Batch::decode(payload).expect("checked when it entered the log");
    for operation in batch.operations() {
        let (Operation::Put { key, .. } | Operation::Delete { key }) = operation;
        group.overlay.settle(key, slot);
    }
}
