//! `snapshot create`, `verify`, `restore`: what was there comes back, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::binary::{Folder, Said, command, evenkeel, run};
use crate::cluster::{Cluster, wait_until};
use crate::resp::{Answer, Resp};

/// A writer goes round so many keys, which are all of one shard.
const ROUND: u64 = 100;
const WRITER_COUNT: usize = 3;

/// One writer: it writes 1, 2, 3, … to the keys of its shard, one after the other.
struct Writer {
    /// Every number up to this one was acknowledged, or its outcome is unknown.
    settled: Arc<AtomicU64>,
    thread: JoinHandle<Written>,
}

struct Written {
    /// The last number that was sent.
    sent: u64,
    /// Those of which nobody knows.
    unknown: Vec<u64>,
}

struct Writers {
    stop: Arc<AtomicBool>,
    all: Vec<Writer>,
}

impl Writers {
    fn start(ports: &[u16]) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let all = (0..WRITER_COUNT).map(|writer| {
            let settled = Arc::new(AtomicU64::new(0));
            let (ports, stop, shared) = (ports.to_vec(), Arc::clone(&stop), Arc::clone(&settled));
            let thread = thread::spawn(move || write_until(writer, &ports, &stop, &shared));
            Writer { settled, thread }
        });
        let all = all.collect();
        Writers { stop, all }
    }

    fn settled(&self) -> Vec<u64> {
        self.all.iter().map(|writer| writer.settled.load(Ordering::SeqCst)).collect()
    }

    fn stop(self) -> Vec<Written> {
        self.stop.store(true, Ordering::SeqCst);
        self.all.into_iter().map(|writer| writer.thread.join().unwrap()).collect()
    }
}

fn key_of(writer: usize, number: u64) -> String {
    format!("{{writer-{writer}}}:{}", number % ROUND)
}

fn write_until(writer: usize, ports: &[u16], stop: &AtomicBool, settled: &AtomicU64) -> Written {
    let mut written = Written { sent: 0, unknown: Vec::new() };
    let mut ports = ports.iter().cycle().skip(writer);
    let mut connection = None;
    while !stop.load(Ordering::SeqCst) {
        let Some(resp) = &mut connection else {
            connection = Resp::connect(*ports.next().unwrap()).ok();
            continue;
        };
        let number = written.sent + 1;
        written.sent = number;
        let (key, value) = (key_of(writer, number), number.to_string());
        match resp.call(&[b"SET", key.as_bytes(), value.as_bytes()]) {
            Ok(Answer::Simple(text)) if text == "OK" => (),
            Ok(_) => written.unknown.push(number),
            Err(_) => {
                written.unknown.push(number);
                connection = None;
            }
        }
        settled.store(number, Ordering::SeqCst);
    }
    written
}

/// What a cluster has of a writer's keys is what it was after one of its writes, not before those that
/// were settled when the backup began.
fn check_prefix(resp: &mut Resp, writer: usize, settled: u64, written: &Written) {
    let mut found = BTreeMap::new();
    for place in 0..ROUND {
        match resp.ask(&format!("GET {}", key_of(writer, place))) {
            Answer::Bulk(bytes) => {
                let number: u64 = String::from_utf8(bytes).unwrap().parse().unwrap();
                assert_eq!(number % ROUND, place, "a value of another key");
                found.insert(place, number);
            }
            other => assert_eq!(other, Answer::Null),
        }
    }
    let last = *found.values().max().expect("something was written");
    let is_unknown = |number: u64| written.unknown.contains(&number);
    let missing: Vec<u64> = (last + 1..=settled).filter(|number| !is_unknown(*number)).collect();
    assert!(missing.is_empty(), "acknowledged before the backup began: {missing:?}");
    assert!(last <= written.sent, "nobody has written {last}");
    for (place, number) in found {
        // The last write to this key up to `last`, but for those of which nobody knows.
        let mut expected = last - (last + ROUND - place) % ROUND;
        while number < expected && is_unknown(expected) {
            expected -= ROUND;
        }
        assert_eq!(number, expected, "key {place} of writer {writer}, as of {last}");
    }
}

fn address(cluster: &Cluster, node: u16) -> String {
    format!("127.0.0.1:{}", cluster.port_of(node))
}

fn create(cluster: &Cluster, node: u16, file: &Path) -> Said {
    let (address, file) = (address(cluster, node), file.to_str().unwrap());
    run(&["snapshot", "create", "--to", file, "--address", &address, "--output", "json"])
}

