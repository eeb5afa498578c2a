//! Every planted bug is found by some check; a check that finds none is no check. A bug is planted for
//! the whole process, so this is a process of its own with a single test.
#![cfg(feature = "planted-bugs")]

#[path = "memory/check.rs"]
mod memory;
#[allow(dead_code, reason = "the hunt leaves out what takes longest")]
mod model;

use std::panic::catch_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use evenkeel_engine::bugs::{Bug, plant};
use model::{Dress, at_rest, damage, keep, power, room};

type Check = fn(u64) -> Result<(), String>;

/// A check takes a second or two; on a busy machine, some more.
const PATIENCE: Duration = Duration::from_secs(120);

const CHECKS: &[(&str, Check)] = &[
    ("misdirected blocks", |seed| damage::check_misdirected(Dress::of(seed), seed)),
    ("failing operations", |seed| damage::check_failing(Dress::of(seed), seed)),
    ("power cuts", |seed| power::check_every_cut(Dress::of(seed), seed).map(drop)),
    ("lives", |seed| power::check_lives(Dress::of(seed), seed)),
    ("compaction", |seed| keep::check_compaction(Dress::of(seed), seed).map(drop)),
    ("random damage", |seed| damage::check_random_damage(Dress::of(seed), seed).map(drop)),
    ("key streams", at_rest::check_key_streams),
    ("copies of a folder", at_rest::check_copies),
    ("forged records", at_rest::check_forgery),
    ("rotation of keys", |seed| at_rest::check_rotation(seed).map(drop)),
    ("room for what is compressed", at_rest::check_room),
    ("scrubbing", |seed| keep::scrub::check_scrub(Dress::of(seed), seed).map(drop)),
    ("a disk that was full", |seed| room::check_full_disk(Dress::of(seed), seed)),
];

#[test]
fn every_planted_bug_is_found() {
    let checks: Vec<(&str, Check)> = [CHECKS, memory::CHECKS].concat();
    for &(name, check) in &checks {
        check(1).unwrap_or_else(|error| panic!("{name} fails without a bug: {error}"));
    }
    for &bug in Bug::ALL {
        plant(Some(bug));
        // Every check in turn, then the next seed: what one check cannot find at all, it must not look
        // for forty times before another has a look.
        let mut rounds = (1..=40).flat_map(|seed| checks.iter().map(move |check| (seed, check)));
        let found = rounds.find_map(|(seed, &(name, check))| {
            let how = fails(check, seed)?;
            Some(format!("by {name}, seed {seed}{how}"))
        });
        plant(None);
        let found = found.unwrap_or_else(|| panic!("nothing finds {}", bug.name()));
        println!("{} is found {found}", bug.name());
    }
}

/// How a check fails, if it does: an error, a panic (an assertion of the engine's own has seen the bug),
/// or no end.
fn fails(check: Check, seed: u64) -> Option<&'static str> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let result = catch_unwind(|| check(seed));
        sender.send(matches!(result, Ok(Ok(())))).ok();
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(true) => None,
        Ok(false) => Some(""),
        Err(_) => Some(", which does not end"),
    }
}
