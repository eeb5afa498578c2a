//! The world of the stories: replicas, their disks and links, each moved by hand. See `stories.rs`.

mod show;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use bytes::Bytes;
use evenkeel_core::consensus::{
    Configuration, Consensus, Effect, Entry, HardState, Input, Message, Micros, ProposalId, ReadId,
    Recovered, ReplicaId, Role, Slot, SnapshotMark, Token,
};
use evenkeel_core::paxos::Paxos;
use evenkeel_core::paxos::timing::{Limits, Timing};

use self::show::{show_ballot, show_effect, show_entry, show_message, show_role};

#[derive(Default)]
pub(crate) struct World {
    now: u64,
    limits: Limits,
    voters: Vec<ReplicaId>,
    replicas: BTreeMap<ReplicaId, Paxos>,
    disks: BTreeMap<ReplicaId, Disk>,
    held: BTreeMap<ReplicaId, Vec<(Token, ReplicaId, Message)>>,
    links: BTreeMap<(ReplicaId, ReplicaId), VecDeque<Message>>,
    isolated: BTreeSet<ReplicaId>,
    cut: BTreeSet<(ReplicaId, ReplicaId)>,
    on_hold: BTreeSet<(ReplicaId, ReplicaId)>,
    next_id: u64,
    /// During `settle`: what is said and written is not worth a line.
    quiet: bool,
}

#[derive(Default)]
struct Disk {
    queue: VecDeque<(Token, Option<HardState>, Vec<Entry>, Slot)>,
    durable: Token,
    recovered: Option<Recovered>,
}