fn restore(cluster: &Cluster, file: &Path, more: &[&str]) -> Said {
    let (address, file) = (address(cluster, 1), file.to_str().unwrap());
    let mut words = vec!["snapshot", "restore", file, "--address", &address, "--output", "json"];
    words.extend(more);
    run(&words)
}

fn json(said: &Said) -> serde_json::Value {
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_slice(&said.out).unwrap()
}

/// Values that do not fit into memory: what is left of them there is not all of them.
fn large(number: u64) -> Vec<u8> {
    let words = (0..2_000).map(|word: u64| ((word * 31) ^ number).wrapping_mul(number | 1));
    words.flat_map(u64::to_le_bytes).collect()
}

const LARGE_COUNT: u64 = 600;
/// Less than a third of the large values fit.
const SMALL_MEMORY: &str = "keyspaces.default.memory_max=3 MiB";

fn fill(resp: &mut Resp) {
    for number in 0..LARGE_COUNT {
        let key = format!("large:{number}");
        let set = resp.call(&[b"SET", key.as_bytes(), &large(number)]).unwrap();
        assert_eq!(set, Answer::Simple("OK".to_owned()));
    }
}

fn check_large(resp: &mut Resp) {
    for number in 0..LARGE_COUNT {
        let found = resp.call(&[b"GET", format!("large:{number}").as_bytes()]).unwrap();
        assert!(found == Answer::Bulk(large(number)), "large:{number} is not what it was");
    }
}

fn until_under_way(writers: &Writers) {
    wait_until("all writers have been round", || {
        writers.settled().iter().all(|settled| *settled > 2 * ROUND)
    });
}

