//! A cluster whose nodes come and go, while clients write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::binary::{Folder, Said, command, run, signal};
use crate::cluster::{Cluster, free_ports, wait_until};
use crate::crash::{Load, check_ledger};
use crate::resp::Resp;

/// Goal: a node joins, takes votes, and a dead one leaves, and no acknowledged write is lost; the one
/// that was removed ends by itself when it comes back, and may join again as a new one.
#[test]
fn nodes_join_and_are_replaced_while_clients_write() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path.join("cluster"), 3);
    let address = format!("127.0.0.1:{}", cluster.port_of(1));
    let ask = |words: &[&str]| {
        let target = ["--address", address.as_str()];
        run(&[&["cluster"], words, &target].concat())
    };
    let load = Load::start(&[cluster.port_of(1), cluster.port_of(3)]);

    let (config, port) = configure_fourth(&cluster, &folder.path);
    let mut fourth = serve(&config, &folder.path);
    let log = folder.path.join("log");
    wait_until("it says that nobody expects it", || said_in(&log, "expects none"));
    succeeds(&ask(&["join", "node-4"]));
    succeeds(&ask(&["balance"]));
    let nodes = succeeds(&ask(&["nodes"]));
    assert_eq!(nodes.matches("connected  48").count(), 4, "{nodes}");

    let refused = ask(&["remove", "node-2"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("still votes on shard"), "{}", refused.err);
    let refused = ask(&["remove", "nobody"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("no node is called `nobody`"), "{}", refused.err);

    cluster.kill_node(2);
    succeeds(&ask(&["drain", "node-2"]));
    succeeds(&ask(&["remove", "node-2"]));
    let nodes = succeeds(&ask(&["nodes"]));
    assert!(!nodes.contains("node-2"), "{nodes}");
    assert_eq!(nodes.matches("connected  64").count(), 3, "{nodes}");

    // Its disk is that of a node which is none any more.
    let mut second = serve(&cluster.config_of(2), &folder.path);
    assert_eq!(ends(&mut second), Some(2));
    assert!(said_in(&log, "`node-2` was removed from the cluster"));
    fs::remove_dir_all(cluster.dir.join("node-2/data")).unwrap();
    let mut second = serve(&cluster.config_of(2), &folder.path);
    succeeds(&ask(&["replace", "node-4", "node-2"]));
    assert_eq!(ends(&mut fourth), Some(2), "it was replaced");

    let ledger = load.stop();
    for node in 1..=3 {
        check_ledger(&ledger, &mut cluster.connect(node));
    }
    assert!(Resp::connect(port).is_err(), "nobody serves there any more");
    signal(second.id(), "TERM");
    assert_eq!(ends(&mut second), Some(0));
}

/// The configuration of a fourth node, and its client port.
fn configure_fourth(cluster: &Cluster, folder: &Path) -> (PathBuf, u16) {
    let port = free_ports(1);
    let (first, first_peer) = (cluster.port_of(1), cluster.port_of(1) + 10_000);
    let text = fs::read_to_string(cluster.config_of(1)).unwrap();
    let text = text
        .replacen("name: node-1", "name: node-4", 1)
        .replacen(&format!("resp: 127.0.0.1:{first}"), &format!("resp: 127.0.0.1:{port}"), 1)
        .replacen(
            &format!("peer: 127.0.0.1:{first_peer}"),
            &format!("peer: 127.0.0.1:{}", port + 10_000),
            1,
        )
        .replacen("node-1/data", "node-4/data", 1)
        .replacen(
            "  nodes:\n",
            &format!(
                "  nodes:\n  - {{ name: node-4, peer: 127.0.0.1:{}, client: 127.0.0.1:{port} }}\n",
                port + 10_000
            ),
            1,
        );
    let path = folder.join("node-4.yaml");
    fs::write(&path, text).unwrap();
    (path, port)
}

fn serve(config: &Path, folder: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    command()
        .arg("serve")
        .arg("--config")
        .arg(config)
        .arg("--until-stdin-ends") // Should this test fail, it leaves nothing behind.
        .stdin(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Waits until it ends, not for ever; its exit code.
fn ends(node: &mut Child) -> Option<i32> {
    let mut status = None;
    wait_until("the node ends", || {
        status = node.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

fn said_in(log: &Path, words: &str) -> bool {
    fs::read_to_string(log).is_ok_and(|text| text.contains(words))
}

fn succeeds(said: &Said) -> String {
    assert_eq!(said.code, Some(0), "{}", said.err);
    String::from_utf8_lossy(&said.out).into_owned()
}
