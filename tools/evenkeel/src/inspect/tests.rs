use std::fs;
use std::path::PathBuf;

use evenkeel_engine::disk::open_disk;
use evenkeel_engine::inspect::inspect;
use evenkeel_engine::{Engine, Identity, Options, Record, RecordKind};
use evenkeel_runtime::block_on;

use super::{Look, identity};

/// A folder with a log of five entries, stopped cleanly.
fn data_folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("evenkeel-inspect-{name}-{}", std::process::id()));
    fs::remove_dir_all(&dir).ok();
    let identity = Identity { cluster: 7, node: 3, name: "node-3".to_owned() };
    let options = Options { segment_size: 8 << 20, ..Options::default() };
    block_on(async {
        let mut engine = Engine::create(open_disk(&dir).unwrap(), options, identity).await.unwrap();
        for position in 1..=5 {
            let kind = RecordKind::Entry;
            let payload = b"payload".as_slice();
            let record =
                Record { kind, stream: 9, position, stamp: [1, 1], commit: position - 1, payload };
            engine.append(&record).unwrap();
        }
        engine.close().await.unwrap();
    });
    dir
}

#[test]
fn a_folder_is_described() {
    let dir = data_folder("described");
    let mut look = Look { details: Some(String::new()), ..Look::default() };
    inspect(&dir, &mut |finding| look.take(finding)).unwrap();
    let text = look.describe();
    let lines = [
        "node         node-3 (replica 3)",
        "stopped      cleanly",
        "shard 8          5       0       0          35         35          4  1-5",
        "Entry of shard 8, position 5, stamp 1.1, chosen to 4, 7 bytes",
    ];
    for line in lines {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    assert!(!text.contains("damage"), "{text}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_identity_is_read_from_the_copy_that_is_whole() {
    let dir = data_folder("identity");
    let (cluster, name) = (7, "node-3");
    let found = || identity(&dir).map(|found| found.map(|found| (found.cluster, found.name)));
    assert_eq!(found().unwrap(), Some((cluster, name.to_owned())));

    let superblock = dir.join("SUPER");
    let mut bytes = fs::read(&superblock).unwrap();
    bytes[100] ^= 1;
    fs::write(&superblock, &bytes).unwrap();
    assert_eq!(found().unwrap(), Some((cluster, name.to_owned())));
    bytes[4096 + 100] ^= 1;
    fs::write(&superblock, &bytes).unwrap();
    let failure = found().unwrap_err().to_string();
    assert!(
        failure.contains("no copy of its superblock can be read (damaged; damaged)"),
        "{failure}"
    );
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(found().unwrap(), None);
}
