//! The placement map and its commands, from a peer or from a log: what decodes is sound, encodes to
//! itself, and bears any command.
#![no_main]

use evenkeel_core::placement::{MapCommand, PlacementMap};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    if let Ok(command) = MapCommand::decode(bytes) {
        assert_eq!(MapCommand::decode(&command.encode()).as_ref(), Ok(&command));
    }
    for input in [bytes, first] {
        let Ok(mut map) = PlacementMap::decode(input) else { continue };
        assert_eq!(PlacementMap::decode(&map.encode()).as_ref(), Ok(&map));
        for slot in [0, 8191, 16_383] {
            let shard = map.shard_of(slot);
            assert!(map.slots_of(shard).contains(&slot));
        }
        let epoch = map.epoch();
        if let Ok(command) = MapCommand::decode(second) {
            let applied = map.apply(&command).is_ok();
            assert_eq!(map.epoch(), epoch + u64::from(applied));
        }
    }
});
