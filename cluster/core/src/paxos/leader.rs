//! What a leader does: propose, replicate, count, keep its followers.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::log::bytes_of;
use super::membership::Learner;
use super::progress::{Flow, Progress, Repair};
use super::reads::Reads;
use super::transfer::Transfer;
use super::{Paxos, State, quorum};
use crate::bugs::{Bug, planted};
use crate::consensus::{
    Ballot, Effect, Entry, Message, Micros, Payload, ProposalId, Refusal, ReplicaId, Slot, Token,
};

/// Rounds that are remembered until they are answered: more than a lease can span.
const ROUNDS_MAX: usize = 64;
/// A learner that nobody has asked for lately is let go: after so many election time-outs.
const LEARNER_PATIENCE: u64 = 4;

/// One replica's time as leader of one ballot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leadership {
    /// The no-op that opened the ballot: once it is chosen, everything before it is too.
    pub(super) opening: Slot,
    pub(super) peers: BTreeMap<ReplicaId, Progress>,
    /// What is on this replica's own disk, and the batches that are on their way there.
    own_vouched: Slot,
    own_batches: VecDeque<(Token, Slot)>,
    /// The newest round of heartbeats, and when the last ones started.
    pub(super) round: u64,
    rounds: VecDeque<(u64, Micros)>,
    heartbeat_at: Micros,
    pub(super) reads: Reads,
    /// Let go for the rest of this ballot: a `TakeOver` once sent may be acted on at any time.
    pub(super) lease_released: bool,
    pub(super) transfer: Option<Transfer>,
    /// The one peer that is no voter: it is told everything, and its answers count for nothing.
    pub(super) learner: Option<Learner>,
}

impl Leadership {
    pub(super) fn new(
        commit: Slot,
        opening: Slot,
        peers: BTreeSet<ReplicaId>,
        now: Micros,
    ) -> Leadership {
        assert!(commit < opening, "the opening slot is this ballot's own");
        let progress = Progress::new(commit.next(), now);
        Leadership {
            opening,
            peers: peers.into_iter().map(|peer| (peer, progress.clone())).collect(),
            own_vouched: commit,
            own_batches: VecDeque::new(),
            round: 0,
            rounds: VecDeque::new(),
            heartbeat_at: now,
            reads: Reads::default(),
            lease_released: false,
            transfer: None,
            learner: None,
        }
    }

    /// What everyone has on disk, in this ballot or chosen. This replica is `id`.
    pub(super) fn vouched(&self, id: ReplicaId) -> impl Iterator<Item = (ReplicaId, Slot)> + Clone {
        assert!(!self.peers.contains_key(&id), "a leader is not its own peer");
        let peers = self.peers.iter().map(|(&peer, progress)| (peer, progress.vouched));
        peers.chain([(id, self.own_vouched)])
    }

    /// The same of one replica; nothing, if it is no peer.
    pub(super) fn vouched_by(&self, id: ReplicaId, voter: ReplicaId) -> Slot {
        if voter == id {
            return self.own_vouched;
        }
        self.peers.get(&voter).map_or(Slot(0), |progress| progress.vouched)
    }

    /// The newest round a replica has answered, and when it started. This replica is `id`.
    pub(super) fn round_answered_by(
        &self,
        id: ReplicaId,
        voter: ReplicaId,
    ) -> (u64, Option<Micros>) {
        if voter == id {
            return (self.round, self.rounds.back().map(|&(_, started)| started));
        }
        let stand_in = self.learner.as_ref().filter(|_| planted(Bug::LearnerCounted));
        let voter = stand_in.map_or(voter, |learner| learner.replica);
        let progress = self.peers.get(&voter);
        progress.map_or((0, None), |progress| (progress.round, progress.round_started))
    }

