//! A night of weather: fresh seeds over all scenarios. A failure does not end it; each leaves a capsule.
//!
//! **Invariant.** The disk that it uses is bounded: of each oracle so many capsules are kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Options;
use super::coverage::Coverage;
use super::rotation::Rotation;
use super::simulator::{Error, Outcome, Run, Simulator};

/// Capsules of one oracle; a capsule is some kilobytes.
const CAPSULE_COUNT_MAX: u32 = 20;
/// How often it says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct Tally {
    seeds: u64,
    simulated_s: f64,
    operations: f64,
    /// Failures by oracle, with the first ones' commands.
    failures: BTreeMap<String, Vec<String>>,
    error: Option<Error>,
}

/// Runs for so many hours (or seeds, if that is said) and sums up; true if nothing failed.
#[expect(clippy::disallowed_methods, reason = "a night lasts for real hours")]
pub(super) fn soak(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    let first = options.from.unwrap_or_else(super::seed_from_clock);
    let rotation = Rotation::new(simulator, options, first)?;
    let time_max = Duration::from_secs(options.hours * 3_600);
    let seeds_max = options.seeds.unwrap_or(u64::MAX);
    println!("soak: seeds from {first} on, over {}", rotation.scenarios().join(", "));
    let (begun, next) = (Instant::now(), AtomicU64::new(0));
    let (tally, reported) = (Mutex::new(Tally::default()), Mutex::new(Duration::ZERO));
    let coverage = Mutex::new(Coverage::new(simulator)?);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while begun.elapsed() < time_max {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= seeds_max {
                        break;
                    }
                    let run = rotation.run(options, first + index);
                    let outcome = one(simulator, &run);
                    outcome.iter().for_each(|outcome| {
                        coverage.lock().expect("no worker panics").add(outcome);
                    });
                    let mut tally = tally.lock().expect("no worker panics");
                    note(&mut tally, simulator, &run, outcome);
                    let mut reported = reported.lock().expect("no worker panics");
                    if begun.elapsed() >= *reported + REPORT_EVERY {
                        *reported = begun.elapsed();
                        println!("{}", summary(&tally, begun.elapsed()));
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no worker panics");
    println!("\n{}", summary(&tally, begun.elapsed()));
    for (oracle, commands) in &tally.failures {
        println!("  {oracle}: {}", commands.len());
        commands.iter().take(CAPSULE_COUNT_MAX as usize).for_each(|line| println!("    {line}"));
    }
    let coverage = coverage.into_inner().expect("no worker panics");
    println!("\n{coverage}");
    let covers = options.scenario.is_none();
    match tally.error {
        Some(error) => Err(error),
        None => Ok(tally.failures.is_empty() && (!covers || coverage.is_good())),
    }
}

fn one(simulator: &Simulator, run: &Run) -> Result<Outcome, Error> {
    let capsule = simulator.capsule(run).to_string_lossy().into_owned();
    simulator.run_with(run, &["--capsule".to_owned(), capsule], &[])
}

fn note(tally: &mut Tally, simulator: &Simulator, run: &Run, outcome: Result<Outcome, Error>) {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            tally.error.get_or_insert(error);
            return;
        }
    };
    tally.seeds += 1;
    tally.simulated_s += outcome.number("simulated_s");
    tally.operations += outcome.number("operations");
    if outcome.is_ok {
        return;
    }
    println!("{}", outcome.line);
    let oracle = outcome.value("oracle").unwrap_or("unknown").to_owned();
    let capsule = simulator.capsule(run);
    let of_oracle = tally.failures.entry(oracle).or_default();
    if of_oracle.len() >= CAPSULE_COUNT_MAX as usize {
        // There are enough to go by.
        let _ = std::fs::remove_file(&capsule);
    }
    of_oracle.push(replay(run, &capsule));
}

/// What shows a failure again: its capsule, or its seed if it died without leaving one.
fn replay(run: &Run, capsule: &Path) -> String {
    let scenario = run.scenario.as_deref().unwrap_or("swarm");
    match capsule.exists() {
        true => format!("cargo sim replay {}", capsule.display()),
        false => format!("cargo sim {} --scenario {scenario}", run.seed),
    }
}

fn summary(tally: &Tally, took: Duration) -> String {
    let failed: usize = tally.failures.values().map(Vec::len).sum();
    format!(
        "soak: {} seeds, {:.1} hours simulated, {:.0} operations, in {:.1} hours; {failed} failed",
        tally.seeds,
        tally.simulated_s / 3_600.0,
        tally.operations,
        took.as_secs_f64() / 3_600.0,
    )
}
