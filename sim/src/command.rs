//! `evenkeel-sim run SEED [...]`: what `cargo sim` calls.

use std::fs;
use std::panic;
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use evenkeel_runtime::simulated;
use evenkeel_sim::plan::{Scenario, plan};
use evenkeel_sim::story::{Failure, Summary};
use evenkeel_sim::world::{self, Report, Telling};

mod judge;

const USAGE: &str = "\
evenkeel-sim run SEED [--scenario NAME] [--planted BUG] [--story] [--log] [--without N,N..]
                      [--record FILE] [--until MS]
evenkeel-sim plan SEED [--scenario NAME]
evenkeel-sim check FILE..
evenkeel-sim bench-checker
evenkeel-sim bugs
evenkeel-sim scenarios";

/// The bug that is none of the product's: the oracle's own test.
const CANARY: &str = "canary";

/// What the panic hook found out, for the main thread.
static EVIDENCE: Mutex<Option<Failure>> = Mutex::new(None);

struct Options {
    seed: u64,
    scenario: Scenario,
    planted: Option<String>,
    /// Faults to leave out, by their number in the plan.
    without: Vec<usize>,
    log: bool,
    record: Option<String>,
    telling: Telling,
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("bugs") => {
            world::planted_names().iter().for_each(|name| println!("{name}"));
            println!("{CANARY}");
            ExitCode::SUCCESS
        }
        Some("scenarios") => {
            Scenario::ALL.iter().for_each(|scenario| println!("{}", scenario.name()));
            ExitCode::SUCCESS
        }
        Some("check") => judge::check_files(&arguments[1..]),
        Some("bench-checker") => judge::bench(),
        Some(word @ ("run" | "plan")) => match parse(&arguments[1..]) {
            Ok(options) if word == "run" => run(&options),
            Ok(options) => {
                println!("{:#?}", plan(options.seed, options.scenario));
                ExitCode::SUCCESS
            }
            Err(reason) => usage(&reason),
        },
        _ => usage("say what to do"),
    }
}

fn usage(reason: &str) -> ExitCode {
    eprintln!("{reason}\n{USAGE}");
    ExitCode::from(2)
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        seed: 0,
        scenario: Scenario::Swarm,
        planted: None,
        without: Vec::new(),
        log: false,
        record: None,
        telling: Telling::default(),
    };
    let mut arguments = arguments.iter();
    let seed = arguments.next().ok_or("which seed?")?;
    options.seed = number(seed)?;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--scenario" => {
                let name = value()?;
                let found = Scenario::ALL.iter().find(|scenario| scenario.name() == name);
                options.scenario = *found.ok_or_else(|| format!("no scenario is `{name}`"))?;
            }
            "--planted" => options.planted = Some(value()?.clone()),
            "--without" => {
                let numbers = value()?.split(',').map(|text| number(text).map(|at| at as usize));
                options.without = numbers.collect::<Result<_, _>>()?;
            }
            "--story" => options.telling.story = true,
            "--log" => options.log = true,
            "--record" => options.record = Some(value()?.clone()),
            "--until" => options.telling.until_ms = Some(number(value()?)?),
            _ => return Err(format!("no option is `{argument}`")),
        }
    }
    options.telling.canary = options.planted.as_deref() == Some(CANARY);
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn run(options: &Options) -> ExitCode {
    if let Some(bug) = options.planted.as_deref().filter(|bug| *bug != CANARY)
        && !world::plant(bug)
    {
        return usage(&format!("no bug is called `{bug}`"));
    }
    if options.log {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), |location| format!(" ({location})"));
        let message = panic.payload_as_str().unwrap_or("no words");
        if let Some(failure) = world::evidence(format!("panic: {message}{place}"))
            && let Ok(mut evidence) = EVIDENCE.lock()
        {
            evidence.get_or_insert(failure);
        }
    }));
    let telling = options.telling;
    let mut plan = plan(options.seed, options.scenario);
    let mut index = 0;
    plan.faults.retain(|_| {
        index += 1;
        !options.without.contains(&(index - 1))
    });
    let run = simulated::run(options.seed, move || world::live(plan, telling));
    drop(panic::take_hook());
    let report = match run.outcome {
        Ok(report) => report,
        Err(_) => after_panic(options),
    };
    conclude(options, report, run.hash, run.counts.values().sum(), &run.recent)
}

fn after_panic(options: &Options) -> Report {
    let evidence = EVIDENCE.lock().ok().and_then(|mut evidence| evidence.take());
    let failure = evidence.unwrap_or_else(|| Failure {
        oracle: "panic".to_owned(),
        claim: "the simulation panicked outside of its world".to_owned(),
        seed: options.seed,
        ..Failure::default()
    });
    let summary = Summary {
        seed: options.seed,
        scenario: options.scenario.name(),
        simulated_s: failure.at_s,
        oracle: Some(failure.oracle.clone()),
        ..Summary::default()
    };
    Report { summary, failure: Some(failure), checkpoints: Vec::new() }
}

fn conclude(
    options: &Options,
    report: Report,
    hash: u128,
    events: u64,
    recent: &[simulated::record::Event],
) -> ExitCode {
    if let Some(path) = &options.record {
        let events = recent.iter().map(ToString::to_string);
        let lines: Vec<String> = report.checkpoints.iter().cloned().chain(events).collect();
        if let Err(error) = fs::write(path, lines.join("\n")) {
            eprintln!("{path} cannot be written: {error}");
        }
    }
    let failed = report.failure.is_some();
    if let Some(mut failure) = report.failure {
        failure.commit = commit();
        failure.command = replay(options);
        println!("{failure}\n");
    }
    println!("{}", Summary { hash, events, ..report.summary });
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn replay(options: &Options) -> String {
    let mut command = format!("cargo sim {}", options.seed);
    if options.scenario != Scenario::Swarm {
        command += &format!(" --scenario {}", options.scenario.name());
    }
    if let Some(bug) = &options.planted {
        command += &format!(" --planted {bug}");
    }
    command
}

/// What the sources are, as far as git knows.
fn commit() -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let output =
        Command::new("git").args(["-C", folder, "describe", "--always", "--dirty"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown: not in a git folder".to_owned(),
    }
}
