//! Whole clusters under plain `cargo test`: builds the simulated world once, as `cargo sim` does, and
//! runs the kept seeds, each in a process of its own.
#![cfg(not(madsim))]

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

mod simulator;

use simulator::{simulator, value};

/// Runs `evenkeel-sim run` with these arguments; whether it was well, and what it said.
fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(simulator()).arg("run").args(arguments).output();
    let output = output.expect("the simulator can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
}

/// Runs these seeds of these scenarios, as many at a time as there are cores; what those said that failed.
fn all(seeds: Vec<(&str, &str)>) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((seed, scenario)) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (is_ok, text) = run(&[seed, "--scenario", scenario]);
                    if !is_ok {
                        failed.lock().expect("no worker panics").push(text);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no worker panics")
}

/// Goal: the kept seeds pass. Method: `testdata/seeds.txt`, as many at a time as there are cores.
#[test]
fn the_kept_seeds_pass() {
    simulator();
    // Tests run in their package's folder.
    let text = std::fs::read_to_string("testdata/seeds.txt").unwrap();
    let seeds: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(seed, rest)| (seed, rest.split(' ').next().unwrap_or("swarm")))
        .collect();
    assert!(seeds.len() >= 16, "kept seeds have been lost: {}", seeds.len());
    let failed = all(seeds);
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Goal: every scenario file is survived, and what it promises holds. Method: seed 1 of each.
#[test]
fn the_scenario_files_are_survived() {
    simulator();
    let entries = std::fs::read_dir("scenarios").unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    let names: Vec<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let failed = all(names.iter().map(|name| ("1", name.as_str())).collect());
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Goal: the oracle is awake. Method: the canary, a falsified answer, must fail and say so.
#[test]
fn the_canary_fails() {
    let (is_ok, text) = run(&["3", "--scenario", "quiet", "--planted", "canary"]);
    assert!(!is_ok, "{text}");
    let oracle = value(&text, "oracle");
    assert!(["linearizability", "durability"].contains(&oracle), "found by `{oracle}`: {text}");
    assert!(text.contains("cargo sim 3 --scenario quiet --planted canary"), "{text}");
}

/// Goal: a seed is a run. Method: two processes, one of them with all logging on.
#[test]
fn a_seed_replays_event_by_event() {
    let (_, once) = run(&["2"]);
    let (_, again) = run(&["2", "--log"]);
    assert!(value(&once, "hash").len() == 64, "{once}");
    assert_eq!(value(&once, "hash"), value(&again, "hash"));
}

/// Goal: a planted bug is found. Method: the commonest mistake of all, vouching before the flush.
#[test]
fn a_planted_bug_is_found() {
    let found =
        (1..=5).any(|seed| !run(&[&seed.to_string(), "--planted", "core/accepted-before-flush"]).0);
    assert!(found);
}

/// Goal: a node whose log fills up is noticed. Method: no room kept for what a checkpoint writes again.
#[test]
fn a_log_that_fills_up_is_noticed() {
    let bug = ["--planted", "node/unapplied-not-reserved"];
    let (is_ok, text) = run(&["190", "--scenario", "small-log", bug[0], bug[1]]);
    assert!(!is_ok && value(&text, "oracle") == "room", "{text}");
}
