//! `evenkeel-sim real`: what `cargo sim --real` calls, in namespaces made for it.

use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_runtime::block_on;
use evenkeel_sim::plan::Plan;
use evenkeel_sim::real::{self, Place, Report};
use evenkeel_sim::written::{self, ScenarioFile};

const USAGE: &str = "\
evenkeel-sim names
evenkeel-sim real SCENARIO SEED BINARY FOLDER [OLDER]    in network, mount and process namespaces made for it

This build has real clocks, disks and networks, and nothing to simulate: `cargo sim --real` makes the
namespaces, and `cargo sim` builds the simulated world and runs it; `cargo sim help` says more.";

/// Nothing that the scenario asks for can be made here.
const EXIT_SKIPPED: u8 = 77;

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words == ["names"] {
        written::names(&written::library()).iter().for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let ["real", scenario, seed, binary, folder, ref rest @ ..] = words[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let older = rest.first().map(PathBuf::from);
    let place = Place { binary: PathBuf::from(binary), older, folder: PathBuf::from(folder) };
    match plan(scenario, seed).and_then(|plan| play(plan, &place)) {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::from(2)
        }
    }
}

fn plan(scenario: &str, seed: &str) -> Result<Plan, String> {
    let seed = seed.parse().map_err(|_| format!("`{seed}` is no seed"))?;
    ScenarioFile::load(&written::library(), scenario)?.plan(seed)
}

fn play(plan: Plan, place: &Place) -> Result<ExitCode, String> {
    let (name, nodes, seed) = (plan.scenario_name().to_owned(), plan.node_count, plan.seed);
    if !real::is_worth_it(&plan) {
        println!("real skipped scenario={name}: only a simulator can make what happens in it");
        return Ok(ExitCode::from(EXIT_SKIPPED));
    }
    let report = block_on(real::live(plan, place))?;
    let Report { failure, left_out, notes, operations, silence } = report;
    let verdict = match &failure {
        None => "ok".to_owned(),
        Some(failure) => {
            println!("{}", notes.join("\n"));
            println!("\n{failure}\n");
            format!("FAILED oracle={}", failure.oracle)
        }
    };
    let (answered, unknown) = operations;
    let silence = silence.map_or(0, |silence| silence.as_millis());
    println!(
        "real {verdict} scenario={name} seed={seed} nodes={nodes} operations={answered} \
         unknown={unknown} silence_ms={silence}"
    );
    for fault in left_out {
        println!("  left out, only a simulator can: {fault}");
    }
    Ok(if failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
