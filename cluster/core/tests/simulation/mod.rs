//! A small world for the core alone: replicas, disks that forget, links that lose, repeat and reorder,
//! clocks that drift within their bound. Time is a number; one seed is one history.
//!
//! The oracle looks at everything at once, which no replica can:
//! - one leader per ballot and per round;
//! - a slot that anyone has committed holds the same value for everyone, for ever;
//! - at one true instant at most one replica holds a lease, and it has seen every commit;
//! - a read is served no earlier than what was committed when it arrived;
//! - nobody takes proposals after being voted out;
//! - once the weather clears, the cluster serves.

mod disk;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use evenkeel_core::consensus::{
    Configuration, Consensus, Effect, Input, Message, Micros, Payload, ProposalId, ReadId,
    ReplicaId, Role, Slot, SnapshotMark, Token,
};
use evenkeel_core::paxos::Paxos;
use evenkeel_core::paxos::timing::{Limits, Timing};

use self::disk::Disk;
use self::oracle::Oracle;

const MILLISECOND: u64 = 1_000;
const FAULTS_END: u64 = 4_000 * MILLISECOND;
const HEALED_END: u64 = 9_000 * MILLISECOND;

/// The clocks of this world are much worse than real ones, so that a forgotten bound shows.
const TIMING: Timing = Timing {
    tick: Micros(10_000),
    heartbeat: Micros(40_000),
    election_min: Micros(250_000),
    election_max: Micros(450_000),
    lease: Micros(200_000),
    drift_ppm: 40_000,
};

/// Small ones, so that snapshots, windows and batches all happen.
const LIMITS: Limits = Limits {
    window_count_max: 20,
    window_bytes_max: 4_000,
    accept_count_max: 3,
    accept_bytes_max: 400,
    pipeline_bytes_max: 1_500,
    retained_count_max: 15,
    retained_bytes_max: 2_000,
    reads_waiting_max: 100,
    learner_lag_max: 2,
};

/// Lives one seed. Panics, with the seed and the claim, if a promise was broken.
pub(crate) fn live(seed: u64) -> Statistics {
    let mut world = World::new(seed);
    world.run_until(FAULTS_END);
    world.heal();
    world.run_until(HEALED_END);
    world.check_service();
    world.oracle.statistics
}

/// Proof that something happened.
#[allow(dead_code, reason = "the hunt for planted bugs does not look")]
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Statistics {
    pub(crate) commits: u64,
    pub(crate) leaders: u64,
    pub(crate) lease_reads: u64,
    pub(crate) quorum_reads: u64,
    pub(crate) snapshots: u64,
    pub(crate) crashes: u64,
    pub(crate) reconfigurations: u64,
    pub(crate) transfers: u64,
}

