//! Whole nodes, without a door: three of them in one thread, over real sockets and disks in memory.
//!
//! The simulator looks for what can go wrong; this says, in seconds, whether anything works at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_node::api::{Execution, KEYSPACE_CACHE, KEYSPACE_DEFAULT, Order, Watched};
use evenkeel_node::config::{ClusterConfig, NodeConfig};
use evenkeel_node::node::Node;
use evenkeel_runtime as runtime;
use evenkeel_wire::command::{OwnedCommand, parse};
use evenkeel_wire::reply::Reply;

mod common;

use common::{cluster, config, run, run_in, serving};

#[test]
fn one_node_serves_by_itself() {
    runtime::block_on(async {
        let cluster = cluster(1, 4);
        let node = start(&cluster, 0, MemoryDisk::new()).await;
        serving(&[&node]).await;
        assert_eq!(run(&node, &["SET", "key", "value"]).await, Reply::OK);
        assert_eq!(run(&node, &["GET", "key"]).await, Reply::bulk("value"));
        assert_eq!(run(&node, &["INCR", "count"]).await, Reply::Integer(1));
        assert_eq!(run(&node, &["DBSIZE"]).await, Reply::Integer(2));
        assert_eq!(run(&node, &["FLUSHDB"]).await, Reply::OK);
        assert_eq!(run(&node, &["DBSIZE"]).await, Reply::Integer(0));
    });
}

#[test]
fn any_node_answers_for_any_key() {
    runtime::block_on(async {
        let cluster = cluster(3, 8);
        let nodes = [
            start_later(&cluster, 0, MemoryDisk::new()),
            start_later(&cluster, 1, MemoryDisk::new()),
            start_later(&cluster, 2, MemoryDisk::new()),
        ];
        let nodes = joined(nodes).await;
        serving(&[&nodes[0], &nodes[1], &nodes[2]]).await;
        for index in 0..100 {
            let key = format!("key-{index}");
            let node = &nodes[index % 3];
            assert_eq!(run(node, &["SET", &key, "1"]).await, Reply::OK);
            assert_eq!(run(&nodes[(index + 1) % 3], &["INCR", &key]).await, Reply::Integer(2));
            assert_eq!(run(&nodes[(index + 2) % 3], &["GET", &key]).await, Reply::bulk("2"));
        }
        assert_eq!(run(&nodes[1], &["DBSIZE"]).await, Reply::Integer(100));
        let keys = ["MGET", "key-1", "key-2", "nothing", "key-3"];
        let two = || Reply::bulk("2");
        assert_eq!(
            run(&nodes[2], &keys).await,
            Reply::Array(vec![two(), two(), Reply::Null, two()])
        );
        assert_eq!(run(&nodes[0], &["DEL", "key-1", "key-2", "nothing"]).await, Reply::Integer(2));
    });
}

/// Goal: what was acknowledged is there after everything lost power at once.
#[test]
fn a_cluster_comes_back_from_a_power_cut_with_its_data() {
    let cluster = cluster(3, 4);
    let disks = [MemoryDisk::new(), MemoryDisk::new(), MemoryDisk::new()];
    let first = disks.clone();
    let before = cluster.clone();
    runtime::block_on(async move {
        let cluster = before;
        let [one, two, three] = first;
        let nodes = joined([
            start_later(&cluster, 0, one),
            start_later(&cluster, 1, two),
            start_later(&cluster, 2, three),
        ])
        .await;
        serving(&[&nodes[0], &nodes[1], &nodes[2]]).await;
        for index in 0..50 {
            let reply = run(&nodes[index % 3], &["SET", &format!("key-{index}"), "kept"]).await;
            assert_eq!(reply, Reply::OK);
        }
    });
    let cut = disks.map(|disk| disk.power_cut(|_, _| false));
    runtime::block_on(async move {
        let [one, two, three] = cut;
        let nodes = joined([
            start_later(&cluster, 0, one),
            start_later(&cluster, 1, two),
            start_later(&cluster, 2, three),
        ])
        .await;
        serving(&[&nodes[0], &nodes[1], &nodes[2]]).await;
        for index in 0..50 {
            let reply = run(&nodes[index % 3], &["GET", &format!("key-{index}")]).await;
            assert_eq!(reply, Reply::bulk("kept"), "key-{index}");
        }
    });
}

