use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::slots::{SLOT_COUNT, slot};
use super::{MapCommand, MapError, NodeInfo, PlacementMap};
use crate::consensus::{Configuration, ReplicaId};

#[test]
fn keys_hash_as_in_redis_cluster() {
    // From `CLUSTER KEYSLOT` of Redis 7.
    for (key, expected) in [
        ("", 0),
        ("foo", 12_182),
        ("bar", 5_061),
        ("hello", 866),
        ("123456789", 0x31c3),
        ("{user1000}.following", 3_443),
        ("{user1000}.followers", 3_443),
        ("foo{}{bar}", 8_363),
        ("foo{{bar}}zap", 4_015),
        ("foo{bar}{zap}", 5_061),
        ("{", slot(b"{")),
    ] {
        assert_eq!(slot(key.as_bytes()), expected, "{key}");
    }
}

/// The sum as the specification has it, bit by bit, at every length up to three rounds of four bytes.
#[test]
fn a_key_of_any_length_has_the_slot_of_the_specification() {
    let key: Vec<u8> = (0..13_u8).map(|index| index.wrapping_mul(97) | 0x80).collect();
    for size in 0..key.len() {
        let crc = key[..size].iter().fold(0_u16, |crc, &byte| {
            (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        });
        assert_eq!(slot(&key[..size]), crc % SLOT_COUNT, "{size} bytes");
    }
}

#[test]
fn every_slot_is_in_exactly_one_shard() {
    for shard_count in [1, 2, 3, 64, 100, 16_383, 16_384] {
        let map = PlacementMap::initial(nodes(3), shard_count).unwrap();
        let mut next = 0;
        for shard in 0..shard_count {
            let slots = map.slots_of(shard);
            assert_eq!(slots.start, next, "{shard_count} shards");
            assert!(slots.clone().all(|slot| map.shard_of(slot) == shard));
            next = slots.end;
        }
        assert_eq!(next, SLOT_COUNT);
    }
}

#[test]
fn up_to_three_nodes_all_vote_and_of_more_the_shares_are_even() {
    for count in 1..=3 {
        let map = PlacementMap::initial(nodes(count), 64).unwrap();
        assert!(map.shards().iter().all(|shard| shard.voters.voters.len() == count as usize));
    }
    let map = PlacementMap::initial(nodes(5), 1_024).unwrap();
    for node in map.nodes() {
        let shards = map.shards().iter().filter(|shard| shard.voters.contains(node.replica));
        let count = shards.count();
        let even = 1_024 * 3 / 5;
        assert!(even * 9 / 10 < count && count < even * 11 / 10, "{} has {count}", node.name);
    }
}

#[test]
fn a_node_that_lost_its_disk_takes_its_old_place() {
    let mut map = PlacementMap::initial(nodes(5), 64).unwrap();
    let before: Vec<bool> = voting(&map, ReplicaId(2));
    let command = MapCommand::ReplaceNode {
        name: "node-2".to_string(),
        old: ReplicaId(2),
        new: ReplicaId(77),
        peer_address: address(9_000),
        client_address: address(9_001),
    };
    map.apply(&command).unwrap();
    assert_eq!(map.epoch(), 2);
    assert_eq!(map.node(ReplicaId(2)), None);
    assert_eq!(map.node_named("node-2").unwrap().replica, ReplicaId(77));
    assert_eq!(voting(&map, ReplicaId(77)), before);

    // Twice is once too often: the old replica is not there any more.
    let error = map.apply(&command).unwrap_err();
    assert_eq!(error.to_string(), "no node `node-2` with identity 0000000000000002 is in the map");
    assert_eq!(map.epoch(), 2);
}

#[test]
fn a_refused_change_changes_nothing() {
    let map = PlacementMap::initial(nodes(3), 4).unwrap();
    let voters =
        |ids: &[u64]| Configuration { voters: ids.iter().map(|&id| ReplicaId(id)).collect() };
    for (command, error) in [
        (set(4, voters(&[1])), MapError::UnknownShard(4)),
        (
            MapCommand::SetVoters { at_epoch: 2, shards: vec![(0, voters(&[1]))] },
            MapError::StaleEpoch { at: 2, now: 1 },
        ),
        (
            MapCommand::SetVoters {
                at_epoch: 1,
                shards: vec![(1, voters(&[1])), (4, voters(&[1]))],
            },
            MapError::UnknownShard(4),
        ),
        (set(0, voters(&[1, 9])), MapError::UnknownNode(ReplicaId(9))),
        (set(0, voters(&[])), MapError::Count { what: "voters of a shard", count: 0, max: 9 }),
        (set(0, voters(&[2, 1])), MapError::Duplicate("a voter of a shard".to_string())),
        (
            MapCommand::SetAddresses {
                at_epoch: 1,
                node: ReplicaId(9),
                peer_address: address(1),
                client_address: address(2),
            },
            MapError::UnknownNode(ReplicaId(9)),
        ),
        (
            MapCommand::ReplaceNode {
                name: "node-1".to_string(),
                old: ReplicaId(1),
                new: ReplicaId(2),
                peer_address: address(1),
                client_address: address(2),
            },
            MapError::Duplicate("node-2".to_string()),
        ),
    ] {
        let mut changed = map.clone();
        assert_eq!(changed.apply(&command), Err(error), "{command:?}");
        assert_eq!(changed, map);
    }
}

#[test]
fn voters_and_addresses_change_one_epoch_at_a_time() {
    let mut map = PlacementMap::initial(nodes(5), 4).unwrap();
    let voters = Configuration::new(vec![ReplicaId(5), ReplicaId(1)]);
    map.apply(&set(3, voters.clone())).unwrap();
    let (peer_address, client_address) = (address(1), address(2));
    let moved = |at_epoch| MapCommand::SetAddresses {
        at_epoch,
        node: ReplicaId(5),
        peer_address,
        client_address,
    };
    map.apply(&moved(2)).unwrap();
    let again = map.apply(&moved(2));
    assert_eq!(
        again,
        Err(MapError::StaleEpoch { at: 2, now: 3 }),
        "a map that has it stays as it is"
    );
    assert_eq!(map.epoch(), 3);
    assert_eq!(map.shards()[3].voters, voters);
    assert_eq!(map.node(ReplicaId(5)).unwrap().peer_address, peer_address);
}

#[test]
fn maps_and_changes_survive_their_bytes() {
    for (node_count, shard_count) in [(1, 1), (3, 64), (7, 16_384)] {
        let map = PlacementMap::initial(nodes(node_count), shard_count).unwrap();
        assert_eq!(PlacementMap::decode(&map.encode()), Ok(map));
    }
    let expecting = expecting();
    assert_eq!(PlacementMap::decode(&expecting.encode()), Ok(expecting));
    for command in commands() {
        assert_eq!(MapCommand::decode(&command.encode()), Ok(command));
    }
}

/// Goal: no bytes can make the decoder panic, or believe in a map that is not sound.
/// Method: cut a good map off at every byte, and flip every bit of it; what still decodes must encode
/// to the very bytes it came from, and must take a change.
#[test]
fn hostile_bytes_are_refused_or_are_a_map() {
    hostile_bytes_of(&PlacementMap::initial(nodes(3), 5).unwrap().encode());
    hostile_bytes_of(&expecting().encode());
    for command in commands() {
        let good = command.encode();
        for size in 0..good.len() {
            assert!(MapCommand::decode(&good[..size]).is_err());
        }
    }
}

fn hostile_bytes_of(good: &[u8]) {
    for size in 0..good.len() {
        let error = PlacementMap::decode(&good[..size]).unwrap_err();
        assert!(matches!(error, MapError::Malformed { .. }), "{size}: {error}");
    }
    for bit in 0..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(mut map) = PlacementMap::decode(&bytes) {
            assert_eq!(map.encode(), bytes, "bit {bit}");
            let voters = Configuration::new(vec![map.nodes()[0].replica]);
            let epoch = map.epoch();
            map.apply(&MapCommand::SetVoters { at_epoch: epoch, shards: vec![(0, voters)] })
                .unwrap();
            assert_eq!(map.epoch(), epoch + 1);
        }
    }
    let mut longer = good.to_vec();
    longer.push(0);
    assert!(PlacementMap::decode(&longer).is_err(), "bytes after the end");
}