#[test]
fn a_backup_taken_under_load_comes_back_in_another_cluster() {
    // Goal: every write that was acknowledged before the backup began is in it, each shard is as of one
    // moment, and keys, values and deadlines are what they were. Method: writers that count, one shard
    // each; more values than fit into memory; strange keys; then a cluster of another shape.
    let folder = Folder::new();
    let file = folder.path.join("night.backup");
    let cluster = Cluster::start_with(&folder.path.join("old"), 3, &["--set", SMALL_MEMORY]);
    let mut resp = cluster.connect(1);
    fill(&mut resp);
    let strange: [(&[u8], &[u8]); 3] =
        [(b"line\nfeed\0", b"\r\n\0\xff"), (b"empty", b""), (&[0xff; 300], b"$-1\r\n")];
    for (key, value) in strange {
        resp.call(&[b"SET", key, value]).unwrap();
    }
    resp.ask("SET soon 1 PX 1");
    resp.ask("SET later 1 EX 5000");
    let deadline = resp.ask("PEXPIRETIME later");
    resp.ask("SELECT 1");
    resp.ask("SET cached 1");
    resp.ask("SELECT 0");
    let ports: Vec<u16> = (1..=3).map(|node| cluster.port_of(node)).collect();
    let writers = Writers::start(&ports);
    until_under_way(&writers);

    let settled = writers.settled();
    let report = json(&create(&cluster, 2, &file));
    let written = writers.stop();
    assert_eq!(report["shards"].as_array().unwrap().len(), 64);
    let least = LARGE_COUNT + 3 + 1 + WRITER_COUNT as u64 * ROUND;
    assert_eq!(report["keys"], least, "neither what had expired nor the keyspace `cache`");
    assert_eq!(report["keys_volatile"], 1);
    assert!(report["entry_bytes"].as_u64().unwrap() > LARGE_COUNT * 16_000);
    let held = resp.ask("INFO");
    assert!(
        matches!(held, Answer::Bulk(text) if text.windows(18).any(|it| it == b"snapshots_held:0\r\n"))
    );
    let verified = json(&run(&["snapshot", "verify", file.to_str().unwrap(), "--output", "json"]));
    assert_eq!(verified, report, "what is read is what was written");
    let residue = fs::read_dir(&folder.path).unwrap().count();
    assert_eq!(cluster.stop().code(), Some(0));
    assert_eq!(residue, 3, "the file, and the cluster's folder and log");

    let other = ["--set", "cluster.shards=5"];
    let cluster = Cluster::start_with(&folder.path.join("new"), 1, &other);
    let report = json(&restore(&cluster, &file, &[]));
    assert_eq!((&report["restored"], &report["refused"]), (&least.into(), &0.into()));
    let mut resp = cluster.connect(1);
    check_large(&mut resp);
    for (key, value) in strange {
        assert_eq!(resp.call(&[b"GET", key]).unwrap(), Answer::Bulk(value.to_vec()));
    }
    assert_eq!(resp.ask("PEXPIRETIME later"), deadline);
    assert_eq!(resp.ask("DBSIZE"), Answer::Integer(least as i64));
    for (writer, (settled, written)) in settled.iter().zip(&written).enumerate() {
        assert!(written.unknown.is_empty());
        check_prefix(&mut resp, writer, *settled, written);
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn a_leader_that_dies_in_the_middle_costs_a_backup_nothing() {
    // Goal: the shards of a node that is killed are fetched from those that lead them then. Method: the
    // very node that was asked is killed when a part of the file is there.
    let folder = Folder::new();
    let file = folder.path.join("night.backup");
    let cluster = Cluster::start_with(&folder.path.join("old"), 3, &["--set", SMALL_MEMORY]);
    fill(&mut cluster.connect(1));
    let ports: Vec<u16> = (1..=2).map(|node| cluster.port_of(node)).collect();
    let writers = Writers::start(&ports);
    until_under_way(&writers);

    let settled = writers.settled();
    let creation = command()
        .args(["snapshot", "create", "--address", &address(&cluster, 3), "--to"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("some shards are in the file", || {
        let files = fs::read_dir(&folder.path).unwrap().flatten();
        let mut parts = files.filter(|file| file.file_name().to_string_lossy().contains(".part-"));
        parts.any(|part| part.metadata().is_ok_and(|part| part.len() > 1 << 20))
    });
    cluster.kill_node(3);
    assert!(!file.exists(), "it is not finished");
    let output = creation.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let written = writers.stop();
    let is_part = |file: fs::DirEntry| file.file_name().to_string_lossy().contains(".part-");
    assert!(!fs::read_dir(&folder.path).unwrap().flatten().any(is_part));
    drop(cluster);

    // And so is a restore through the death of a node, where clients have to follow the leaders.
    let cluster = restore_while_a_node_dies(&folder, &file);
    let mut resp = cluster.connect(1);
    check_large(&mut resp);
    for (writer, (settled, written)) in settled.iter().zip(&written).enumerate() {
        check_prefix(&mut resp, writer, *settled, written);
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

fn restore_while_a_node_dies(folder: &Folder, file: &Path) -> Cluster {
    let dir = folder.path.join("new");
    let cluster = Cluster::start_with(&dir, 3, &["--mode", "redirect"]);
    let restoration = command()
        .args(["snapshot", "restore", "--output", "json", "--address", &address(&cluster, 3)])
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Each node counts what it leads.
    let mut nodes: Vec<Resp> = (1..=3).map(|node| cluster.connect(node)).collect();
    let count = |resp: &mut Resp| match resp.ask("DBSIZE") {
        Answer::Integer(count) => count,
        _ => 0,
    };
    wait_until("some keys are there", || 20 < nodes.iter_mut().map(count).sum::<i64>());
    cluster.kill_node(3);
    let output = restoration.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["refused"], &report["restored"]), (&0.into(), &report["keys"]));
    drop(cluster);
    // With a proxy's answers, so that any node can be asked for all of it.
    Cluster::start(&dir, 3)
}

#[test]
fn whoever_restores_says_what_wins() {
    // Goal: nothing in a cluster is overwritten by accident. Method: the same file, with every option.
    let folder = Folder::new();
    let file = folder.path.join("small.backup");
    let cluster = Cluster::start(&folder.path.join("cluster"), 1);
    let mut resp = cluster.connect(1);
    for (key, value) in [("a", "old"), ("b", "old")] {
        resp.ask(&format!("SET {key} {value}"));
    }
    resp.ask("SET short 1 PX 1500");
    assert_eq!(json(&create(&cluster, 1, &file))["keys"], 3);
    let again = create(&cluster, 1, &file);
    assert_eq!(again.code, Some(2), "{}", again.err);
    assert!(again.err.contains("exists already"), "{}", again.err);
    wait_until("a key has expired", || resp.ask("GET short") == Answer::Null);

    resp.ask("SET a new EX 100");
    resp.ask("DEL b");
    resp.ask("SET c new");
    let refused = restore(&cluster, &file, &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("has 2 keys; nothing was written"), "{}", refused.err);
    assert_eq!(restore(&cluster, &file, &["--merge", "--replace"]).code, Some(2));
    assert_eq!(resp.ask("GET b"), Answer::Null);

    let mut values = || ["a", "b", "c"].map(|key| resp.ask(&format!("GET {key}")));
    let text = |text: &str| Answer::Bulk(text.as_bytes().to_vec());
    let report = json(&restore(&cluster, &file, &["--merge"]));
    assert_eq!([&report["restored"], &report["kept"], &report["expired"]], [1, 1, 1]);
    assert_eq!(values(), [text("new"), text("old"), text("new")]);
    for _ in 0..2 {
        let report = json(&restore(&cluster, &file, &["--replace"]));
        assert_eq!([&report["restored"], &report["kept"], &report["expired"]], [2, 0, 1]);
        assert_eq!(values(), [text("old"), text("old"), text("new")]);
    }
    assert_eq!(resp.ask("TTL a"), Answer::Integer(-1), "a deadline is part of what was");

    // Asked of another file's place, a backup is taken with --force only.
    let words = ["snapshot", "create", "--force", "--to"];
    let mut words: Vec<&str> = words.to_vec();
    let address = address(&cluster, 1);
    words.extend([file.to_str().unwrap(), "--address", &address]);
    assert_eq!(run(&words).code, Some(0));
    assert_eq!(json(&run(&["snapshot", "verify", words[4], "--output", "json"]))["keys"], 3);
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_written() {
    // Goal: a backup is right or it is refused, with the place. Method: damage of each kind.
    let folder = Folder::new();
    let good = folder.path.join("good.backup");
    let cluster = Cluster::start(&folder.path.join("cluster"), 1);
    let mut resp = cluster.connect(1);
    (0..50).for_each(|number| drop(resp.ask(&format!("SET key:{number} value"))));
    json(&create(&cluster, 1, &good));
    resp.ask("FLUSHALL");
    let whole = fs::read(&good).unwrap();
    let place = whole.windows(5).position(|bytes| bytes == b"value").unwrap();
    let mut flipped = whole.clone();
    flipped[place] ^= 1;
    for (name, bytes, expected) in [
        ("flipped", &flipped[..], "checksum does not match"),
        ("short", &whole[..whole.len() - 1], "it was cut off"),
        ("long", &[&whole[..], b"x"].concat()[..], "something follows the end"),
        ("empty", b"", "this is not a backup"),
        ("other", b"REDIS0011 and more", "this is not a backup"),
    ] {
        let file = folder.path.join(name);
        fs::write(&file, bytes).unwrap();
        for said in
            [run(&["snapshot", "verify", file.to_str().unwrap()]), restore(&cluster, &file, &[])]
        {
            assert_eq!(said.code, Some(1), "{name}: {}", said.err);
            assert!(said.err.contains(expected), "{name}: {}", said.err);
            assert!(said.err.contains("at byte "), "{name}: {}", said.err);
        }
    }
    assert_eq!(resp.ask("DBSIZE"), Answer::Integer(0));
    for path in [folder.path.join("none"), folder.path.clone()] {
        assert_eq!(run(&["snapshot", "verify", path.to_str().unwrap()]).code, Some(2));
    }
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn a_disk_that_is_full_or_a_folder_that_is_not_there_leaves_no_file() {
    // Goal: there is never half a backup. Method: a folder that does not exist; then a limit on the size of
    // files, which the kernel refuses to exceed as it does on a full disk.
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path.join("cluster"), 1);
    let mut resp = cluster.connect(1);
    for number in 0..100 {
        resp.call(&[b"SET", format!("large:{number}").as_bytes(), &large(number)]).unwrap();
    }
    let nowhere = folder.path.join("nowhere").join("night.backup");
    let said = create(&cluster, 1, &nowhere);
    assert_eq!(said.code, Some(70), "{}", said.err);
    assert!(said.err.contains("it must exist"), "{}", said.err);

    let kept = folder.path.join("kept");
    fs::create_dir(&kept).unwrap();
    let file = kept.join("night.backup");
    let limited = |file: &Path| -> (Option<i32>, String) {
        let words = "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\"";
        let output = std::process::Command::new("sh")
            .args(["-c", words])
            .arg(evenkeel())
            .args(["snapshot", "create", "--force", "--address", &address(&cluster, 1), "--to"])
            .arg(file)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = limited(&file);
    assert_eq!(code, Some(70), "{told}");
    assert!(told.contains("cannot write the backup"), "{told}");
    let names = || -> Vec<PathBuf> {
        fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert!(names().is_empty(), "{:?}", names());

    // What was there before stays what it was.
    json(&create(&cluster, 1, &file));
    let before = fs::read(&file).unwrap();
    assert_eq!(limited(&file).0, Some(70));
    assert!(names().iter().eq([&file]), "{:?}", names());
    assert!(fs::read(&file).unwrap() == before, "the last good backup is gone");
    assert_eq!(cluster.stop().code(), Some(0));
    let said = run(&["snapshot", "create", "--address", "127.0.0.1:1", "--timeout-s", "1"]);
    assert_eq!(said.code, Some(69), "{}", said.err);
}