    /// This replica's own vote: it counts from when the disk has it, like everyone's.
    pub(super) fn own_persisted(&mut self, token: Token) {
        while self.own_batches.front().is_some_and(|&(oldest, _)| oldest <= token) {
            let (_, upto) = self.own_batches.pop_front().expect("looked at it just now");
            assert!(self.own_vouched < upto, "batches are written in slot order");
            self.own_vouched = upto;
        }
    }
}

impl Paxos {
    pub(super) fn on_propose(
        &mut self,
        now: Micros,
        proposals: Vec<(ProposalId, Bytes)>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(leader) = self.proposals_go_to() {
            let refusal = Refusal::NotLeader { leader };
            let all = proposals.into_iter();
            return effects.extend(all.map(|(id, _)| Effect::Refused(id, refusal)));
        }
        let ballot = self.promised;
        let mut slot = self.log.last();
        let (mut count, mut bytes) = self.log.window();
        let mut entries = Vec::new();
        for (id, value) in proposals {
            let payload = Payload::Application(value);
            let size = bytes_of(&payload);
            let full = self.limits.window_count_max <= count
                || (0 < count && self.limits.window_bytes_max < bytes + size);
            if full {
                effects.push(Effect::Refused(id, Refusal::Busy));
                continue;
            }
            (count, bytes, slot) = (count + 1, bytes + size, slot.next());
            effects.push(Effect::Proposed(id, slot, ballot));
            entries.push(Entry { slot, ballot, payload });
        }
        self.propose(now, entries, effects);
    }

    /// Puts entries of this ballot into the log, on their way to the disk and to every follower.
    pub(super) fn propose(&mut self, now: Micros, entries: Vec<Entry>, effects: &mut Vec<Effect>) {
        if entries.is_empty() {
            return;
        }
        for entry in &entries {
            assert!(entry.slot == self.log.last().next(), "a leader's log has no holes");
            self.log.put(entry.clone());
        }
        self.write_own(now, entries, effects);
        self.replicate_all(effects);
        self.advance_commit(now, effects);
    }

    /// Writes entries that are in the log already; the own vote for them comes with `Persisted`.
    pub(super) fn write_own(
        &mut self,
        now: Micros,
        entries: Vec<Entry>,
        effects: &mut Vec<Effect>,
    ) {
        let last = entries.last().expect("somebody checked").slot;
        let token = self.persist(now, false, entries, effects);
        let State::Leader(leadership) = &mut self.state else {
            unreachable!("only a leader proposes");
        };
        assert!(leadership.own_vouched < last, "batches are written in slot order");
        leadership.own_batches.push_back((token, last));
        if planted(Bug::LeaderVoteBeforeFlush) {
            leadership.own_persisted(token);
        }
    }

    /// Accepts leave before the leader's own flush: the flushes of all replicas run side by side.
    pub(super) fn replicate_all(&mut self, effects: &mut Vec<Effect>) {
        let State::Leader(leadership) = &mut self.state else { return };
        for (&peer, progress) in &mut leadership.peers {
            progress.stream(peer, self.promised, &self.log, &self.limits, effects);
        }
    }

    pub(super) fn on_accepted(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        upto: Slot,
        effects: &mut Vec<Effect>,
    ) {
        let stale = ballot != self.promised && !planted(Bug::StaleAcceptedCounted);
        let last = self.log.last();
        let State::Leader(leadership) = &mut self.state else { return };
        let Some(progress) = leadership.peers.get_mut(&from) else { return };
        if stale {
            return; // What it vouched for then may not be what is in this log now.
        }
        progress.heard_at = now;
        // Beyond `last` is what another leader had chosen, or nonsense; either way not from here.
        progress.vouch(upto.min(last));
        progress.stream(from, self.promised, &self.log, &self.limits, effects);
        self.advance_commit(now, effects);
        self.send_take_over_if_ready(effects);
    }

    pub(super) fn on_gap(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        have: Slot,
        effects: &mut Vec<Effect>,
    ) {
        let State::Leader(leadership) = &mut self.state else { return };
        let Some(progress) = leadership.peers.get_mut(&from) else { return };
        if ballot != self.promised {
            return;
        }
        progress.heard_at = now;
        progress.rewind(have, leadership.round);
        progress.stream(from, self.promised, &self.log, &self.limits, effects);
    }

