//! A disk that rots under a running node, as an operator finds it and mends it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::binary::{Folder, incompressible, run};
use crate::cluster::Cluster;
use crate::resp::{Answer, Resp};

const VALUES: u64 = 1_500;
const VALUE_SIZE: usize = 4_000;
const BLOCK: usize = 4096;
/// Hardly any value stays in memory.
const SMALL: [&str; 2] = ["--set", "keyspaces.default.memory_max=1 MiB"];

fn value(number: u64) -> Vec<u8> {
    incompressible(number, VALUE_SIZE)
}

fn check(resp: &mut Resp) {
    for number in 0..VALUES {
        let answer = resp.call(&[b"GET", format!("key-{number}").as_bytes()]).unwrap();
        assert!(answer == Answer::Bulk(value(number)), "key-{number} is {answer:?}");
    }
}

/// Turns a bit over in every `step`th block of a data folder that has something in it. How many. (An odd
/// step: chunks of two blocks end in padding, where a bit is nothing.)
fn rot(data: &Path, step: usize) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for (number, block) in bytes.chunks(BLOCK).enumerate().step_by(step) {
            if block.iter().any(|&byte| byte != 0) {
                file.write_all_at(&[block[1000] ^ 16], (number * BLOCK + 1000) as u64).unwrap();
                count += 1;
            }
        }
        file.sync_all().unwrap();
    }
    count
}

/// The numbers of a node's row: damaged, mended, left.
fn row(table: &str, node: &str) -> [u64; 3] {
    let line = table.lines().find(|line| line.starts_with(node)).expect(table);
    let words: Vec<&str> = line.split_whitespace().collect();
    [3, 4, 5].map(|word| words[word].parse().expect(table))
}

/// A line of the second node's INFO.
fn number_of(cluster: &Cluster, name: &str) -> u64 {
    let info = cluster.connect(2).call(&[b"INFO", b"evenkeel"]).unwrap();
    let Answer::Bulk(info) = info else { panic!("{info:?}") };
    let info = String::from_utf8(info).unwrap();
    let number = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    number.and_then(|number| number.parse().ok()).expect(&info)
}

/// Goal: what rots on one node is never missed by a client, comes back from the others, and a restart
/// finds all of it. Method: bits turned over in every eleventh of a running node's blocks.
#[test]
fn what_rots_on_one_node_comes_back_from_the_others() {
    let folder = Folder::new();
    let dir = folder.path.join("data");
    let cluster = Cluster::start_with(&dir, 3, &SMALL);
    let mut resp = cluster.connect(1);
    for number in 0..VALUES {
        let set = resp.call(&[b"SET", format!("key-{number}").as_bytes(), &value(number)]);
        assert_eq!(set.unwrap(), Answer::Simple("OK".to_owned()));
    }
    let address = format!("127.0.0.1:{}", cluster.port_of(3));
    let scrub = || run(&["scrub", "--address", &address]);

    let said = scrub();
    let table = String::from_utf8(said.out).unwrap();
    assert_eq!(said.code, Some(0), "{table}{}", said.err);
    for node in ["node-1", "node-2", "node-3"] {
        assert_eq!(row(&table, node), [0, 0, 0], "{table}");
    }

    let data = dir.join("node-2").join("data");
    assert!(100 < rot(&data, 11));
    let said = scrub();
    let table = String::from_utf8(said.out).unwrap();
    assert_eq!(said.code, Some(0), "{table}{}", said.err);
    let [damaged, mended, left] = row(&table, "node-2");
    assert!(50 < damaged && (mended, left) == (damaged, 0), "{table}");
    assert_eq!(row(&table, "node-1"), [0, 0, 0], "{table}");
    let again = run(&["scrub", "--address", &address, "--node", "node-2", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&again.out).unwrap();
    assert_eq!(report[0]["node"], "node-2");
    assert_eq!(report[0]["damaged"], 0, "{report}");

    // Whoever asks first finds it, and the rest of its segment is mended behind his back.
    assert!(100 < rot(&data, 9));
    check(&mut cluster.connect(2));
    let reads = |cluster: &Cluster| number_of(cluster, "damaged_reads");
    assert!(0 < reads(&cluster));
    assert_eq!(scrub().code, Some(0));

    let port = cluster.port_of(1);
    assert!(cluster.stop().success());
    let cluster = Cluster::start_on(port, &dir, 3, &SMALL);
    check(&mut cluster.connect(2));
    assert_eq!(reads(&cluster), 0, "nothing is damaged any more");

    let said = run(&["scrub", "--address", &format!("127.0.0.1:{port}"), "--node", "nobody"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no node is called `nobody`"), "{}", said.err);
    cluster.stop();
}

/// Goal: damage that nobody can mend is said to clients and to the operator, by an exit code too.
#[test]
fn what_nobody_has_is_said() {
    let folder = Folder::new();
    let dir = folder.path.join("data");
    let cluster = Cluster::start_with(&dir, 1, &SMALL);
    let mut resp = cluster.connect(1);
    for number in 0..500 {
        let set = resp.call(&[b"SET", format!("key-{number}").as_bytes(), &value(number)]);
        assert_eq!(set.unwrap(), Answer::Simple("OK".to_owned()));
    }
    rot(&dir.join("node-1").join("data"), 11);
    let address = format!("127.0.0.1:{}", cluster.port_of(1));
    let said = run(&["scrub", "--address", &address]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("no other node that answers has them"), "{}", said.err);
    let mut refused = 0;
    for number in 0..500 {
        let key = format!("key-{number}");
        match resp.call(&[b"GET", key.as_bytes()]).unwrap() {
            Answer::Error(text) => {
                assert!(text.contains("the value is damaged on disk"), "{text}");
                resp.call(&[b"DEL", key.as_bytes()]).unwrap();
                refused += 1;
            }
            answer => assert!(answer == Answer::Bulk(value(number)), "{key}"),
        }
    }
    assert!(0 < refused);
    let said = run(&["scrub", "--address", &address]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    cluster.stop();
}
