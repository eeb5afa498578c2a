//! What a node does now and then: expiry, watermarks, and bringing the voters in line with the map.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::{Configuration, Consensus, Input, ReplicaId, Slot};
use evenkeel_core::placement::{MapError, PlacementMap};
use evenkeel_engine::batch::BatchBuilder;
use evenkeel_runtime as runtime;
use evenkeel_wire::peer::messages::MapReply;
use evenkeel_wire::reply::Reply;

use crate::driver::now;
use crate::entry::{Leading, SessionStamp, WriteContext};
use crate::genesis::placement_voters;
use crate::group::{PLACEMENT_GROUP, group_of};
use crate::lead::Attempt;
use crate::node::Node;
use crate::operate::stale;
use crate::request::NotHere;

const CHORES_PAUSE: Duration = Duration::from_millis(50);
/// Between two turns of expiry while there is more to do.
const EXPIRY_PAUSE: Duration = Duration::from_millis(2);
/// After so many, other chores have their turn.
const EXPIRY_TURNS_MAX: usize = 16;
/// How many expired keys one turn looks at.
const EXPIRED_COUNT_MAX: usize = 4096;
/// How many of them one log entry deletes.
const EXPIRED_PER_ENTRY_MAX: usize = 256;

impl Node {
    /// Runs for as long as the node.
    pub(crate) async fn run_chores(self: Rc<Node>) {
        loop {
            runtime::sleep(CHORES_PAUSE).await;
            if self.closing.get() {
                return;
            }
            self.engine.borrow_mut().tick();
            for _ in 0..EXPIRY_TURNS_MAX {
                // Many keys may be over at once: in small steps, with requests in between.
                let more_in_cache = self.expire_cache();
                let more_in_default = self.expire_default();
                if !more_in_cache && !more_in_default {
                    break;
                }
                runtime::sleep(EXPIRY_PAUSE).await;
            }
            if !self.stopping.get() {
                (0..self.groups.len() as u32).for_each(|group| self.reconcile(group));
                self.note_moves();
                self.notice_removal();
            }
        }
    }

    /// Deletes what has expired in the shards this node leads, through the log: a replica must not
    /// judge by its own clock.
    /// Whether there may be more of them.
    fn expire_default(self: &Rc<Node>) -> bool {
        let now_ms = runtime::clock::wall_ms();
        let mut expired: BTreeMap<u32, Vec<Bytes>> = BTreeMap::new();
        let (mut looked_at, mut proposed) = (0, 0);
        {
            let store = self.store.borrow();
            for (slot, key) in store.expired(now_ms).take(EXPIRED_COUNT_MAX) {
                looked_at += 1;
                let keys =
                    expired.entry(group_of(slot, self.config.cluster.shard_count)).or_default();
                if keys.len() < EXPIRED_PER_ENTRY_MAX {
                    keys.push(Bytes::copy_from_slice(key));
                }
            }
        }
        for (number, keys) in expired {
            let mut group = self.groups[number as usize].borrow_mut();
            if !group.is_leader() || !group.lease_holds(now()) {
                continue;
            }
            // Only what no pending write is about to change.
            let keys: Vec<Bytes> =
                keys.into_iter().filter(|key| group.overlay.newest(key).is_none()).collect();
            let payload = expiry_payload(group.leading, &keys, now_ms);
            if !keys.is_empty() && !self.is_out_of_room() {
                proposed += keys.len();
                let _unattended = self.propose_unattended(&mut group, payload);
            }
        }
        // What is proposed is looked at again until it is applied: that alone is no reason to hurry.
        looked_at == EXPIRED_COUNT_MAX && 0 < proposed
    }

    /// Moves a led group's voters one step towards what the map says.
    fn reconcile(self: &Rc<Node>, number: u32) {
        let mut group = self.groups[number as usize].borrow_mut();
        if !group.is_leader() || group.installing {
            return;
        }
        let wanted = {
            let map = self.map.borrow();
            match number {
                PLACEMENT_GROUP => placement_voters(&map),
                shard => map.shards()[shard as usize - 1].voters.clone(),
            }
        };
        let current = group.core.status().configuration;
        let state = |voter| match self.map.borrow().node(voter) {
            None => Presence::Lost,
            Some(_) if voter == self.replica => Presence::There,
            Some(node) if self.peers.is_connected(&node.name) => Presence::There,
            Some(_) => Presence::Away,
        };
        if let Some(next) = next_voters(&current, &wanted, self.replica, state) {
            let id = group.next_proposal();
            self.step_group(&mut group, Input::Reconfigure(id, next));
            group.proposed = None; // Refused or not, the next turn looks again.
        }
    }

