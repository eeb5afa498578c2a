//! Leases: a quorum's promise to elect nobody else for a while, so that the leader may read alone.
//!
//! The follower counts from when it heard the question, the leader from when it asked, less what two
//! clocks may drift apart meanwhile: so the leader's lease ends first. (Gray & Cheriton 1989; Chandra,
//! Griesemer & Redstone 2007, §5.2.)

use super::{Paxos, State, quorum};
use crate::bugs::{Bug, planted};
use crate::consensus::{Ballot, Micros, ReplicaId};

impl Paxos {
    /// From now on, for a lease's time, this replica elects nobody but its leader.
    pub(super) fn promise_lease(&mut self, now: Micros) {
        let until = now.plus(self.timing.lease);
        self.lease_promised_until = self.lease_promised_until.max(until);
        assert!(now < self.lease_promised_until, "a lease lasts");
    }

    /// Whether the lease that this replica promised leaves room for `candidate`.
    pub(super) fn may_elect(
        &self,
        now: Micros,
        candidate: ReplicaId,
        ballot: Ballot,
        transfer: bool,
    ) -> bool {
        if planted(Bug::VoteDuringLease) {
            return true;
        }
        // The holder itself may be elected again.
        let is_holder = self.promised.replica == candidate && self.leader() == Some(candidate);
        // One leader a round, and a candidate by transfer takes the very next: so it is the holder of
        // *this* lease who let go of it, not one deposed before.
        let holder_let_go = transfer && ballot.round == self.promised.round + 1;
        self.lease_promised_until <= now || is_holder || holder_let_go
    }

    pub(super) fn lease_is_valid(&self, now: Micros) -> bool {
        let State::Leader(leadership) = &self.state else { return false };
        if planted(Bug::ReadWithoutLease) {
            return true;
        }
        let ready = leadership.opening <= self.log.commit() || planted(Bug::ReadBeforeOwnCommit);
        let released = leadership.lease_released && !planted(Bug::TransferKeepsLease);
        if !ready || released {
            return false;
        }
        let asked = quorum::reached_in_all(&self.log, |voter| {
            leadership.round_answered_by(self.id, voter).1
        });
        let usable = if planted(Bug::LeaseFromReceipt) {
            self.timing.lease
        } else {
            self.timing.lease_usable()
        };
        asked.is_some_and(|asked| now < asked.plus(usable))
    }
}
