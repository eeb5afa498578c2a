//! Counting votes.
//!
//! A change of voters is in force as soon as it is in a replica's log; until it is chosen, every
//! quorum must be one in the old configuration *and* in the new one. A value left over from a deposed
//! leader may come back under a later ballot, changes of voters included; two such changes need not
//! share a voter, but each of their quorums meets every quorum of the configuration they came from.

use alloc::collections::BTreeSet;

use super::leader::Leadership;
use super::log::Log;
use crate::bugs::{Bug, planted};
use crate::consensus::{Configuration, ReplicaId, Slot};

/// The highest value that a majority of the voters has reached.
pub(super) fn reached<T: Ord + Copy>(
    configuration: &Configuration,
    value: impl Fn(ReplicaId) -> T,
) -> T {
    let values = configuration.voters.iter().map(|&voter| value(voter));
    reached_by(majority(configuration), values)
}

/// The same in every configuration in force.
pub(super) fn reached_in_all<T: Ord + Copy>(log: &Log, value: impl Fn(ReplicaId) -> T) -> T {
    let lowest = counted(log).map(|(_, configuration)| reached(configuration, &value)).min();
    lowest.expect("some configuration is in force")
}

/// Whether those who agreed are a quorum.
pub(super) fn agreed(configuration: &Configuration, agreed: &BTreeSet<ReplicaId>) -> bool {
    reached(configuration, |voter| agreed.contains(&voter))
}

/// Up to where slots are chosen, given up to where each replica has vouched. The leader is `id`.
///
/// A slot before a change of voters needs a quorum of the old configuration only.
pub(super) fn chosen(log: &Log, leadership: &Leadership, id: ReplicaId) -> Slot {
    let mut chosen = Slot(u64::MAX);
    for (slot, configuration) in counted(log) {
        if chosen < slot {
            break;
        }
        let here = if planted(Bug::AcksFromNonVoters) {
            reached_by(majority(configuration), leadership.vouched(id).map(|(_, slot)| slot))
        } else {
            reached(configuration, |voter| leadership.vouched_by(id, voter))
        };
        chosen = if slot <= log.commit() { here } else { chosen.min(here.max(slot.previous())) };
    }
    assert!(chosen < Slot(u64::MAX), "some configuration is in force");
    chosen
}

/// Whose quorums are needed, each from which slot on.
fn counted(log: &Log) -> impl Iterator<Item = (Slot, &Configuration)> {
    let skipped = if planted(Bug::JointQuorumSkipped) { log.in_force().count() - 1 } else { 0 };
    log.in_force().skip(skipped)
}

fn majority(configuration: &Configuration) -> usize {
    let majority = configuration.majority();
    if planted(Bug::CommitWithMinority) { (majority - 1).max(1) } else { majority }
}

/// The highest of these values that so many of them reach. This is asked for every message, so it
/// compares each with each, a handful, and allocates nothing.
fn reached_by<T: Ord + Copy>(needed: usize, values: impl Iterator<Item = T> + Clone) -> T {
    let reaches = |least: &T| needed <= values.clone().filter(|value| least <= value).count();
    values.clone().filter(reaches).max().expect("there are as many answers as voters")
}
