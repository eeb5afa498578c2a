//! The one binary: it wires the rooms together and decides nothing.
//!
//! `up` runs a cluster on one machine, `serve` one node of any cluster; the other commands look at a
//! node from outside, as any client would.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use evenkeel_bench::{BenchError, Experiment};

use crate::arguments::{Arguments, Command, ConfigCommand};
use crate::failure::{Exit, Failure};

mod arguments;
mod cluster;
mod config;
mod data;
mod failure;
mod inspect;
mod key;
mod progress;
mod scrub;
mod serve;
mod snapshot;
mod status;
mod talk;
mod up;

/// See docs/decisions/0010-mimalloc.md. Only the binary has it: libraries and tests take what they get.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIM_HELP: &str = "\
The simulator is a build of its own and lives in the repository, not in this binary.
From a clone:

  cargo sim                 fresh seeds until one fails
  cargo sim 4711            that seed again, with its story
  cargo sim --seeds 100     so many seeds
  cargo sim --help          everything else";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure.to_string());
            failure.exit_code()
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Up(arguments) => up::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Config(ConfigCommand::Check { file }) => serve::check(file),
        Command::Config(ConfigCommand::Default) => write_out(config::DEFAULT_TEXT.as_bytes()),
        Command::Get(arguments) => data::get(arguments),
        Command::Set(arguments) => data::set(arguments),
        Command::Del(arguments) => data::del(arguments),
        Command::Ttl(arguments) => data::ttl(arguments),
        Command::Scan(arguments) => data::scan(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Cluster(command) => cluster::run(command),
        Command::Snapshot(command) => snapshot::run(command),
        Command::Scrub(arguments) => scrub::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Key(command) => key::run(command),
        Command::Bench(experiment) => bench(experiment),
        Command::Sim => write_out(format!("{SIM_HELP}\n").as_bytes()),
    }
}

fn bench(experiment: &Experiment) -> Result<(), Failure> {
    evenkeel_bench::run(experiment).map_err(|error| match error {
        BenchError::Usage(what) => Failure::new(Exit::Usage, what),
        BenchError::Broken(what) => Failure::new(Exit::Failed, what),
        error => Failure::new(Exit::Unavailable, "no figures").because(&error),
    })
}

/// A line for whoever waits for it, at once.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    // Nobody listens any more: not a reason to stop a cluster.
    writeln!(output, "{line}").and_then(|()| output.flush()).ok();
}

/// Something a person should know, beside the output.
fn tell(text: &str) {
    writeln!(std::io::stderr(), "evenkeel: {text}").ok();
}

/// Bytes to the standard output. A reader that went away (`| head`) is no failure.
fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Internal, "cannot write to the standard output").because(&error))
        }
        _ => Ok(()),
    }
}
