//! The simulator: one seed, one process. `cargo sim` builds it with `--cfg madsim`, and runs many. Built
//! without, it plays scenario files with real processes: `cargo sim --real`.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a command line tool talks so")]

#[cfg(madsim)]
mod command;
#[cfg(not(madsim))]
mod reality;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    reality::main()
}
