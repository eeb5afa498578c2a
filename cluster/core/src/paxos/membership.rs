//! Changing the voters: one at a time, through the log, and a newcomer only when it has caught up.
//!
//! ```text
//!   asked for ──▶ learner: receives all, votes nowhere ──lag small──▶ voters in the log ──chosen──▶ voter
//! ```
//!
//! A voter that has nothing yet would be one that every quorum of the others has to do without. So the
//! leader teaches it first. That it does so is known to the leader alone, and forgotten with its
//! leadership: whoever wants the change asks for it until it is in the log.

use alloc::vec::Vec;

use super::leader::Leadership;
use super::progress::Progress;
use super::{Paxos, State};
use crate::bugs::{Bug, planted};
use crate::consensus::{
    Configuration, Effect, Entry, Message, Micros, Payload, ProposalId, Refusal, ReplicaId, Slot,
};

/// A newcomer on its way to a vote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Learner {
    pub(super) replica: ReplicaId,
    /// When somebody last asked for it.
    asked_at: Micros,
}

impl Leadership {
    /// Nobody has asked for the learner for this long: it is not wanted any more.
    pub(super) fn forget_learner(&mut self, now: Micros, patience: Micros) {
        let asked_at = self.learner.as_ref().map(|learner| learner.asked_at);
        if asked_at.is_some_and(|asked_at| patience < now.since(asked_at)) {
            self.dismiss_learner();
        }
    }

    fn dismiss_learner(&mut self) {
        if let Some(learner) = self.learner.take() {
            self.peers.remove(&learner.replica);
        }
    }
}

impl Paxos {
    pub(super) fn on_reconfigure(
        &mut self,
        now: Micros,
        id: ProposalId,
        configuration: Configuration,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(leader) = self.proposals_go_to() {
            return effects.push(Effect::Refused(id, Refusal::NotLeader { leader }));
        }
        if let Some(refusal) = self.refuse_change(&configuration) {
            return effects.push(Effect::Refused(id, refusal));
        }
        let voters = configuration.voters.iter();
        let newcomer = voters.copied().find(|&voter| !self.log.configuration().contains(voter));
        if let Some(newcomer) = newcomer.filter(|&newcomer| newcomer != self.id)
            && !self.teach(now, newcomer, effects)
        {
            return effects.push(Effect::Refused(id, Refusal::CatchingUp));
        }
        let (slot, ballot) = (self.log.last().next(), self.promised);
        let State::Leader(leadership) = &mut self.state else { return };
        leadership.learner = None; // From here on it is a voter's, or nobody wants it any more.
        effects.push(Effect::Proposed(id, slot, ballot));
        let payload = Payload::Configuration(configuration);
        self.propose(now, Vec::from([Entry { slot, ballot, payload }]), effects);
    }

    /// Makes the newcomer this leader's learner, if it is not; says whether it has caught up.
    fn teach(&mut self, now: Micros, newcomer: ReplicaId, effects: &mut Vec<Effect>) -> bool {
        let (ballot, commit, next) = (self.promised, self.log.commit(), self.log.last().next());
        let State::Leader(leadership) = &mut self.state else { return false };
        let known = leadership.learner.as_ref().is_some_and(|known| known.replica == newcomer);
        if !known {
            leadership.dismiss_learner();
            let progress = Progress::new(next, now);
            // It says where it stands by a `Gap`.
            progress.ask_for_vouch(newcomer, ballot, &self.log, effects);
            leadership.peers.insert(newcomer, progress);
        }
        leadership.learner = Some(Learner { replica: newcomer, asked_at: now });
        let vouched = leadership.peers[&newcomer].vouched;
        Slot(0) < vouched && commit.0 <= vouched.0.saturating_add(self.limits.learner_lag_max)
    }

    pub(super) fn learner(&self) -> Option<ReplicaId> {
        let State::Leader(leadership) = &self.state else { return None };
        leadership.learner.as_ref().map(|learner| learner.replica)
    }

    /// After something was chosen: lets go of peers that vote nowhere any more, and of leadership if
    /// this replica itself was voted out.
    pub(super) fn settle_membership(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let voters = self.others();
        let (ballot, commit) = (self.promised, self.log.commit());
        let is_settled = self.log.is_settled();
        let is_voter = self.is_voter();
        let State::Leader(leadership) = &mut self.state else { return };
        let learner = leadership.learner.as_ref().map(|learner| learner.replica);
        let stays = |peer: &ReplicaId| voters.contains(peer) || learner == Some(*peer);
        let peers = leadership.peers.keys().copied();
        let departed: Vec<ReplicaId> = peers.filter(|peer| !stays(peer)).collect();
        for to in departed {
            // So that it learns of its own removal and does not stand for election for ever.
            let message = Message::Heartbeat { ballot, commit, round: leadership.round };
            effects.push(Effect::Send { to, message, after: None });
            if !planted(Bug::AcksFromNonVoters) {
                leadership.peers.remove(&to);
            }
        }
        for &voter in &voters {
            // One that came to light in the values of phase 1.
            let newcomer = || Progress::new(commit.next(), now);
            leadership.peers.entry(voter).or_insert_with(newcomer);
        }
        let serves = leadership.opening <= commit;
        if is_settled && !is_voter && serves && !planted(Bug::RemovedLeaderServesOn) {
            self.start_round(now, effects); // So that they know what is chosen before they stand.
            self.hand_over(now, effects);
            self.follow(now, None, effects);
        }
    }

    fn refuse_change(&self, configuration: &Configuration) -> Option<Refusal> {
        let State::Leader(leadership) = &self.state else { return None };
        if self.log.commit() < leadership.opening {
            return Some(Refusal::Busy); // Its own ballot has nothing chosen yet.
        }
        let now = self.log.configuration();
        let one_at_a_time = self.log.is_settled();
        let well_formed = !configuration.voters.is_empty()
            && configuration.voters.is_sorted_by(|left, right| left < right);
        let joining = configuration.voters.iter().filter(|&&voter| !now.contains(voter)).count();
        let leaving = now.voters.iter().filter(|voter| !configuration.voters.contains(voter));
        let one_voter = joining + leaving.count() == 1;
        let acceptable = one_at_a_time && well_formed && one_voter;
        (!acceptable).then_some(Refusal::BadConfiguration)
    }

    /// Whether proposals are for somebody else, and whom.
    pub(super) fn proposals_go_to(&self) -> Option<Option<ReplicaId>> {
        let takes_care = !self.is_voter() && self.log.is_settled();
        match &self.state {
            State::Leader(_) if takes_care && !planted(Bug::RemovedLeaderServesOn) => Some(None),
            State::Leader(leadership) => {
                leadership.transfer.as_ref().map(|transfer| Some(transfer.to))
            }
            State::Follower { .. } | State::PreVote(_) | State::Candidate(_) => Some(self.leader()),
        }
    }
}
