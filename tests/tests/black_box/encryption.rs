//! Encryption at rest, as an operator has it: turned on, restarted, refused with the wrong key, and given
//! another key.

use std::fs;
use std::path::Path;
use std::process::Child;

use crate::binary::{Folder, Said, run, signal};
use crate::cluster::free_ports;
use crate::resp::{Answer, Resp};
use crate::serve::{serve, until_it_serves};

const KEY_FILE: &str = "EVENKEEL_STORAGE_ENCRYPTION_KEY_FILE";
const VALUE: &[u8] = b"attack at dawn, attack at dawn, attack at dawn";

fn stop(mut node: Child) {
    signal(node.id(), "TERM");
    assert_eq!(node.wait().unwrap().code(), Some(0));
}

fn ok(said: &Said) -> &str {
    assert_eq!(said.code, Some(0), "{}", said.err);
    str::from_utf8(&said.out).unwrap()
}

/// Whether any file of the folder has these bytes.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .into_iter()
        .any(|file| fs::read(file).unwrap().windows(needle.len()).any(|window| window == needle))
}

/// Starting with this key file must fail as a mistake of the operator, in one line with these words.
fn check_refused(folder: &Folder, port: u16, key: &str, words: &[&str]) {
    let data = folder.path.join("data");
    let said = run(&[
        "serve",
        "--set",
        &format!("node.dir={}", data.display()),
        "--set",
        &format!("listen.resp=127.0.0.1:{port}"),
        "--set",
        &format!("listen.peer=127.0.0.1:{}", port + 10_000),
        "--set",
        &format!("storage.encryption_key_file={key}"),
    ]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    let line = said.err.lines().last().unwrap_or_default();
    for word in words.iter().chain(&[data.to_str().unwrap()]) {
        assert!(line.contains(word), "{line:?} lacks {word:?}");
    }
}

#[test]
fn data_is_encrypted_with_a_key_that_can_be_changed_and_opens_with_no_other() {
    let folder = Folder::new();
    let port = free_ports(1);
    let data = folder.path.join("data");
    let path = |name: &str| folder.path.join(name).to_str().unwrap().to_owned();
    let (old, new) = (path("old.key"), path("new.key"));
    let id = |file: &str| {
        let said = run(&["key", "show", file]);
        ok(&said).trim().rsplit(' ').next().unwrap().to_owned()
    };
    ok(&run(&["key", "new", &old]));
    ok(&run(&["key", "new", &new]));
    let (old_id, new_id) = (id(&old), id(&new));
    assert_ne!(old_id, new_id);

    let node = serve(&folder, port, &[(KEY_FILE, &old)]);
    until_it_serves(port);
    let mut resp = Resp::connect(port).unwrap();
    let answer = resp.call(&[b"SET", b"orders", VALUE]).unwrap();
    assert_eq!(answer, Answer::Simple("OK".to_owned()));
    let Answer::Bulk(info) = resp.call(&[b"INFO", b"evenkeel"]).unwrap() else { panic!() };
    let info = String::from_utf8(info).unwrap();
    assert!(info.contains(&format!("log_encryption_key:{old_id}")), "{info}");
    stop(node);
    assert!(!holds(&data, b"attack at dawn"), "the value lies open on the disk");
    assert!(!holds(&data, b"orders"), "the key lies open on the disk");
    assert_eq!(id(&path("data")), old_id);
    let inspected = run(&["inspect", &path("data"), "--records"]);
    let inspected = ok(&inspected);
    assert!(inspected.contains(&old_id) && inspected.contains(", encrypted"), "{inspected}");
    assert!(!inspected.contains("damage"), "{inspected}");

    check_refused(&folder, port, "", &["is encrypted", &old_id, "storage.encryption_key_file"]);
    check_refused(&folder, port, &new, &[&old_id, &new_id, &new]);

    ok(&run(&["key", "rotate", &path("data"), "--old", &old, "--new", &new]));
    assert_eq!(id(&path("data")), new_id);
    check_refused(&folder, port, &old, &[&old_id, &new_id, &old]);
    fs::remove_file(&old).unwrap();
    let node = serve(&folder, port, &[(KEY_FILE, &new)]);
    until_it_serves(port);
    let mut resp = Resp::connect(port).unwrap();
    assert_eq!(resp.call(&[b"GET", b"orders"]).unwrap(), Answer::Bulk(VALUE.to_vec()));
    stop(node);
}

#[test]
fn a_folder_that_was_begun_without_a_key_takes_none_and_a_key_in_its_own_folder_is_refused() {
    let folder = Folder::new();
    let port = free_ports(1);
    let node = serve(&folder, port, &[]);
    until_it_serves(port);
    stop(node);
    let key = folder.path.join("root.key");
    ok(&run(&["key", "new", key.to_str().unwrap()]));
    check_refused(&folder, port, key.to_str().unwrap(), &["not encrypted", "empty folder"]);
    let inside = folder.path.join("data").join("root.key");
    ok(&run(&["key", "new", inside.to_str().unwrap()]));
    check_refused(&folder, port, inside.to_str().unwrap(), &["lies in the folder"]);
    // As before, all is well without a key.
    let node = serve(&folder, port, &[]);
    until_it_serves(port);
    stop(node);
}
