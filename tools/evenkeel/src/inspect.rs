//! `evenkeel inspect`: a data folder for human eyes.
//!
//! The engine says what lies where; here it is counted and written down. Nothing in the folder
//! changes, and a node may run in it meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use evenkeel_engine::inspect::{ChunkSummary, Finding, RecordSummary, SuperblockSummary, inspect};
use evenkeel_engine::{EngineError, Identity, RecordKind};

use crate::arguments::InspectArguments;
use crate::failure::{Exit, Failure};
use crate::write_out;

/// What a data folder holds, in numbers.
#[derive(Debug, Default)]
struct Look {
    superblocks: Vec<Result<SuperblockSummary, String>>,
    segments: BTreeMap<u32, Segment>,
    streams: BTreeMap<u32, Stream>,
    damage: Vec<String>,
    /// Every chunk and record, a line each, if that was asked for.
    details: Option<String>,
}

#[derive(Debug, Default)]
struct Segment {
    size: u64,
    chunks: u64,
    records: u64,
    unused: u64,
    /// The first and the last.
    sequences: Option<(u64, u64)>,
}

/// The records of one consensus group.
#[derive(Debug, Default)]
struct Stream {
    entries: u64,
    states: u64,
    items: u64,
    payload_bytes: u64,
    /// Before it was compressed.
    plain_bytes: u64,
    /// The lowest and the highest position of an entry.
    positions: Option<(u64, u64)>,
    /// The highest position known chosen.
    commit: u64,
}

/// Describes a folder without changing it.
pub(crate) fn run(arguments: &InspectArguments) -> Result<(), Failure> {
    let dir = &arguments.dir;
    let details = arguments.records.then(String::new);
    let mut look = Look { details, ..Look::default() };
    match inspect(dir, &mut |finding| look.take(finding)) {
        Ok(()) => write_out(look.describe().as_bytes()),
        Err(EngineError::Empty) => {
            let what = format!("there is no data in `{}`", dir.display());
            Err(Failure::new(Exit::Usage, what)
                .next("With `evenkeel up`, a node's data is in DIR/node-N/data."))
        }
        Err(error) => {
            let what = format!("cannot inspect `{}`", dir.display());
            Err(Failure::new(Exit::Usage, what).because(&error))
        }
    }
}

/// Whose data a folder holds; `None` if it holds none.
///
/// # Errors
/// Neither copy of the superblock can be read, or the folder cannot.
pub(crate) fn identity(dir: &Path) -> Result<Option<Identity>, Failure> {
    let mut look = Look::default();
    match inspect(dir, &mut |finding| look.take(finding)) {
        Err(EngineError::Empty) => Ok(None),
        Err(EngineError::Folder { .. }) if !dir.exists() => Ok(None),
        Err(error) => {
            let what = format!("cannot use `{}`", dir.display());
            Err(Failure::new(Exit::Internal, what).because(&error))
        }
        Ok(()) => match look.superblock() {
            Some(superblock) => Ok(Some(superblock.identity.clone())),
            None => {
                let copies = look.superblocks.iter().filter_map(|copy| copy.as_ref().err());
                let copies: Vec<&str> = copies.map(String::as_str).collect();
                let what = format!(
                    "cannot use `{}`: no copy of its superblock can be read ({})",
                    dir.display(),
                    copies.join("; ")
                );
                Err(Failure::new(Exit::Internal, what)
                    .next("Put the folder back as it was, or use the release that wrote it."))
            }
        },
    }
}

impl Look {
    fn take(&mut self, finding: Finding) {
        match finding {
            Finding::Superblock { content, .. } => self.superblocks.push(content),
            Finding::Segment { segment, size } => self.segment(segment).size = size,
            Finding::Chunk(chunk) => self.take_chunk(&chunk),
            Finding::Record(record) => self.take_record(&record),
            Finding::Unused { segment, size, .. } => self.segment(segment).unused = size,
            Finding::Damage { segment, offset, size, torn } => {
                let cause = if torn { "as a power cut leaves them" } else { "not by a power cut" };
                let place = format!("{size} bytes at byte {offset} of segment {segment}");
                self.damage.push(format!("{place}, {cause}"));
            }
            // A newer engine tells more than this page has room for.
            _ => {}
        }
    }

    fn take_chunk(&mut self, chunk: &ChunkSummary) {
        let ChunkSummary { segment, offset, size, number, incarnation, durable_upto, .. } = chunk;
        let (first, last) = (chunk.first_sequence, chunk.last_sequence);
        let counted = self.segment(*segment);
        counted.chunks += 1;
        if !chunk.aside {
            counted.records += last + 1 - first;
            let begins = counted.sequences.map_or(first, |(begins, _)| begins);
            counted.sequences = Some((begins, last));
        }
        let whole = if chunk.whole { "" } else { ", DAMAGED" };
        self.detail(format_args!(
            "chunk {number} at {segment}:{offset}, {size} bytes, incarnation {incarnation}, \
             sequences {first}-{last}, durable to {durable_upto}{whole}"
        ));
    }