    /// Applies a decided placement command; says what came of it.
    pub(crate) fn placement_decided(&self, command: &[u8]) -> Reply {
        let mut map = self.map.borrow_mut();
        match crate::map::apply(&mut map, command) {
            Ok(()) => {
                self.peers.update(&map);
                Reply::Integer(map.epoch() as i64)
            }
            Err(MapError::StaleEpoch { now, .. }) => stale(now),
            Err(refusal) => Reply::error(format!("ERR {refusal}")),
        }
    }

    /// A newer map, decided elsewhere.
    pub(crate) fn adopt_map(&self, newer: PlacementMap) {
        let mut map = self.map.borrow_mut();
        if map.epoch() < newer.epoch() {
            tracing::info!(epoch = newer.epoch(), "adopted a newer placement map");
            self.peers.update(&newer);
            *map = newer;
        }
    }

    pub(crate) fn map_received(&self, reply: &MapReply) {
        match PlacementMap::decode(&reply.placement) {
            Ok(map) => self.adopt_map(map),
            Err(error) => tracing::warn!(%error, "a peer sent a placement map that is none"),
        }
    }

    /// The bytes of a key are damaged here, and no other replica has answered with them. One of them may
    /// have them all the same: let it lead.
    pub(crate) fn damaged(self: &Rc<Node>, key: &[u8]) -> NotHere {
        let slot = evenkeel_core::placement::slots::slot(key);
        let group = group_of(slot, self.config.cluster.shard_count);
        self.step(group, Input::Transfer(None));
        NotHere::Damaged
    }

    /// Proposes something nobody waits for.
    fn propose_unattended(
        self: &Rc<Node>,
        group: &mut crate::group::Group,
        payload: Bytes,
    ) -> Attempt<Slot> {
        self.propose(group, payload, &[])
    }
}

/// One entry that deletes keys which are over by `now_ms`, each only if it still is what it was: an
/// absent key has version 0, and so has one that is over. The entry's own time makes them absent, and
/// the operations then remove what is left of them.
fn expiry_payload(evaluated_in: Leading, keys: &[Bytes], now_ms: u64) -> Bytes {
    let conditions = keys.iter().map(|key| (&key[..], 0)).collect();
    let session = SessionStamp::default();
    let context =
        WriteContext { evaluated_in, time_ms: now_ms, session, reply: b"+OK\r\n", conditions };
    let mut batch = BatchBuilder::new(&context.encode());
    keys.iter().for_each(|key| batch.delete(key));
    batch.finish()
}

/// Whether a replica can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    /// It may come back.
    Away,
    /// The map has it no more: it will not.
    Lost,
}

