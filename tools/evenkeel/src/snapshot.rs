//! `evenkeel snapshot`: a file that holds what a cluster held, and the way back.
//!
//! ```text
//! create    cluster ── parts of shards, one after the other ──▶ FILE.part-N ── flushed, renamed ──▶ FILE
//! verify    FILE ── every byte of it ──▶ what is in it, or the place where it is wrong
//! restore   FILE ── verified first ──▶ ordinary writes ──▶ cluster
//! ```
//!
//! The file's format is `evenkeel_wire::backup`'s. What is promised about its contents is in
//! `docs/operations.md`.

use serde::Serialize;

use crate::arguments::{Output, SnapshotCommand};
use crate::failure::Failure;
use crate::write_out;

mod contents;
mod create;
mod restore;
mod source;
mod target;
mod time;
mod writer;

pub(crate) fn run(command: &SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Create(arguments) => create::run(arguments),
        SnapshotCommand::Verify(arguments) => {
            let contents = contents::read(&mut source::Source::open(&arguments.file)?)?;
            show(arguments.output, &contents, &contents.for_people())
        }
        SnapshotCommand::Restore(arguments) => restore::run(arguments),
    }
}

/// The result, as it was asked for.
fn show(output: Output, document: &impl Serialize, text: &str) -> Result<(), Failure> {
    match output {
        Output::Text => write_out(text.as_bytes()),
        Output::Json => {
            let json = serde_json::to_string_pretty(document).expect("names and numbers are JSON");
            write_out(format!("{json}\n").as_bytes())
        }
    }
}
