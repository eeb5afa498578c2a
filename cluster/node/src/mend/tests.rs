use evenkeel_engine::disk::memory::MemoryDisk;

use super::*;
use crate::common;

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
        let config = common::config(&common::cluster(1, 1), 0);
        let node = Node::start(config, Box::new(MemoryDisk::new())).await.unwrap();
        common::serving(&[&node]).await;
        for value in ["old", "new"] {
            assert_eq!(common::run(&node, &["SET", "key", value]).await, Reply::OK);
        }
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