#[allow(dead_code, reason = "the hunt for planted bugs does not look")]
impl Statistics {
    pub(crate) fn add(&mut self, other: Statistics) {
        self.commits += other.commits;
        self.leaders += other.leaders;
        self.lease_reads += other.lease_reads;
        self.quorum_reads += other.quorum_reads;
        self.snapshots += other.snapshots;
        self.crashes += other.crashes;
        self.reconfigurations += other.reconfigurations;
        self.transfers += other.transfers;
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn permille(&mut self, chance: u64) -> bool {
        self.below(1_000) < chance
    }
}

/// How bad it is, drawn once per seed: some seeds lose messages, some crash, some do everything.
struct Weather {
    loss_permille: u64,
    repeat_permille: u64,
    latency_max: u64,
    tail_permille: u64,
    tail_max: u64,
    flush_max: u64,
    crash_permille: u64,
    cut_permille: u64,
    change_permille: u64,
    transfer_permille: u64,
    reads_permille: u64,
}

impl Weather {
    fn draw(random: &mut Random) -> Weather {
        let mut pick = |choices: &[u64]| choices[random.below(choices.len() as u64) as usize];
        Weather {
            loss_permille: pick(&[0, 10, 100, 250]),
            repeat_permille: pick(&[0, 20, 200]),
            latency_max: pick(&[500, 3_000, 30_000]),
            tail_permille: pick(&[0, 20, 100]),
            tail_max: pick(&[100_000, 400_000, 1_500_000]),
            flush_max: pick(&[300, 3_000, 60_000, 300_000]),
            crash_permille: pick(&[0, 10, 60, 150]),
            cut_permille: pick(&[0, 20, 100, 200]),
            change_permille: pick(&[0, 0, 60]),
            transfer_permille: pick(&[0, 0, 80]),
            reads_permille: pick(&[100, 500]),
        }
    }
}

#[derive(Debug)]
enum Event {
    Deliver { from: ReplicaId, to: ReplicaId, message: Message },
    Flushed { node: ReplicaId, life: u64 },
    Tick { node: ReplicaId },
    Client,
    Fault,
    SnapshotArrives { from: ReplicaId, to: ReplicaId, mark: SnapshotMark },
    Restart { node: ReplicaId },
}

struct Node {
    /// `None` while it is down.
    paxos: Option<Paxos>,
    life: u64,
    disk: Disk,
    /// Vouching messages that wait for the disk.
    held: Vec<(Token, ReplicaId, Message)>,
    durable: Token,
    applied: Slot,
    clock_offset: u64,
    clock_ppm: i64,
}

impl Node {
    fn clock(&self, now: u64) -> Micros {
        let rate = (1_000_000 + self.clock_ppm) as u128;
        Micros(self.clock_offset + (u128::from(now) * rate / 1_000_000) as u64)
    }
}

struct World {
    random: Random,
    weather: Weather,
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    nodes: BTreeMap<ReplicaId, Node>,
    voters: Configuration,
    cut: BTreeSet<(ReplicaId, ReplicaId)>,
    /// Links with a delay of their own, one way.
    slow: BTreeMap<(ReplicaId, ReplicaId), u64>,
    next_id: u64,
    seed: u64,
    healed: bool,
    oracle: Oracle,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed.wrapping_mul(0x1234_5678_9abc_def1));
        let weather = Weather::draw(&mut random);
        let node_count = 3 + random.below(3);
        let voter_count = if random.permille(700) { node_count } else { 3 };
        let voters = Configuration::new((1..=voter_count).map(ReplicaId).collect());
        let mut world = World {
            random,
            weather,
            now: 0,
            sequence: 0,
            events: BTreeMap::new(),
            nodes: BTreeMap::new(),
            voters,
            cut: BTreeSet::new(),
            slow: BTreeMap::new(),
            next_id: 0,
            seed,
            healed: false,
            oracle: Oracle::new(seed),
        };
        let drift = i64::from(TIMING.drift_ppm);
        for id in (1..=node_count).map(ReplicaId) {
            let node = Node {
                paxos: None,
                life: 0,
                disk: Disk::new(world.voters.clone()),
                held: Vec::new(),
                durable: Token(0),
                applied: Slot(0),
                clock_offset: world.random.below(1_000_000_000),
                clock_ppm: [-drift, 0, drift][world.random.below(3) as usize],
            };
            world.nodes.insert(id, node);
            world.start(id);
            let first_tick = world.random.below(TIMING.tick.0);
            world.at(first_tick, Event::Tick { node: id });
        }
        world.at(1, Event::Client);
        world.at(1, Event::Fault);
        world
    }

    fn run_until(&mut self, end: u64) {
        while self.events.first_key_value().is_some_and(|(&(at, _), _)| at < end) {
            let ((at, _), event) = self.events.pop_first().unwrap();
            self.now = at;
            self.happen(event);
            self.oracle.check_leases(&self.nodes, self.now);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { node } => {
                self.step(node, Input::Tick);
                self.after(TIMING.tick.0, Event::Tick { node });
            }
            Event::Deliver { from, to, message } => {
                self.step(to, Input::Receive { from, message });
            }
            Event::Flushed { node, life } => self.flushed(node, life),
            Event::Client => {
                self.client();
                let pause = 1 + self.random.below(20 * MILLISECOND);
                self.after(pause, Event::Client);
            }
            Event::Fault if self.healed => {}
            Event::Fault => {
                self.fault();
                self.after(25 * MILLISECOND, Event::Fault);
            }
            Event::Restart { node } => self.start(node),
            Event::SnapshotArrives { from, to, mark } => {
                let receiver = self.nodes.get_mut(&to).unwrap();
                if receiver.paxos.is_some() && receiver.applied < mark.slot {
                    self.oracle.statistics.snapshots += 1;
                    // The driver makes state and mark durable in one step, behind what it writes now.
                    receiver.disk.install(&mark);
                    receiver.applied = mark.slot;
                    self.step(to, Input::SnapshotInstalled(mark));
                }
                self.step(from, Input::SnapshotEnded { to });
            }
        }
    }

    fn client(&mut self) {
        let id = ReplicaId(1 + self.random.below(self.nodes.len() as u64));
        let kind = self.random.below(1_000);
        if kind < self.weather.reads_permille {
            self.next_id += 1;
            let read = ReadId(self.next_id);
            self.oracle.read_arrives(read);
            self.step(id, Input::Read(read));
        } else {
            let count = 1 + self.random.below(4);
            let proposals = (0..count).map(|_| {
                self.next_id += 1;
                let value = Bytes::from(format!("value {}", self.next_id));
                (ProposalId(self.next_id), value)
            });
            let proposals = proposals.collect();
            self.step(id, Input::Propose(proposals));
        }
        if self.random.permille(self.weather.transfer_permille) && !self.healed {
            self.step(id, Input::Transfer(None));
        }
        if self.random.permille(self.weather.change_permille) && !self.healed {
            self.change_voters(id);
        }
    }

    fn change_voters(&mut self, id: ReplicaId) {
        let Some(paxos) = &self.nodes[&id].paxos else { return };
        let mut voters = paxos.status().configuration.voters;
        let changed = ReplicaId(1 + self.random.below(self.nodes.len() as u64));
        match voters.iter().position(|&voter| voter == changed) {
            Some(index) if 1 < voters.len() => drop(voters.remove(index)),
            Some(_) => return,
            None => voters.push(changed),
        }
        self.next_id += 1;
        let configuration = Configuration::new(voters);
        self.step(id, Input::Reconfigure(ProposalId(self.next_id), configuration));
    }

    fn fault(&mut self) {
        let id = ReplicaId(1 + self.random.below(self.nodes.len() as u64));
        let other = ReplicaId(1 + self.random.below(self.nodes.len() as u64));
        if self.random.permille(self.weather.crash_permille) {
            self.crash(id);
        }
        if self.random.permille(self.weather.cut_permille) {
            match self.random.below(6) {
                0 => drop(self.cut.insert((id, other))), // One way only.
                1 => self.cut.extend([(id, other), (other, id)]),
                2 => {
                    let others: Vec<ReplicaId> = self.nodes.keys().copied().collect();
                    self.cut.extend(others.iter().flat_map(|&node| [(id, node), (node, id)]));
                }
                3 => drop(self.slow.insert((id, other), self.random.below(300 * MILLISECOND))),
                _ => {
                    self.cut.clear();
                    self.slow.clear();
                }
            }
        }
    }

    fn crash(&mut self, id: ReplicaId) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.paxos.take().is_none() {
            return;
        }
        self.oracle.statistics.crashes += 1;
        node.life += 1;
        node.held.clear();
        let survives = self.random.below(1 + node.disk.queue.len() as u64);
        node.disk.crash(survives as usize);
        let quick = self.random.permille(500);
        let down = if quick { 1_000 } else { 600 * MILLISECOND };
        let down = 1 + self.random.below(down);
        self.after(down, Event::Restart { node: id });
    }

    fn start(&mut self, id: ReplicaId) {
        let now = self.now;
        let seed = self.random.next();
        let compacts = self.random.permille(300);
        let node = self.nodes.get_mut(&id).unwrap();
        if compacts {
            node.disk.compact();
        }
        let recovered = node.disk.recovered();
        let clock = node.clock(now);
        let paxos = Paxos::new(id, self.voters.clone(), TIMING, seed, recovered, clock);
        let paxos = paxos.with_limits(LIMITS);
        node.applied = paxos.status().first.previous();
        node.durable = Token(0);
        let commit = paxos.status().commit;
        node.paxos = Some(paxos);
        self.apply(id, commit);
    }

    /// Everybody back, every link whole, every disk prompt; and enough voters.
    fn heal(&mut self) {
        self.healed = true;
        self.cut.clear();
        self.slow.clear();
        self.weather.loss_permille = 0;
        self.weather.tail_permille = 0;
        self.weather.latency_max = 1_000;
        self.weather.flush_max = 1_000;
        let down: Vec<ReplicaId> =
            self.nodes.iter().filter(|(_, node)| node.paxos.is_none()).map(|(&id, _)| id).collect();
        for id in down {
            self.events.retain(|_, event| !matches!(event, Event::Restart { node } if *node == id));
            self.start(id);
        }
    }

    /// Goal: when the weather has been good for a while, there is a leader, it serves reads, and every
    /// voter has everything.
    fn check_service(&mut self) {
        let leading = |node: &Node| node.paxos.as_ref().unwrap().status().role == Role::Leader;
        let leaders: Vec<ReplicaId> =
            self.nodes.iter().filter(|(_, node)| leading(node)).map(|(&id, _)| id).collect();
        let [leader] = leaders[..] else {
            panic!("seed {}: no one leader after the storm:\n{}", self.seed, self.describe());
        };
        let lead = self.nodes[&leader].paxos.as_ref().unwrap();
        let before = lead.status().commit;
        let voters = lead.status().configuration.voters;
        self.next_id += 1;
        let id = ProposalId(self.next_id);
        self.step(leader, Input::Propose(vec![(id, Bytes::from_static(b"last"))]));
        let end = self.now + 1_000 * MILLISECOND;
        self.run_until(end);
        for voter in voters {
            let status = self.nodes[&voter].paxos.as_ref().unwrap().status();
            let caught_up = before < status.commit;
            assert!(caught_up, "seed {}: {voter:?} is behind:\n{}", self.seed, self.describe());
        }
    }

    /// One line per replica.
    fn describe(&self) -> String {
        let line = |(id, node): (&ReplicaId, &Node)| match &node.paxos {
            Some(paxos) => format!("{}: {:?}\n", id.0, paxos.status()),
            None => format!("{}: down\n", id.0),
        };
        self.nodes.iter().map(line).collect()
    }

    fn step(&mut self, id: ReplicaId, input: Input) {
        let node = self.nodes.get_mut(&id).unwrap();
        let clock = node.clock(self.now);
        let Some(paxos) = &mut node.paxos else { return };
        let mut effects = Vec::new();
        paxos.step(clock, input, &mut effects);
        self.oracle.check_leader(id, paxos);
        for effect in effects {
            self.execute(id, effect);
        }
    }

    fn execute(&mut self, id: ReplicaId, effect: Effect) {
        match effect {
            Effect::Persist { token, hard_state, entries, commit } => {
                let flush = 1 + self.random.below(self.weather.flush_max);
                let node = self.nodes.get_mut(&id).unwrap();
                node.disk.write(token, hard_state, entries, commit);
                let life = node.life;
                self.after(flush, Event::Flushed { node: id, life });
            }
            Effect::Send { to, message, after } => {
                let node = self.nodes.get_mut(&id).unwrap();
                match after {
                    Some(token) if node.durable < token => node.held.push((token, to, message)),
                    Some(_) | None => self.send(id, to, message),
                }
            }
            Effect::Commit(slot) => self.apply(id, slot),
            Effect::ReadReady(read, slot, basis) => self.oracle.read_served(id, read, slot, basis),
            Effect::SendSnapshot { to } => {
                let node = &self.nodes[&id];
                let slot = node.applied;
                let paxos = node.paxos.as_ref().unwrap();
                let configuration = paxos.configuration_at(slot).unwrap().clone();
                let mark = SnapshotMark { slot, configuration };
                let transfer = 1 + self.random.below(100 * MILLISECOND);
                self.after(transfer, Event::SnapshotArrives { from: id, to, mark });
            }
            Effect::Proposed(..) => {
                self.oracle.check_proposed(id, self.nodes[&id].paxos.as_ref().unwrap());
            }
            Effect::Refused(..) | Effect::ReadRefused(..) | Effect::Role(_) => {}
        }
    }

    fn apply(&mut self, id: ReplicaId, upto: Slot) {
        let node = self.nodes.get_mut(&id).unwrap();
        let paxos = node.paxos.as_ref().unwrap();
        while node.applied < upto {
            let slot = node.applied.next();
            let entry = paxos.entry(slot).expect("committed entries are readable until applied");
            self.oracle.committed(id, slot, &entry.payload);
            if matches!(entry.payload, Payload::Configuration(_)) {
                self.oracle.statistics.reconfigurations += 1;
            }
            node.applied = slot;
        }
        // The driver reports in its own time; here, at once or not at all.
        if self.random.permille(500) {
            let applied = self.nodes[&id].applied;
            self.step(id, Input::Applied(applied));
        }
    }

    fn flushed(&mut self, id: ReplicaId, life: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.life != life {
            return;
        }
        let token = node.disk.flush_oldest();
        node.durable = token;
        let held = std::mem::take(&mut node.held);
        let (ready, held) = held.into_iter().partition(|(after, ..)| *after <= token);
        node.held = held;
        let ready: Vec<(Token, ReplicaId, Message)> = ready;
        for (_, to, message) in ready {
            self.send(id, to, message);
        }
        self.step(id, Input::Persisted(token));
    }

    fn send(&mut self, from: ReplicaId, to: ReplicaId, message: Message) {
        if matches!(message, Message::TakeOver { .. }) {
            self.oracle.statistics.transfers += 1;
        }
        let copies = 1 + u64::from(self.random.permille(self.weather.repeat_permille));
        for _ in 0..copies {
            let lost = self.random.permille(self.weather.loss_permille);
            if lost || self.cut.contains(&(from, to)) {
                continue;
            }
            let mut latency = 1 + self.random.below(self.weather.latency_max);
            if self.random.permille(self.weather.tail_permille) {
                latency += self.random.below(self.weather.tail_max);
            }
            latency += self.slow.get(&(from, to)).copied().unwrap_or_default();
            let message = message.clone();
            self.after(latency, Event::Deliver { from, to, message });
        }
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }
}
