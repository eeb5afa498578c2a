//! `trace`: real requests of a cache, replayed: GET, and SET after a miss.
//!
//! A key's requests go over one connection, in the order of the trace. The next one is sent when the
//! pipeline has room, whatever the previous one's outcome: a key that is asked for twice in a row may
//! miss twice.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use crate::console::say;
use crate::error::BenchError;
use crate::load::{Operation, PaceArguments, Share, Source, Verb, Window, drive};
use crate::report::{self, Report, Tally};
use crate::resp::Outcome;
use crate::target::{self, Kind, ServerArguments, Target};
use crate::{clock, cpu, workload};

/// What a trace file looks like, once unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines `start count _ n`: so many pages from `start` on (the ARC paper's traces).
    Arc,
    /// Keys of four bytes, little-endian (cache2k's traces).
    U32,
    /// A key a line, a number (the LIRS paper's traces).
    Lines,
    /// Lines `time key size` (AdaptSize's traces).
    Sized,
}

/// `trace`'s part of a command line.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// The trace; one that ends in .xz, .zst or .gz is unpacked by `xz`, `zstd` or `gzip`.
    pub(crate) file: PathBuf,
    /// The servers, each of which gets the whole trace.
    #[arg(value_enum, required = true, num_args = 1..=4)]
    pub(crate) targets: Vec<Kind>,
    /// What the file looks like.
    #[arg(long, value_enum, default_value_t = Format::Arc)]
    pub(crate) format: Format,
    /// How many times the trace is replayed, each time with other keys, to make it longer.
    #[arg(long, default_value_t = 1)]
    pub(crate) repeat: u32,
    /// The size of a value, in bytes.
    #[arg(long, default_value_t = 64)]
    pub(crate) value_size: usize,
    /// Write FILE-TARGET.hgrm, FILE-TARGET.hlog and FILE.svg.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

pub(crate) fn run(arguments: &TraceArguments) -> Result<(), BenchError> {
    target::pin_self(&arguments.server)?;
    let keys = repeated(read(&arguments.file, arguments.format)?, arguments.repeat);
    let distinct = keys.iter().collect::<BTreeSet<_>>().len();
    say(&format!(
        "{}: {} requests for {distinct} keys; no cache can hit more than {:.2} % of them",
        arguments.file.display(),
        keys.len(),
        100.0 * (1.0 - distinct as f64 / keys.len() as f64)
    ));
    say(&report::HEADER);
    let mut reports = Vec::new();
    for (index, &kind) in (0..).zip(&arguments.targets) {
        let target = Target::start(kind, index, &arguments.server)?;
        let report = replay(&target, &keys, arguments)?;
        say(&report.line(&kind.name()));
        report.complain();
        reports.push((kind.name(), report));
    }
    if let Some(path) = &arguments.report {
        let named: Vec<_> = reports.iter().map(|(name, report)| (name.as_str(), report)).collect();
        report::write(path, &named)?;
    }
    Ok(())
}

/// One request of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) key: u64,
    /// In bytes, where the trace says so.
    pub(crate) size: Option<u32>,
}

/// The keys of a trace file, in order.
fn read(path: &Path, format: Format) -> Result<Vec<u64>, BenchError> {
    Ok(requests(path, format)?.into_iter().map(|asked| asked.key).collect())
}

/// The requests of a trace file, in order.
pub(crate) fn requests(path: &Path, format: Format) -> Result<Vec<Asked>, BenchError> {
    let failed = |reason: String| {
        BenchError::Usage(format!("`{}` is not such a trace: {reason}", path.display()))
    };
    let unpack = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => Some("xz"),
        Some("zst") => Some("zstd"),
        Some("gz") => Some("gzip"),
        _ => None,
    };
    let Some(program) = unpack else {
        let file = File::open(path).map_err(BenchError::file(path))?;
        return parse(BufReader::new(file), format).map_err(failed);
    };
    let mut child = Command::new(program)
        .arg("-dc")
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| BenchError::server(format!("cannot start `{program}`"), error))?;
    let output = child.stdout.take().expect("it is piped");
    let requests = parse(BufReader::new(output), format).map_err(failed)?;
    match child.wait() {
        Ok(status) if status.success() => Ok(requests),
        _ => Err(failed(format!("`{program}` cannot unpack it"))),
    }
}

