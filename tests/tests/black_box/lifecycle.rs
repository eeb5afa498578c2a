//! `up`: started, stopped, started again.

use std::collections::BTreeSet;
use std::fs;

use crate::binary::{Folder, command, signal};
use crate::cluster::{Cluster, free_ports, port_of_folder, wait_until};
use crate::resp::Answer;

#[test]
fn a_cluster_serves_the_same_data_after_it_was_stopped_and_started() {
    // Goal: `up` keeps its promise across a clean stop. Method: write through every node, SIGTERM,
    // start again, read through every node.
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    for node in 1..=3 {
        let mut resp = cluster.connect(node);
        for index in 0..100 {
            let set = format!("SET key:{node}:{index} value:{node}:{index}");
            assert_eq!(resp.ask(&set), Answer::Simple("OK".to_owned()));
        }
    }
    assert_eq!(cluster.connect(2).ask("INCR counter"), Answer::Integer(1));
    assert_eq!(cluster.stop().code(), Some(0));

    let cluster = Cluster::start(&folder.path, 3);
    for reader in 1..=3 {
        let mut resp = cluster.connect(reader);
        for (node, index) in (1..=3).flat_map(|node| (0..100).map(move |index| (node, index))) {
            let expected = Answer::Bulk(format!("value:{node}:{index}").into_bytes());
            assert_eq!(resp.ask(&format!("GET key:{node}:{index}")), expected);
        }
        assert_eq!(resp.ask("DBSIZE"), Answer::Integer(301));
    }
    assert_eq!(cluster.connect(1).ask("INCR counter"), Answer::Integer(2));
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn a_cluster_that_moved_to_other_ports_sends_its_clients_there() {
    // Goal: what cluster clients are told follows the configuration. Method: write, stop, start on other
    // ports in redirect mode; look at every address that a client may be given, and follow one.
    let folder = Folder::new();
    let redirect = ["--mode", "redirect"];
    let cluster = Cluster::start_with(&folder.path, 3, &redirect);
    let (old, new) = (cluster.port, free_ports(3));
    assert_eq!(cluster.stop().code(), Some(0));

    let cluster = Cluster::start_on(new, &folder.path, 3, &redirect);
    assert!(cluster.ready.contains(&new.to_string()), "{}", cluster.ready);
    for node in 1..=3 {
        let mut resp = cluster.connect(node);
        wait_until("the map has followed", || {
            let Answer::Bulk(nodes) = resp.ask("CLUSTER NODES") else { return false };
            let nodes = String::from_utf8(nodes).unwrap();
            let at = |port: u16| nodes.contains(&format!("127.0.0.1:{port}@"));
            (new..new + 3).all(at) && !(old..old + 3).any(at)
        });
    }
    let moved: Vec<u16> = (1..=3)
        .filter_map(|node| match cluster.connect(node).ask("SET somewhere else") {
            Answer::Error(error) => {
                let error = error.strip_prefix("MOVED ").expect("a leader, or a way to it");
                Some(error.rsplit(':').next().unwrap().parse().unwrap())
            }
            answer => {
                assert_eq!(answer, Answer::Simple("OK".to_owned()));
                None
            }
        })
        .collect();
    assert_eq!(moved.len(), 2, "one node leads the key's shard");
    assert!(moved.iter().all(|port| (new..new + 3).contains(port)), "{moved:?}");
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(port_of_folder(&folder.path), Some(new), "the next start finds it there");
}

#[test]
fn a_slot_with_very_many_keys_is_scanned_in_parts() {
    // Goal: a reply of SCAN has bounds, whatever a tag gathers in one slot. Method: 10,000 keys with one
    // tag; each call asks another node, each part is a few thousand at most, and every key comes once.
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    let mut nodes: Vec<_> = (1..=3).map(|node| cluster.connect(node)).collect();
    for first in (0..10_000).step_by(500) {
        let pairs = (first..first + 500).map(|number| format!(" {{tag}}:{number} x"));
        let answer = nodes[0].ask(&format!("MSET{}", pairs.collect::<String>()));
        assert_eq!(answer, Answer::Simple("OK".to_owned()));
    }
    let (mut cursor, mut scanned, mut parts) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let turn = parts % nodes.len();
        let Answer::Array(answer) = nodes[turn].ask(&format!("SCAN {cursor} COUNT 10")) else {
            panic!("SCAN is a pair")
        };
        let [Answer::Bulk(next), keys] = &answer[..] else { panic!("{answer:?}") };
        let keys = keys_of(keys.clone());
        assert!(keys.len() <= 4_096, "{} keys in one reply", keys.len());
        scanned.extend(keys);
        parts += 1;
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(scanned.len(), 10_000);
    assert_eq!(scanned.iter().collect::<BTreeSet<_>>().len(), 10_000, "every key once");
}

#[test]
fn in_redirect_mode_each_node_answers_for_its_own_keys() {
    // Goal: a cluster client that asks every node counts every key once. Method: all of DBSIZE, KEYS and
    // SCAN, on every node; together they are the keyspace.
    let folder = Folder::new();
    let cluster = Cluster::start_with(&folder.path, 3, &["--mode", "redirect"]);
    // Who leads what after a start is nobody's promise: each node is given a third of the shards.
    for shard in 0..64 {
        let transfer = format!("EVENKEEL TRANSFER {shard} node-{}", shard % 3 + 1);
        wait_until("a shard to be led by whom it should", || {
            cluster.connect(1).ask(&transfer) == Answer::Simple("OK".to_owned())
        });
    }
    let mut written = BTreeSet::new();
    for index in 0..60 {
        let key = format!("key:{index}");
        let answers: Vec<Answer> =
            (1..=3).map(|node| cluster.connect(node).ask(&format!("SET {key} x"))).collect();
        assert!(answers.contains(&Answer::Simple("OK".to_owned())), "{answers:?}");
        written.insert(key.into_bytes());
    }
    let (mut count, mut listed, mut scanned) = (0, Vec::new(), Vec::new());
    for node in 1..=3 {
        let mut resp = cluster.connect(node);
        let Answer::Integer(size) = resp.ask("DBSIZE") else { panic!("DBSIZE is a number") };
        assert!(0 < size && size < 60, "node {node} has some of the keys: {size}");
        count += size;
        listed.extend(keys_of(resp.ask("KEYS *")));
        let mut cursor = "0".to_owned();
        loop {
            let Answer::Array(parts) = resp.ask(&format!("SCAN {cursor}")) else {
                panic!("SCAN is a pair")
            };
            let [Answer::Bulk(next), keys] = &parts[..] else { panic!("{parts:?}") };
            scanned.extend(keys_of(keys.clone()));
            cursor = String::from_utf8(next.clone()).unwrap();
            if cursor == "0" {
                break;
            }
        }
    }
    assert_eq!(count, 60);
    for mut keys in [listed, scanned] {
        keys.sort();
        assert_eq!(keys, written.iter().cloned().collect::<Vec<_>>(), "every key once");
    }
    // The command line asks all of them.
    let address = format!("127.0.0.1:{}", cluster.port);
    let output = command().args(["scan", "--address", &address]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<Vec<u8>> =
        output.stdout.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()), "the last line has its end");
    lines.sort();
    assert_eq!(lines, written.iter().cloned().collect::<Vec<_>>());
    for node in 1..=3 {
        assert_eq!(cluster.connect(node).ask("FLUSHDB"), Answer::Simple("OK".to_owned()));
    }
    for node in 1..=3 {
        assert_eq!(cluster.connect(node).ask("DBSIZE"), Answer::Integer(0));
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn keys_of(answer: Answer) -> Vec<Vec<u8>> {
    let Answer::Array(keys) = answer else { panic!("a list of keys, not {answer:?}") };
    let key = |answer| match answer {
        Answer::Bulk(key) => key,
        answer => panic!("a key, not {answer:?}"),
    };
    keys.into_iter().map(key).collect()
}

#[test]
fn ready_is_one_line_that_says_how_to_connect_where_the_data_is_and_how_to_stop() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 1);
    let ready = cluster.ready.clone();
    assert!(ready.starts_with("ready: 1 node;"), "{ready}");
    assert!(ready.contains(&format!("`redis-cli -p {}`", cluster.port)), "{ready}");
    assert!(ready.contains(folder.path.to_str().unwrap()), "{ready}");
    assert!(ready.contains(&format!("`kill {}`", cluster.process_id())), "{ready}");
    assert_eq!(cluster.connect(1).ask("PING"), Answer::Simple("PONG".to_owned()));
    assert_eq!(cluster.stop_by("INT").code(), Some(0));
}

