//! One consensus group on this node: its core, its state, and everybody who waits for it.
//!
//! Plain bookkeeping; `driver` moves things in and out.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Weak;

use bytes::Bytes;
use evenkeel_core::consensus::{
    Consensus, Message, Micros, ProposalId, ReadId, ReplicaId, Role, Slot, Token,
};
use evenkeel_core::paxos::Paxos;
use evenkeel_core::placement::slots::SLOT_COUNT;
use tokio::sync::oneshot;

use crate::cut::Cut;
use crate::entry::Leading;
use crate::machine::{Machine, Outcome, Overlay};
use crate::request::Request;
use crate::unapplied::Unapplied;

/// The group that decides the placement map. Shard `n` is group `n + 1`.
pub(crate) const PLACEMENT_GROUP: u32 = 0;

/// One replica of one group.
pub(crate) struct Group {
    pub(crate) number: u32,
    pub(crate) core: Paxos,
    pub(crate) machine: Machine,
    pub(crate) overlay: Overlay,
    pub(crate) role: Role,
    /// This replica's last time as leader.
    pub(crate) leading: Leading,
    /// Where the log keeps the entries that are not applied yet.
    pub(crate) unapplied: Unapplied,
    /// Messages that vouch for something the disk has not reported yet, in token order.
    pub(crate) held: VecDeque<(Token, ReplicaId, Message)>,
    pub(crate) persisted: Token,
    /// Proposals that the core has not answered yet (it does so within the same step).
    pub(crate) proposed: Option<Proposed>,
    /// Who waits for which slot to be applied.
    pub(crate) waiting: BTreeMap<Slot, Waiter>,
    pub(crate) reads: BTreeMap<ReadId, oneshot::Sender<ReadOutcome>>,
    pub(crate) next_id: u64,
    /// Peers that a snapshot is on its way to.
    pub(crate) snapshots: Vec<ReplicaId>,
    /// Of this replica, as it was, while somebody wants them.
    pub(crate) cuts: Vec<Weak<Cut>>,
    /// A snapshot is being made durable: until then nothing else may happen to this group.
    pub(crate) installing: bool,
    /// How many checkpoints have been taken of this group since the process began.
    pub(crate) checkpoints: u64,
}

/// The core's answer to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proposed {
    At(Slot),
    Refused { leader: Option<ReplicaId>, busy: bool },
}

/// Somebody waits for the fate of a payload at a slot.
pub(crate) struct Waiter {
    pub(crate) payload: Bytes,
    pub(crate) asker: Asker,
}

/// Who waits.
pub(crate) enum Asker {
    /// Nobody has said so yet.
    Nobody,
    /// A task of this node.
    Task(oneshot::Sender<Fate>),
    /// Another node.
    Peer(Asked),
}

/// What another node asked this one to lead.
pub(crate) struct Asked {
    pub(crate) from: ReplicaId,
    pub(crate) id: u64,
    pub(crate) request: Request,
}

/// What became of a proposal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was applied, with this outcome.
    Settled(Outcome),
    /// Another payload took the slot: this one had no effect.
    Displaced,
    /// This replica leads no more; the payload may or may not be chosen later.
    Unknown,
}

/// The answer to a linearizable read's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// The state as applied now is fresh enough.
    Ready,
    /// Ask the leader, if there is one.
    Refused,
}

impl Group {
    pub(crate) fn new(number: u32, core: Paxos, machine: Machine, unapplied: Unapplied) -> Group {
        let role = core.status().role;
        Group {
            number,
            core,
            machine,
            overlay: Overlay::default(),
            role,
            leading: Leading::default(),
            unapplied,
            held: VecDeque::new(),
            persisted: Token::default(),
            proposed: None,
            waiting: BTreeMap::new(),
            reads: BTreeMap::new(),
            next_id: 0,
            snapshots: Vec::new(),
            cuts: Vec::new(),
            installing: false,
            checkpoints: 0,
        }
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    pub(crate) fn leader(&self) -> Option<ReplicaId> {
        match self.role {
            Role::Follower { leader } => leader,
            Role::Candidate | Role::Leader => None,
        }
    }

    /// Whether a read may be answered from the applied state at this very moment.
    pub(crate) fn lease_holds(&self, now: Micros) -> bool {
        self.is_leader() && self.core.lease_holds(now)
    }

    pub(crate) fn next_proposal(&mut self) -> ProposalId {
        self.next_id += 1;
        ProposalId(self.next_id)
    }

    pub(crate) fn next_read(&mut self) -> ReadId {
        self.next_id += 1;
        ReadId(self.next_id)
    }

    /// Nobody may wait any longer for what this replica proposed: it leads no more. Those who did must
    /// hear of it.
    #[must_use]
    pub(crate) fn abandon_waiters(&mut self) -> BTreeMap<Slot, Waiter> {
        self.overlay.clear();
        for (_, sender) in std::mem::take(&mut self.reads) {
            let _gone = sender.send(ReadOutcome::Refused);
        }
        std::mem::take(&mut self.waiting)
    }
}

/// The hash slots of a shard's group.
pub(crate) fn slots_of(group: u32, shard_count: u32) -> Range<u16> {
    assert!(group != PLACEMENT_GROUP, "the placement group owns no keys");
    let first = |shard: u32| (shard * u32::from(SLOT_COUNT)).div_ceil(shard_count) as u16;
    first(group - 1)..first(group)
}

/// The group that owns a hash slot, as `PlacementMap::shard_of` has it.
pub(crate) fn group_of(slot: u16, shard_count: u32) -> u32 {
    u32::from(slot) * shard_count / u32::from(SLOT_COUNT) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_belongs_to_exactly_one_group() {
        for shard_count in [1, 3, 7, 64, 1000, 4096] {
            let mut next = 0;
            for group in 1..=shard_count {
                let slots = slots_of(group, shard_count);
                assert_eq!(slots.start, next, "group {group} of {shard_count}");
                assert!(slots.clone().all(|slot| group_of(slot, shard_count) == group));
                next = slots.end;
            }
            assert_eq!(next, SLOT_COUNT);
        }
    }
}
