//! Which voters should become which: what an operator asks for, as changes of the map.
//!
//! Pure, like the map. A plan never takes a vote away without giving it to somebody else, adds votes where
//! a shard has fewer than the cluster allows, moves no more
//! votes than it has to (`Plan::votes_moved` against `Plan::lower_bound`), and gives each to whoever has
//! fewest so far; of equals, to whoever ranks highest for the shard, as in a cluster that begins.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{
    MapCommand, MapError, PlacementMap, VOTER_COUNT_MAX, VOTER_COUNT_WANTED, score, within,
};
use crate::consensus::{Configuration, ReplicaId};

#[cfg(test)]
mod tests;

/// What should change, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Each shard that gets other voters, with them, by shard.
    pub shards: Vec<(u16, Configuration)>,
    /// How many votes go from one node to another: as many copies of a shard have to be made.
    pub votes_moved: usize,
    /// Fewer than this cannot be enough.
    pub lower_bound: usize,
    /// Shards that should change and cannot: every node that could take the vote has one already.
    pub stuck: Vec<u16>,
}

impl Plan {
    /// The change of this map; `None` if there is nothing to do.
    pub fn command(&self, map: &PlacementMap) -> Option<MapCommand> {
        let (at_epoch, shards) = (map.epoch(), self.shards.clone());
        (!shards.is_empty()).then_some(MapCommand::SetVoters { at_epoch, shards })
    }
}

/// These voters for this shard, as many as the cluster allows and at least as many as survive a failure.
///
/// # Errors
/// Unknown shard or node, a node named twice, too few or too many of them.
pub fn move_shard(map: &PlacementMap, shard: u16, voters: &[ReplicaId]) -> Result<Plan, MapError> {
    let placement = map.shards().get(usize::from(shard)).ok_or(MapError::UnknownShard(shard))?;
    for (index, voter) in voters.iter().enumerate() {
        let node = map.node(*voter).ok_or(MapError::UnknownNode(*voter))?;
        if voters[..index].contains(voter) {
            return Err(MapError::Duplicate(node.name.clone()));
        }
    }
    within("voters of a shard", voters.len(), VOTER_COUNT_MAX)?;
    let least = VOTER_COUNT_WANTED.min(map.nodes().len());
    if voters.len() < least {
        return Err(MapError::TooFewVoters { count: voters.len(), least });
    }
    let wanted = Configuration::new(voters.to_vec());
    let now = &placement.voters;
    let joining = wanted.voters.iter().filter(|&&voter| !now.contains(voter)).count();
    let shards = if wanted == *now { Vec::new() } else { Vec::from([(shard, wanted)]) };
    Ok(Plan { shards, votes_moved: joining, lower_bound: joining, stuck: Vec::new() })
}

/// Every vote of this node goes to another one, where there is one that `may_vote`.
///
/// # Errors
/// `MapError::UnknownNode`.
pub fn drain(
    map: &PlacementMap,
    node: ReplicaId,
    may_vote: impl Fn(ReplicaId) -> bool,
) -> Result<Plan, MapError> {
    map.node(node).ok_or(MapError::UnknownNode(node))?;
    let mut votes = Votes::of(map);
    let mut plan = Plan::default();
    for shard in 0..map.shards().len() as u16 {
        let voters = &map.shards()[usize::from(shard)].voters;
        if !voters.contains(node) {
            continue;
        }
        let able = |other: ReplicaId| other != node && may_vote(other) && !voters.contains(other);
        match votes.fewest(map, shard, able) {
            Some(other) => {
                plan.shards.push((shard, votes.give(voters, node, other)));
                plan.votes_moved += 1;
                plan.lower_bound += 1; // Each such vote has to go somewhere.
            }
            None => plan.stuck.push(shard),
        }
    }
    Ok(plan)
}