/// Goal: a cluster that began as one node grows to three copies of everything, an uninvited node is
/// kept waiting, and a voter is not removed.
#[test]
fn a_cluster_grows_by_the_nodes_that_are_expected() {
    runtime::block_on(async {
        let all = cluster(3, 4);
        let (one, two) = (of_first(&all, 1), of_first(&all, 2));
        let first = start(&one, 0, MemoryDisk::new()).await;
        serving(&[&first]).await;
        assert_eq!(run(&first, &["SET", "key", "value"]).await, Reply::OK);

        let second = start_later(&two, 1, MemoryDisk::new());
        runtime::sleep(Duration::from_millis(500)).await;
        assert_eq!(first.node_states().len(), 1, "nobody comes in who was not expected");
        let epoch = first.expect_node("node-1").await.unwrap();
        assert_eq!(first.expect_node("node-1").await, Ok(epoch), "asked again, nothing changes");
        let second = in_time(second).await;
        let third = start_later(&all, 2, MemoryDisk::new());
        second.expect_node("node-2").await.unwrap();
        let third = in_time(third).await;

        let decided = third.balance(&[]).await.unwrap();
        assert_eq!((decided.votes_moved, decided.lower_bound), (8, 8), "two copies of four shards");
        settled(&first).await;
        let refused = first.remove_node("node-0").await.unwrap_err();
        assert!(refused.starts_with("ERR `node-0` still votes on shard"), "{refused}");
        for node in [&first, &second, &third] {
            assert_eq!(run(node, &["GET", "key"]).await, Reply::bulk("value"));
            assert_eq!(node.node_states().iter().filter(|state| state.votes == 4).count(), 3);
        }
        second.stop().await;
        third.stop().await;
        while first.node_states().iter().filter(|state| state.is_connected).count() != 1 {
            runtime::sleep(Duration::from_millis(50)).await;
        }
        let refused = first.remove_node("node-1").await.unwrap_err();
        assert!(refused.starts_with("ERR of the 2 nodes that would stay, 1 can"), "{refused}");
    });
}

/// Goal: two clusters do not come of one by accident. Method: two nodes that begin, each with another
/// list of who else does.
#[test]
fn nodes_that_disagree_about_who_begins_do_not_begin() {
    runtime::block_on(async {
        let all = cluster(3, 4);
        let two = of_first(&all, 2);
        let begin = |cluster: &ClusterConfig, index: usize| {
            let (config, disk) = (config(cluster, index), Box::new(MemoryDisk::new()));
            runtime::spawn(async move { Node::start(config, disk).await.err() })
        };
        let (large, small) = (begin(&all, 0), begin(&two, 1));
        for begun in [small, large] {
            let error = runtime::timeout(Duration::from_secs(20), begun).await.unwrap().unwrap();
            let text = error.expect("it must not begin").to_string();
            assert!(text.contains("begins with other nodes"), "{text}");
        }
    });
}

/// A check that would wait for ever is none.
async fn in_time(started: runtime::Task<Rc<Node>>) -> Rc<Node> {
    let limit = Duration::from_secs(20);
    runtime::timeout(limit, started).await.expect("it comes in").expect("it starts")
}

/// The first so many members of a cluster.
fn of_first(cluster: &ClusterConfig, count: usize) -> ClusterConfig {
    ClusterConfig { members: cluster.members[..count].to_vec(), ..cluster.clone() }
}

/// Waits until those vote who should.
async fn settled(node: &Rc<Node>) {
    for _ in 0..500 {
        if node.shard_states().await.iter().all(|state| state.is_settled()) {
            return;
        }
        runtime::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", node.shard_states().await);
}

#[test]
fn the_cache_keyspace_is_the_nodes_own() {
    runtime::block_on(async {
        let cluster = cluster(1, 1);
        let node = start(&cluster, 0, MemoryDisk::new()).await;
        let order = Order::new();
        let in_cache = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let owned = OwnedCommand::of(&words);
            let arguments = owned.arguments();
            let command = parse(&arguments).unwrap();
            match node.execute(KEYSPACE_CACHE, &arguments, &command, &order) {
                Execution::Done(reply) => reply,
                Execution::Pending(_) => panic!("the cache never waits"),
            }
        };
        assert_eq!(in_cache(&["SET", "key", "value"]), Reply::OK);
        assert_eq!(in_cache(&["GET", "key"]), Reply::bulk("value"));
        assert_eq!(in_cache(&["DBSIZE"]), Reply::Integer(1));
        serving(&[&node]).await;
        assert_eq!(run(&node, &["GET", "key"]).await, Reply::Null);
    });
}

