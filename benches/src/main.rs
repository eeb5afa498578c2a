//! The experiments alone, for comparisons that need more than the product carries (`--features etcd`).
//! `evenkeel bench` is the same without them.

use std::process::ExitCode;

use clap::Parser;
use evenkeel_bench::Experiment;

/// What it costs, beside its peers.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-bench", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    experiment: Experiment,
}

#[expect(clippy::print_stderr, reason = "where a program says why it failed")]
fn main() -> ExitCode {
    match evenkeel_bench::run(&Arguments::parse().experiment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evenkeel-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
