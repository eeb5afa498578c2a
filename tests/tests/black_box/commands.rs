//! The commands that look at a cluster from outside.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::binary::{Folder, Said, run, run_with_input};
use crate::cluster::{Cluster, free_ports};

/// `evenkeel COMMAND... --address` of a node.
fn at(cluster: &Cluster, arguments: &[&OsStr], input: &[u8]) -> Said {
    let address = format!("127.0.0.1:{}", cluster.port_of(2));
    let mut all: Vec<OsString> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    all.extend(["--address".into(), address.into()]);
    run_with_input(&all, input)
}

fn words(cluster: &Cluster, line: &str) -> Said {
    let arguments: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
    at(cluster, &arguments, b"")
}

#[track_caller]
fn check(said: &Said, code: i32, out: &[u8]) {
    assert_eq!((said.code, said.out.as_slice()), (Some(code), out), "{}", said.err);
}

#[test]
fn keys_and_values_are_any_bytes() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    let key = OsStr::from_bytes(b"k\xff\n key");
    let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    check(&at(&cluster, &[OsStr::new("set"), key], &value), 0, b"");
    check(&at(&cluster, &[OsStr::new("get"), key], b""), 0, &value);
    check(&words(&cluster, "set short v\u{e4}lue --ttl 1000"), 0, b"");
    check(&words(&cluster, "get short"), 0, "v\u{e4}lue".as_bytes());

    let scanned = words(&cluster, "scan --null");
    let mut keys: Vec<&[u8]> = scanned.out.split(|&byte| byte == 0).collect();
    keys.sort_unstable();
    assert_eq!(keys, [b"".as_slice(), b"k\xff\n key", b"short"]);
    check(&words(&cluster, "scan --match s*t"), 0, b"short\n");
    assert_eq!(words(&cluster, "scan --limit 1 -0").out.iter().filter(|&&b| b == 0).count(), 1);
    check(&words(&cluster, "scan --keyspace cache"), 0, b"");
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn what_is_missing_is_said_and_exits_with_1() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 1);
    let at_first = |line: &str| {
        let line = format!("{line} --address 127.0.0.1:{}", cluster.port);
        run(&line.split(' ').collect::<Vec<_>>())
    };
    let missing = at_first("get nothing");
    check(&missing, 1, b"");
    assert_eq!(missing.err, "evenkeel: no such key: `nothing`\n");
    check(&at_first("ttl nothing"), 1, b"");
    check(&at_first("del nothing"), 1, b"0\n");
    check(&at_first("set a 1"), 0, b"");
    check(&at_first("ttl a"), 0, b"never\n");
    check(&at_first("set a 2 --if-absent"), 1, b"");
    check(&at_first("get a"), 0, b"1");
    check(&at_first("set b 2 --ttl 100"), 0, b"");
    check(&at_first("ttl b"), 0, b"100\n");
    check(&at_first("del a b c"), 0, b"2\n");
    check(&at_first("set a 1 --keyspace cache"), 0, b"");
    check(&at_first("get a"), 1, b"");
    check(&at_first("get a --keyspace cache"), 0, b"1");
    assert_eq!(at_first("get a --keyspace other").code, Some(2));
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn nobody_there_is_exit_69_with_advice() {
    let said = run(&["get", "a", "--address", &format!("127.0.0.1:{}", free_ports(1))]);
    check(&said, 69, b"");
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.contains("Connection refused"), "{}", said.err);
    assert!(said.err.contains("`evenkeel up`"), "{}", said.err);
}

#[test]
fn status_shows_nodes_shards_and_leaders_for_people_and_for_programs() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    let said = words(&cluster, "status --output json");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let status: serde_json::Value = serde_json::from_slice(&said.out).unwrap();
    let nodes = status["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    let led: u64 = nodes.iter().map(|node| node["shards_led"].as_u64().unwrap()).sum();
    assert_eq!(led, 64, "{status:#}");
    for node in nodes {
        assert_eq!(node["reachable"], true);
        assert!(node["log_bytes"].as_u64().unwrap() > 0, "{node:#}");
    }
    assert_eq!((&status["shard_count"], &status["shards_with_leader"]), (&64.into(), &64.into()));
    let ranges = status["ranges"].as_array().unwrap();
    let slots = ranges.iter().map(|range| {
        let bound = |name: &str| range[name].as_u64().unwrap();
        assert!(range["leader"].as_str().unwrap().starts_with("node-"), "{range:#}");
        bound("slot_last") - bound("slot_first") + 1
    });
    assert_eq!(slots.sum::<u64>(), 16_384);

    let said = words(&cluster, "status");
    let text = String::from_utf8(said.out).unwrap();
    for word in ["node-1", "node-2", "node-3", "64 shards"] {
        assert!(text.contains(word), "{text}");
    }

    // A node that is gone is shown as gone, and that is worth an exit code.
    cluster.kill_node(3);
    let said = words(&cluster, "status --output json");
    let status: serde_json::Value = serde_json::from_slice(&said.out).unwrap();
    let reachable: Vec<bool> = status["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["reachable"].as_bool().unwrap())
        .collect();
    assert_eq!(reachable, [true, true, false]);
    assert_eq!(said.code, Some(69), "{}", said.err);
}

#[test]
fn inspect_describes_a_data_folder_and_changes_nothing() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 1);
    for index in 0..50 {
        cluster.connect(1).ask(&format!("SET key:{index} value"));
    }
    assert_eq!(cluster.stop().code(), Some(0));
    let data = folder.path.join("node-1/data");
    let sizes = || -> Vec<_> {
        let entries = std::fs::read_dir(&data).unwrap().flatten();
        let mut files: Vec<_> = entries
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = sizes();
    let said = run(&["inspect".as_ref(), data.as_os_str()]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let text = String::from_utf8(said.out).unwrap();
    assert!(text.contains("node-1"), "{text}");
    assert!(sizes() == before, "inspect changed {}", data.display());

    let said = run(&["inspect".as_ref(), folder.path.join("nothing").as_os_str()]);
    assert_eq!(said.code, Some(2), "{}", said.err);
}

#[test]
fn the_configuration_is_printed_and_checked() {
    let folder = Folder::new();
    let printed = run(&["config", "default"]);
    assert_eq!(printed.code, Some(0));
    let file = folder.path.join("node.yaml");
    std::fs::write(&file, &printed.out).unwrap();
    let checked = run(&["config".as_ref(), "check".as_ref(), file.as_os_str()]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);

    std::fs::write(&file, "cluster: { shrads: 3 }\n").unwrap();
    let checked = run(&["config".as_ref(), "check".as_ref(), file.as_os_str()]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.err.contains("did you mean `cluster.shards`?"), "{}", checked.err);
    let missing = folder.path.join("missing.yaml");
    let checked = run(&["config".as_ref(), "check".as_ref(), missing.as_os_str()]);
    assert_eq!(checked.code, Some(2));
}

#[test]
fn help_and_sim_say_where_to_go_on() {
    let said = run(&["sim"]);
    assert_eq!(said.code, Some(0));
    assert!(String::from_utf8(said.out).unwrap().contains("cargo sim"));
    let said = run(&["--help"]);
    assert!(String::from_utf8(said.out).unwrap().contains("69 unavailable"));
    assert_eq!(run(&["fly"]).code, Some(2));
}