/// Goal: a key that was absent, came and went again has changed, in either keyspace: a client may have
/// seen it meanwhile, and relies on what it saw.
/// Goal: what is written together with one time to live does not end together, in either keyspace.
#[test]
fn times_to_live_are_spread_as_configured() {
    runtime::block_on(async {
        let cluster = cluster(1, 4);
        let jittered = NodeConfig {
            default_ttl_jitter_percent: 10,
            cache_ttl_jitter_percent: 10,
            ..config(&cluster, 0)
        };
        let node = Node::start(jittered, Box::new(MemoryDisk::new())).await.unwrap();
        serving(&[&node]).await;
        for keyspace in [KEYSPACE_DEFAULT, KEYSPACE_CACHE] {
            let mut seconds = Vec::new();
            for index in 0..20 {
                let key = format!("key-{index}");
                let set = run_in(&node, keyspace, &["SET", &key, "value", "EX", "100000"]).await;
                assert_eq!(set, Reply::OK);
                match run_in(&node, keyspace, &["TTL", &key]).await {
                    Reply::Integer(left) => seconds.push(left),
                    other => panic!("{other:?}"),
                }
            }
            assert!(seconds.iter().all(|left| (89_990..=100_000).contains(left)), "{seconds:?}");
            seconds.sort_unstable();
            seconds.dedup();
            assert!(10 < seconds.len(), "{seconds:?}");
        }
    });
}

#[test]
fn a_watched_key_that_came_and_went_has_changed() {
    runtime::block_on(async {
        let cluster = cluster(1, 1);
        let node = start(&cluster, 0, MemoryDisk::new()).await;
        serving(&[&node]).await;
        for keyspace in [KEYSPACE_DEFAULT, KEYSPACE_CACHE] {
            let untouched = watched(&node, keyspace, "other").await;
            let absent = watched(&node, keyspace, "key").await;
            run_in(&node, keyspace, &["SET", "key", "seen"]).await;
            let present = watched(&node, keyspace, "key").await;
            run_in(&node, keyspace, &["DEL", "key"]).await;
            assert_eq!(exec(&node, keyspace, &absent).await, Reply::NullArray);
            assert_eq!(exec(&node, keyspace, &present).await, Reply::NullArray);
            if keyspace == KEYSPACE_DEFAULT {
                assert_eq!(exec(&node, keyspace, &untouched).await, Reply::Array(vec![Reply::OK]));
            }
            let again = watched(&node, keyspace, "key").await;
            assert_eq!(exec(&node, keyspace, &again).await, Reply::Array(vec![Reply::OK]));
            assert_eq!(exec(&node, keyspace, &again).await, Reply::NullArray);
        }
    });
}

async fn watched(node: &Rc<Node>, keyspace: u8, key: &'static str) -> Vec<Watched> {
    let keys = vec![Bytes::from_static(key.as_bytes())];
    Rc::clone(node).watch(keyspace, keys, Order::new()).await.unwrap()
}

async fn exec(node: &Rc<Node>, keyspace: u8, watches: &[Watched]) -> Reply {
    let key: &[u8] = &watches[0].key;
    let commands = vec![OwnedCommand::of(&[b"SET", key, b"mine"])];
    match node.transaction(keyspace, commands, watches, &Order::new()) {
        Execution::Done(reply) => reply,
        Execution::Pending(reply) => reply.await,
    }
}

async fn start(cluster: &ClusterConfig, index: usize, disk: MemoryDisk) -> Rc<Node> {
    Node::start(config(cluster, index), Box::new(disk)).await.unwrap()
}

fn start_later(cluster: &ClusterConfig, index: usize, disk: MemoryDisk) -> runtime::Task<Rc<Node>> {
    let cluster = cluster.clone();
    runtime::spawn(async move { start(&cluster, index, disk).await })
}

async fn joined(tasks: [runtime::Task<Rc<Node>>; 3]) -> Vec<Rc<Node>> {
    let mut nodes = Vec::new();
    for task in tasks {
        nodes.push(task.await.expect("started"));
    }
    nodes
}
