//! Members of clusters on this machine, and questions to them.
#![allow(dead_code, reason = "each test that takes this in needs another part of it")]

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use evenkeel_node::api::{Execution, KEYSPACE_DEFAULT, Order};
use evenkeel_node::config::{ClusterConfig, ClusterMode, Member, NodeConfig};
use evenkeel_node::node::Node;
use evenkeel_runtime as runtime;
use evenkeel_wire::command::{OwnedCommand, parse};
use evenkeel_wire::reply::Reply;

pub(crate) fn cluster(members: usize, shard_count: u32) -> ClusterConfig {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners: Vec<TcpListener> = (0..members * 2).map(|_| free()).collect();
    let address = |index: usize| -> SocketAddr { listeners[index].local_addr().unwrap() };
    let member = |index: usize| Member {
        name: format!("node-{index}"),
        peer_address: address(index * 2),
        client_address: address(index * 2 + 1),
    };
    ClusterConfig { id: 7, members: (0..members).map(member).collect(), shard_count }
}

pub(crate) fn config(cluster: &ClusterConfig, index: usize) -> NodeConfig {
    NodeConfig {
        name: cluster.members[index].name.clone(),
        cluster: cluster.clone(),
        listen_peer: cluster.members[index].peer_address,
        mode: ClusterMode::Proxy,
        default_memory_bytes: 64 << 20,
        default_eviction: Default::default(),
        default_ttl_jitter_percent: 0,
        cache_memory_bytes: 16 << 20,
        cache_eviction: Default::default(),
        cache_ttl_jitter_percent: 0,
        timing: Default::default(),
        engine: evenkeel_engine::Options { segment_size: 1 << 20, ..Default::default() },
        scrub_interval: Duration::ZERO,
        request_timeout: Duration::from_secs(5),
    }
}

pub(crate) async fn serving(nodes: &[&Rc<Node>]) {
    let served = async {
        while !nodes.iter().all(|node| node.is_serving()) {
            runtime::sleep(Duration::from_millis(5)).await;
        }
    };
    runtime::timeout(Duration::from_secs(20), served).await.expect("the cluster serves");
}

pub(crate) async fn run(node: &Rc<Node>, words: &[&str]) -> Reply {
    run_in(node, KEYSPACE_DEFAULT, words).await
}

pub(crate) async fn run_in(node: &Rc<Node>, keyspace: u8, words: &[&str]) -> Reply {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let owned = OwnedCommand::of(&words);
    let arguments = owned.arguments();
    let command = parse(&arguments).unwrap();
    match node.execute(keyspace, &arguments, &command, &Order::new()) {
        Execution::Done(reply) => reply,
        Execution::Pending(reply) => reply.await,
    }
}
