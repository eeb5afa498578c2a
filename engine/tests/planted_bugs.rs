//! Every planted bug is found by some check; a check that finds none is no check. A bug is planted for
//! the whole process, so this is a process of its own with a single test.
#![cfg(feature = "planted-bugs")]

#[path = "memory/check.rs"]
mod memory;
mod model;

use std::panic::catch_unwind;

use evenkeel_engine::bugs::{Bug, plant};
use model::{damage, keep, power};

type Check = fn(u64) -> Result<(), String>;

const CHECKS: &[(&str, Check)] = &[
    ("misdirected blocks", damage::check_misdirected),
    ("failing operations", damage::check_failing),
    ("power cuts", |seed| power::check_every_cut(seed).map(drop)),
    ("lives", power::check_lives),
    ("compaction", |seed| keep::check_compaction(seed).map(drop)),
    ("random damage", |seed| damage::check_random_damage(seed).map(drop)),
];

#[test]
fn every_planted_bug_is_found() {
    let checks: Vec<(&str, Check)> = [CHECKS, memory::CHECKS].concat();
    for &(name, check) in &checks {
        check(1).unwrap_or_else(|error| panic!("{name} fails without a bug: {error}"));
    }
    for &bug in Bug::ALL {
        plant(Some(bug));
        let found = checks.iter().find_map(|&(name, check)| {
            // A panic counts: an assertion of the engine's own has seen the bug.
            let fails = |&seed: &u64| !matches!(catch_unwind(|| check(seed)), Ok(Ok(())));
            (1..=40).find(fails).map(|seed| format!("by {name}, seed {seed}"))
        });
        plant(None);
        let found = found.unwrap_or_else(|| panic!("nothing finds {}", bug.name()));
        println!("{} is found {found}", bug.name());
    }
}