    pub(super) fn on_heartbeat_ok(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        round: u64,
        have: Slot,
        effects: &mut Vec<Effect>,
    ) {
        let State::Leader(leadership) = &mut self.state else { return };
        let Some(progress) = leadership.peers.get_mut(&from) else { return };
        if ballot != self.promised || leadership.round < round {
            return;
        }
        progress.heard_at = now;
        if round <= progress.round {
            return; // Late, or repeated.
        }
        progress.round = round;
        let started = leadership.rounds.iter().find(|&&(number, _)| number == round);
        let started = started.map(|&(_, started)| started);
        progress.round_started = if planted(Bug::LeaseFromReceipt) { Some(now) } else { started };
        let repair = progress.answered(have, leadership.round);
        if repair == Repair::AskForVouch {
            progress.ask_for_vouch(from, self.promised, &self.log, effects);
        }
        progress.stream(from, self.promised, &self.log, &self.limits, effects);
        self.serve_reads(now, effects);
    }

    pub(super) fn on_snapshot_ended(&mut self, to: ReplicaId) {
        let State::Leader(leadership) = &mut self.state else { return };
        let Some(progress) = leadership.peers.get_mut(&to) else { return };
        if progress.flow == Flow::Snapshot {
            progress.flow = Flow::Probe;
        }
    }

    /// Counts; tells what is chosen now.
    pub(super) fn advance_commit(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        loop {
            let State::Leader(leadership) = &self.state else { return };
            let chosen = quorum::chosen(&self.log, leadership, self.id);
            assert!(chosen <= self.log.last(), "chosen, but never proposed");
            if !self.commit_to(chosen, effects) {
                return;
            }
            // A change of voters that is chosen now changes who counts from here on.
            self.settle_membership(now, effects);
            self.serve_reads(now, effects);
        }
    }

    pub(super) fn tick_leader(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let State::Leader(leadership) = &mut self.state else { return };
        if leadership.transfer.as_ref().is_some_and(|transfer| transfer.until <= now) {
            leadership.transfer = None; // The target did not make it: carry on, without a lease.
        }
        leadership.forget_learner(now, Micros(LEARNER_PATIENCE * self.timing.election_max.0));
        let heartbeat_due = leadership.heartbeat_at <= now;
        let patience = self.timing.election_max;
        if patience < now.since(self.quorum_heard_at(now)) {
            return self.follow(now, None, effects);
        }
        if self.flushes.hang(now, patience) && self.hand_over(now, effects) {
            return;
        }
        if heartbeat_due {
            self.start_round(now, effects);
            self.send_take_over_if_ready(effects);
            self.serve_reads(now, effects);
        }
    }

    /// One round of heartbeats. The leader promises itself what it asks of the others.
    pub(super) fn start_round(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        self.promise_lease(now);
        let (ballot, commit) = (self.promised, self.log.commit());
        let State::Leader(leadership) = &mut self.state else { return };
        leadership.round += 1;
        leadership.heartbeat_at = now.plus(self.timing.heartbeat);
        leadership.rounds.push_back((leadership.round, now));
        if ROUNDS_MAX < leadership.rounds.len() {
            leadership.rounds.pop_front();
        }
        let message = Message::Heartbeat { ballot, commit, round: leadership.round };
        for &to in leadership.peers.keys() {
            effects.push(Effect::Send { to, message: message.clone(), after: None });
        }
    }

    /// When a quorum was last known to be there.
    fn quorum_heard_at(&self, now: Micros) -> Micros {
        let State::Leader(leadership) = &self.state else { return now };
        quorum::reached_in_all(&self.log, |voter| {
            let peer = leadership.peers.get(&voter).map(|progress| progress.heard_at);
            if voter == self.id { now } else { peer.unwrap_or_default() }
        })
    }
}
