use std::net::TcpListener;

use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_wire::command::{OwnedCommand, parse};

use super::*;
use crate::api::{Execution, KEYSPACE_DEFAULT, Order};
use crate::config::{ClusterConfig, ClusterMode, Member, NodeConfig};

fn config() -> NodeConfig {
    let free = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [peer_address, client_address] = free.map(|listener| listener.local_addr().unwrap());
    let member = Member { name: "alone".to_string(), peer_address, client_address };
    NodeConfig {
        name: member.name.clone(),
        cluster: ClusterConfig { id: 7, members: vec![member], shard_count: 1 },
        listen_peer: peer_address,
        mode: ClusterMode::Proxy,
        default_memory_bytes: 1 << 20,
        default_eviction: Default::default(),
        default_ttl_jitter_percent: 0,
        cache_memory_bytes: 1 << 20,
        cache_eviction: Default::default(),
        cache_ttl_jitter_percent: 0,
        timing: Default::default(),
        engine: evenkeel_engine::Options { segment_size: 1 << 20, ..Default::default() },
        scrub_interval: Duration::ZERO,
        request_timeout: Duration::from_secs(5),
    }
}

async fn set(node: &Rc<Node>, value: &[u8]) {
    let owned = OwnedCommand::of(&[b"SET", b"key", value]);
    let arguments = owned.arguments();
    let command = parse(&arguments).unwrap();
    let reply = match node.execute(KEYSPACE_DEFAULT, &arguments, &command, &Order::new()) {
        Execution::Done(reply) => reply,
        Execution::Pending(reply) => reply.await,
    };
    assert_eq!(reply, Reply::OK);
}

fn asked(node: &Rc<Node>, version: u64) -> Option<Reply> {
    let task = Task::Value { key: Bytes::from_static(b"key"), version };
    match node.attempt_value(&task) {
        Some(Attempt::Answered(reply)) => Some(reply),
        Some(Attempt::NotHere(NotHere::Busy)) => None,
        _ => panic!("neither an answer nor a refusal"),
    }
}

/// Goal: a replica gives the value of the version that it is asked for and of no other, and one that is
/// behind does not say that there is none.
#[test]
fn a_value_is_given_under_its_own_version_only() {
    runtime::block_on(async {
        let node = Node::start(config(), Box::new(MemoryDisk::new())).await.unwrap();
        while !node.is_serving() {
            runtime::sleep(Duration::from_millis(5)).await;
        }
        set(&node, b"old").await;
        set(&node, b"new").await;
        let version = {
            let store = node.store.borrow();
            store.peek(slots::slot(b"key"), b"key").unwrap().version
        };
        assert_eq!(asked(&node, version), Some(Reply::bulk("new")));
        assert_eq!(asked(&node, version - 1), None, "it has moved on");
        let applied = node.groups[1].borrow().machine.applied.0;
        assert_eq!(asked(&node, applied + 1), None, "it will have it");
    });
}
