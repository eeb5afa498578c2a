use bytes::Bytes;
use evenkeel_core::consensus::{Ballot, Slot};
use evenkeel_engine::disk::memory::MemoryDisk;

use super::*;
use crate::common;

const SEGMENT_SIZE: u64 = 64 << 10;

/// Alone, with a log of so many segments that has been written to until so many are left.
async fn node_with_room(segments: u64, left: u64) -> Rc<Node> {
    let mut config = common::config(&common::cluster(1, 1), 0);
    config.engine.segment_size = SEGMENT_SIZE;
    config.engine.log_size_max = segments * SEGMENT_SIZE;
    let node = Node::start(config, Box::new(MemoryDisk::new())).await.unwrap();
    common::serving(&[&node]).await;
    let value = "v".repeat(20 << 10);
    // The last of them is awaited: what is unapplied is owed.
    for number in 0.. {
        if node.room() < (left + 1) * SEGMENT_SIZE {
            break;
        }
        let key = format!("key {number}");
        assert_eq!(common::run(&node, &["SET", &key, &value]).await, Reply::OK);
    }
    assert!(left * SEGMENT_SIZE <= node.room(), "{} bytes are left", node.room());
    node
}

fn payload(size: usize) -> Payload {
    Payload::Application(Bytes::from(vec![7; size]))
}

fn taken(node: &Node, mut payloads: Vec<Payload>) -> usize {
    node.take_what_fits(&mut payloads);
    payloads.len()
}

/// Goal: of what a leader sends, as much is taken as there is room for, now and for the checkpoint that
/// writes it again; the first value in any case, and nothing where the room is kept for giving space back.
#[test]
fn a_leaders_values_are_taken_as_far_as_they_fit() {
    runtime::block_on(async {
        let node = node_with_room(20, 6).await;
        let room = node.room();
        let fitting = ((room - 2 * SEGMENT_SIZE) / 4) as usize / (1_000 + 16 + RECORD_OVERHEAD_MAX);
        assert!((30..120).contains(&fitting), "{fitting} of {room} bytes");
        assert_eq!(taken(&node, vec![payload(1_000); 500]), fitting);
        assert_eq!(taken(&node, vec![payload(1_000); 5]), 5);
        assert_eq!(taken(&node, vec![payload(60 << 10); 5]), 1);
        assert_eq!(taken(&node, Vec::new()), 0);
        // As if so much were in flight.
        node.unapplied_bytes.set(node.unapplied_bytes.get() + (room - 2 * SEGMENT_SIZE) / 2);
        assert!(node.is_out_of_room());
        assert_eq!(taken(&node, vec![payload(10); 5]), 0);
    });
}

/// Goal: a candidate does not hear promises whose entries it has no room for; those that it has cost
/// nothing.
#[test]
fn a_promise_needs_room_for_its_entries() {
    runtime::block_on(async {
        let node = node_with_room(20, 6).await;
        let entries = |count: u64, size: usize| -> Vec<Entry> {
            let entry = |slot| Entry {
                slot: Slot(slot),
                ballot: Ballot::default(),
                payload: payload(size),
            };
            (1_000..1_000 + count).map(entry).collect()
        };
        assert!(node.has_room_for(1, &[]));
        assert!(node.has_room_for(1, &entries(3, 1_000)));
        assert!(!node.has_room_for(1, &entries(10, 20 << 10)));
        let place = Location { segment: 1, offset: 0, size: 0 };
        for entry in entries(10, 0) {
            node.groups[1].borrow_mut().unapplied.insert(entry.slot, place);
        }
        assert!(node.has_room_for(1, &entries(10, 20 << 10)), "it has them");
    });
}
