use std::collections::BTreeMap;

use evenkeel_wire::reply::Reply;

use super::{
    ClusterStatus, Info, NodeDetails, NodeStatus, RangeStatus, for_people, judge, members, ranges,
};

fn node(name: &str) -> NodeStatus {
    let details = NodeDetails {
        name: name.to_owned(),
        uptime_s: 5,
        mode: "proxy".to_owned(),
        shards_led: 32,
        lag_max: 0,
        keys: 7,
        memory_bytes: 3 << 19,
        memory_bytes_max: 512 << 20,
        resident_bytes: 9 << 20,
        log_bytes: 64 << 20,
        log_segments: 1,
        disk_backend: "io_uring".to_owned(),
    };
    let (id, address) = (format!("{name}id"), "127.0.0.1:7001".to_owned());
    NodeStatus { id, address, reachable: true, details: Some(details) }
}

fn gone() -> NodeStatus {
    let (id, address) = ("0123456789abcdef".to_owned(), "127.0.0.1:7002".to_owned());
    NodeStatus { id, address, reachable: false, details: None }
}

fn cluster(nodes: Vec<NodeStatus>) -> ClusterStatus {
    let range = RangeStatus {
        slot_first: 0,
        slot_last: 16_383,
        leader: "a".to_owned(),
        replicas: vec!["b".to_owned(), "c".to_owned()],
    };
    ClusterStatus {
        map_epoch: 1,
        shard_count: 64,
        shards_with_leader: 64,
        nodes,
        ranges: vec![range],
    }
}

#[test]
fn a_person_reads_columns() {
    let expected = "\
2 nodes, 64 shards, 64 with a leader, map epoch 1

node      address         leads          lag  keys  memory                log       disk
a         127.0.0.1:7001  32             0    7     1.5 MiB of 512.0 MiB  64.0 MiB  io_uring
01234567  127.0.0.1:7002  not reachable  -    -     -                     -         -

slots    leader  replicas
0-16383  a       b, c
";
    assert_eq!(for_people(&cluster(vec![node("a"), gone()])), expected);
}

#[test]
fn a_program_reads_the_exit_code() {
    assert!(judge(&cluster(vec![node("a")])).is_ok());
    let failure = judge(&cluster(vec![node("a"), gone()])).unwrap_err();
    assert!(failure.to_string().starts_with("1 of 2 nodes cannot be reached"), "{failure}");
    let leaderless = ClusterStatus { shards_with_leader: 60, ..cluster(vec![node("a")]) };
    assert!(judge(&leaderless).unwrap_err().to_string().contains("4 of 64 shards have no leader"));
}

#[test]
fn what_nodes_say_is_read() {
    let text = "bb 127.0.0.1:7002@17002 myself,master - 0 0 1 connected 0-5\n\
                aa 127.0.0.1:7001@17001 master - 0 0 1 connected\n";
    let expected = [("aa", "127.0.0.1:7001"), ("bb", "127.0.0.1:7002")]
        .map(|(id, address)| (id.to_owned(), address.to_owned()));
    assert_eq!(members(text), expected);

    let text = "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb1:keys=4\r\nshards:64\r\n";
    let info = Info::of(Reply::bulk(text)).unwrap();
    assert_eq!((info.keys(), info.number("shards"), info.number("absent")), (7, 64, 0));

    let place = |id: &'static str| {
        let parts = vec![Reply::bulk("127.0.0.1"), Reply::Integer(7001), Reply::bulk(id)];
        Reply::Array(parts)
    };
    let row = vec![Reply::Integer(0), Reply::Integer(9), place("aa"), place("bb")];
    let names = BTreeMap::from([("aa", "node-1")]);
    let rows = ranges(&Reply::Array(vec![Reply::Array(row)]), &names).unwrap();
    assert_eq!((rows[0].leader.as_str(), rows[0].slot_last), ("node-1", 9));
    assert_eq!(rows[0].replicas, ["bb"]);
    assert!(ranges(&Reply::Array(vec![Reply::Integer(1)]), &names).is_err());
}
