//! `up`: started, stopped, started again.

use std::fs;

use crate::binary::{Folder, signal};
use crate::cluster::{Cluster, wait_until};
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
