//! One replica of one shard: Multi-Paxos as a pure state machine.
//!
//! `Paxos::step` is the only way in, its `effects` the only way out.
//!
//! ```text
//!               timeout               quorum of grants             quorum of promises
//!   Follower ────────────▶ PreVote ────────────────────▶ Candidate ───────────────────▶ Leader
//!      ▲                      │                              │                             │
//!      └──────────────────────┴── a leader, a higher ballot ─┴──── or no quorum in time ───┘
//! ```
//!
//! Phase 1 runs once per leadership, over all slots that are not known chosen. The new leader proposes
//! every value it found again, in its own ballot, and a no-op behind them; when that one is chosen it
//! serves. Phase 2 is pipelined: a follower takes slots in order, so that one number, `have`, says how
//! far its log is known to equal the leader's.
//!
//! **Invariants.** At most one replica leads in a round (a replica promises one ballot a round). What a
//! quorum has accepted in one ballot at a slot never changes. Nothing that vouches leaves before the
//! disk has reported it.

mod acceptor;
mod election;
mod flushes;
mod leader;
mod lease;
mod log;
mod membership;
mod progress;
mod quorum;
mod reads;
pub mod timing;
mod transfer;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use self::election::{Candidacy, PreVote};
use self::flushes::Flushes;
use self::leader::Leadership;
use self::log::Log;
use self::timing::{Limits, Timing};
use crate::bugs::{Bug, planted};
use crate::consensus::{
    Ballot, Configuration, Consensus, Effect, Entry, HardState, Input, Message, Micros, Recovered,
    Refusal, ReplicaId, Role, Slot, SnapshotMark, Status, Token,
};
use crate::scramble::scramble;

/// A Multi-Paxos replica. See the module's page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Paxos {
    id: ReplicaId,
    timing: Timing,
    limits: Limits,
    seed: u64,
    state: State,
    log: Log,
    flushes: Flushes,
    /// No ballot below this one is accepted any more.
    promised: Ballot,
    /// Everything up to here is known to equal the log of the leader of `promised`.
    have: Slot,
    /// Until then this replica elects nobody but the leader of `promised`.
    lease_promised_until: Micros,
    /// The highest ballot heard of: an own one must be higher.
    seen: Ballot,
    /// When to stand for election, unless a leader is heard before.
    election_at: Micros,
    /// Asked for votes in vain since a leader was last heard.
    tried: bool,
    role_told: Role,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    Follower { leader: Option<ReplicaId> },
    PreVote(PreVote),
    Candidate(Candidacy),
    Leader(Leadership),
}

impl Paxos {
    /// A replica as it starts. `recovered` is what its disk held, `None` for a disk that never held
    /// anything; `configuration` is who votes if nothing was recovered. A replica that is not in it
    /// waits to be added. Panics if `timing.problem()` is some.
    pub fn new(
        id: ReplicaId,
        configuration: Configuration,
        timing: Timing,
        seed: u64,
        recovered: Option<Recovered>,
        now: Micros,
    ) -> Paxos {
        assert!(timing.problem().is_none(), "{}", timing.problem().unwrap_or_default());
        assert!(!configuration.voters.is_empty(), "without a voter nothing is ever chosen");
        let restarted = recovered.is_some();
        let recovered = recovered.unwrap_or_else(|| Recovered {
            hard_state: HardState::default(),
            snapshot: SnapshotMark { slot: Slot(0), configuration },
            entries: Vec::new(),
            commit: Slot(0),
        });
        let mut promised = recovered.hard_state.promised;
        if planted(Bug::BallotReusedAfterRestart) && promised.replica == id {
            promised = Ballot::default();
        }
        let log = Log::new(recovered);
        let mut replica = Paxos {
            id,
            timing,
            limits: Limits::default(),
            seed,
            state: State::Follower { leader: None },
            have: log.commit(),
            log,
            flushes: Flushes::default(),
            promised,
            lease_promised_until: now,
            seen: promised,
            election_at: now,
            tried: false,
            role_told: Role::Follower { leader: None },
        };
        if restarted && !planted(Bug::BootGraceSkipped) {
            // It may have granted a lease just before it went down.
            replica.lease_promised_until = now.plus(timing.lease);
        }
        let alone = replica.log.configuration().voters == [id];
        if !alone {
            replica.wait_for_leader(now);
        }
        replica
    }

