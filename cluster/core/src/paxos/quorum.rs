//! Counting votes.
//!
//! A change of voters is in force as soon as it is in a replica's log; until it is chosen, every
//! quorum must be one in the old configuration *and* in the new one. A value left over from a deposed
//! leader may come back under a later ballot, changes of voters included; two such changes need not
//! share a voter, but each of their quorums meets every quorum of the configuration they came from.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::log::Log;
use crate::bugs::{Bug, planted};
use crate::consensus::{Configuration, ReplicaId, Slot};

/// The highest value that a majority of the voters has reached.
pub(super) fn reached<T: Ord + Copy>(
    configuration: &Configuration,
    value: impl Fn(ReplicaId) -> T,
) -> T {
    let values = configuration.voters.iter().map(|&voter| value(voter)).collect();
    median(configuration, values)
}

/// The same in every configuration in force.
pub(super) fn reached_in_all<T: Ord + Copy>(log: &Log, value: impl Fn(ReplicaId) -> T) -> T {
    let all = counted(log);
    let lowest = all.iter().map(|(_, configuration)| reached(configuration, &value)).min();
    lowest.expect("some configuration is in force")
}

/// Whether those who agreed are a quorum.
pub(super) fn agreed(configuration: &Configuration, agreed: &BTreeSet<ReplicaId>) -> bool {
    reached(configuration, |voter| agreed.contains(&voter))
}

/// Up to where slots are chosen, given up to where each replica has vouched.
///
/// A slot before a change of voters needs a quorum of the old configuration only.
pub(super) fn chosen(log: &Log, vouched: &BTreeMap<ReplicaId, Slot>) -> Slot {
    let all = counted(log);
    let mut chosen = Slot(u64::MAX);
    for (slot, configuration) in all {
        if chosen < slot {
            break;
        }
        let here = if planted(Bug::AcksFromNonVoters) {
            median(configuration, vouched.values().copied().collect())
        } else {
            reached(configuration, |voter| vouched.get(&voter).copied().unwrap_or_default())
        };
        chosen = if slot <= log.commit() { here } else { chosen.min(here.max(slot.previous())) };
    }
    assert!(chosen < Slot(u64::MAX), "some configuration is in force");
    chosen
}

/// Whose quorums are needed, each from which slot on.
fn counted(log: &Log) -> Vec<(Slot, &Configuration)> {
    let mut all = log.in_force();
    if planted(Bug::JointQuorumSkipped) {
        all.drain(..all.len() - 1);
    }
    all
}

fn median<T: Ord + Copy>(configuration: &Configuration, mut values: Vec<T>) -> T {
    assert!(configuration.majority() <= values.len(), "fewer answers than voters");
    if planted(Bug::CommitWithMinority) {
        return values[values.len() / 2];
    }
    values.sort_unstable_by(|left, right| right.cmp(left));
    values[configuration.majority() - 1]
}