/// As many votes for each shard as there should be, spread evenly over all nodes but those in `without`:
/// no two of them differ by more than one.
pub fn balance(map: &PlacementMap, without: &[ReplicaId]) -> Plan {
    let mut votes = Votes::of(map);
    let takes_part = |replica: &ReplicaId| !without.contains(replica);
    votes.0.retain(|replica, _| takes_part(replica));
    let mut changed: BTreeMap<u16, Configuration> = BTreeMap::new();
    let mut plan = Plan::default();
    for shard in 0..map.shards().len() as u16 {
        let mut voters = map.shards()[usize::from(shard)].voters.clone();
        // A cluster that has grown can keep more copies than it began with.
        while voters.voters.len() < VOTER_COUNT_WANTED {
            let able = |node: ReplicaId| takes_part(&node) && !voters.contains(node);
            let Some(node) = votes.fewest(map, shard, able) else { break };
            voters = votes.add(&voters, node);
            plan.votes_moved += 1;
            changed.insert(shard, voters.clone());
        }
    }
    plan.lower_bound = plan.votes_moved + votes.excess();
    while let Some((most, fewest)) = votes.extremes() {
        let voters_of = |shard: u16| {
            let now = &map.shards()[usize::from(shard)].voters;
            changed.get(&shard).unwrap_or(now)
        };
        let movable =
            |shard: &u16| voters_of(*shard).contains(most) && !voters_of(*shard).contains(fewest);
        let name = &map.node(fewest).expect("it has a count because the map has it").name;
        // There is one: `most` has more votes than `fewest`, so it has one that the other has not.
        let shards = (0..map.shards().len() as u16).filter(movable);
        let Some(shard) = shards.max_by_key(|shard| score(name, *shard)) else { break };
        let voters = votes.give(&voters_of(shard).clone(), most, fewest);
        changed.insert(shard, voters);
        plan.votes_moved += 1;
    }
    plan.shards = changed.into_iter().collect();
    plan
}

/// How many shards each node votes on.
struct Votes(BTreeMap<ReplicaId, usize>);

impl Votes {
    fn of(map: &PlacementMap) -> Votes {
        let mut votes: BTreeMap<ReplicaId, usize> =
            map.nodes().iter().map(|node| (node.replica, 0)).collect();
        for voter in map.shards().iter().flat_map(|shard| &shard.voters.voters) {
            *votes.entry(*voter).or_default() += 1;
        }
        Votes(votes)
    }

    /// Of those that are able, the one with the fewest votes; of equals, the one that ranks highest.
    fn fewest(
        &self,
        map: &PlacementMap,
        shard: u16,
        able: impl Fn(ReplicaId) -> bool,
    ) -> Option<ReplicaId> {
        let nodes = map.nodes().iter().filter(|node| able(node.replica));
        let best = nodes.min_by_key(|node| {
            (self.0[&node.replica], core::cmp::Reverse(score(&node.name, shard)))
        });
        best.map(|node| node.replica)
    }

    fn add(&mut self, voters: &Configuration, to: ReplicaId) -> Configuration {
        *self.0.get_mut(&to).expect("whoever gets a vote is counted") += 1;
        Configuration::new(voters.voters.iter().copied().chain([to]).collect())
    }

    fn give(&mut self, voters: &Configuration, from: ReplicaId, to: ReplicaId) -> Configuration {
        assert!(voters.contains(from) && !voters.contains(to), "nobody votes twice");
        for (replica, count) in &mut self.0 {
            *count -= usize::from(*replica == from);
            *count += usize::from(*replica == to);
        }
        let others = voters.voters.iter().copied().filter(|voter| *voter != from);
        Configuration::new(others.chain([to]).collect())
    }

    /// Who has most and who has fewest, unless all have the same or nearly so.
    fn extremes(&self) -> Option<(ReplicaId, ReplicaId)> {
        let (most, high) = self.0.iter().max_by_key(|(_, count)| **count)?;
        let (fewest, low) = self.0.iter().min_by_key(|(_, count)| **count)?;
        (low + 1 < *high).then_some((*most, *fewest))
    }

    /// How many votes are where they cannot stay if all are to have the same or nearly so.
    fn excess(&self) -> usize {
        let (sum, count) = (self.0.values().sum::<usize>(), self.0.len().max(1));
        let over: usize =
            self.0.values().map(|votes| votes.saturating_sub(sum.div_ceil(count))).sum();
        let under: usize = self.0.values().map(|votes| (sum / count).saturating_sub(*votes)).sum();
        over.max(under)
    }
}