    /// The same replica with other bounds on memory and messages.
    pub fn with_limits(mut self, limits: Limits) -> Paxos {
        assert!(0 < limits.accept_count_max, "an accept carries at least one payload");
        self.limits = limits;
        self
    }

    /// Who voted as of a slot: what a snapshot up to there must carry. `None` below `Status::first`.
    pub fn configuration_at(&self, slot: Slot) -> Option<&Configuration> {
        self.log.configuration_at(slot)
    }

    fn tick(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        match &self.state {
            State::Leader(_) => self.tick_leader(now, effects),
            State::Follower { .. } if now < self.election_at => {}
            State::Follower { .. } => self.ask_for_votes(now, effects),
            State::PreVote(_) | State::Candidate(_) if now < self.election_at => {
                self.ask_again(now, effects);
            }
            State::PreVote(_) | State::Candidate(_) => {
                self.tried = true;
                self.ask_for_votes(now, effects);
            }
        }
    }

    fn receive(
        &mut self,
        now: Micros,
        from: ReplicaId,
        message: Message,
        effects: &mut Vec<Effect>,
    ) {
        if from == self.id {
            return; // Somebody else uses this id, or an address leads back here.
        }
        match message {
            Message::PrePrepare { ballot, last, commit, transfer } => {
                self.on_pre_prepare(now, from, ballot, (last, commit), transfer, effects);
            }
            Message::PrePromise { ballot, granted, promised } => {
                self.on_pre_promise(now, from, ballot, granted, promised, effects);
            }
            Message::Prepare { ballot, from: first, transfer } => {
                self.on_prepare(now, from, ballot, first, transfer, effects);
            }
            Message::Promise { ballot, accepted, commit } => {
                self.on_promise(now, from, ballot, accepted, commit, effects);
            }
            Message::Reject { promised } => self.on_reject(now, promised, effects),
            Message::Accept { ballot, after, payloads, commit } => {
                self.on_accept(now, from, ballot, after, payloads, commit, effects);
            }
            Message::Accepted { ballot, upto } => {
                self.on_accepted(now, from, ballot, upto, effects);
            }
            Message::Gap { ballot, have } => self.on_gap(now, from, ballot, have, effects),
            Message::Heartbeat { ballot, commit, round } => {
                self.on_heartbeat(now, from, ballot, commit, round, effects);
            }
            Message::HeartbeatOk { ballot, round, have } => {
                self.on_heartbeat_ok(now, from, ballot, round, have, effects);
            }
            Message::TakeOver { ballot } => self.on_take_over(now, from, ballot, effects),
        }
    }

    fn on_persisted(&mut self, now: Micros, token: Token, effects: &mut Vec<Effect>) {
        self.flushes.persisted(token);
        match &mut self.state {
            State::Candidate(candidacy) if candidacy.token <= token => {
                candidacy.promised_by.insert(self.id);
                self.lead_if_elected(now, effects);
            }
            State::Leader(leadership) => {
                leadership.own_persisted(token);
                self.advance_commit(now, effects);
            }
            State::Follower { .. } | State::PreVote(_) | State::Candidate(_) => {}
        }
    }

    fn on_snapshot_installed(&mut self, mark: SnapshotMark, effects: &mut Vec<Effect>) {
        if mark.slot <= self.log.commit() {
            return; // The log overtook it.
        }
        self.have = self.have.max(mark.slot);
        self.log.install(mark);
        if let State::Follower { leader: Some(leader) } = self.state {
            let message = Message::Gap { ballot: self.promised, have: self.have };
            effects.push(Effect::Send { to: leader, message, after: None });
        }
    }

    /// Everything that must be on disk goes through here.
    fn persist(
        &mut self,
        now: Micros,
        promise: bool,
        entries: Vec<Entry>,
        effects: &mut Vec<Effect>,
    ) -> Token {
        assert!(promise || !entries.is_empty(), "there is nothing to write");
        let token = self.flushes.issue(now);
        let hard_state = promise.then_some(HardState { promised: self.promised });
        effects.push(Effect::Persist { token, hard_state, entries, commit: self.log.commit() });
        token
    }

