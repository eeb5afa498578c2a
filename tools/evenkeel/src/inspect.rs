//! `evenkeel inspect`: a data folder for human eyes.
//!
//! The engine itself reads the folder, as after a crash, on a disk that keeps every write to itself
//! (`overlay`). So what is shown is what a node would find, and nothing in the folder changes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use evenkeel_engine::disk::{DirectoryState, directory_state};
use evenkeel_engine::{
    Engine, EngineError, Location, Opened, Options, Record, RecordKind, Replay, Sequence,
};
use evenkeel_runtime::block_on;

use self::overlay::Overlay;
use crate::failure::{Exit, Failure};
use crate::write_out;

mod overlay;

/// What a data folder holds.
#[derive(Debug)]
pub(crate) struct Look {
    pub opened: Opened,
    file_bytes: u64,
    streams: BTreeMap<u32, Stream>,
}

/// The records of one shard.
#[derive(Debug, Default)]
struct Stream {
    entries: u64,
    states: u64,
    items: u64,
    payload_bytes: u64,
    /// The lowest and the highest position of an entry.
    positions: Option<(u64, u64)>,
    /// The highest position known chosen.
    commit: u64,
}

#[derive(Default)]
struct Streams(BTreeMap<u32, Stream>);

impl Replay for Streams {
    fn record(&mut self, record: &Record<'_>, _location: Location) {
        let stream = self.0.entry(record.stream).or_default();
        stream.payload_bytes += record.payload.len() as u64;
        stream.commit = stream.commit.max(record.commit);
        match record.kind {
            RecordKind::Entry => {
                stream.entries += 1;
                let (first, last) = stream.positions.unwrap_or((u64::MAX, 0));
                let position = record.position;
                stream.positions = Some((first.min(position), last.max(position)));
            }
            RecordKind::State => stream.states += 1,
            RecordKind::Item => stream.items += 1,
        }
    }
}

/// Describes `dir` without changing it.
pub(crate) fn run(dir: &Path) -> Result<(), Failure> {
    let described = look(dir).map_err(|error| {
        let exit = match error {
            EngineError::Locked { .. } => Exit::Unavailable,
            EngineError::Folder { .. } => Exit::Usage,
            _ => Exit::Internal,
        };
        Failure::new(exit, format!("cannot inspect `{}`", dir.display())).because(&error)
    })?;
    match described {
        Some(look) => write_out(describe(&look).as_bytes()),
        None => Err(Failure::new(Exit::Usage, format!("`{}` is not a data folder", dir.display()))
            .next("With `evenkeel up`, a node's data is in DIR/node-N/data.")),
    }
}

/// Reads a data folder whole; `None` if it is not one.
///
/// # Errors
/// As `Engine::open`, damage excepted: that is in `Look`. `Locked` if a node runs there.
pub(crate) fn look(dir: &Path) -> Result<Option<Look>, EngineError> {
    if directory_state(dir)? != DirectoryState::Evenkeel {
        return Ok(None);
    }
    let overlay = Overlay::open(dir)?;
    let file_bytes = overlay.file_bytes();
    let options = Options { serve_with_holes: true, ..Options::default() };
    let mut streams = Streams::default();
    let opened = block_on(Engine::open(Box::new(overlay), options, &mut streams));
    match opened {
        Ok((_engine, opened)) => Ok(Some(Look { opened, file_bytes, streams: streams.0 })),
        Err(EngineError::Empty) => Ok(None),
        Err(error) => Err(error),
    }
}

fn describe(look: &Look) -> String {
    let Look { opened, file_bytes, streams } = look;
    let Opened { identity, incarnation, clean, torn, damaged, records, sequence } = opened;
    let Sequence(sequence) = sequence;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<12} {value}").expect("a string takes every write");
    };
    line("node", format!("{} (replica {})", identity.name, identity.node));
    line("cluster", identity.cluster.to_string());
    // Looking counts as a start after a crash, on the overlay only.
    line("incarnation", incarnation.saturating_sub(u64::from(!clean)).to_string());
    line("stopped", if *clean { "cleanly" } else { "not cleanly, or still running" }.to_owned());
    line("files", format!("{:.1} MiB", *file_bytes as f64 / f64::from(1 << 20)));
    line("records", format!("{records}, the last one has sequence {sequence}"));
    let tail =
        if *torn { "torn: writes that were never acknowledged will be cut off" } else { "whole" };
    line("tail", tail.to_owned());
    if damaged.is_empty() {
        line("damage", "none".to_owned());
    }
    for range in damaged {
        line("damage", range.to_string());
    }
    writeln!(
        text,
        "\n{:>6}  {:>10}  {:>8}  {:>7}  {:>14}  {:>21}  {:>10}",
        "shard", "entries", "states", "items", "payload bytes", "slots", "chosen to"
    )
    .expect("a string takes every write");
    for (number, stream) in streams {
        // The placement map has a group of its own, beside the shards.
        let name = if *number == u32::MAX { "map".to_owned() } else { number.to_string() };
        let slots = stream.positions.map(|(first, last)| format!("{first}-{last}"));
        let Stream { entries, states, items, payload_bytes, commit, .. } = stream;
        let slots = slots.unwrap_or_default();
        writeln!(text, "{name:>6}  {entries:>10}  {states:>8}  {items:>7}  {payload_bytes:>14}  {slots:>21}  {commit:>10}")
            .expect("a string takes every write");
    }
    text
}

#[cfg(test)]
mod tests;
