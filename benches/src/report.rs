//! What a load came to: counts, latencies, CPU time; as a line, as files that other tools read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::console::say;
use crate::error::BenchError;
use crate::load::{Operation, Verb};
use crate::picture;
use crate::resp::Outcome;

/// Latencies above are counted as this, in microseconds.
const LATENCY_US_MAX: u64 = 100_000_000;
/// Each interval of a `.hlog`, in nanoseconds.
const INTERVAL_NS: u64 = 1_000_000_000;

/// The heads of the columns of `Report::line`.
pub(crate) static HEADER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{:<24} {:>10} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8}",
        "", "ops/s", "CPU µs/op", "p50 ms", "p99", "p99.9", "p99.99", "max", "hits %", "errors"
    )
});

/// Counts and latencies.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub operations: u64,
    pub gets: u64,
    pub hits: u64,
    /// Refused, or never answered.
    pub errors: u64,
    /// The first error that a server gave.
    pub refusal: Option<String>,
    /// In microseconds.
    pub latency: Histogram<u64>,
    /// The same by the second, from the first.
    intervals: Vec<(u64, Histogram<u64>)>,
}

/// A tally of so many seconds, and the CPU time that it took the servers.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub tally: Tally,
    pub seconds: f64,
    pub cpu_us: u64,
    /// Latencies count from when requests were due.
    pub open_loop: bool,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order")
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            operations: 0,
            gets: 0,
            hits: 0,
            errors: 0,
            refusal: None,
            latency: histogram(),
            intervals: Vec::new(),
        }
    }

    /// Counts an answer after so many nanoseconds. `moment_ns` says which second it belongs to.
    pub(crate) fn landed(
        &mut self,
        operation: &Operation,
        outcome: Outcome,
        latency_ns: u64,
        moment_ns: u64,
    ) {
        if outcome == Outcome::Refused {
            self.errors += 1;
            return;
        }
        self.operations += 1;
        if operation.verb == Verb::Get {
            self.gets += 1;
            self.hits += u64::from(outcome != Outcome::Miss);
        }
        let latency_us = (latency_ns / 1000).max(1);
        self.latency.saturating_record(latency_us);
        let second = moment_ns / INTERVAL_NS;
        match self.intervals.last_mut() {
            Some((last, interval)) if *last == second => interval.saturating_record(latency_us),
            _ => {
                let mut interval = histogram();
                interval.saturating_record(latency_us);
                self.intervals.push((second, interval));
            }
        }
    }

    /// Counts a request that had no answer for so long, and never got one.
    pub(crate) fn unanswered(&mut self, waited_ns: u64) {
        self.errors += 1;
        self.latency.saturating_record((waited_ns / 1000).max(1));
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        self.operations += other.operations;
        self.gets += other.gets;
        self.hits += other.hits;
        self.errors += other.errors;
        self.refusal = self.refusal.take().or_else(|| other.refusal.clone());
        self.latency.add(&other.latency).expect("the bounds are the same");
        for (second, interval) in &other.intervals {
            match self.intervals.iter_mut().find(|(own, _)| own == second) {
                Some((_, own)) => own.add(interval).expect("the bounds are the same"),
                None => self.intervals.push((*second, interval.clone())),
            }
        }
        self.intervals.sort_by_key(|(second, _)| *second);
    }

    pub(crate) fn hit_ratio(&self) -> f64 {
        self.hits as f64 / self.gets.max(1) as f64
    }
}

impl Report {
    pub(crate) fn rate(&self) -> f64 {
        self.tally.operations as f64 / self.seconds
    }

    /// 0 if nobody said which processes.
    pub(crate) fn cpu_us_per_operation(&self) -> f64 {
        self.cpu_us as f64 / self.tally.operations.max(1) as f64
    }

    /// In milliseconds.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.tally.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// A row under `HEADER`.
    pub(crate) fn line(&self, name: &str) -> String {
        let hits = match self.tally.gets {
            0 => "-".to_owned(),
            _ => format!("{:.2}", 100.0 * self.tally.hit_ratio()),
        };
        format!(
            "{name:<24} {:>10.0} {:>9.2} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {hits:>9} {:>8}",
            self.rate(),
            self.cpu_us_per_operation(),
            self.latency_ms(0.5),
            self.latency_ms(0.99),
            self.latency_ms(0.999),
            self.latency_ms(0.9999),
            self.latency_ms(1.0),
            self.tally.errors,
        )
    }

    /// Says what the first error was.
    pub(crate) fn complain(&self) {
        if let Some(refusal) = &self.tally.refusal {
            say(&format!("  the first error: {refusal}"));
        }
    }
}

/// Writes PATH.hgrm and PATH.hlog (PATH-NAME of several) and PATH.svg with all of them.
pub(crate) fn write(path: &Path, reports: &[(&str, &Report)]) -> Result<(), BenchError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
    }
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::path::PathBuf::from(name)
    };
    for (name, report) in reports {
        let name = if reports.len() == 1 { String::new() } else { format!("-{name}") };
        let file = with(&format!("{name}.hgrm"));
        create(&file)
            .and_then(|output| percentiles(&report.tally.latency, output))
            .map_err(BenchError::file(file))?;
        let file = with(&format!("{name}.hlog"));
        create(&file)
            .and_then(|output| intervals(&report.tally, output))
            .map_err(BenchError::file(file))?;
    }
    let file = with(".svg");
    let curves: Vec<_> =
        reports.iter().map(|(name, report)| (*name, &report.tally.latency)).collect();
    std::fs::write(&file, picture::percentiles(&curves)).map_err(BenchError::file(file))
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(path)?))
}

/// HdrHistogram's text, in milliseconds: what its plotter reads.
fn percentiles(latency: &Histogram<u64>, mut output: impl Write) -> io::Result<()> {
    writeln!(
        output,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for step in latency.iter_quantiles(5) {
        count += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / 1000.0;
        let quantile = step.quantile_iterated_to();
        write!(output, "{value:>12.3} {quantile:>14.12} {count:>10}")?;
        if quantile < 1.0 {
            write!(output, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(output)?;
    }
    let (mean, deviation) = (latency.mean() / 1000.0, latency.stdev() / 1000.0);
    writeln!(output, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    let (max, total) = (latency.max() as f64 / 1000.0, latency.len());
    writeln!(output, "#[Max     = {max:>12.3}, Total count    = {total:>12}]")?;
    let (buckets, sub_buckets) = (latency.buckets(), latency.distinct_values());
    writeln!(output, "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]")?;
    output.flush()
}

/// HdrHistogram's log: a compressed histogram a second, values in microseconds.
fn intervals(tally: &Tally, mut output: impl Write) -> io::Result<()> {
    let mut serializer = V2Serializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latencies in microseconds")
        .with_max_value_divisor(1000.0)
        .begin_log_with(&mut output, &mut serializer)?;
    let first = tally.intervals.first().map_or(0, |(second, _)| *second);
    for (second, interval) in &tally.intervals {
        let start = Duration::from_secs(second - first);
        log.write_histogram(interval, start, Duration::from_nanos(INTERVAL_NS), None)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
    }
    output.flush()
}

#[cfg(test)]
mod tests;