    fn broadcast(&self, message: &Message, after: Option<Token>, effects: &mut Vec<Effect>) {
        for to in self.others() {
            effects.push(Effect::Send { to, message: message.clone(), after });
        }
    }

    /// Every voter of every configuration in force, but this replica.
    fn others(&self) -> BTreeSet<ReplicaId> {
        let voters = self.log.in_force().flat_map(|(_, configuration)| &configuration.voters);
        voters.copied().filter(|&voter| voter != self.id).collect()
    }

    fn commit_to(&mut self, slot: Slot, effects: &mut Vec<Effect>) -> bool {
        let news = self.log.commit_to(slot);
        if news {
            effects.push(Effect::Commit(slot));
        }
        news
    }

    fn follow(&mut self, now: Micros, leader: Option<ReplicaId>, effects: &mut Vec<Effect>) {
        if let State::Leader(leadership) = &mut self.state {
            let refusal = Refusal::NotLeader { leader };
            leadership.reads.refuse_all(refusal, effects);
        }
        self.state = State::Follower { leader };
        self.wait_for_leader(now);
    }

    /// Draws a new time-out. The jitter depends on nothing but the seed and the time, so that two
    /// replicas that went through the same differ in nothing else.
    fn wait_for_leader(&mut self, now: Micros) {
        let span = self.timing.election_max.0 - self.timing.election_min.0;
        let jitter = scramble(self.seed ^ now.0 ^ self.id.0.rotate_left(32)) % span;
        self.election_at = now.plus(self.timing.election_min).plus(Micros(jitter));
    }

    fn leader(&self) -> Option<ReplicaId> {
        match &self.state {
            State::Follower { leader } => *leader,
            State::PreVote(_) | State::Candidate(_) => None,
            State::Leader(_) => Some(self.id),
        }
    }

    fn role(&self) -> Role {
        match &self.state {
            State::Follower { leader } => Role::Follower { leader: *leader },
            State::PreVote(_) => Role::Follower { leader: None },
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }
}

impl Consensus for Paxos {
    /// All control flow between inputs and the functions that handle them is here, in `tick` and in
    /// `receive`.
    fn step(&mut self, now: Micros, input: Input, effects: &mut Vec<Effect>) {
        let (promised_before, commit_before) = (self.promised, self.log.commit());
        match input {
            Input::Tick => self.tick(now, effects),
            Input::Receive { from, message } => self.receive(now, from, message, effects),
            Input::Propose(proposals) => self.on_propose(now, proposals, effects),
            Input::Read(read) => self.on_read(now, read, effects),
            Input::Persisted(token) => self.on_persisted(now, token, effects),
            Input::Applied(slot) => self.log.applied(slot, &self.limits),
            Input::SnapshotInstalled(mark) => self.on_snapshot_installed(mark, effects),
            Input::SnapshotEnded { to } => self.on_snapshot_ended(to),
            Input::Reconfigure(id, configuration) => {
                self.on_reconfigure(now, id, configuration, effects);
            }
            Input::Transfer(to) => self.on_transfer(now, to, effects),
        }
        let role = self.role();
        if role != self.role_told {
            self.role_told = role;
            effects.push(Effect::Role(role));
        }
        assert!(promised_before <= self.promised, "a promise was taken back");
        assert!(commit_before <= self.log.commit(), "a chosen slot was taken back");
        assert!(self.log.commit() <= self.log.last(), "chosen, but never accepted");
    }

    fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.log.entry(slot)
    }

    fn lease_holds(&self, now: Micros) -> bool {
        self.lease_is_valid(now)
    }

    fn status(&self) -> Status {
        let progress = match &self.state {
            State::Leader(leadership) => leadership.vouched(self.id).collect(),
            State::Follower { .. } | State::PreVote(_) | State::Candidate(_) => Vec::new(),
        };
        Status {
            role: self.role(),
            promised: self.promised,
            commit: self.log.commit(),
            last: self.log.last(),
            first: self.log.base().next(),
            configuration: self.log.configuration().clone(),
            progress,
            learner: self.learner(),
        }
    }
}
