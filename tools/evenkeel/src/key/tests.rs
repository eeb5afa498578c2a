use std::fs;
use std::path::PathBuf;

use evenkeel_engine::{Identity, Options, Record, RecordKind, Replay};

use super::*;

struct Folder(PathBuf);

impl Folder {
    /// With three keys in it.
    fn new(name: &str) -> Folder {
        let name = format!("evenkeel-key-{name}-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::remove_dir_all(&folder.0).ok();
        fs::create_dir_all(&folder.0).unwrap();
        for name in ["old", "new", "other"] {
            run(&KeyCommand::New { file: folder.file(name) }).unwrap();
        }
        folder
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a data folder with one record.
    fn make(&self, options: Options) -> PathBuf {
        let dir = self.file("data");
        let identity = Identity { cluster: 7, node: 3, name: "node-3".to_owned() };
        let (kind, stamp, payload) = (RecordKind::Entry, [1, 1], &b"secret"[..]);
        let record = Record { kind, stream: 1, position: 1, stamp, commit: 0, payload };
        block_on(async {
            let disk = open_disk(&dir).unwrap();
            let mut engine = Engine::create(disk, options, identity).await.unwrap();
            engine.append(&record).unwrap();
            engine.close().await.unwrap();
        });
        dir
    }

    fn encrypted(&self, name: &str) -> Options {
        let encryption = Some(encryption(&self.file(name)).unwrap());
        Options { encryption, segment_size: 1 << 20, ..Options::default() }
    }

    fn rotate(&self, old: &str, new: &str) -> Result<(), String> {
        let (dir, old, new) = (self.file("data"), self.file(old), self.file(new));
        run(&KeyCommand::Rotate { dir, old, new }).map_err(|failure| failure.to_string())
    }

    fn opens(&self, name: &str) -> Result<(), String> {
        let disk = open_disk(&self.file("data")).unwrap();
        let mut first = First::default();
        block_on(Engine::open(disk, self.encrypted(name), &mut first))
            .map_err(|error| error.to_string())?;
        assert_eq!(first.0, b"secret");
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[derive(Default)]
struct First(Vec<u8>);

impl Replay for First {
    fn record(&mut self, record: &Record<'_>, _: evenkeel_engine::Location) {
        self.0 = record.payload.to_vec();
    }
}

#[test]
fn a_folder_opens_with_the_key_that_it_was_given_last() {
    let folder = Folder::new("rotated");
    let dir = folder.make(folder.encrypted("old"));
    let bytes = fs::read(dir.join("segment-00000001.log")).unwrap();
    assert!(!bytes.windows(6).any(|bytes| bytes == b"secret"), "it is encrypted");
    show(&dir).unwrap();
    folder.rotate("old", "new").unwrap();
    // Done again, it finds nothing left to do, and does it.
    folder.rotate("old", "new").unwrap();
    let wrong = folder.opens("old").unwrap_err();
    assert!(wrong.contains("opens with the root key"), "{wrong}");
    folder.opens("new").unwrap();
    let stranger = folder.rotate("other", "old").unwrap_err();
    assert!(stranger.contains("Give the key that opens it as `--old`"), "{stranger}");
    folder.opens("new").unwrap();
}

#[test]
fn a_change_of_keys_that_makes_no_sense_is_refused() {
    let folder = Folder::new("refused");
    let none = folder.rotate("old", "new").unwrap_err();
    assert!(none.contains("DIR/node-N/data"), "{none}");
    assert!(!folder.file("data").exists(), "nothing was made");
    let dir = folder.make(Options { segment_size: 1 << 20, ..Options::default() });
    let plain = folder.rotate("old", "new").unwrap_err();
    assert!(plain.contains("not encrypted"), "{plain}");
    let same = folder.rotate("old", "old").unwrap_err();
    assert!(same.contains("hold the same key"), "{same}");
    let running = open_disk(&dir).unwrap();
    let locked = folder.rotate("old", "new").unwrap_err();
    assert!(locked.contains("Stop the node first"), "{locked}");
    drop(running);
    assert!(show(&folder.file("nowhere")).is_err());
}