/// One voter out or in, on the way from `current` to `wanted`. Who is lost for good leaves before
/// anybody arrives: it cannot help with anything. Else a newcomer arrives before the voter leaves whose
/// place it takes, so that there are never fewer than there should be; one that is there, since it has
/// to learn everything first. The leader leaves last.
fn next_voters(
    current: &Configuration,
    wanted: &Configuration,
    leader: ReplicaId,
    presence: impl Fn(ReplicaId) -> Presence,
) -> Option<Configuration> {
    let is_lost = |voter: ReplicaId| presence(voter) == Presence::Lost;
    let unwanted = |voter: &ReplicaId| !wanted.contains(*voter);
    let mut leaving: Vec<ReplicaId> = current.voters.iter().copied().filter(unwanted).collect();
    leaving.sort_by_key(|voter| (*voter == leader, !is_lost(*voter)));
    let mut arriving = wanted.voters.iter().copied().filter(|voter| !current.contains(*voter));
    let is_complete = arriving.clone().next().is_none();
    let new = arriving.find(|voter| presence(*voter) == Presence::There);
    let to_spare = wanted.voters.len() < current.voters.len();
    let mut voters = current.voters.clone();
    match (leaving.first(), new) {
        (Some(gone), Some(new)) if !to_spare && !is_lost(*gone) => voters.push(new),
        (Some(gone), _) if to_spare || is_complete || is_lost(*gone) => {
            voters.retain(|voter| voter != gone);
        }
        (_, Some(new)) => voters.push(new),
        (_, None) => return None,
    }
    voters.sort_unstable();
    (!voters.is_empty()).then_some(Configuration { voters })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(ids: &[u64]) -> Configuration {
        Configuration { voters: ids.iter().map(|id| ReplicaId(*id)).collect() }
    }

    /// The steps from one to the other, while this replica leads.
    fn steps(from: &[u64], to: &[u64], leader: u64, lost: &[u64]) -> Vec<Vec<u64>> {
        let (mut current, wanted) = (voters(from), voters(to));
        let mut steps = Vec::new();
        let presence = |voter: ReplicaId| match lost.contains(&voter.0) {
            true => Presence::Lost,
            false => Presence::There,
        };
        while let Some(next) = next_voters(&current, &wanted, ReplicaId(leader), presence) {
            let (before, after) = (current.voters.len(), next.voters.len());
            assert_eq!(before.abs_diff(after), 1, "one voter at a time");
            steps.push(next.voters.iter().map(|voter| voter.0).collect());
            current = next;
            assert!(steps.len() < 20, "it never ends: {steps:?}");
        }
        assert_eq!(current, wanted);
        steps
    }

    #[test]
    fn a_voter_that_is_lost_leaves_before_its_next_life_arrives() {
        let expected = vec![vec![1, 3], vec![1, 3, 9]];
        assert_eq!(steps(&[1, 2, 3], &[1, 3, 9], 1, &[2]), expected);
    }

    #[test]
    fn a_newcomer_arrives_before_the_voter_leaves_whose_place_it_takes() {
        let expected = vec![vec![1, 2, 3, 4], vec![1, 3, 4]];
        assert_eq!(steps(&[1, 2, 3], &[1, 3, 4], 1, &[]), expected);
    }

    #[test]
    fn a_leader_that_must_go_goes_last_and_there_are_never_too_few() {
        let steps = steps(&[1, 2, 3], &[4, 5, 6], 2, &[]);
        assert_eq!(steps.last(), Some(&vec![4, 5, 6]));
        assert!(steps.iter().all(|step| (3..=4).contains(&step.len())), "{steps:?}");
        let with_leader = steps.iter().filter(|step| step.contains(&2)).count();
        assert_eq!(with_leader, steps.len() - 1, "{steps:?}");
    }

    #[test]
    fn nobody_waits_for_a_newcomer_that_is_away_while_another_is_there() {
        let away = |gone: u64| {
            move |voter: ReplicaId| match voter.0 == gone {
                true => Presence::Away,
                false => Presence::There,
            }
        };
        let next = |from: &[u64], to: &[u64], gone| {
            let next = next_voters(&voters(from), &voters(to), ReplicaId(1), away(gone));
            next.map(|next| next.voters.iter().map(|voter| voter.0).collect::<Vec<_>>())
        };
        assert_eq!(next(&[1, 2, 3], &[1, 2, 3, 4, 5], 4), Some(vec![1, 2, 3, 5]));
        assert_eq!(next(&[1, 2, 3], &[1, 2, 3, 4], 4), None, "it comes back, or is removed");
        assert_eq!(next(&[1, 2, 3], &[1, 2, 4], 4), None, "three copies until there are others");
        assert_eq!(next(&[1, 2, 3], &[1, 2], 3), Some(vec![1, 2]));
    }

    #[test]
    fn a_group_grows_and_shrinks() {
        assert_eq!(steps(&[1], &[1, 2, 3], 1, &[]), vec![vec![1, 2], vec![1, 2, 3]]);
        assert_eq!(steps(&[1, 2, 3], &[3], 2, &[]), vec![vec![2, 3], vec![3]]);
    }
}
