//! Linearizable reads: by lease at once, else by read-index, one confirmation for all that wait.
//! (Ongaro 2014, §6.4.)

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Paxos, State, quorum};
use crate::bugs::{Bug, planted};
use crate::consensus::{Effect, Micros, ReadBasis, ReadId, Refusal, Slot};

/// Reads that wait, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Reads {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Waiting {
    read: ReadId,
    /// The first round of heartbeats that starts after the read arrived.
    round: u64,
    /// Everything that was chosen when the read arrived.
    index: Slot,
}

impl Reads {
    pub(super) fn refuse_all(&mut self, refusal: Refusal, effects: &mut Vec<Effect>) {
        let reads = self.waiting.drain(..);
        effects.extend(reads.map(|waiting| Effect::ReadRefused(waiting.read, refusal)));
    }

    /// Whether somebody waits for a round that has not started.
    fn want_round_after(&self, round: u64) -> bool {
        self.waiting.back().is_some_and(|newest| round < newest.round)
    }
}

impl Paxos {
    pub(super) fn on_read(&mut self, now: Micros, read: ReadId, effects: &mut Vec<Effect>) {
        let lease = self.lease_is_valid(now);
        let (leader, index, confirmed) = (self.leader(), self.log.commit(), self.confirmed_round());
        let State::Leader(leadership) = &mut self.state else {
            return effects.push(Effect::ReadRefused(read, Refusal::NotLeader { leader }));
        };
        if lease {
            return effects.push(Effect::ReadReady(read, index, ReadBasis::Lease));
        }
        if self.limits.reads_waiting_max <= leadership.reads.waiting.len() as u64 {
            return effects.push(Effect::ReadRefused(read, Refusal::Busy));
        }
        let next_round =
            if planted(Bug::ReadIndexUsesOldRound) { confirmed } else { leadership.round + 1 };
        let index = index.max(leadership.opening);
        let index = if planted(Bug::ReadBeforeOwnCommit) { self.log.commit() } else { index };
        leadership.reads.waiting.push_back(Waiting { read, round: next_round, index });
        self.serve_reads(now, effects);
    }

    /// Starts the round that reads wait for, unless one is under way; answers what is confirmed.
    pub(super) fn serve_reads(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let idle = self.confirmed_round();
        let State::Leader(leadership) = &self.state else { return };
        assert!(idle <= leadership.round, "a round was confirmed before it started");
        if idle == leadership.round && leadership.reads.want_round_after(leadership.round) {
            self.start_round(now, effects);
        }
        let confirmed = self.confirmed_round();
        let commit = self.log.commit();
        let State::Leader(leadership) = &mut self.state else { return };
        let ready = leadership.opening <= commit || planted(Bug::ReadBeforeOwnCommit);
        while let Some(oldest) = leadership.reads.waiting.front() {
            if !ready || confirmed < oldest.round {
                break;
            }
            assert!(oldest.index <= commit, "the read would wait for a slot that is not chosen");
            effects.push(Effect::ReadReady(oldest.read, oldest.index, ReadBasis::Quorum));
            leadership.reads.waiting.pop_front();
        }
    }

    /// The newest round of heartbeats that a quorum has answered.
    fn confirmed_round(&self) -> u64 {
        let State::Leader(leadership) = &self.state else { return 0 };
        quorum::reached_in_all(&self.log, |voter| leadership.round_answered_by(self.id, voter).0)
    }
}
