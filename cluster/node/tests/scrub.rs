//! Disks that rot under whole nodes, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

use std::rc::Rc;
use std::time::Duration;

use evenkeel_engine::disk::Area;
use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_node::api::{Operated, Operation, ScrubStatus};
use evenkeel_node::config::{ClusterConfig, NodeConfig};
use evenkeel_node::node::Node;
use evenkeel_runtime as runtime;
use evenkeel_wire::reply::Reply;

mod common;

use common::{cluster, config, run, serving};

const KEYS: usize = 200;
const BLOCK: usize = 4096;

/// Most values leave memory.
fn small(cluster: &ClusterConfig, index: usize) -> NodeConfig {
    NodeConfig { default_memory_bytes: 100_000, ..config(cluster, index) }
}

fn value(index: usize) -> String {
    format!("{index} ").repeat(700)
}

async fn scrub(node: &Rc<Node>) -> ScrubStatus {
    let ask = |begin| Rc::clone(node).operate(Operation::Scrub { begin });
    let Operated::Scrub(begun) = ask(true).await.unwrap() else { panic!("not what was asked") };
    let over = async {
        loop {
            let Operated::Scrub(now) = ask(false).await.unwrap() else { panic!("the same") };
            if begun.asked <= now.answered {
                return now;
            }
            runtime::sleep(Duration::from_millis(5)).await;
        }
    };
    runtime::timeout(Duration::from_secs(60), over).await.expect("a pass ends")
}

/// Turns a bit over in every `step`th block that has something in it. How many.
fn rot(disk: &MemoryDisk, step: usize) -> usize {
    let segments = disk.sizes().into_iter().filter(|(area, _)| matches!(area, Area::Segment(_)));
    let mut count = 0;
    for (area, _) in segments {
        let bytes = disk.bytes(area);
        for (number, block) in bytes.chunks(BLOCK).enumerate().skip(1).step_by(step) {
            if block.iter().any(|&byte| byte != 0) {
                let at = number * BLOCK + 1000;
                disk.overwrite(area, at, &[bytes[at] ^ 16]);
                count += 1;
            }
        }
    }
    count
}

/// Goal: values that rot on one node are never missed by anybody, are put back by a pass, and a restart
/// of that node finds all that it needs.
#[test]
fn what_rots_on_one_node_comes_back_from_the_others() {
    let cluster = cluster(3, 4);
    let disks = [MemoryDisk::new(), MemoryDisk::new(), MemoryDisk::new()];
    let (before, there) = (cluster.clone(), disks.clone());
    runtime::block_on(async move {
        let start = |index: usize| {
            let (config, disk) = (small(&before, index), Box::new(there[index].clone()));
            runtime::spawn(async move { Node::start(config, disk).await.unwrap() })
        };
        let (one, two, three) = (start(0), start(1), start(2));
        let nodes = [one.await.unwrap(), two.await.unwrap(), three.await.unwrap()];
        serving(&[&nodes[0], &nodes[1], &nodes[2]]).await;
        for index in 0..KEYS {
            let reply =
                run(&nodes[index % 3], &["SET", &format!("key-{index}"), &value(index)]).await;
            assert_eq!(reply, Reply::OK);
        }
        // Followers learn what was chosen with the next heartbeat; until then their index does not know it.
        runtime::sleep(Duration::from_millis(500)).await;
        let sound = scrub(&nodes[0]).await;
        assert_eq!((sound.damaged, sound.left, sound.detours), (0, 0, 0), "{sound:?}");
        assert!(500_000 < sound.bytes_read, "{sound:?}");

        assert!(20 < rot(&there[0], 3));
        for index in 0..KEYS {
            let reply = run(&nodes[index % 3], &["GET", &format!("key-{index}")]).await;
            assert_eq!(reply, Reply::bulk(value(index)), "key-{index}");
        }
        let passed = scrub(&nodes[0]).await;
        assert!(5 < passed.mended && passed.left == 0, "{passed:?}");
        assert_eq!(passed.detours, 1, "a restart would have met it: {passed:?}");
        let again = scrub(&nodes[0]).await;
        assert_eq!((again.mended, again.left), (passed.mended, 0), "{again:?}");
        let others = scrub(&nodes[1]).await;
        assert_eq!((others.damaged, others.detours), (0, 0), "{others:?}");
    });
    // The node that rotted comes back alone with one other, and has everything.
    let disks = disks.map(|disk| disk.power_cut(|_, _| false));
    runtime::block_on(async move {
        let start = |index: usize| {
            let (config, disk) = (small(&cluster, index), Box::new(disks[index].clone()));
            runtime::spawn(async move { Node::start(config, disk).await.unwrap() })
        };
        let (one, two) = (start(0), start(1));
        let nodes = [one.await.unwrap(), two.await.unwrap()];
        serving(&[&nodes[0], &nodes[1]]).await;
        let all = scrub(&nodes[0]).await;
        assert_eq!((all.damaged, all.left), (0, 0), "{all:?}");
        for index in 0..KEYS {
            let reply = run(&nodes[0], &["GET", &format!("key-{index}")]).await;
            assert_eq!(reply, Reply::bulk(value(index)), "key-{index}");
        }
    });
}

/// Goal: what nobody has is said, to clients and to the operator, and stays within bounds: whoever asks
/// for room does not try again and again to empty what cannot be emptied.
#[test]
fn what_nobody_has_is_said_and_can_be_written_again() {
    let cluster = cluster(1, 4);
    let disk = MemoryDisk::new();
    runtime::block_on(async move {
        let node = Node::start(small(&cluster, 0), Box::new(disk.clone())).await.unwrap();
        serving(&[&node]).await;
        for index in 0..KEYS {
            let reply = run(&node, &["SET", &format!("key-{index}"), &value(index)]).await;
            assert_eq!(reply, Reply::OK);
        }
        assert!(20 < rot(&disk, 3));
        let passed = scrub(&node).await;
        assert!(5 < passed.left && passed.damaged == passed.left + passed.mended, "{passed:?}");
        let again = scrub(&node).await;
        assert_eq!((again.left, again.damaged), (passed.left, passed.damaged), "{again:?}");
        let mut missing = 0;
        for index in 0..KEYS {
            let key = format!("key-{index}");
            match run(&node, &["GET", &key]).await {
                Reply::Error(text) => {
                    assert!(text.contains("there is no other copy"), "{text}");
                    assert_eq!(run(&node, &["SET", &key, "again"]).await, Reply::OK);
                    missing += 1;
                }
                reply => assert_eq!(reply, Reply::bulk(value(index)), "{key}"),
            }
        }
        assert_eq!(missing, passed.left);
        assert_eq!(scrub(&node).await.left, 0);
    });
}
