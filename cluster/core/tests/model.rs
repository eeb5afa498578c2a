//! Every history of a small configuration, by stateright.
//!
//! The network is a set: a message once sent may arrive at any later time, any number of times, or
//! never; so loss, repetition and reordering come for free. A disk finishes its writes one by one, when
//! it likes; a crash loses the rest.
//!
//! Every history starts when replica 1 has just been elected. What bounds it is in `Bounds`. What is left out: pre-votes always arrive (they promise nothing);
//! heartbeats never do, so that there are no leases and no reads (the random world has those), and
//! neither do gaps and rejects, which only say sooner what a time-out says later; time is the number of
//! time-outs so far, each longer than any lease.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says how far it came"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use evenkeel_core::consensus::{
    Configuration, Consensus, Effect, Entry, HardState, Input, Message, Micros, Payload,
    ProposalId, Recovered, ReplicaId, Role, Slot, SnapshotMark, Token,
};
use evenkeel_core::paxos::Paxos;
use evenkeel_core::paxos::timing::Timing;
use stateright::{Checker, Model, Property};

/// Goal: replica 2 deposes replica 1 of three, each proposes a value: every history, 25,622 states.
#[test]
fn a_leader_is_deposed() {
    let bounds =
        Bounds { replicas: 3, candidates: &[2], values: 1, crashes: 0, prompt_disks: true };
    check(bounds, None);
}

/// Goal: two leaders of three are deposed in turn, so that a slot may hold values of three ballots.
/// Method: breadth first, the first 150,000 steps.
#[test]
fn two_leaders_are_deposed() {
    let bounds =
        Bounds { replicas: 3, candidates: &[2, 3], values: 1, crashes: 0, prompt_disks: true };
    check(bounds, Some(150_000));
}

/// Goal: two replicas, where every quorum is both, slow disks, and a crash of either at any point.
/// Method: breadth first, the first 300,000 steps.
#[test]
fn a_replica_crashes() {
    let bounds =
        Bounds { replicas: 2, candidates: &[2], values: 1, crashes: 1, prompt_disks: false };
    check(bounds, Some(300_000));
}

#[derive(Clone, Copy)]
struct Bounds {
    replicas: u64,
    /// Who times out, in this order, once each.
    candidates: &'static [u64],
    /// Values proposed in each ballot.
    values: u64,
    /// Of all replicas together.
    crashes: u64,
    /// Whether disks finish at once. If not, any time later, or never.
    prompt_disks: bool,
}

