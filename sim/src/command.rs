//! `evenkeel-sim run SEED [...]`: what `cargo sim` calls.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use evenkeel_runtime::simulated;
use evenkeel_sim::capsule::Capsule;
use evenkeel_sim::coverage::Kind;
use evenkeel_sim::plan::{Plan, Scenario, plan};
use evenkeel_sim::story;
use evenkeel_sim::world::{self, Telling};
use evenkeel_sim::written::{self, ScenarioFile};

use self::run::{Job, Outputs};

mod judge;
mod run;
mod shrink;

const USAGE: &str = "\
evenkeel-sim run SEED [--scenario NAME] [--planted BUG] [--story] [--log] [--without N,N..]
                      [--until MS] [--record FILE] [--timeline FILE] [--capsule FILE [--requests]]
evenkeel-sim replay FILE [--story] [--log] [--record FILE] [--timeline FILE]
evenkeel-sim shrink SEED|FILE [--scenario NAME] [--planted BUG] [--seconds S] [--jobs N] --out FILE
evenkeel-sim plan SEED [--scenario NAME]
evenkeel-sim check FILE..
evenkeel-sim bench-checker
evenkeel-sim costs
evenkeel-sim bugs
evenkeel-sim scenarios
evenkeel-sim written
evenkeel-sim kinds";

/// The bug that is none of the product's: the oracle's own test.
const CANARY: &str = "canary";

/// Where plans come from.
enum Weather {
    /// All of it is drawn from the seed.
    Kind(Scenario),
    /// A file says what, and leaves the rest to the seed.
    File(ScenarioFile),
}

impl Weather {
    /// By the name of a kind, or of a file among the written ones.
    fn named(name: &str) -> Result<Weather, String> {
        match Scenario::ALL.iter().find(|scenario| scenario.name() == name) {
            Some(scenario) => Ok(Weather::Kind(*scenario)),
            None => Ok(Weather::File(ScenarioFile::load(&written::library(), name)?)),
        }
    }

    fn name(&self) -> &str {
        match self {
            Weather::Kind(scenario) => scenario.name(),
            Weather::File(file) => file.name(),
        }
    }

    fn plan(&self, seed: u64) -> Result<Plan, String> {
        match self {
            Weather::Kind(scenario) => Ok(plan(seed, *scenario)),
            Weather::File(file) => file.plan(seed),
        }
    }
}

