//! Changing the voters: one at a time, through the log.

use alloc::vec::Vec;

use super::progress::Progress;
use super::{Paxos, State};
use crate::bugs::{Bug, planted};
use crate::consensus::{
    Configuration, Effect, Entry, Message, Micros, Payload, ProposalId, Refusal, ReplicaId,
};

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
        let (slot, ballot) = (self.log.last().next(), self.promised);
        let State::Leader(leadership) = &mut self.state else { return };
        for &voter in configuration.voters.iter().filter(|&&voter| voter != self.id) {
            let newcomer = || Progress::new(slot, now); // It says where it stands by a `Gap`.
            leadership.peers.entry(voter).or_insert_with(newcomer);
        }
        effects.push(Effect::Proposed(id, slot, ballot));
        let payload = Payload::Configuration(configuration);
        self.propose(now, Vec::from([Entry { slot, ballot, payload }]), effects);
    }

    /// After something was chosen: lets go of peers that vote nowhere any more, and of leadership if
    /// this replica itself was voted out.
    pub(super) fn settle_membership(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let voters = self.others();
        let (ballot, commit) = (self.promised, self.log.commit());
        let is_settled = self.log.in_force().len() == 1;
        let is_voter = self.is_voter();
        let State::Leader(leadership) = &mut self.state else { return };
        let peers = leadership.peers.keys().copied();
        let departed: Vec<ReplicaId> = peers.filter(|peer| !voters.contains(peer)).collect();
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
        let one_at_a_time = self.log.in_force().len() == 1;
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
        let takes_care = !self.is_voter() && self.log.in_force().len() == 1;
        match &self.state {
            State::Leader(_) if takes_care && !planted(Bug::RemovedLeaderServesOn) => Some(None),
            State::Leader(leadership) => {
                leadership.transfer.as_ref().map(|transfer| Some(transfer.to))
            }
            State::Follower { .. } | State::PreVote(_) | State::Candidate(_) => Some(self.leader()),
        }
    }
}
