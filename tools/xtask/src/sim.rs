//! `cargo sim`: builds the simulator and runs seeds, each in a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use self::campaign::Campaign;
use self::coverage::Coverage;
use self::simulator::{Error, Run, Simulator};

mod audit;
mod bench;
mod bugs;
mod campaign;
mod coverage;
mod real;
mod rotation;
mod simulator;
mod soak;

const USAGE: &str = "\
cargo sim                      fresh seeds until one fails, or the time is up; one line each
cargo sim SEED                 that seed again, with the story of what happened
cargo sim shrink SEED          the fewest faults and requests that still fail, as a file
cargo sim timeline SEED        the run as one page for a browser
cargo sim replay FILE          what a file of a failure or of a shrunk one says, with its story
cargo sim soak                 all weather for a night; every failure becomes a file, and it goes on
cargo sim check FILE..         histories of clients: is there an order that explains them?
cargo sim audit                each seed twice, in two processes: the events must be the same
cargo sim bugs [NAME]          every bug planted on purpose: found or not, after how many seeds
cargo sim coverage             256 seeds: which kinds of trouble were asked for, and which were felt
cargo sim bench [checker|costs]  simulated time for real time; the checker against the clock; or what
                               an operation costs, in round trips and flushes
cargo sim --real               scenario files with real processes, networks and disks, one after the other
cargo sim scenarios            the weather there is, and what files in sim/scenarios say
options
  --seeds N        so many seeds; from 256 on every kind of trouble must have been felt
                   (audit: 200; bench: 20; bugs: at most 200 a bug; coverage: 256)
  --from SEED      the first one                 (drawn from the clock; audit, bench, bugs, coverage: 1)
  --minutes M      the time is up after this     (10)
  --scenario NAME  that weather only, or that file of sim/scenarios (swarm; --real: all files)
  --planted BUG    with this bug planted
  --shrink         each bug's failure is made small    (bugs)
  --older BINARY   nodes begin with that, and are upgraded when they start again    (--real)
  --hours H        that long                     (soak: 8)
  --out FILE       what is written goes here     (below target/sim; shrunk ones: sim/testdata/shrunk;
                   bugs and coverage: their table, nowhere else)
  --jobs N         at a time                     (one for each core)
  --keep-going     past the first failure
exit status: 0 all is well, 1 a seed failed (or a bug was not found), 2 the command makes no sense";

const HOURS: u64 = 8;
const TIME_MAX: Duration = Duration::from_secs(600);

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    /// A word or a seed; none means a campaign.
    subject: Option<String>,
    /// What the subject is about: a bug's name.
    object: Option<String>,
    /// More of these.
    files: Vec<String>,
    hours: u64,
    out: Option<String>,
    shrinks: bool,
    seeds: Option<u64>,
    from: Option<u64>,
    time_max: Duration,
    scenario: Option<String>,
    planted: Option<String>,
    jobs: usize,
    keep_going: bool,
    is_real: bool,
    older: Option<PathBuf>,
}

