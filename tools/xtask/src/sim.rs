//! `cargo sim`: builds the simulator and runs seeds, each in a process of its own.

use std::process::ExitCode;
use std::time::Duration;

use self::campaign::Campaign;
use self::simulator::{Error, Run, Simulator};

mod audit;
mod bench;
mod bugs;
mod campaign;
mod simulator;

const USAGE: &str = "\
cargo sim                      fresh seeds until one fails, or the time is up; one line each
cargo sim SEED                 that seed again, with the story of what happened
cargo sim audit                each seed twice, in two processes: the events must be the same
cargo sim bugs [NAME]          every bug planted on purpose: found or not, after how many seeds
cargo sim bench                simulated time for real time
cargo sim scenarios            the weather there is
options
  --seeds N        so many seeds                 (audit: 200; bench: 20; bugs: at most 200 a bug)
  --from SEED      the first one                 (drawn from the clock; bugs, audit and bench: 1)
  --minutes M      the time is up after this     (10)
  --scenario NAME  that weather only             (swarm)
  --planted BUG    with this bug planted
  --jobs N         at a time                     (one for each core)
  --keep-going     past the first failure
exit status: 0 all is well, 1 a seed failed (or a bug was not found), 2 the command makes no sense";

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    /// A word or a seed; none means a campaign.
    subject: Option<String>,
    /// What the subject is about: a bug's name.
    object: Option<String>,
    seeds: Option<u64>,
    from: Option<u64>,
    time_max: Duration,
    scenario: Option<String>,
    planted: Option<String>,
    jobs: usize,
    keep_going: bool,
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
    match Simulator::build().and_then(|simulator| act(&simulator, &options)) {
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
        Some("bench") => bench::bench(simulator, options),
        Some("scenarios") => {
            simulator.list("scenarios")?.iter().for_each(|line| println!("{line}"));
            Ok(true)
        }
        Some(seed) => {
            let seed = seed.parse().map_err(|_| Error::new(format!("`{seed}` is no seed")))?;
            simulator.tell(&options.run(seed))
        }
    }
}

fn campaign(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    let first = options.from.unwrap_or_else(seed_from_clock);
    println!("seeds from {first} on");
    let mut campaign = Campaign::new(options, first);
    campaign.seeds_max = options.seeds.unwrap_or(u64::MAX);
    campaign.time_max = options.time_max;
    campaign.stops_at_failure = !options.keep_going;
    let result = campaign.run(simulator, |outcome| println!("{}", outcome.line))?;
    for outcome in &result.failed {
        println!("\n{}", outcome.text);
    }
    println!("{} seeds, {} failed", result.count, result.failed.len());
    Ok(result.failed.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "a fresh seed is wanted, and it is printed")]
fn seed_from_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Short enough to be typed again: seconds of this century, a thousand seeds each.
    now.map_or(1, |now| now.as_secs() % 1_000_000_000 * 1_000)
}

impl Options {
    fn run(&self, seed: u64) -> Run {
        Run { seed, scenario: self.scenario.clone(), planted: self.planted.clone() }
    }
}

fn parse(arguments: Vec<String>) -> Result<Options, String> {
    let mut options = Options {
        subject: None,
        object: None,
        seeds: None,
        from: None,
        time_max: Duration::from_secs(600),
        scenario: None,
        planted: None,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        keep_going: false,
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
            "--help" | "-h" => options.subject = Some("help".to_owned()),
            _ if argument.starts_with('-') => return Err(format!("no option is `{argument}`")),
            _ if options.subject.is_none() => options.subject = Some(argument),
            _ if options.object.is_none() => options.object = Some(argument),
            _ => return Err(format!("`{argument}` is one word too many")),
        }
    }
    let words = ["audit", "bugs", "bench", "scenarios", "help"];
    match options.subject.as_deref() {
        Some(word) if !words.contains(&word) && word.parse::<u64>().is_err() => {
            Err(format!("`{word}` is neither a seed nor one of {words:?}"))
        }
        _ => Ok(options),
    }
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
        assert!(parsed("adit").unwrap_err().contains("`adit` is neither"));
        assert!(parsed("--seed 3").unwrap_err().contains("no option is `--seed`"));
        assert!(parsed("--seeds many").unwrap_err().contains("`many` is no number"));
        assert!(parsed("--seeds").unwrap_err().contains("wants a value"));
    }
}
