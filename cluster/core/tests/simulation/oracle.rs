//! Sees everything at once; panics at the first broken promise.

use std::collections::BTreeMap;

use evenkeel_core::consensus::{
    Ballot, Consensus, Payload, ReadBasis, ReadId, ReplicaId, Role, Slot,
};
use evenkeel_core::paxos::Paxos;

use super::{Node, Statistics};

pub(crate) struct Oracle {
    seed: u64,
    leaders: BTreeMap<u64, (Ballot, ReplicaId)>,
    chosen: BTreeMap<Slot, Payload>,
    reads: BTreeMap<ReadId, Slot>,
    pub(crate) statistics: Statistics,
}

impl Oracle {
    pub(crate) fn new(seed: u64) -> Oracle {
        Oracle {
            seed,
            leaders: BTreeMap::new(),
            chosen: BTreeMap::new(),
            reads: BTreeMap::new(),
            statistics: Statistics::default(),
        }
    }

    pub(crate) fn check_leader(&mut self, id: ReplicaId, paxos: &Paxos) {
        let status = paxos.status();
        if status.role != Role::Leader {
            return;
        }
        let seed = self.seed;
        let ballot = status.promised;
        let leaders = &mut self.leaders;
        let known = leaders.entry(ballot.round).or_insert_with(|| {
            self.statistics.leaders += 1;
            (ballot, id)
        });
        assert!(*known == (ballot, id), "seed {seed}: two leaders in a round: {known:?}, {id:?}");
    }

    pub(crate) fn check_proposed(&self, id: ReplicaId, paxos: &Paxos) {
        let status = paxos.status();
        let settled = paxos.configuration_at(status.commit) == Some(&status.configuration);
        let voted_out = settled && !status.configuration.contains(id);
        assert!(!voted_out, "seed {}: {id:?} takes proposals after it was voted out", self.seed);
    }

    pub(crate) fn committed(&mut self, id: ReplicaId, slot: Slot, payload: &Payload) {
        let seed = self.seed;
        let chosen = self.chosen.entry(slot).or_insert_with(|| {
            self.statistics.commits += 1;
            payload.clone()
        });
        let same = chosen == payload;
        assert!(same, "seed {seed}: {id:?} has {payload:?} at {slot:?}, chosen was {chosen:?}");
    }

    pub(crate) fn read_arrives(&mut self, read: ReadId) {
        self.reads.insert(read, self.last());
    }

    pub(crate) fn read_served(
        &mut self,
        id: ReplicaId,
        read: ReadId,
        slot: Slot,
        basis: ReadBasis,
    ) {
        let seed = self.seed;
        match basis {
            ReadBasis::Lease => self.statistics.lease_reads += 1,
            ReadBasis::Quorum => self.statistics.quorum_reads += 1,
        }
        let needed = self.reads.remove(&read).expect("answered once");
        assert!(needed <= slot, "seed {seed}: {id:?} serves {slot:?}, chosen was {needed:?}");
    }

    /// At this very instant whoever holds a lease answers from what it has.
    pub(crate) fn check_leases(&self, nodes: &BTreeMap<ReplicaId, Node>, now: u64) {
        let seed = self.seed;
        let running = nodes.iter().filter_map(|(&id, node)| Some((id, node, node.paxos.as_ref()?)));
        let mut holders = running.filter(|(_, node, paxos)| paxos.lease_holds(node.clock(now)));
        let Some((id, _, paxos)) = holders.next() else { return };
        let second = holders.next().map(|(id, ..)| id);
        assert!(second.is_none(), "seed {seed}: {id:?} and {second:?} both hold a lease");
        let (has, chosen) = (paxos.status().commit, self.last());
        assert!(chosen <= has, "seed {seed}: {id:?} holds a lease at {has:?} of {chosen:?}");
    }

    fn last(&self) -> Slot {
        self.chosen.last_key_value().map_or(Slot(0), |(&slot, _)| slot)
    }
}
