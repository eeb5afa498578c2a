//! Every planted bug is found by some check; a check that finds none is no check. A bug is planted for
//! the whole process, so this is a process of its own with a single test.
#![cfg(feature = "planted-bugs")]

mod model;

use evenkeel_engine::bugs::{Bug, plant};
use model::{damage, power};

type Check = fn(u64) -> Result<(), String>;

const CHECKS: &[(&str, Check)] = &[
    ("power cuts", |seed| power::check_every_cut(seed).map(drop)),
    ("lives", power::check_lives),
    ("random damage", |seed| damage::check_random_damage(seed).map(drop)),
    ("misdirected blocks", damage::check_misdirected),
    ("failing operations", damage::check_failing),
];

#[test]
fn every_planted_bug_is_found() {
    for &(name, check) in CHECKS {
        check(1).unwrap_or_else(|error| panic!("{name} fails without a bug: {error}"));
    }
    for &bug in Bug::ALL {
        plant(Some(bug));
        let mut finders = Vec::new();
        for &(name, check) in CHECKS {
            // A panic counts: an assertion of the engine's own has seen the bug.
            let found = (1..=20).find_map(|seed| match std::panic::catch_unwind(|| check(seed)) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some((seed, error)),
                Err(_) => Some((seed, "an assertion".to_owned())),
            });
            if let Some((seed, error)) = found {
                let error: String = error.chars().take(150).collect();
                finders.push(format!("{name} (seed {seed}): {error}"));
            }
        }
        plant(None);
        println!("{}: {finders:#?}", bug.name());
        assert!(!finders.is_empty(), "nothing finds {}", bug.name());
    }
}
