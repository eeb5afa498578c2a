//! What a node does now and then: expiry, watermarks, and bringing the voters in line with the map.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::{Configuration, Consensus, Input, ReplicaId, Slot};
use evenkeel_core::placement::{MapCommand, MapError, PlacementMap};
use evenkeel_engine::batch::BatchBuilder;
use evenkeel_runtime as runtime;
use evenkeel_wire::peer::messages::{Join, JoinReply, MapReply};
use evenkeel_wire::reply::Reply;

use crate::config::Member;
use crate::driver::now;
use crate::entry::{self, Leading, SessionStamp, WriteContext};
use crate::genesis::{MET, placement_voters};
use crate::group::{PLACEMENT_GROUP, group_of};
use crate::lead::Attempt;
use crate::node::{Node, members_of};
use crate::observe::{Fact, observe};
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
        let is_lost = |voter| self.map.borrow().node(voter).is_none();
        if let Some(next) = next_voters(&current, &wanted, self.replica, is_lost) {
            let id = group.next_proposal();
            self.step_group(&mut group, Input::Reconfigure(id, next));
            group.proposed = None; // Refused or not, the next turn looks again.
        }
    }

    /// Has the map say where members are, if the configuration (the same on every node) says that one
    /// has moved: it is by the map that clients are sent to it.
    fn note_moves(self: &Rc<Node>) {
        let Some(command) = moved_member(&self.map.borrow(), &self.config.cluster.members) else {
            return;
        };
        let mut group = self.groups[PLACEMENT_GROUP as usize].borrow_mut();
        let status = group.core.status();
        if group.is_leader() && status.last == status.commit {
            let payload = entry::placement(&command.encode());
            let _unattended = self.propose_unattended(&mut group, payload);
        }
    }

    /// Applies a decided placement command; says what came of it.
    pub(crate) fn placement_decided(&self, command: &[u8]) -> Reply {
        let mut map = self.map.borrow_mut();
        match crate::map::apply(&mut map, command) {
            Ok(()) => {
                self.peers.update(map.epoch(), members_of(&map));
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
            self.peers.update(newer.epoch(), members_of(&newer));
            *map = newer;
        }
    }

    pub(crate) fn map_received(&self, reply: &MapReply) {
        match PlacementMap::decode(&reply.placement) {
            Ok(map) => self.adopt_map(map),
            Err(error) => tracing::warn!(%error, "a peer sent a placement map that is none"),
        }
    }

    /// Answers a node with an empty disk: is its name known, and if it asks for it, make room for it.
    pub(crate) fn answer_join(self: &Rc<Node>, join: &Join) -> JoinReply {
        let met = self.met.borrow().iter().any(|(name, _)| *name == join.name);
        if join.node != 0 {
            self.make_room(join); // Somebody has met its old life, if not this node.
        }
        let map = self.map.borrow();
        JoinReply {
            id: join.id,
            epoch: map.epoch(),
            placement: map.encode().into(),
            refused: if met { MET.to_string() } else { String::new() },
            leader: None,
        }
    }

    /// Proposes that the newcomer takes its old life's place, if this node leads the placement group.
    fn make_room(self: &Rc<Node>, join: &Join) {
        let new = ReplicaId(join.node);
        let command = {
            let map = self.map.borrow();
            let Some(node) = map.node_named(&join.name) else { return };
            let addresses = (join.peer_address.parse(), join.client_address.parse());
            let (Ok(peer_address), Ok(client_address)) = addresses else { return };
            if node.replica == new {
                return;
            }
            let (name, old) = (join.name.clone(), node.replica);
            MapCommand::ReplaceNode { name, old, new, peer_address, client_address }
        };
        let mut group = self.groups[PLACEMENT_GROUP as usize].borrow_mut();
        if group.is_leader() {
            tracing::info!(name = join.name, replica = new.0, "a node comes back without its disk");
            let payload = entry::placement(&command.encode());
            let _unattended = self.propose_unattended(&mut group, payload);
        }
    }

    /// The bytes of a key are damaged here. Another replica may have them: let it lead.
    pub(crate) fn damaged(self: &Rc<Node>, key: &[u8]) -> NotHere {
        crate::metrics::count(&self.metrics.damaged_reads);
        let slot = evenkeel_core::placement::slots::slot(key);
        let group = group_of(slot, self.config.cluster.shard_count);
        observe(self.replica, group, || Fact::ValueDamaged);
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

/// What tells the map where the first member is now that is elsewhere than the map says.
fn moved_member(map: &PlacementMap, members: &[Member]) -> Option<MapCommand> {
    map.nodes().iter().find_map(|node| {
        let member = members.iter().find(|member| member.name == node.name)?;
        let Member { peer_address, client_address, .. } = *member;
        let moved = (node.peer_address, node.client_address) != (peer_address, client_address);
        let node = node.replica;
        moved.then_some(MapCommand::SetAddresses { node, peer_address, client_address })
    })
}

/// One voter out or in, on the way from `current` to `wanted`. Who is lost for good leaves before
/// anybody arrives: it cannot help with anything. Else a newcomer arrives before the voter leaves whose
/// place it takes, so that there are never fewer than there should be. The leader leaves last.
fn next_voters(
    current: &Configuration,
    wanted: &Configuration,
    leader: ReplicaId,
    is_lost: impl Fn(ReplicaId) -> bool,
) -> Option<Configuration> {
    let unwanted = |voter: &ReplicaId| !wanted.contains(*voter);
    let mut leaving: Vec<ReplicaId> = current.voters.iter().copied().filter(unwanted).collect();
    leaving.sort_by_key(|voter| (*voter == leader, !is_lost(*voter)));
    let new = wanted.voters.iter().copied().find(|voter| !current.contains(*voter));
    let to_spare = wanted.voters.len() < current.voters.len();
    let mut voters = current.voters.clone();
    match (leaving.first(), new) {
        (Some(gone), Some(new)) if !to_spare && !is_lost(*gone) => voters.push(new),
        (Some(gone), _) => voters.retain(|voter| voter != gone),
        (None, Some(new)) => voters.push(new),
        (None, None) => return None,
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
        let is_lost = |voter: ReplicaId| lost.contains(&voter.0);
        while let Some(next) = next_voters(&current, &wanted, ReplicaId(leader), is_lost) {
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
    fn a_group_grows_and_shrinks() {
        assert_eq!(steps(&[1], &[1, 2, 3], 1, &[]), vec![vec![1, 2], vec![1, 2, 3]]);
        assert_eq!(steps(&[1, 2, 3], &[3], 2, &[]), vec![vec![2, 3], vec![3]]);
    }
}