#[test]
fn a_node_is_expected_then_admitted_and_goes_when_it_has_no_votes() {
    let mut map = PlacementMap::initial(nodes(3), 4).unwrap();
    let refused = map.apply(&admit(1, "node-4", 4)).unwrap_err();
    assert_eq!(refused.to_string(), "no node `node-4` is expected");
    map.apply(&expect(1, "node-4")).unwrap();
    assert_eq!((map.epoch(), map.expected()), (2, &["node-4".to_string()][..]));
    assert_eq!(map.node_named("node-4"), None);
    map.apply(&admit(2, "node-4", 4)).unwrap();
    assert!(map.expected().is_empty());
    assert_eq!(voting(&map, ReplicaId(4)), [false; 4]);
    let twice = map.apply(&admit(3, "node-4", 4)).unwrap_err();
    assert_eq!(twice, MapError::NotExpected("node-4".to_string()));

    let voter = map.apply(&remove(3, "node-1")).unwrap_err();
    assert_eq!(voter.to_string(), "`node-1` votes on 4 shards: drain it first");
    map.apply(&remove(3, "node-4")).unwrap();
    assert_eq!((map.epoch(), map.nodes().len()), (4, 3));
    assert_eq!(map.apply(&remove(4, "node-4")), Err(MapError::UnknownName("node-4".to_string())));
    map.apply(&expect(4, "node-4")).unwrap();
    map.apply(&remove(5, "node-4")).unwrap();
    assert!(map.expected().is_empty(), "an operator thought better of it");
}