fn parse(mut input: impl BufRead, format: Format) -> Result<Vec<Asked>, String> {
    let mut requests = Vec::new();
    let asked = |key: u64| Asked { key, size: None };
    if format == Format::U32 {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(format!("{} bytes are no whole number of keys", bytes.len()));
        }
        return Ok(words.iter().map(|word| asked(u32::from_le_bytes(*word).into())).collect());
    }
    for (index, line) in input.lines().enumerate() {
        let line = line.map_err(|error| error.to_string())?;
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (format, numbers.next(), numbers.next()) {
            (_, None, _) => (),
            // The LIRS traces end in a star.
            (Format::Lines, Some(Err(_)), _) if line.trim() == "*" => (),
            (Format::Lines, Some(Ok(key)), _) => requests.push(asked(key)),
            (Format::Arc, Some(Ok(start)), Some(Ok(count))) if count <= 1 << 20 => {
                requests.extend((start..start + count).map(asked));
            }
            (Format::Sized, Some(Ok(_)), Some(Ok(key))) => match numbers.next() {
                Some(Ok(size)) if size <= u64::from(u32::MAX) => {
                    requests.push(Asked { key, size: Some(size as u32) });
                }
                _ => return Err(format!("line {}: `{line}`", index + 1)),
            },
            _ => return Err(format!("line {}: `{line}`", index + 1)),
        }
    }
    Ok(requests)
}

/// The trace several times over, with keys of their own each time.
fn repeated(keys: Vec<u64>, times: u32) -> Vec<u64> {
    let stride = keys.iter().max().map_or(1, |max| max + 1);
    (0..u64::from(times)).flat_map(|time| keys.iter().map(move |key| key + time * stride)).collect()
}

/// A trace, dealt out to connections by key.
struct Replay {
    queues: Vec<VecDeque<u64>>,
    /// Keys that were missed, and shall be set.
    missed: Vec<VecDeque<u64>>,
    value: Vec<u8>,
}

impl Replay {
    fn new(keys: &[u64], connections: usize, value_size: usize) -> Replay {
        let mut queues = vec![VecDeque::new(); connections];
        for &key in keys {
            let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            queues[(spread % connections as u64) as usize].push_back(key);
        }
        let missed = vec![VecDeque::new(); connections];
        Replay { queues, missed, value: workload::value(value_size) }
    }
}

impl Source for Replay {
    fn next(&mut self, connection: usize) -> Option<Operation> {
        if let Some(key) = self.missed[connection].pop_front() {
            return Some(Operation { verb: Verb::Set, key });
        }
        let key = self.queues[connection].pop_front()?;
        Some(Operation { verb: Verb::Get, key })
    }

    fn encode(&self, operation: Operation, output: &mut Vec<u8>) {
        workload::encode(operation, &self.value, output);
    }

    fn answered(&mut self, connection: usize, operation: Operation, outcome: Outcome) {
        if operation.verb == Verb::Get && outcome == Outcome::Miss {
            self.missed[connection].push_back(operation.key);
        }
    }
}

fn replay(target: &Target, keys: &[u64], arguments: &TraceArguments) -> Result<Report, BenchError> {
    let pace = &arguments.pace;
    let connections = usize::from(pace.connections);
    let interval_ns = pace.rate.map(|rate| 1e9 / f64::from(rate));
    let share = Share {
        connections,
        pipeline: usize::from(pace.pipeline),
        smooth: pace.smooth,
        interval_ns,
        window: Window { begin_ns: 0, end_ns: u64::MAX },
    };
    let mut source = Replay::new(keys, connections, arguments.value_size);
    let mut tally = Tally::new();
    let (start_ns, cpu_before_us) = (clock::now_ns(), cpu::used_us(&target.place.processes));
    drive(&target.place, &share, &mut source, &mut tally)?;
    let seconds = (clock::now_ns() - start_ns) as f64 / 1e9;
    let cpu_us = cpu::used_us(&target.place.processes) - cpu_before_us;
    Ok(Report { tally, seconds, cpu_us, open_loop: pace.rate.is_some() })
}

#[cfg(test)]
mod tests;
