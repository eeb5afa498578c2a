//! `compare`: the same load on several servers in turn, and the ratios of what it came to.
//!
//! A machine that others use as well is never twice the same; what it was during one round it was for
//! each server of that round. So figures of one round make one ratio, and the ratios have a median.

use std::path::PathBuf;

use clap::Args;

use crate::console::say;
use crate::error::BenchError;
use crate::load::{self, PaceArguments};
use crate::report::{self, Report, Tally};
use crate::target::{self, Kind, ServerArguments, Target};
use crate::workload::WorkloadArguments;

/// `compare`'s part of a command line.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// The servers, in the order of their turns; ratios are to the first.
    #[arg(value_enum, required = true, num_args = 1..=4)]
    pub(crate) targets: Vec<Kind>,
    /// How often each has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Write the latencies of all rounds to FILE-TARGET.hgrm, FILE-TARGET.hlog and FILE.svg.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// Something that a turn came to.
type Figure = fn(&Report) -> f64;

/// One server, and what each of its turns came to.
struct Row {
    target: Target,
    turns: Vec<Report>,
}

pub(crate) fn run(arguments: &CompareArguments) -> Result<(), BenchError> {
    target::pin_self(&arguments.server)?;
    let mut rows = Vec::new();
    for (index, &kind) in (0..).zip(&arguments.targets) {
        let target = Target::start(kind, index, &arguments.server)?;
        fill(&target, &arguments.workload)?;
        rows.push(Row { target, turns: Vec::new() });
    }
    say(&report::HEADER);
    for _ in 0..arguments.rounds {
        for row in &mut rows {
            let report = turn(&row.target, &arguments.workload, &arguments.pace)?;
            say(&report.line(&row.target.kind.name()));
            report.complain();
            row.turns.push(report);
        }
    }
    say("\nall rounds together");
    let totals: Vec<(String, Report)> =
        rows.iter().map(|row| (row.target.kind.name(), total(&row.turns))).collect();
    totals.iter().for_each(|(name, total)| say(&total.line(name)));
    for row in &rows[1..] {
        compare(&rows[0], row);
    }
    if let Some(path) = &arguments.report {
        let named: Vec<_> = totals.iter().map(|(name, total)| (name.as_str(), total)).collect();
        report::write(path, &named)?;
    }
    Ok(())
}

fn fill(target: &Target, workload: &WorkloadArguments) -> Result<(), BenchError> {
    match target.kind {
        #[cfg(feature = "etcd")]
        Kind::Etcd => crate::etcd::fill(&target.place, workload),
        _ => load::fill(&target.place, workload),
    }
}

fn turn(
    target: &Target,
    workload: &WorkloadArguments,
    pace: &PaceArguments,
) -> Result<Report, BenchError> {
    match target.kind {
        #[cfg(feature = "etcd")]
        Kind::Etcd => crate::etcd::measure(&target.place, workload, pace),
        _ => load::measure(&target.place, workload, pace),
    }
}

fn total(turns: &[Report]) -> Report {
    let mut tally = Tally::new();
    turns.iter().for_each(|turn| tally.add(&turn.tally));
    Report {
        tally,
        seconds: turns.iter().map(|turn| turn.seconds).sum(),
        cpu_us: turns.iter().map(|turn| turn.cpu_us).sum(),
        open_loop: turns.iter().all(|turn| turn.open_loop),
    }
}

/// Prints the ratios of one server to another, round by round.
fn compare(base: &Row, other: &Row) {
    say(&format!(
        "\n{} / {}, min  median  max of {} rounds",
        other.target.kind.name(),
        base.target.kind.name(),
        base.turns.len()
    ));
    let figures: [(&str, Figure); 4] = [
        ("ops/s", Report::rate),
        ("CPU µs/op", Report::cpu_us_per_operation),
        ("p50", |report| report.latency_ms(0.5)),
        ("p99", |report| report.latency_ms(0.99)),
    ];
    for (name, figure) in figures {
        let turns = base.turns.iter().zip(&other.turns);
        let mut ratios: Vec<f64> =
            turns.map(|(base, other)| figure(other) / figure(base)).collect();
        ratios.sort_by(f64::total_cmp);
        let (min, max) = (ratios[0], ratios[ratios.len() - 1]);
        let median = ratios[ratios.len() / 2];
        say(&format!("  {name:<12} {min:>7.2} {median:>7.2} {max:>7.2}"));
    }
}