#[test]
fn the_nodes_end_with_their_parent_however_it_ends() {
    // Goal: no node is left behind. Method: kill -9 of `up`; then the folder can be used again, and
    // what was acknowledged before is there.
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    assert_eq!(cluster.connect(1).ask("SET kept yes"), Answer::Simple("OK".to_owned()));
    signal(cluster.process_id(), "KILL");
    wait_until("the nodes are gone", || {
        (1..=3).all(|node| cluster.node_process_id(node).is_none())
    });
    drop(cluster);

    let cluster = Cluster::start(&folder.path, 3);
    assert_eq!(cluster.connect(3).ask("GET kept"), Answer::Bulk(b"yes".to_vec()));
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn each_node_logs_into_its_own_folder() {
    let folder = Folder::new();
    let cluster = Cluster::start_with(&folder.path, 2, &["--set", "log.format=json"]);
    assert_eq!(cluster.stop().code(), Some(0));
    for node in ["node-1", "node-2"] {
        let log = fs::read_to_string(folder.path.join(node).join("log")).unwrap();
        assert!(!log.is_empty());
        for line in log.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect(line);
            let level = event["level"].as_str().unwrap();
            assert!(["INFO", "DEBUG"].contains(&level), "a clean run warns of nothing: {line}");
        }
    }
}
