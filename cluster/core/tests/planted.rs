//! Every planted bug is noticed: by the random world, or by a story that then reads otherwise.
//!
//! `cargo test -p evenkeel-core --features planted-bugs --test planted -- --nocapture` tells by what.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conversation;
mod simulation;

use std::any::Any;
use std::panic::catch_unwind;

use evenkeel_core::bugs::{Bug, plant};

/// Random worlds to try before a bug counts as unnoticed; fewer, if a story has noticed it already.
const SEEDS: u64 = 3_000;
const SEEDS_MORE: u64 = 150;

/// Goal: no oracle is blind, no story is decoration.
/// Method: plant one bug after the other in this process; the stories go first, they are quicker. One
/// test, because what is planted is planted for the whole process.
#[test]
fn every_planted_bug_is_noticed() {
    std::panic::set_hook(Box::new(|_| ())); // Hundreds of panics are expected here.
    let noticed: Vec<(Bug, Option<String>)> =
        Bug::ALL.iter().map(|&bug| (bug, notice(bug))).collect();
    drop(std::panic::take_hook());
    for (bug, how) in &noticed {
        println!("{}: {}", bug.name(), how.as_deref().unwrap_or("NOT NOTICED"));
    }
    assert!(notice_in_stories().is_empty(), "without a bug the stories read as written");
    let unnoticed: Vec<&str> =
        noticed.iter().filter(|(_, how)| how.is_none()).map(|(bug, _)| bug.name()).collect();
    assert!(unnoticed.is_empty(), "nobody noticed {unnoticed:?}");
}

fn notice(bug: Bug) -> Option<String> {
    plant(Some(bug));
    let stories = notice_in_stories();
    let seeds = if stories.is_empty() { SEEDS } else { SEEDS_MORE };
    let world = (0..seeds).find_map(|seed| {
        let panic = catch_unwind(|| simulation::live(seed)).err()?;
        Some(format!("world: {}", first_line(panic.as_ref())))
    });
    plant(None);
    let all: Vec<String> = stories.into_iter().chain(world).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The stories that read otherwise, or end in a broken invariant.
fn notice_in_stories() -> Vec<String> {
    let mut paths: Vec<_> =
        std::fs::read_dir("tests/testdata").unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let differs = |path: &std::path::PathBuf| catch_unwind(|| tell(path)).is_err();
    let name = |path: std::path::PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.into_iter().filter(differs).map(name).collect()
}

fn tell(path: &std::path::Path) {
    datadriven::walk(path.to_str().unwrap(), |file| {
        let mut world = conversation::World::default();
        file.run(|case| world.run(&format!("{} {}", case.directive, case.input.trim())));
    });
}

fn first_line(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
    text.unwrap_or_default().lines().next().unwrap_or_default().to_string()
}
