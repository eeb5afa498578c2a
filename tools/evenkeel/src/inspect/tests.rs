use std::fs;
use std::path::PathBuf;

use evenkeel_engine::disk::open_disk;
use evenkeel_engine::{Engine, Identity, Options, Record, RecordKind};
use evenkeel_runtime::block_on;

use super::{describe, look};

/// A folder with a log of five entries, stopped cleanly or not.
fn data_folder(name: &str, clean: bool) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("evenkeel-inspect-{name}-{}", std::process::id()));
    fs::remove_dir_all(&dir).ok();
    let identity = Identity { cluster: 7, node: 3, name: "node-3".to_owned() };
    let options = Options { segment_size: 1 << 20, ..Options::default() };
    block_on(async {
        let mut engine = Engine::create(open_disk(&dir).unwrap(), options, identity).await.unwrap();
        for position in 1..=5 {
            let kind = RecordKind::Entry;
            let payload = b"payload".as_slice();
            let record =
                Record { kind, stream: 9, position, stamp: [1, 1], commit: position - 1, payload };
            engine.append(&record).unwrap();
        }
        if clean {
            engine.close().await.unwrap();
        }
    });
    dir
}

#[test]
fn a_folder_is_described_and_stays_as_it_is() {
    let dir = data_folder("clean", true);
    let content = || {
        let files = fs::read_dir(&dir).unwrap().flatten();
        let mut files: Vec<_> =
            files.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect();
        files.sort();
        files
    };
    let before = content();
    let look = look(&dir).unwrap().unwrap();
    assert_eq!((look.opened.identity.cluster, look.opened.records), (7, 5));
    let text = describe(&look);
    for words in ["node-3 (replica 3)", "cleanly", "1-5", "none"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(content() == before, "looking changed the folder");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_is_not_a_data_folder_is_not_described() {
    assert!(look(&std::env::temp_dir().join("evenkeel-nowhere")).unwrap().is_none());
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let dir = data_folder("locked", false);
    let disk = open_disk(&dir).unwrap();
    assert!(look(&dir).unwrap_err().to_string().contains("in use by another process"));
    drop(disk);
    assert!(look(&dir).unwrap().is_some());
    fs::remove_dir_all(dir).unwrap();
}