struct Options {
    /// A seed or a file.
    subject: String,
    scenario: Weather,
    planted: Option<String>,
    /// Faults to leave out, by their number in the plan.
    without: Vec<usize>,
    until_ms: Option<u64>,
    story: bool,
    log: bool,
    outputs: Outputs,
    /// Of shrinking.
    out: Option<String>,
    time_max: Duration,
    jobs: usize,
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = arguments.first().map_or("", String::as_str);
    match word {
        "bugs" => {
            world::planted_names().iter().for_each(|name| println!("{name}"));
            println!("{CANARY}");
            ExitCode::SUCCESS
        }
        "scenarios" => {
            Scenario::ALL.iter().for_each(|scenario| println!("{}", scenario.name()));
            ExitCode::SUCCESS
        }
        "written" => {
            let lines = written::list(&written::library());
            for line in &lines {
                match line {
                    Ok(line) => println!("{line}"),
                    Err(error) => eprintln!("{error}"),
                }
            }
            if lines.iter().all(Result::is_ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        "kinds" => {
            Kind::ALL.iter().for_each(|kind| println!("{} {}", kind.name(), kind.activated()));
            ExitCode::SUCCESS
        }
        "check" => judge::check_files(&arguments[1..]),
        "bench-checker" => judge::bench(),
        "costs" => costs(),
        "run" | "plan" | "replay" | "shrink" => {
            let done = parse(&arguments[1..]).and_then(|options| match word {
                "run" => Ok(run::run(&job(&options)?)),
                "replay" => Ok(run::replay(&replayed(&options)?)),
                "shrink" => shrink::shrink(&options),
                _ => {
                    println!("{:#?}", options.scenario.plan(number(&options.subject)?)?);
                    Ok(ExitCode::SUCCESS)
                }
            });
            done.unwrap_or_else(|reason| usage(&reason))
        }
        _ => usage("say what to do"),
    }
}

/// What operations cost; an error if one costs more than it may.
fn costs() -> ExitCode {
    let outcome = simulated::run(1, world::costs::measure).outcome;
    let costs = match outcome.unwrap_or_else(|_| Err("a panic ended the run".to_owned())) {
        Ok(costs) => costs,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    println!("{:<50} {:>15} {:>15}", "", "round trips", "flushes");
    for cost in &costs {
        let verdict = if cost.is_fair() { "" } else { "  TOO MANY" };
        println!(
            "{:<50} {:>3} of at most {} {:>3} of at most {}{verdict}",
            cost.operation, cost.round_trips, cost.round_trips_max, cost.flushes, cost.flushes_max
        );
    }
    if costs.iter().all(|cost| cost.is_fair()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(reason: &str) -> ExitCode {
    eprintln!("{reason}\n{USAGE}");
    ExitCode::from(2)
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut arguments = arguments.iter();
    let mut options = Options {
        subject: arguments.next().ok_or("which seed, or which file?")?.clone(),
        scenario: Weather::Kind(Scenario::Swarm),
        planted: None,
        without: Vec::new(),
        until_ms: None,
        story: false,
        log: false,
        outputs: Outputs::default(),
        out: None,
        time_max: Duration::from_secs(60),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--scenario" => {
                options.scenario = Weather::named(value()?)?;
            }
            "--planted" => options.planted = Some(value()?.clone()),
            "--without" => {
                let numbers = value()?.split(',').map(|text| number(text).map(|at| at as usize));
                options.without = numbers.collect::<Result<_, _>>()?;
            }
            "--story" => options.story = true,
            "--log" => options.log = true,
            "--requests" => options.outputs.with_requests = true,
            "--record" => options.outputs.record = Some(value()?.clone()),
            "--timeline" => options.outputs.timeline = Some(value()?.clone()),
            "--capsule" => options.outputs.capsule = Some(value()?.clone()),
            "--until" => options.until_ms = Some(number(value()?)?),
            "--out" => options.out = Some(value()?.clone()),
            "--seconds" => options.time_max = Duration::from_secs(number(value()?)?),
            "--jobs" => options.jobs = number(value()?)?.max(1) as usize,
            _ => return Err(format!("no option is `{argument}`")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// What a seed means.
fn job(options: &Options) -> Result<Job, String> {
    let seed = number(&options.subject)?;
    let mut plan = options.scenario.plan(seed)?;
    let mut index = 0;
    plan.faults.retain(|_| {
        index += 1;
        !options.without.contains(&(index - 1))
    });
    let mut command = format!("cargo sim {seed}");
    if plan.scenario != Scenario::Swarm {
        command += &format!(" --scenario {}", options.scenario.name());
    }
    if let Some(bug) = &options.planted {
        command += &format!(" --planted {bug}");
    }
    let until_ms = options.until_ms;
    Ok(Job {
        capsule: Capsule {
            oracle: None,
            says: String::new(),
            commit: story::commit(),
            planted: options.planted.clone(),
            hash: None,
            plan,
            requests: None,
            until: until_ms.map(Duration::from_millis),
        },
        telling: Telling { story: options.story, ..Telling::default() },
        log: options.log,
        outputs: options.outputs.clone(),
        command,
    })
}

/// What a file says.
fn replayed(options: &Options) -> Result<Job, String> {
    let path = &options.subject;
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let capsule = Capsule::parse(&text).map_err(|error| format!("{path}: {error}"))?;
    Ok(Job {
        capsule,
        telling: Telling { story: options.story, ..Telling::default() },
        log: options.log,
        outputs: options.outputs.clone(),
        command: format!("cargo sim replay {path}"),
    })
}
