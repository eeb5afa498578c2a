//! The chores of this repository: `cargo xtask NAME`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks so")]

use std::process::ExitCode;

mod sim;

const USAGE: &str = "usage: cargo xtask sim [...]    the simulator; `cargo sim help` says more";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("sim") => sim::main(arguments.collect()),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some(other) => {
            eprintln!("no chore is called `{other}`\n{USAGE}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}
