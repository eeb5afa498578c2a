//! How good is the weather at finding bugs? Each planted bug, until an oracle speaks.
//!
//! **Invariant.** All bugs are hunted through the same worlds in the same order, and a find counts only if
//! the same world without the bug is clean: so the one difference between found and not found is the bug.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use self::small::Small;
use self::table::{Find, Row, Table, Took};
use super::Options;
use super::campaign::Campaign;
use super::rotation::Rotation;
use super::simulator::{Error, Outcome, Simulator};

mod small;
mod table;

/// A bug that survives so many seeds is not found.
const SEEDS_MAX: u64 = 200;

/// Not a bug of the product: the simulator lies to its own oracle, and must be caught every time.
const CANARY: &str = "canary";

/// Runs every planted bug (or the one named), then no bug, and prints a table of what found it and when.
pub(super) fn bugs(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    let all = simulator.list("bugs")?;
    let chosen: Vec<String> = match &options.object {
        Some(name) => all.iter().filter(|bug| *bug == name).cloned().collect(),
        None => all.clone(),
    };
    if chosen.is_empty() {
        return Err(Error::new(format!("no such bug; there are {}", all.join(", "))));
    }
    let mut hunt = Hunt::new(simulator, options)?;
    let (begun, processor_begun) = (now(), processor_s());
    let rows = hunt.all(&chosen)?;
    let took =
        Took { real_s: begun.elapsed().as_secs(), processor_s: processor_s() - processor_begun };
    let needed_max = rows.iter().filter_map(Row::seeds).max().unwrap_or(0);
    let healthy = hunt.healthy(needed_max.max(hunt.rotation.len()))?;
    let table = Table { rows, took, cores: options.jobs, healthy, is_shrunk: options.shrinks };
    println!("\n{table}");
    if let Some(out) = &options.out {
        let written = std::fs::write(out, table.to_string());
        written.map_err(|error| Error::new(format!("{out} cannot be written: {error}")))?;
    }
    Ok(table.is_good())
}

struct Hunt<'a> {
    simulator: &'a Simulator,
    options: Options,
    rotation: Rotation,
    first: u64,
    /// Bugs hunted at a time.
    workers: usize,
    /// Seeds whose worlds were run without a bug, and whether they were clean.
    clean: Mutex<BTreeMap<u64, bool>>,
}

impl<'a> Hunt<'a> {
    fn new(simulator: &'a Simulator, options: &Options) -> Result<Hunt<'a>, Error> {
        let first = options.from.unwrap_or(1);
        let rotation = Rotation::new(simulator, options, first)?;
        // One bug has all cores; of many, each has one. Shrinking has its limit of time on all of them.
        let is_one = options.object.is_some() || options.shrinks;
        let (workers, jobs) = if is_one { (1, options.jobs) } else { (options.jobs, 1) };
        let options = Options { jobs, ..options.clone() };
        Ok(Hunt { simulator, options, rotation, first, workers, clean: Mutex::default() })
    }

    /// Hunts all of these, and says of each how it went.
    fn all(&self, bugs: &[String]) -> Result<Vec<Row>, Error> {
        let next = AtomicUsize::new(0);
        let rows: Mutex<Vec<(usize, Result<Row, Error>)>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..self.workers {
                scope.spawn(|| {
                    while let Some((number, bug)) = take(&next, bugs) {
                        let row = self.one(bug);
                        row.iter().for_each(|row| println!("{}", row.plain()));
                        rows.lock().expect("no worker panics").push((number, row));
                    }
                });
            }
        });
        let mut rows = rows.into_inner().expect("no worker panics");
        rows.sort_by_key(|(number, _)| *number);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn one(&self, bug: &str) -> Result<Row, Error> {
        let begun = now();
        let planted = Options { planted: Some(bug.to_owned()), ..self.options.clone() };
        // A canary that lives through one seed is already bad news.
        let seeds_max = if bug == CANARY { 1 } else { SEEDS_MAX };
        let end = self.first + seeds_max.min(self.options.seeds.unwrap_or(seeds_max));
        let mut next = self.first;
        let mut find = None;
        while next < end && find.is_none() {
            let mut campaign = Campaign::new(&planted, next);
            campaign.rotation = Some(&self.rotation);
            campaign.seeds_max = end - next;
            let Some(failed) = campaign.run(self.simulator, |_| ())?.failed.into_iter().next()
            else {
                next = end;
                break;
            };
            next = failed.seed + 1;
            if self.is_clean(failed.seed)? {
                find = Some(self.find(&failed));
            }
        }
        let took = begun.elapsed();
        let small = match &find {
            Some(Ok(find)) if self.options.shrinks => {
                let run = self.rotation.run(&planted, find.seed);
                Some(Small::of(self.simulator, &run, self.options.jobs)?)
            }
            _ => None,
        };
        Ok(Row { bug: bug.to_owned(), tried: next - self.first, find, took, small })
    }

    /// Whether a seed's world is clean without a bug. What fails all the same shows no bug.
    fn is_clean(&self, seed: u64) -> Result<bool, Error> {
        let known = self.clean.lock().expect("no worker panics").get(&seed).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let is_clean = self.simulator.run(&self.rotation.run(&self.options, seed))?.is_ok;
        self.clean.lock().expect("no worker panics").insert(seed, is_clean);
        Ok(is_clean)
    }

    /// What an oracle said; an end without a word is no find.
    fn find(&self, outcome: &Outcome) -> Result<Find, String> {
        let seed = outcome.seed;
        let weather = outcome.value("scenario").unwrap_or("?").to_owned();
        match outcome.value("oracle") {
            Some("process") | None => {
                Err(format!("seed {seed} in {weather}: no oracle spoke: {}", outcome.line))
            }
            Some(oracle) => {
                let oracle =
                    if oracle == "panic" { panicked(&outcome.text) } else { oracle.into() };
                Ok(Find { seed, seeds: seed - self.first + 1, weather, oracle })
            }
        }
    }

    /// The same worlds with no bug in them: how many there were, and what failed.
    fn healthy(&mut self, count: u64) -> Result<(u64, Vec<String>), Error> {
        self.options.jobs *= self.workers;
        let mut campaign = Campaign::new(&self.options, self.first);
        campaign.rotation = Some(&self.rotation);
        campaign.seeds_max = count;
        campaign.stops_at_failure = false;
        let result = campaign.run(self.simulator, |_| ())?;
        Ok((result.count, result.failed.into_iter().map(|outcome| outcome.line).collect()))
    }
}

fn take<'a>(next: &AtomicUsize, bugs: &'a [String]) -> Option<(usize, &'a String)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Some((number, bugs.get(number)?))
}

/// An assertion of the product's own is an oracle too: which one it was.
fn panicked(text: &str) -> String {
    let claim = text.lines().find_map(|line| line.strip_prefix("panic: ")).unwrap_or_default();
    let place = claim.rsplit_once(" (").and_then(|(rest, _)| rest.rsplit_once(" ("));
    let words = place.map_or(claim, |(words, _)| words);
    format!("assertion: {}", words.lines().next().unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "a hunt takes real time")]
fn now() -> Instant {
    Instant::now()
}

/// Processor time of all processes that were waited for, in seconds: on a machine that is shared, the
/// one figure that means something. 0 where the system does not say (it is Linux that does).
fn processor_s() -> u64 {
    /// `sysconf(_SC_CLK_TCK)` is this on every Linux.
    const TICKS_PER_SECOND: u64 = 100;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold anything: state is field 3, `cutime` and `cstime` are 16 and 17.
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(13).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks.sum::<u64>() / TICKS_PER_SECOND
}
