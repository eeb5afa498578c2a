//! The simulator: one seed, one process. `cargo sim` builds it (with `--cfg madsim`) and runs many.
#![expect(clippy::print_stderr, reason = "a command line tool talks so")]
#![cfg_attr(madsim, expect(clippy::print_stdout, reason = "a command line tool talks so"))]

#[cfg(madsim)]
mod command;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!("This build has real clocks, disks and networks, and nothing to simulate.");
    eprintln!("`cargo sim` builds the simulated world and runs it; `cargo sim help` says more.");
    std::process::ExitCode::from(2)
}