impl World {
    pub(crate) fn run(&mut self, script: &str) -> String {
        let mut output = String::new();
        for line in script.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] | ["run"] => (),
                ["run", ..] => self.command(&words[1..], &mut output),
                [..] => self.command(&words, &mut output),
            }
        }
        if output.is_empty() { "ok\n".to_string() } else { output }
    }

    fn command(&mut self, words: &[&str], output: &mut String) {
        match *words {
            ["cluster", ref voters @ ..] => {
                let limits = self.limits;
                *self = World { limits, voters: ids(voters), ..World::default() };
                self.voters.clone().into_iter().for_each(|id| self.start(id));
            }
            ["retain", count] => {
                self.limits.retained_count_max = count.parse().unwrap();
            }
            ["learner-lag", count] => self.limits.learner_lag_max = count.parse().unwrap(),
            ["window", count] => self.limits.window_count_max = count.parse().unwrap(),
            ["newcomer", node] => self.start(id(node)),
            ["propose", node, ref values @ ..] => {
                let values = values.iter().map(|value| {
                    self.next_id += 1;
                    (ProposalId(self.next_id), Bytes::copy_from_slice(value.as_bytes()))
                });
                let input = Input::Propose(values.collect());
                self.step(id(node), input, output);
            }
            ["read", node] => {
                self.next_id += 1;
                self.step(id(node), Input::Read(ReadId(self.next_id)), output);
            }
            ["reconfigure", node, ref voters @ ..] => {
                self.next_id += 1;
                let configuration = Configuration { voters: ids(voters) };
                let input = Input::Reconfigure(ProposalId(self.next_id), configuration);
                self.step(id(node), input, output);
            }
            ["transfer", node, to] => self.step(id(node), Input::Transfer(Some(id(to))), output),
            ["transfer", node] => self.step(id(node), Input::Transfer(None), output),
            _ => self.world_command(words, output),
        }
    }

    /// What disks, links, clocks and power do.
    fn world_command(&mut self, words: &[&str], output: &mut String) {
        match *words {
            ["persist", node] => self.persist(id(node), output),
            ["applied", node] => {
                let commit = self.replicas[&id(node)].status().commit;
                self.step(id(node), Input::Applied(commit), output);
            }
            ["crash", node] => {
                self.replicas.remove(&id(node));
                self.held.remove(&id(node));
                self.disks.get_mut(&id(node)).unwrap().queue.clear();
            }
            ["restart", node] => self.start(id(node)),
            ["snapshot", link] => self.snapshot(link, output),
            ["wait", milliseconds] => self.now += milliseconds.parse::<u64>().unwrap() * 1_000,
            ["tick", node] => self.step(id(node), Input::Tick, output),
            ["timeout", node] => {
                self.now += Timing::default().election_max.0;
                self.step(id(node), Input::Tick, output);
            }
            ["elect", node] => self.elect(id(node), output),
            ["pass", milliseconds] => {
                for _ in 0..milliseconds.parse::<u64>().unwrap() / 10 {
                    self.pass_ten_milliseconds(output);
                }
            }
            ["cut", ref pairs @ ..] => {
                let ends = pairs.iter().map(|pair| pair.split_once('-').expect("one-other"));
                let both = ends.flat_map(|(one, other)| [(one, other), (other, one)]);
                self.cut.extend(both.map(|(from, to)| (id(from), id(to))));
            }
            ["hold", link] => drop(self.on_hold.insert(ends(link))),
            ["release", link] => drop(self.on_hold.remove(&ends(link))),
            ["isolate", node] => drop(self.isolated.insert(id(node))),
            ["join", node] => drop(self.isolated.remove(&id(node))),
            ["deliver" | "repeat" | "delay" | "drop", link] => {
                let (from, to) = ends(link);
                let queue = self.links.entry((from, to)).or_default();
                let Some(message) = queue.pop_front() else {
                    return writeln!(output, "nothing is on the way {link}").unwrap();
                };
                match words[0] {
                    "deliver" => self.step(to, Input::Receive { from, message }, output),
                    "repeat" => (0..2).for_each(|_| queue.push_front(message.clone())),
                    "delay" => queue.push_back(message),
                    _ => drop(message),
                }
            }
            ["settle"] => self.settle(output),
            ["state"] => self.state(output),
            ["lease", node] => {
                let holds = self.replicas[&id(node)].lease_holds(Micros(self.now));
                let answer = if holds { "holds the lease" } else { "holds no lease" };
                writeln!(output, "{node} {answer}").unwrap();
            }
            _ => panic!("unknown command {words:?}"),
        }
    }

    fn start(&mut self, id: ReplicaId) {
        let recovered = self.disks.entry(id).or_default().recovered.clone();
        let configuration = Configuration::new(self.voters.clone());
        let now = Micros(self.now);
        let replica = Paxos::new(id, configuration, Timing::default(), id.0, recovered, now);
        self.disks.get_mut(&id).unwrap().durable = Token(0);
        self.replicas.insert(id, replica.with_limits(self.limits));
    }

    fn step(&mut self, id: ReplicaId, input: Input, output: &mut String) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let mut effects = Vec::new();
        replica.step(Micros(self.now), input, &mut effects);
        for effect in effects {
            let loud = !matches!(effect, Effect::Persist { .. } | Effect::Send { .. });
            if loud || !self.quiet {
                writeln!(output, "{}", show_effect(id, &effect)).unwrap();
            }
            match effect {
                Effect::Persist { token, hard_state, entries, commit } => {
                    let disk = self.disks.get_mut(&id).unwrap();
                    disk.queue.push_back((token, hard_state, entries, commit));
                }
                Effect::Send { to, message, after } => match after {
                    Some(token) if self.disks[&id].durable < token => {
                        self.held.entry(id).or_default().push((token, to, message));
                    }
                    Some(_) | None => self.send(id, to, message),
                },
                _ => {}
            }
        }
    }

    fn persist(&mut self, id: ReplicaId, output: &mut String) {
        let voters = Configuration::new(self.voters.clone());
        let disk = self.disks.get_mut(&id).unwrap();
        let Some((token, hard_state, entries, commit)) = disk.queue.pop_front() else {
            return writeln!(output, "{} has nothing to write", id.0).unwrap();
        };
        disk.durable = token;
        let recovered = disk.recovered.get_or_insert_with(|| Recovered {
            hard_state: HardState::default(),
            snapshot: SnapshotMark { slot: Slot(0), configuration: voters },
            entries: Vec::new(),
            commit: Slot(0),
        });
        recovered.hard_state = hard_state.unwrap_or(recovered.hard_state.clone());
        recovered.commit = recovered.commit.max(commit);
        recovered.entries.retain(|old| entries.iter().all(|new| new.slot != old.slot));
        recovered.entries.extend(entries);
        recovered.entries.sort_by_key(|entry| entry.slot);
        let held = self.held.remove(&id).unwrap_or_default();
        let (ready, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|(at, ..)| *at <= token);
        self.held.insert(id, held);
        for (_, to, message) in ready {
            if !self.quiet {
                writeln!(output, "{}->{} {}", id.0, to.0, show_message(&message)).unwrap();
            }
            self.send(id, to, message);
        }
        self.step(id, Input::Persisted(token), output);
    }

    fn snapshot(&mut self, link: &str, output: &mut String) {
        let (from, to) = ends(link);
        let slot = self.replicas[&from].status().commit;
        let configuration = self.replicas[&from].configuration_at(slot).unwrap().clone();
        let mark = SnapshotMark { slot, configuration };
        let voters = Configuration::new(self.voters.clone());
        let disk = self.disks.get_mut(&to).unwrap();
        let recovered = disk.recovered.get_or_insert_with(|| Recovered {
            hard_state: HardState::default(),
            snapshot: SnapshotMark { slot: Slot(0), configuration: voters },
            entries: Vec::new(),
            commit: Slot(0),
        });
        recovered.snapshot = mark.clone();
        recovered.commit = recovered.commit.max(mark.slot);
        recovered.entries.retain(|entry| mark.slot < entry.slot);
        self.step(to, Input::SnapshotInstalled(mark), output);
        self.step(from, Input::SnapshotEnded { to }, output);
    }

    /// Every disk finishes, every message arrives, until nothing is left to happen.
    fn settle(&mut self, output: &mut String) {
        self.quiet = true;
        loop {
            let busy = |(&id, disk): (&ReplicaId, &Disk)| (!disk.queue.is_empty()).then_some(id);
            if let Some(id) = self.disks.iter().find_map(busy) {
                self.persist(id, output);
                continue;
            }
            let moving = self.links.iter_mut().filter(|(link, _)| !self.on_hold.contains(link));
            let full = { moving }.find(|(_, queue)| !queue.is_empty());
            let Some((&(from, to), queue)) = full else { break };
            let message = queue.pop_front().unwrap();
            self.step(to, Input::Receive { from, message }, output);
        }
        self.quiet = false;
    }

    /// An election of which only the result is told, and whom the winner has told so far.
    fn elect(&mut self, id: ReplicaId, output: &mut String) {
        let mut untold = String::new();
        let patience = Timing::default().election_max.0;
        for wait in [patience, patience, 50_000] {
            if wait != patience || self.replicas[&id].status().role != Role::Leader {
                self.now += wait;
                self.quiet = true;
                self.step(id, Input::Tick, &mut untold);
                self.settle(&mut untold);
            }
        }
        let role = show_role(self.replicas[&id].status().role);
        writeln!(output, "{} is {role} in {}", id.0, show_ballot(&self.replicas[&id])).unwrap();
    }

    fn pass_ten_milliseconds(&mut self, output: &mut String) {
        self.now += 10_000;
        for id in self.replicas.keys().copied().collect::<Vec<ReplicaId>>() {
            self.quiet = true;
            self.step(id, Input::Tick, output);
            self.settle(output);
        }
    }

    fn send(&mut self, from: ReplicaId, to: ReplicaId, message: Message) {
        let reaches = !self.cut.contains(&(from, to));
        if reaches && !self.isolated.contains(&from) && !self.isolated.contains(&to) {
            self.links.entry((from, to)).or_default().push_back(message);
        }
    }

    fn state(&self, output: &mut String) {
        for (id, replica) in &self.replicas {
            let status = replica.status();
            let slots = (status.first.0..=status.last.0).map(Slot);
            let log: Vec<String> =
                slots.map(|slot| replica.entry(slot).map_or("hole".into(), show_entry)).collect();
            let role = show_role(status.role);
            let (commit, log) = (status.commit.0, log.join(", "));
            writeln!(output, "{}: {role}, commit={commit}, log [{log}]", id.0).unwrap();
        }
    }
}

fn id(word: &str) -> ReplicaId {
    ReplicaId(word.parse().unwrap())
}

fn ids(words: &[&str]) -> Vec<ReplicaId> {
    words.iter().map(|word| id(word)).collect()
}

fn ends(link: &str) -> (ReplicaId, ReplicaId) {
    let (from, to) = link.split_once("->").expect("from->to");
    (id(from), id(to))
}