fn check(bounds: Bounds, step_count_max: Option<usize>) {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut checker = bounds.checker().threads(threads);
    if let Some(count) = step_count_max {
        checker = checker.target_state_count(count);
    }
    let checker = checker.spawn_bfs().join();
    println!("{} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    nodes: BTreeMap<ReplicaId, Node>,
    network: BTreeSet<Arc<Letter>>,
    timeouts: u64,
    crashes: u64,
    /// What anyone has committed.
    chosen: BTreeMap<Slot, Payload>,
    /// Who has led, by round.
    leaders: BTreeMap<u64, ReplicaId>,
    broken: Option<&'static str>,
    prompt_disks: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    paxos: Paxos,
    writes: Vec<Write>,
    held: Vec<(Token, ReplicaId, Message)>,
    durable: Token,
    recovered: Option<Recovered>,
    proposed: u64,
    committed: Slot,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Write {
    token: Token,
    hard_state: Option<HardState>,
    entries: Vec<Entry>,
    commit: Slot,
}

/// Messages have no order of their own; their text has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Letter {
    from: ReplicaId,
    to: ReplicaId,
    message: Message,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Deliver(Arc<Letter>),
    Persist(ReplicaId),
    TimeOut(ReplicaId),
    Propose(ReplicaId),
    Crash(ReplicaId),
}

impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Letter) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Letter {
    fn cmp(&self, other: &Letter) -> std::cmp::Ordering {
        (self.from, self.to, &self.text).cmp(&(other.from, other.to, &other.text))
    }
}

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let node = |id| (ReplicaId(id), Node::new(ReplicaId(id), self, None, Micros(0)));
        let mut world = World {
            nodes: (1..=self.replicas).map(node).collect(),
            network: BTreeSet::new(),
            timeouts: 1,
            crashes: 0,
            chosen: BTreeMap::new(),
            leaders: BTreeMap::new(),
            broken: None,
            prompt_disks: self.prompt_disks,
        };
        world.elect(ReplicaId(1));
        Vec::from([world])
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(world.network.iter().cloned().map(Action::Deliver));
        if let Some(&candidate) = self.candidates.get(world.timeouts as usize - 1) {
            actions.push(Action::TimeOut(ReplicaId(candidate)));
        }
        for (&id, node) in &world.nodes {
            if !node.writes.is_empty() {
                actions.push(Action::Persist(id));
            }
            if node.paxos.status().role == Role::Leader && node.proposed < self.values {
                actions.push(Action::Propose(id));
            }
            if world.crashes < self.crashes {
                actions.push(Action::Crash(id));
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Deliver(letter) => {
                let (from, message) = (letter.from, letter.message.clone());
                world.step(letter.to, Input::Receive { from, message });
            }
            Action::Persist(id) => world.persist(id),
            Action::TimeOut(id) => {
                world.timeouts += 1;
                world.step(id, Input::Tick);
            }
            Action::Propose(id) => {
                let node = world.nodes.get_mut(&id).unwrap();
                node.proposed += 1;
                let value = Bytes::from(format!("value {} of {}", node.proposed, id.0));
                world.step(id, Input::Propose(Vec::from([(ProposalId(0), value)])));
            }
            Action::Crash(id) => {
                world.crashes += 1;
                let recovered = world.nodes[&id].recovered.clone();
                let now = world.now();
                world.nodes.insert(id, Node::new(id, self, recovered, now));
            }
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Bounds>> {
        Vec::from([
            Property::always("no promise is broken", |_, world: &World| world.broken.is_none()),
            Property::sometimes("two replicas lead in turn", |_, world: &World| {
                1 < world.leaders.len()
            }),
            Property::sometimes("the value of a deposed leader is chosen", |_, world: &World| {
                let first = Payload::Application(Bytes::from_static(b"value 1 of 1"));
                1 < world.leaders.len() && world.chosen.values().any(|value| *value == first)
            }),
            Property::sometimes("the value of a deposed leader is lost", |_, world: &World| {
                world.chosen.get(&Slot(2)) == Some(&Payload::Noop)
            }),
        ])
    }
}

impl Node {
    fn new(id: ReplicaId, bounds: &Bounds, recovered: Option<Recovered>, now: Micros) -> Node {
        let configuration = Configuration::new((1..=bounds.replicas).map(ReplicaId).collect());
        let timing = Timing::default();
        let committed = recovered.as_ref().map_or(Slot(0), |recovered| recovered.commit);
        Node {
            paxos: Paxos::new(id, configuration, timing, 0, recovered.clone(), now),
            writes: Vec::new(),
            held: Vec::new(),
            durable: Token(0),
            recovered,
            proposed: 0,
            committed,
        }
    }
}

impl World {
    fn now(&self) -> Micros {
        Micros(self.timeouts * Timing::default().election_max.0)
    }

    /// An election in which nothing is slow and nothing is lost: where every history starts.
    fn elect(&mut self, id: ReplicaId) {
        self.step(id, Input::Tick);
        loop {
            let busy = |(&id, node): (&ReplicaId, &Node)| (!node.writes.is_empty()).then_some(id);
            if let Some(id) = self.nodes.iter().find_map(busy) {
                self.persist(id);
            } else if let Some(letter) = self.network.pop_first() {
                let (from, message) = (letter.from, letter.message.clone());
                self.step(letter.to, Input::Receive { from, message });
            } else {
                break;
            }
        }
        assert_eq!(self.nodes[&id].paxos.status().commit, Slot(1));
    }

    fn step(&mut self, id: ReplicaId, input: Input) {
        let now = self.now();
        let node = self.nodes.get_mut(&id).unwrap();
        let mut effects = Vec::new();
        node.paxos.step(now, input, &mut effects);
        for effect in effects {
            self.execute(id, effect);
        }
        while self.prompt_disks && !self.nodes[&id].writes.is_empty() {
            self.persist(id);
        }
    }

    fn execute(&mut self, id: ReplicaId, effect: Effect) {
        match effect {
            Effect::Persist { token, hard_state, entries, commit } => {
                let node = self.nodes.get_mut(&id).unwrap();
                node.writes.push(Write { token, hard_state, entries, commit });
            }
            Effect::Send { to, message, after } => {
                let node = self.nodes.get_mut(&id).unwrap();
                match after {
                    Some(token) if node.durable < token => {
                        node.held.push((token, to, message));
                    }
                    Some(_) | None => self.send(id, to, message),
                }
            }
            Effect::Commit(slot) => self.commit(id, slot),
            Effect::Role(Role::Leader) => {
                let round = self.nodes[&id].paxos.status().promised.round;
                if *self.leaders.entry(round).or_insert(id) != id {
                    self.broken = Some("two leaders in one round");
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, from: ReplicaId, to: ReplicaId, message: Message) {
        match message {
            Message::Heartbeat { .. }
            | Message::HeartbeatOk { .. }
            | Message::Gap { .. }
            | Message::Reject { .. } => {}
            Message::PrePrepare { .. } | Message::PrePromise { .. } => {
                self.step(to, Input::Receive { from, message });
            }
            _ => {
                let text = format!("{message:?}");
                self.network.insert(Arc::new(Letter { from, to, message, text }));
            }
        }
    }

    fn persist(&mut self, id: ReplicaId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let voters = node.paxos.status().configuration;
        let write = node.writes.remove(0);
        node.durable = write.token;
        let recovered = node.recovered.get_or_insert_with(|| Recovered {
            hard_state: HardState::default(),
            snapshot: SnapshotMark { slot: Slot(0), configuration: voters },
            entries: Vec::new(),
            commit: Slot(0),
        });
        recovered.hard_state = write.hard_state.unwrap_or(recovered.hard_state.clone());
        recovered.commit = recovered.commit.max(write.commit);
        recovered.entries.retain(|old| write.entries.iter().all(|new| new.slot != old.slot));
        recovered.entries.extend(write.entries);
        recovered.entries.sort_by_key(|entry| entry.slot);
        let held = std::mem::take(&mut node.held);
        let (ready, held): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(after, ..)| *after <= write.token);
        node.held = held;
        for (_, to, message) in ready {
            self.send(id, to, message);
        }
        self.step(id, Input::Persisted(write.token));
    }

    fn commit(&mut self, id: ReplicaId, upto: Slot) {
        let node = self.nodes.get_mut(&id).unwrap();
        while node.committed < upto {
            node.committed = node.committed.next();
            let entry = node.paxos.entry(node.committed).expect("readable until applied");
            let known = self.chosen.entry(entry.slot).or_insert_with(|| entry.payload.clone());
            if *known != entry.payload {
                self.broken = Some("two values were chosen at one slot");
            }
        }
    }
}
