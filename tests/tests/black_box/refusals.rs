//! What `up` and `serve` refuse: with a clear line, a stable exit code, and nothing changed.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::binary::{Folder, Said, run};
use crate::cluster::{Cluster, free_ports, port_of_folder};

const USAGE: i32 = 2;
const UNAVAILABLE: i32 = 69;
const INTERNAL: i32 = 70;

/// Every file below `dir` with its content, every folder with none.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                all.insert(path.clone(), None);
                folders.push(path);
            } else {
                all.insert(path.clone(), fs::read(&path).ok());
            }
        }
    }
    all
}

fn up(dir: &Path, port: u16, more: &[&str]) -> Said {
    let port = port.to_string();
    let mut arguments = vec!["up", "--dir", dir.to_str().unwrap(), "--port", &port];
    arguments.extend_from_slice(more);
    run(&arguments)
}

/// `up` in `dir` must fail with this exit code and these words, and leave everything as it was.
fn check_refused(dir: &Path, port: u16, more: &[&str], code: i32, words: &[&str]) {
    let before = (dir.exists(), snapshot(dir));
    let said = up(dir, port, more);
    assert_eq!(said.code, Some(code), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "one line: {}", said.err);
    for word in words {
        assert!(said.err.contains(word), "{:?} lacks {word:?}", said.err);
    }
    assert!((dir.exists(), snapshot(dir)) == before, "something in {} changed", dir.display());
}

#[test]
fn a_busy_port_is_named_and_nothing_is_created() {
    let folder = Folder::new();
    let port = free_ports(3);
    let dir = folder.path.join("data");
    for busy in [port, port + 2, port + 10_001] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, busy)).unwrap();
        let name = format!("port {busy}");
        check_refused(&dir, port, &[], UNAVAILABLE, &[&name, "in use", "--port"]);
        drop(listener);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    // Root may write anywhere, so the folder is one that nobody can make: below a file.
    let folder = Folder::new();
    let file = folder.path.join("file");
    fs::write(&file, "not a folder").unwrap();
    check_refused(
        &file.join("data"),
        free_ports(3),
        &[],
        INTERNAL,
        &["cannot use the folder", "--dir"],
    );
    check_refused(&file, free_ports(3), &[], INTERNAL, &["cannot use the folder", "--dir"]);
    let nobody = Path::new("/proc/evenkeel");
    check_refused(nobody, free_ports(3), &[], INTERNAL, &["cannot use the folder", "--dir"]);
}

#[test]
fn a_folder_with_something_else_in_it_is_refused() {
    let folder = Folder::new();
    fs::write(folder.path.join("thesis.tex"), "irreplaceable").unwrap();
    check_refused(&folder.path, free_ports(3), &[], USAGE, &["is not empty", "--dir"]);
    fs::write(folder.path.join("cluster.yaml"), "something: else\n").unwrap();
    check_refused(&folder.path, free_ports(3), &[], USAGE, &["is not empty", "--dir"]);
}

#[test]
fn a_folder_of_another_format_is_refused() {
    let folder = Folder::new();
    fs::write(folder.path.join("cluster.yaml"), "format: 9\nnewer: things\n").unwrap();
    check_refused(&folder.path, free_ports(3), &[], USAGE, &["format 9", "this release reads 1"]);
}

#[test]
fn another_number_of_nodes_is_refused() {
    let folder = Folder::new();
    assert_eq!(Cluster::start(&folder.path, 1).stop().code(), Some(0));
    let port = port_of_folder(&folder.path).unwrap();
    check_refused(&folder.path, port, &["--nodes", "3"], USAGE, &["a cluster of 1 node"]);
}

#[test]
fn data_of_another_cluster_is_refused() {
    // Goal: no node serves data that its cluster did not write. Method: two clusters, and the data
    // of a node of one put into the other's folder.
    let (ours, theirs) = (Folder::new(), Folder::new());
    assert_eq!(Cluster::start(&ours.path, 1).stop().code(), Some(0));
    assert_eq!(Cluster::start(&theirs.path, 1).stop().code(), Some(0));
    let data = ours.path.join("node-1/data");
    fs::remove_dir_all(&data).unwrap();
    fs::rename(theirs.path.join("node-1/data"), &data).unwrap();
    let port = port_of_folder(&ours.path).unwrap();
    check_refused(&ours.path, port, &["--nodes", "1"], USAGE, &["another cluster"]);
}

#[test]
fn data_in_a_newer_format_is_refused() {
    // Goal: a log of a later release is not touched. Method: the format number in both copies of the
    // superblock is out of this release's reach.
    let folder = Folder::new();
    assert_eq!(Cluster::start(&folder.path, 1).stop().code(), Some(0));
    let data = folder.path.join("node-1/data");
    let superblock = fs::read_dir(&data)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().to_lowercase().starts_with("super"))
        .expect("a data folder has a superblock")
        .path();
    let size = fs::metadata(&superblock).unwrap().len() as usize;
    fs::write(&superblock, vec![0xa5; size]).unwrap();
    let port = port_of_folder(&folder.path).unwrap();
    check_refused(&folder.path, port, &["--nodes", "1"], INTERNAL, &["superblock"]);
}

#[test]
fn two_ups_do_not_share_a_folder() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 1);
    let said = up(&folder.path, free_ports(1), &["--nodes", "1"]);
    assert_eq!(said.code, Some(UNAVAILABLE), "{}", said.err);
    assert!(said.err.contains("in use by another `evenkeel up`"), "{}", said.err);
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn wrong_settings_are_refused_before_anything_happens() {
    let folder = Folder::new();
    let dir = folder.path.join("data");
    let port = free_ports(3);
    check_refused(&dir, port, &["--set", "log.levle=info"], USAGE, &["did you mean `log.level`?"]);
    check_refused(&dir, port, &["--set", "cluster.shards=0"], USAGE, &["must be 1 to 4096"]);
    for flags in [&["--nodes", "0"], &["--nodes", "8"], &["--port", "60000"], &["--mode", "both"]] {
        assert_eq!(up(&dir, port, flags).code, Some(USAGE));
    }
    assert!(!dir.exists());
}