/// Runs `cargo sim` with these arguments.
pub(crate) fn main(arguments: Vec<String>) -> ExitCode {
    let options = match parse(arguments) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("{reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.subject.as_deref() == Some("help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let result = if options.is_real {
        real::real(&options)
    } else {
        Simulator::build().and_then(|simulator| act(&simulator, &options))
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn act(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    match options.subject.as_deref() {
        None => campaign(simulator, options),
        Some("audit") => audit::audit(simulator, options),
        Some("bugs") => bugs::bugs(simulator, options),
        Some("bench") if options.object.as_deref() == Some("checker") => {
            simulator.pass(&["bench-checker".to_owned()])
        }
        Some("bench") if options.object.as_deref() == Some("costs") => {
            simulator.pass(&["costs".to_owned()])
        }
        Some("bench") => bench::bench(simulator, options),
        Some("coverage") => campaign(simulator, &covering(options)),
        Some("soak") => soak::soak(simulator, options),
        Some(word @ ("check" | "replay" | "shrink" | "timeline")) => {
            about(simulator, options, word)
        }
        Some("scenarios") => {
            simulator.list("scenarios")?.iter().for_each(|line| println!("{line}"));
            println!("\nand in files:");
            simulator.pass(&["written".to_owned()])
        }
        Some(seed) => {
            let seed = seed.parse().map_err(|_| Error::new(format!("`{seed}` is no seed")))?;
            simulator.tell(&options.run(seed))
        }
    }
}

/// What is about one seed, or about files.
fn about(simulator: &Simulator, options: &Options, word: &str) -> Result<bool, Error> {
    let object = options.object.clone();
    let object = object.ok_or_else(|| Error::new(format!("cargo sim {word}: which one?")))?;
    match word {
        "check" => {
            let files = [object].into_iter().chain(options.files.clone());
            simulator.pass(&["check".to_owned()].into_iter().chain(files).collect::<Vec<_>>())
        }
        "replay" => simulator.pass(&["replay".to_owned(), object, "--story".to_owned()]),
        "shrink" => {
            let name = options.planted.as_deref().map_or(object.clone(), file_name);
            let default = || simulator.root().join(format!("sim/testdata/shrunk/{name}.json"));
            let out = options.out.clone().map_or_else(default, PathBuf::from);
            let mut arguments = match object.parse() {
                Ok(seed) => options.run(seed).arguments(),
                Err(_) => vec!["run".to_owned(), object],
            };
            arguments[0] = word.to_owned();
            arguments.extend(["--out".to_owned(), out.to_string_lossy().into_owned()]);
            arguments.extend(["--jobs".to_owned(), options.jobs.to_string()]);
            simulator.pass(&arguments)
        }
        _ => {
            let default = || simulator.folder("timelines").join(format!("{object}.html"));
            let out = options.out.clone().map_or_else(default, PathBuf::from);
            let mut arguments = match object.parse() {
                Ok(seed) => options.run(seed).arguments(),
                Err(_) => vec!["replay".to_owned(), object],
            };
            arguments.extend(["--timeline".to_owned(), out.to_string_lossy().into_owned()]);
            let is_well = simulator.pass(&arguments)?;
            println!("\nthe page: {}", out.display());
            // The page is what was asked for; that the seed fails is what it is about.
            Ok(is_well || out.exists())
        }
    }
}

/// `core/vote-twice` is no name for a file.
fn file_name(name: &str) -> String {
    name.replace('/', "_")
}

/// Enough seeds to see every kind of trouble, always the same, and on past failures.
fn covering(options: &Options) -> Options {
    Options {
        seeds: options.seeds.or(Some(coverage::SEEDS_ENOUGH)),
        from: options.from.or(Some(1)),
        time_max: Duration::from_secs(86_400),
        keep_going: true,
        ..options.clone()
    }
}

fn campaign(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    let first = options.from.unwrap_or_else(seed_from_clock);
    println!("seeds from {first} on");
    let mut campaign = Campaign::new(options, first);
    campaign.seeds_max = options.seeds.unwrap_or(u64::MAX);
    campaign.time_max = options.time_max;
    campaign.stops_at_failure = !options.keep_going;
    let coverage = Mutex::new(Coverage::new(simulator)?);
    let result = campaign.run(simulator, |outcome| {
        println!("{}", outcome.line);
        coverage.lock().expect("no worker panics").add(outcome);
    })?;
    let coverage = coverage.into_inner().expect("no worker panics");
    for outcome in &result.failed {
        println!("\n{}", outcome.text);
        println!("  capsule {}", simulator.capsule(&options.run(outcome.seed)).display());
    }
    // One kind of weather need not have every kind of trouble.
    let covers = options.scenario.is_none() && coverage.is_due();
    if covers || options.subject.as_deref() == Some("coverage") {
        println!("\n{coverage}");
        if let Some(out) = &options.out {
            std::fs::write(out, format!("{coverage}\n"))
                .map_err(|error| Error::new(format!("{out} cannot be written: {error}")))?;
        }
    }
    println!("{} seeds, {} failed", result.count, result.failed.len());
    Ok(result.failed.is_empty() && (!covers || coverage.is_good()))
}

#[expect(clippy::disallowed_methods, reason = "a fresh seed is wanted, and it is printed")]
fn seed_from_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Short enough to be typed again: seconds of this century, a thousand seeds each.
    now.map_or(1, |now| now.as_secs() % 1_000_000_000 * 1_000)
}

impl Options {
    /// Whether something was asked for that only a simulator can do.
    fn is_simulated(&self) -> bool {
        let defaults = (self.hours, self.time_max) == (HOURS, TIME_MAX);
        !defaults || self.planted.is_some() || self.out.is_some() || self.shrinks || self.keep_going
    }

    fn run(&self, seed: u64) -> Run {
        Run { seed, scenario: self.scenario.clone(), planted: self.planted.clone() }
    }
}

fn parse(arguments: Vec<String>) -> Result<Options, String> {
    let mut options = Options {
        subject: None,
        object: None,
        files: Vec::new(),
        hours: HOURS,
        out: None,
        shrinks: false,
        seeds: None,
        from: None,
        time_max: TIME_MAX,
        scenario: None,
        planted: None,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        keep_going: false,
        is_real: false,
        older: None,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--seeds" => options.seeds = Some(number(&value()?)?),
            "--from" => options.from = Some(number(&value()?)?),
            "--minutes" => options.time_max = Duration::from_secs(60 * number(&value()?)?),
            "--jobs" => options.jobs = number(&value()?)?.max(1) as usize,
            "--scenario" => options.scenario = Some(value()?),
            "--planted" => options.planted = Some(value()?),
            "--keep-going" => options.keep_going = true,
            "--hours" => options.hours = number(&value()?)?,
            "--out" => options.out = Some(value()?),
            "--shrink" => options.shrinks = true,
            "--real" => options.is_real = true,
            "--older" => options.older = Some(binary(&value()?)?),
            "--help" | "-h" => options.subject = Some("help".to_owned()),
            _ if argument.starts_with('-') => return Err(format!("no option is `{argument}`")),
            _ if options.subject.is_none() => options.subject = Some(argument),
            _ if options.object.is_none() => options.object = Some(argument),
            _ if options.subject.as_deref() == Some("check") => options.files.push(argument),
            _ => return Err(format!("`{argument}` is one word too many")),
        }
    }
    let words = [
        "audit",
        "bench",
        "bugs",
        "check",
        "coverage",
        "help",
        "replay",
        "scenarios",
        "shrink",
        "soak",
        "timeline",
    ];
    match options.subject.as_deref() {
        _ if options.older.is_some() && !options.is_real => {
            Err("--older needs --real: a simulated world has one binary".to_owned())
        }
        None if options.is_real && options.is_simulated() => {
            Err("--real knows --scenario, --from, --seeds and --older".to_owned())
        }
        Some(word) if options.is_real => {
            Err(format!("`{word}` says nothing about --real: see --from"))
        }
        Some(word) if !words.contains(&word) && word.parse::<u64>().is_err() => {
            Err(format!("`{word}` is neither a seed nor one of {words:?}"))
        }
        _ => Ok(options),
    }
}

/// A file that is there, wherever it is looked for from.
fn binary(path: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(line.split_whitespace().map(str::to_owned).collect())
    }

    /// Goal: what the help says can be typed, and typing errors are named. Method: examples of each.
    #[test]
    fn the_command_line_is_understood() {
        let options = parsed("4711 --scenario partition").unwrap();
        assert_eq!(options.subject.as_deref(), Some("4711"));
        assert_eq!(options.run(7).scenario.as_deref(), Some("partition"));
        let options = parsed("--seeds 20 --from 5 --minutes 3 --jobs 2").unwrap();
        assert_eq!((options.seeds, options.from, options.jobs), (Some(20), Some(5), 2));
        assert_eq!(options.time_max, Duration::from_secs(180));
        assert_eq!(parsed("bugs stale-read").unwrap().object.as_deref(), Some("stale-read"));
        let options = parsed("shrink 17 --planted core/x --out a.json").unwrap();
        assert_eq!(options.object.as_deref(), Some("17"));
        assert_eq!(options.out.as_deref(), Some("a.json"));
        assert_eq!(parsed("check a b c").unwrap().files, ["b", "c"]);
        assert_eq!(parsed("soak --hours 3").unwrap().hours, 3);
        assert!(parsed("bugs --shrink").unwrap().shrinks);
        assert!(parsed("--real --scenario ring").unwrap().is_real);
        assert!(parsed("--real --planted x").unwrap_err().contains("--real knows"));
        assert!(parsed("--real --minutes 3").unwrap_err().contains("--real knows"));
        assert!(parsed("audit --older /bin/sh").unwrap_err().contains("needs --real"));
        assert!(parsed("--older /bin/sh").unwrap_err().contains("needs --real"));
        assert!(parsed("--real --older /bin/sh").unwrap().older.is_some());
        assert!(parsed("--real --older /no/such").unwrap_err().contains("/no/such: "));
        assert!(parsed("7 --real").unwrap_err().contains("see --from"));
        assert!(parsed("adit").unwrap_err().contains("`adit` is neither"));
        assert!(parsed("--seed 3").unwrap_err().contains("no option is `--seed`"));
        assert!(parsed("--seeds many").unwrap_err().contains("`many` is no number"));
        assert!(parsed("--seeds").unwrap_err().contains("wants a value"));
    }
}