#[test]
fn what_only_one_node_has_is_not_begun_anew() {
    let mut map = PlacementMap::initial(nodes(1), 4).unwrap();
    map.apply(&expect(1, "node-2")).unwrap();
    map.apply(&admit(2, "node-2", 2)).unwrap();
    let replace = |name: &str, old: u64| MapCommand::ReplaceNode {
        name: name.to_string(),
        old: ReplicaId(old),
        new: ReplicaId(old + 10),
        peer_address: address(1),
        client_address: address(2),
    };
    let refused = map.apply(&replace("node-1", 1)).unwrap_err();
    assert_eq!(refused.to_string(), "4 shards have no other copy than that of `node-1`");
    map.apply(&replace("node-2", 2)).unwrap();
}

#[test]
fn a_name_is_expected_once_and_not_while_it_is_there() {
    let mut map = expecting();
    let before = map.clone();
    for (command, error) in [
        (expect(2, "node-1"), MapError::Duplicate("node-1".to_string())),
        (expect(2, "node-9"), MapError::Duplicate("node-9".to_string())),
        (expect(1, "node-8"), MapError::StaleEpoch { at: 1, now: 2 }),
        (expect(2, ""), MapError::Name(String::new())),
        (admit(1, "node-9", 9), MapError::StaleEpoch { at: 1, now: 2 }),
        (admit(2, "node-9", 1), MapError::Duplicate("node-1".to_string())),
        (remove(1, "node-9"), MapError::StaleEpoch { at: 1, now: 2 }),
    ] {
        let refused = map.apply(&command).unwrap_err();
        let is_either =
            matches!((&refused, &error), (MapError::Duplicate(_), MapError::Duplicate(_)));
        assert!(refused == error || is_either, "{command:?}: {refused:?}");
        assert_eq!(map, before);
    }
}

#[test]
fn a_map_has_limits() {
    let error = PlacementMap::initial(Vec::new(), 64).unwrap_err();
    assert_eq!(error.to_string(), "the map would have 0 nodes; it takes 1 to 1024");
    let error = PlacementMap::initial(nodes(3), 0).unwrap_err();
    assert_eq!(error.to_string(), "the map would have 0 shards; it takes 1 to 16384");
    let mut two = nodes(2);
    two[1].name = "node-1".to_string();
    let error = PlacementMap::initial(two, 1).unwrap_err();
    assert_eq!(error.to_string(), "`node-1` would be in the map twice");
    let mut unnamed = nodes(1);
    unnamed[0].name.clear();
    let error = PlacementMap::initial(unnamed, 1).unwrap_err();
    assert_eq!(error.to_string(), "`` is no name: a name has 1 to 64 bytes");
}

/// For the first map.
fn set(shard: u16, voters: Configuration) -> MapCommand {
    MapCommand::SetVoters { at_epoch: 1, shards: vec![(shard, voters)] }
}

fn expect(at_epoch: u64, name: &str) -> MapCommand {
    MapCommand::Expect { at_epoch, name: name.to_string() }
}

fn admit(at_epoch: u64, name: &str, id: u64) -> MapCommand {
    MapCommand::Admit {
        at_epoch,
        name: name.to_string(),
        replica: ReplicaId(id),
        peer_address: address(9_000),
        client_address: address(9_001),
    }
}

fn remove(at_epoch: u64, name: &str) -> MapCommand {
    MapCommand::Remove { at_epoch, name: name.to_string() }
}

/// A map that waits for a node, at epoch 2.
fn expecting() -> PlacementMap {
    let mut map = PlacementMap::initial(nodes(3), 5).unwrap();
    map.apply(&expect(1, "node-9")).unwrap();
    map
}

pub(super) fn nodes(count: u64) -> Vec<NodeInfo> {
    let node = |id: u64| NodeInfo {
        replica: ReplicaId(id),
        name: format!("node-{id}"),
        peer_address: address(8_000 + id as u16),
        client_address: address(7_000 + id as u16),
    };
    (1..=count).map(node).collect()
}

fn address(port: u16) -> SocketAddr {
    let ip = if port.is_multiple_of(2) { "127.0.0.1" } else { "::1" };
    SocketAddr::new(ip.parse().unwrap(), port)
}

fn voting(map: &PlacementMap, replica: ReplicaId) -> Vec<bool> {
    map.shards().iter().map(|shard| shard.voters.contains(replica)).collect()
}

fn commands() -> Vec<MapCommand> {
    vec![
        MapCommand::ReplaceNode {
            name: "node-2".to_string(),
            old: ReplicaId(2),
            new: ReplicaId(u64::MAX),
            peer_address: address(9_000),
            client_address: address(9_001),
        },
        MapCommand::SetAddresses {
            at_epoch: 0,
            node: ReplicaId(3),
            peer_address: address(1),
            client_address: address(2),
        },
        MapCommand::SetAddresses {
            at_epoch: 8,
            node: ReplicaId(3),
            peer_address: address(1),
            client_address: address(2),
        },
        MapCommand::SetVoters {
            at_epoch: 7,
            shards: vec![
                (3, Configuration::new(vec![ReplicaId(1), ReplicaId(3)])),
                (9, Configuration::new(vec![ReplicaId(2)])),
            ],
        },
        expect(7, "node-9"),
        admit(7, "node-9", 9),
        remove(7, "node-9"),
    ]
}