    fn take_record(&mut self, record: &RecordSummary) {
        let RecordSummary { sequence, offset, kind, stream, position, commit, .. } = *record;
        let [round, replica] = record.stamp;
        let payload = record.payload_size;
        let counted = self.streams.entry(stream).or_default();
        counted.payload_bytes += payload;
        counted.plain_bytes += record.plain_size.unwrap_or(payload);
        counted.commit = counted.commit.max(commit);
        match kind {
            RecordKind::Entry => {
                counted.entries += 1;
                let (first, last) = counted.positions.unwrap_or((u64::MAX, 0));
                counted.positions = Some((first.min(position), last.max(position)));
            }
            RecordKind::State => counted.states += 1,
            // A copy of a value is one of its stream's values, whoever made it.
            RecordKind::Item | RecordKind::Moved => counted.items += 1,
            RecordKind::Page => counted.states += 1,
        }
        self.detail(format_args!(
            "  {sequence} at {offset}: {kind:?} of {}, position {position}, stamp {round}.{replica}, \
             chosen to {commit}, {payload} bytes{}{}",
            stream_name(stream),
            record.plain_size.map(|size| format!(" of {size}")).unwrap_or_default(),
            if record.encrypted { ", encrypted" } else { "" }
        ));
    }

    fn segment(&mut self, number: u32) -> &mut Segment {
        self.segments.entry(number).or_default()
    }

    fn detail(&mut self, line: std::fmt::Arguments<'_>) {
        if let Some(details) = &mut self.details {
            writeln!(details, "{line}").expect("a string takes every write");
        }
    }

    /// The copy that counts.
    fn superblock(&self) -> Option<&SuperblockSummary> {
        let readable = self.superblocks.iter().filter_map(|copy| copy.as_ref().ok());
        readable.max_by_key(|superblock| superblock.generation)
    }

    fn describe(&self) -> String {
        let mut lines = Vec::new();
        match self.superblock() {
            Some(superblock) => {
                let Identity { cluster, node, name } = &superblock.identity;
                let state = if superblock.clean { "cleanly" } else { "no, or it still runs" };
                lines.push(format!("node         {name} (replica {node})"));
                lines.push(format!("cluster      {cluster}"));
                lines.push(format!("incarnation  {}", superblock.incarnation));
                lines.push(format!("stopped      {state}"));
                lines
                    .push(format!("durable      at least to sequence {}", superblock.durable_upto));
                if let Some(key) = superblock.key {
                    lines.push(format!(
                        "encrypted    with root key {key}; nothing here was decrypted"
                    ));
                }
            }
            None => lines.push("superblock   no copy can be read".to_owned()),
        }
        lines.extend(self.damage.iter().map(|damage| format!("damage       {damage}")));
        lines.push(String::new());
        lines.push(self.segment_table());
        lines.push(self.stream_table());
        let mut text = lines.join("\n");
        if let Some(details) = &self.details {
            text.push('\n');
            text.push_str(details);
        }
        text
    }

    fn segment_table(&self) -> String {
        let mut table = String::from(" segment     size  chunks   records  unused  sequences\n");
        for (number, segment) in &self.segments {
            let Segment { size, chunks, records, unused, sequences } = segment;
            let (size, unused) = (mib(*size), mib(*unused));
            let sequences = span(*sequences);
            writeln!(
                table,
                "{number:>8}  {size:>7}  {chunks:>6}  {records:>8}  {unused:>6}  {sequences}"
            )
            .expect("a string takes every write");
        }
        table
    }

    fn stream_table(&self) -> String {
        let mut table = String::from(
            "group      entries  states   items     payload  as stored  chosen to  slots\n",
        );
        for (number, stream) in &self.streams {
            let Stream { entries, states, items, payload_bytes, plain_bytes, positions, commit } =
                stream;
            let (name, slots) = (stream_name(*number), span(*positions));
            writeln!(
                table,
                "{name:<10}{entries:>8}  {states:>6}  {items:>6}  {plain_bytes:>10}  \
                 {payload_bytes:>9}  {commit:>9}  {slots}"
            )
            .expect("a string takes every write");
        }
        table
    }
}

/// Group 0 keeps the placement map, the others a shard each.
fn stream_name(number: u32) -> String {
    match number.checked_sub(1) {
        Some(shard) => format!("shard {shard}"),
        None => "map".to_owned(),
    }
}

fn span(bounds: Option<(u64, u64)>) -> String {
    bounds.map(|(first, last)| format!("{first}-{last}")).unwrap_or_default()
}

fn mib(bytes: u64) -> String {
    format!("{:.1}M", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests;
