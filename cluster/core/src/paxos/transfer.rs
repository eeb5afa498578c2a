//! Handing leadership over on purpose, in about one round trip.
//!
//! The leader lets go of its lease *before* it asks anybody to take over, and for the rest of its
//! ballot: the request may arrive at any time.

use alloc::vec::Vec;

use super::{Paxos, State};
use crate::consensus::{Ballot, Effect, Message, Micros, ReplicaId};

/// A hand-over under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Transfer {
    pub(super) to: ReplicaId,
    /// After that the leader takes proposals again.
    pub(super) until: Micros,
}

impl Paxos {
    pub(super) fn on_transfer(
        &mut self,
        now: Micros,
        to: Option<ReplicaId>,
        effects: &mut Vec<Effect>,
    ) {
        let wanted = match to {
            Some(to) => Some(to).filter(|&to| self.log.configuration().contains(to)),
            None => self.best_successor(now),
        };
        let until = now.plus(self.timing.election_max);
        let State::Leader(leadership) = &mut self.state else { return };
        let Some(to) = wanted.filter(|to| leadership.peers.contains_key(to)) else { return };
        leadership.lease_released = true;
        leadership.transfer = Some(Transfer { to, until });
        self.send_take_over_if_ready(effects);
    }

    /// The target must have everything, so that nothing is left for it to fetch.
    pub(super) fn send_take_over_if_ready(&mut self, effects: &mut Vec<Effect>) {
        let State::Leader(leadership) = &self.state else { return };
        let Some(transfer) = &leadership.transfer else { return };
        assert!(leadership.lease_released, "the lease goes first");
        let progress = leadership.peers.get(&transfer.to);
        if progress.is_some_and(|progress| self.log.last() <= progress.vouched) {
            let message = Message::TakeOver { ballot: self.promised };
            effects.push(Effect::Send { to: transfer.to, message, after: None });
        }
    }

    /// Steps down in favour of the best successor, at once; does nothing if there is none.
    pub(super) fn hand_over(&mut self, now: Micros, effects: &mut Vec<Effect>) -> bool {
        let Some(to) = self.best_successor(now) else { return false };
        assert!(to != self.id, "a leader is not its own successor");
        let message = Message::TakeOver { ballot: self.promised };
        effects.push(Effect::Send { to, message, after: None });
        self.follow(now, None, effects);
        true
    }

    pub(super) fn on_take_over(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        effects: &mut Vec<Effect>,
    ) {
        let from_leader = ballot == self.promised && ballot.replica == from;
        let follows = matches!(self.state, State::Follower { .. });
        if from_leader && follows && self.is_voter() && self.may_stand(now) {
            // Exactly the next round: by that voters know whose lease was let go.
            let next = Ballot { round: ballot.round + 1, replica: self.id };
            self.stand(now, next, true, effects);
        }
    }

    /// The voter that has most, of those heard lately; the lowest id of equals.
    fn best_successor(&self, now: Micros) -> Option<ReplicaId> {
        let State::Leader(leadership) = &self.state else { return None };
        let configuration = self.log.configuration();
        let lately = |heard_at| now.since(heard_at) <= self.timing.election_min;
        let able = leadership
            .peers
            .iter()
            .filter(|&(&peer, progress)| configuration.contains(peer) && lately(progress.heard_at));
        able.max_by_key(|&(&peer, progress)| (progress.vouched, core::cmp::Reverse(peer)))
            .map(|(&peer, _)| peer)
    }
}
