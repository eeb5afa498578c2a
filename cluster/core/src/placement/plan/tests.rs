use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::super::NodeInfo;
use super::super::tests::nodes;
use super::*;

fn map(node_count: u64, shard_count: u16) -> PlacementMap {
    PlacementMap::initial(nodes(node_count), shard_count).unwrap()
}

fn apply(map: &PlacementMap, plan: &Plan) -> PlacementMap {
    let mut changed = map.clone();
    if let Some(command) = plan.command(map) {
        changed.apply(&command).unwrap();
    }
    changed
}

fn votes(map: &PlacementMap) -> Vec<usize> {
    Votes::of(map).0.into_values().collect()
}

/// How many voters of all shards are new.
fn moved(before: &PlacementMap, after: &PlacementMap) -> usize {
    let pairs = before.shards().iter().zip(after.shards());
    let news = pairs.flat_map(|(before, after)| {
        after.voters.voters.iter().filter(|voter| !before.voters.contains(**voter))
    });
    news.count()
}

/// Goal: a drained node has no vote left, every shard as many voters as before, and the others share
/// evenly. Method: clusters of four to nine nodes, every node drained once.
#[test]
fn a_drained_node_has_no_vote_and_the_others_share_its_votes() {
    for count in 4..=9 {
        let before = map(count, 256);
        for node in before.nodes() {
            let plan = drain(&before, node.replica, |_| true).unwrap();
            let after = apply(&before, &plan);
            assert!(plan.stuck.is_empty());
            assert!(after.shards().iter().all(|shard| shard.voters.voters.len() == 3));
            assert!(after.shards().iter().all(|shard| !shard.voters.contains(node.replica)));
            assert_eq!(moved(&before, &after), plan.votes_moved);
            assert_eq!(plan.votes_moved, plan.lower_bound, "moved is what had to be");
            let shares = votes(&after).into_iter().filter(|votes| *votes > 0);
            let (least, most) = (shares.clone().min().unwrap(), shares.max().unwrap());
            let even = 256.0 * 3.0 / (count - 1) as f64;
            assert!(most as f64 <= even * 1.1 && even * 0.9 <= least as f64, "{least} to {most}");
        }
    }
}

#[test]
fn what_has_nowhere_to_go_is_said_and_stays() {
    let before = map(3, 4);
    let plan = drain(&before, ReplicaId(2), |_| true).unwrap();
    assert_eq!(plan, Plan { stuck: vec![0, 1, 2, 3], ..Plan::default() });
    assert_eq!(plan.command(&before), None);
    // A node that cannot be reached takes no vote.
    let before = map(4, 16);
    let plan = drain(&before, ReplicaId(2), |other| other != ReplicaId(4)).unwrap();
    let after = apply(&before, &plan);
    assert!(
        plan.stuck
            .iter()
            .all(|shard| !before.shards()[usize::from(*shard)].voters.contains(ReplicaId(4)))
    );
    assert!(!plan.stuck.is_empty());
    let of_four = |map: &PlacementMap| votes(map)[3];
    assert_eq!(of_four(&before), of_four(&after));
    assert_eq!(drain(&before, ReplicaId(9), |_| true), Err(MapError::UnknownNode(ReplicaId(9))));
}

/// Goal: balance is even, moves no more than it must, and a second time nothing. Method: drain a node,
/// then balance; also without a node.
#[test]
fn balance_is_even_and_moves_no_more_than_it_must() {
    for count in 4..=9 {
        let drained = {
            let before = map(count, 100);
            apply(&before, &drain(&before, ReplicaId(1), |_| true).unwrap())
        };
        let plan = balance(&drained, &[]);
        let after = apply(&drained, &plan);
        let (least, most) =
            (*votes(&after).iter().min().unwrap(), *votes(&after).iter().max().unwrap());
        assert!(most <= least + 1, "{least} to {most}");
        assert!(after.shards().iter().all(|shard| shard.voters.voters.len() == 3));
        assert_eq!(plan.votes_moved, plan.lower_bound, "{count} nodes");
        assert!(moved(&drained, &after) <= plan.votes_moved);
        assert_eq!(balance(&after, &[]), Plan::default());
        let without = balance(&drained, &[ReplicaId(1)]);
        assert_eq!(votes(&apply(&drained, &without))[0], 0, "it stays drained");
    }
    assert_eq!(balance(&map(1, 4), &[]), Plan::default());
    assert_eq!(balance(&map(3, 4), &[ReplicaId(1), ReplicaId(2), ReplicaId(3)]), Plan::default());
}

#[test]
fn a_shard_moves_to_the_nodes_that_are_named() {
    let before = map(5, 4);
    let wanted = [ReplicaId(5), ReplicaId(1), ReplicaId(3)];
    let plan = move_shard(&before, 2, &wanted).unwrap();
    let after = apply(&before, &plan);
    assert_eq!(after.shards()[2].voters, Configuration::new(wanted.to_vec()));
    assert_eq!(plan.votes_moved, moved(&before, &after));
    assert_eq!(move_shard(&after, 2, &wanted).unwrap(), Plan::default(), "it is there already");
}

#[test]
fn a_move_that_makes_no_sense_is_refused_with_a_reason() {
    let map = map(5, 4);
    let refusal = |shard, ids: &[u64]| {
        let voters: Vec<ReplicaId> = ids.iter().copied().map(ReplicaId).collect();
        move_shard(&map, shard, &voters).unwrap_err().to_string()
    };
    assert_eq!(refusal(4, &[1, 2, 3]), "the map has no shard 4");
    assert_eq!(refusal(0, &[1, 2, 9]), "the map has no node 0000000000000009");
    assert_eq!(refusal(0, &[1, 2, 1]), "`node-1` would be in the map twice");
    assert_eq!(refusal(0, &[]), "the map would have 0 voters of a shard; it takes 1 to 9");
    let few = "2 voters are too few for a shard of this cluster: name 3 or more";
    assert_eq!(refusal(0, &[1, 2]), few);
}

/// Goal: a cluster that has grown keeps as many copies as one that was made so large. Method: one node,
/// joined by others one after the other, each time balanced.
#[test]
fn balance_adds_votes_where_there_are_too_few() {
    let mut map = map(1, 64);
    for id in 2..=5_u64 {
        let (name, at_epoch) = (format!("node-{id}"), map.epoch());
        map.apply(&MapCommand::Expect { at_epoch, name: name.clone() }).unwrap();
        let NodeInfo { peer_address, client_address, .. } = nodes(id).pop().unwrap();
        let (at_epoch, replica) = (map.epoch(), ReplicaId(id));
        let admit = MapCommand::Admit { at_epoch, name, replica, peer_address, client_address };
        map.apply(&admit).unwrap();
        let plan = balance(&map, &[]);
        let after = apply(&map, &plan);
        let voter_count = VOTER_COUNT_WANTED.min(id as usize);
        assert!(after.shards().iter().all(|shard| shard.voters.voters.len() == voter_count));
        let votes = votes(&after);
        let (least, most) = (votes.iter().min().unwrap(), votes.iter().max().unwrap());
        assert!(most - least <= 1, "{votes:?}");
        assert_eq!(moved(&map, &after), plan.votes_moved);
        assert_eq!(plan.votes_moved, plan.lower_bound);
        map = after;
    }
}
