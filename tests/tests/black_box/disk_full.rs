//! A node whose disk is full: it refuses, reads on, and frees itself.

use std::fs;
use std::process::Child;

use crate::binary::{Folder, incompressible, signal};
use crate::cluster::{free_ports, wait_until};
use crate::resp::{Answer, Resp};
use crate::serve::{serve, until_it_serves};

const VALUE_SIZE: usize = 100_000;
/// The least that may be set.
const SMALL: (&str, &str) = ("EVENKEEL_STORAGE_DISK_BYTES_MAX", "64 MiB");

fn value(number: u64) -> Vec<u8> {
    incompressible(number, VALUE_SIZE)
}

fn set(resp: &mut Resp, number: u64) -> Answer {
    resp.call(&[b"SET", format!("key-{number}").as_bytes(), &value(number)]).unwrap()
}

fn ok() -> Answer {
    Answer::Simple("OK".to_owned())
}

fn stop(mut node: Child) {
    signal(node.id(), "TERM");
    assert_eq!(node.wait().unwrap().code(), Some(0));
}

/// Each of these keys has its value.
fn check(resp: &mut Resp, keys: impl Iterator<Item = u64>) {
    for number in keys {
        let answer = resp.call(&[b"GET", format!("key-{number}").as_bytes()]).unwrap();
        assert!(answer == Answer::Bulk(value(number)), "key-{number} is not what was written");
    }
}

/// Goal: a full disk is an answer, not an accident. Method: values until one is refused; then reads,
/// deletes, and writes again until several times the limit has been written; after a restart all is there.
#[test]
fn a_full_disk_refuses_writes_reads_on_and_frees_itself() {
    let folder = Folder::new();
    let port = free_ports(1);
    let node = serve(&folder, port, &[SMALL]);
    until_it_serves(port);
    let mut resp = Resp::connect(port).unwrap();
    let mut count = 0;
    let refusal = loop {
        match set(&mut resp, count) {
            answer if answer == ok() => count += 1,
            other => break other,
        }
        assert!(count < 700, "more than the limit was taken");
    };
    let Answer::Error(text) = refusal else { panic!("{refusal:?}") };
    assert!(text.starts_with("DISKFULL the log of node `node-1` takes "), "{text}");
    assert!(text.contains(" of 67108864 bytes (`disk_bytes_max`)"), "{text}");
    assert!(300 < count, "{count} values of 100 kB fill no 64 MiB");
    check(&mut resp, 0..count);

    for number in (0..count).filter(|number| number % 2 == 1) {
        let key = format!("key-{number}");
        // While space is being made, what is left may be too little even for deletes.
        wait_until("a key is deleted", || {
            resp.call(&[b"DEL", key.as_bytes()]).unwrap() == Answer::Integer(1)
        });
    }
    // Half as much again as the limit, over and over the same keys: what is overwritten makes room.
    for number in count..count + 1_000 {
        let key = count + number % 50;
        wait_until("a write is taken again", || set(&mut resp, key) == ok());
    }
    let kept = || (0..count).filter(|number| number % 2 == 0).chain(count..count + 50);
    check(&mut resp, kept());
    let used: u64 = fs::read_dir(folder.path.join("data"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(used <= (64 << 20) + (1 << 20), "{used} bytes of files");
    stop(node);

    let node = serve(&folder, port, &[SMALL]);
    until_it_serves(port);
    check(&mut Resp::connect(port).unwrap(), kept());
    stop(node);
}

/// Goal: a backup that somebody has begun and does not finish keeps nobody from writing. Method: a snapshot
/// whose first part is asked for again and again, while more is overwritten than the disk may take.
#[test]
fn a_backup_that_is_not_finished_gives_the_disk_back() {
    let folder = Folder::new();
    let port = free_ports(1);
    let node = serve(&folder, port, &[SMALL]);
    until_it_serves(port);
    let mut resp = Resp::connect(port).unwrap();
    (0..50).for_each(|number| assert_eq!(set(&mut resp, number), ok()));
    let Answer::Array(begun) = resp.ask("EVENKEEL SNAPSHOT BEGIN 0") else { panic!("no snapshot") };
    let [_, Answer::Bulk(token), ..] = &begun[..] else { panic!("{begun:?}") };
    let token = String::from_utf8(token.clone()).unwrap();
    let first = resp.ask(&format!("EVENKEEL SNAPSHOT NEXT {token} 0"));
    assert!(matches!(first, Answer::Bulk(_) | Answer::Null), "{first:?}");
    let mut gone = None;
    for number in 0..1_500 {
        wait_until("a write is taken", || set(&mut resp, number % 50) == ok());
        let again = resp.ask(&format!("EVENKEEL SNAPSHOT NEXT {token} 0"));
        if gone.is_none() && again != first {
            gone = Some((number, again));
        }
    }
    let (number, Answer::Error(text)) = gone.expect("the log is larger than the disk") else {
        panic!("the same part is another one")
    };
    assert!(text.starts_with("NOSNAPSHOT it is not held any more"), "{text}");
    assert!(300 < number, "given up after {number} writes: there was room for more");
    check(&mut resp, 0..50);
    stop(node);
}

/// Goal: the log knows a clean stop from a crash, and says which it was. Method: one of each.
#[test]
fn a_stop_by_signal_is_clean_and_a_kill_is_not() {
    let folder = Folder::new();
    let port = free_ports(1);
    let lines = |folder: &Folder| -> Vec<String> {
        let log = fs::read_to_string(folder.path.join("log")).unwrap();
        let lines = log.lines().filter(|line| line.contains("the log has been read"));
        lines.map(str::to_owned).collect()
    };
    let node = serve(&folder, port, &[]);
    until_it_serves(port);
    let mut resp = Resp::connect(port).unwrap();
    (0..20).for_each(|number| assert_eq!(set(&mut resp, number), ok()));
    stop(node);

    let mut node = serve(&folder, port, &[]);
    until_it_serves(port);
    check(&mut Resp::connect(port).unwrap(), 0..20);
    signal(node.id(), "KILL");
    node.wait().unwrap();

    let node = serve(&folder, port, &[]);
    until_it_serves(port);
    check(&mut Resp::connect(port).unwrap(), 0..20);
    stop(node);
    let [first, second] = &lines(&folder)[..] else { panic!("{:?}", lines(&folder)) };
    assert!(first.contains("clean=true"), "{first}");
    assert!(second.contains("clean=false"), "{second}");
}
