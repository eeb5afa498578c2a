//! Many seeds, as many at a time as there are cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Options;
use super::rotation::Rotation;
use super::simulator::{Error, Outcome, Run, Simulator};

/// What to run, and when to stop.
pub(crate) struct Campaign<'a> {
    options: &'a Options,
    /// Seeds take turns through all weather; otherwise each gets what the options say.
    pub(crate) rotation: Option<&'a Rotation>,
    first: u64,
    pub(crate) seeds_max: u64,
    pub(crate) time_max: Duration,
    /// The first failure ends it.
    pub(crate) stops_at_failure: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Result {
    pub(crate) count: u64,
    /// In order of their seeds.
    pub(crate) failed: Vec<Outcome>,
    pub(crate) passed: Vec<Outcome>,
}

impl<'a> Campaign<'a> {
    pub(crate) fn new(options: &'a Options, first: u64) -> Campaign<'a> {
        Campaign {
            options,
            rotation: None,
            first,
            seeds_max: 1,
            time_max: Duration::from_secs(86_400),
            stops_at_failure: true,
        }
    }

    fn world(&self, seed: u64) -> Run {
        match self.rotation {
            Some(rotation) => rotation.run(self.options, seed),
            None => self.options.run(seed),
        }
    }

    /// A failure is kept, unless it was planted.
    fn more(&self, simulator: &Simulator, run: &Run) -> Vec<String> {
        if run.planted.is_some() {
            return Vec::new();
        }
        let path = simulator.capsule(run);
        vec!["--capsule".to_owned(), path.to_string_lossy().into_owned()]
    }

    /// Runs it; `tell` hears of every seed as it ends.
    pub(crate) fn run(
        &self,
        simulator: &Simulator,
        tell: impl Fn(&Outcome) + Sync,
    ) -> std::result::Result<Result, Error> {
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let result = Mutex::new(Ok(Result::default()));
        let deadline = deadline(self.time_max);
        std::thread::scope(|scope| {
            for _ in 0..self.options.jobs {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) && !deadline() {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= self.seeds_max {
                            break;
                        }
                        let run = self.world(self.first + index);
                        let outcome = simulator.run_with(&run, &self.more(simulator, &run), &[]);
                        let failed = outcome.as_ref().map_or(true, |outcome| !outcome.is_ok);
                        if failed && self.stops_at_failure {
                            stop.store(true, Ordering::Relaxed);
                        }
                        outcome.iter().for_each(&tell);
                        note(&mut result.lock().expect("no worker panics"), outcome);
                    }
                });
            }
        });
        let mut result = result.into_inner().expect("no worker panics")?;
        result.failed.sort_by_key(|outcome| outcome.seed);
        Ok(result)
    }
}

fn note(
    result: &mut std::result::Result<Result, Error>,
    outcome: std::result::Result<Outcome, Error>,
) {
    match (result.as_mut(), outcome) {
        (Ok(result), Ok(outcome)) => {
            result.count += 1;
            let list = if outcome.is_ok { &mut result.passed } else { &mut result.failed };
            list.push(outcome);
        }
        (Ok(_), Err(error)) => *result = Err(error),
        (Err(_), _) => (),
    }
}

#[expect(clippy::disallowed_methods, reason = "a campaign lasts for real minutes")]
fn deadline(time_max: Duration) -> impl Fn() -> bool {
    let begun = Instant::now();
    move || begun.elapsed() >= time_max
}
