//! The same seed twice, in two processes that differ in all that must not matter.

use std::fs;
use std::path::PathBuf;

use super::Options;
use super::simulator::{Error, Outcome, Run, Simulator};

const SEEDS: u64 = 200;

/// Runs each seed twice, the second time with another environment and all logging on; the hashes of
/// all events must match. Says which event differs first, if one does.
pub(super) fn audit(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    let first = options.from.unwrap_or(1);
    let seeds: Vec<u64> = (first..first + options.seeds.unwrap_or(SEEDS)).collect();
    let share = seeds.len().div_ceil(options.jobs).max(1);
    let shares: Vec<_> = seeds.chunks(share).collect();
    let mismatches: Vec<Result<u64, Error>> = std::thread::scope(|scope| {
        let workers: Vec<_> = shares
            .iter()
            .map(|share| scope.spawn(|| audit_share(simulator, options, share)))
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect()
    });
    let mismatches: u64 = mismatches.into_iter().sum::<Result<u64, Error>>()?;
    println!("{} seeds, two processes each: {mismatches} mismatches", seeds.len());
    Ok(mismatches == 0)
}

fn audit_share(simulator: &Simulator, options: &Options, seeds: &[u64]) -> Result<u64, Error> {
    let mut mismatches = 0;
    for &seed in seeds {
        let run = options.run(seed);
        let plain = simulator.run(&run)?;
        let loud = simulator.run_with(&run, &["--log".to_owned()], LOUD)?;
        match (plain.value("hash"), loud.value("hash")) {
            (Some(one), Some(other)) if one == other => {
                println!("seed={seed} same hash={one} simulated_s={}", plain.number("simulated_s"));
            }
            _ => {
                mismatches += 1;
                println!("seed={seed} DIFFERS\n  {}\n  {}", plain.line, loud.line);
                println!("  {}", first_difference(simulator, &run)?);
            }
        }
    }
    Ok(mismatches)
}

/// Moves the stack, lengthens the environment, and makes everybody talk.
const LOUD: &[(&str, &str)] = &[
    ("RUST_LOG", "trace"),
    ("RUST_BACKTRACE", "1"),
    ("TZ", "Pacific/Chatham"),
    ("EVENKEEL_AUDIT", "a different environment, to move the stack by a little more than nothing"),
];

fn first_difference(simulator: &Simulator, run: &Run) -> Result<String, Error> {
    let record = |name: &str, environment: &[(&str, &str)]| -> Result<(Outcome, PathBuf), Error> {
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("evenkeel-{process}-{}-{name}", run.seed));
        let mut more = vec!["--record".to_owned(), path.to_string_lossy().into_owned()];
        if !environment.is_empty() {
            more.push("--log".to_owned());
        }
        Ok((simulator.run_with(run, &more, environment)?, path))
    };
    let (_, plain) = record("plain", &[])?;
    let (_, loud) = record("loud", LOUD)?;
    let text = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    let (one, other) = (text(&plain), text(&loud));
    let differs = (1..).zip(one.lines().zip(other.lines())).find(|(_, (one, other))| one != other);
    Ok(match differs {
        Some((line, (one, other))) => {
            format!("event {line}:\n    {one}\n    {other}\n  whole: {plain:?} and {loud:?}")
        }
        None if one.lines().count() != other.lines().count() => {
            format!("one record is the beginning of the other: {plain:?} and {loud:?}")
        }
        None => "the third and fourth run were the same: it happens now and then only".to_owned(),
    })
}
