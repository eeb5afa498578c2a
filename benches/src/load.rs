//! `load`: many connections to servers that speak RESP, and what came of it.
//!
//! Without `--rate`, every connection asks again as soon as it has its answers: that measures
//! throughput, and its latencies say little, since a server that stalls is asked less. With `--rate`,
//! requests are due at fixed moments, whatever the server does, and their latency counts from then.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

pub(crate) use self::drive::drive;
use crate::console::say;
use crate::cpu;
use crate::error::BenchError;
use crate::report::{Report, Tally};
use crate::resp::Outcome;
use crate::workload::{Fill, Mix, Workload, WorkloadArguments};
use crate::{clock, report};

mod connection;
mod drive;

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Set,
    Increment,
}

/// One request. `key` is a number; `workload::key` says how it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub verb: Verb,
    pub key: u64,
}

/// Where requests come from, and where their answers go.
pub(crate) trait Source {
    /// The next request of a connection; `None` if there is nothing more to ask on it, for now.
    fn next(&mut self, connection: usize) -> Option<Operation>;
    /// Appends the request as it goes over the wire.
    fn encode(&self, operation: Operation, output: &mut Vec<u8>);
    /// Hears of an answer, in the order of the requests of its connection.
    fn answered(&mut self, connection: usize, operation: Operation, outcome: Outcome);
}

/// How a server is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct PaceArguments {
    /// How many connections, over all threads and servers.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
    /// How many requests of a connection are sent before their answers are waited for.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) pipeline: u16,
    /// Keep every pipeline full, instead of sending the next batch when the last is answered.
    #[arg(long)]
    pub(crate) smooth: bool,
    /// Requests a second, over all connections, whatever the server does. For latencies.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// How many threads send; connections are split between them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Seconds before those.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up: f64,
}

/// `load`'s part of a command line.
#[derive(Debug, Args)]
pub struct LoadArguments {
    /// The servers; connections are dealt out to them in turn.
    #[arg(long, default_value = "127.0.0.1:7001", value_delimiter = ',')]
    pub(crate) address: Vec<SocketAddr>,
    /// The number that every connection SELECTs.
    #[arg(long, default_value_t = 0)]
    pub(crate) keyspace: u8,
    /// Set every key once before the measurement.
    #[arg(long)]
    pub(crate) fill: bool,
    /// The servers' processes, for their CPU time.
    #[arg(long, value_delimiter = ',')]
    pub(crate) process: Vec<u32>,
    /// Write FILE.hgrm, FILE.hlog and FILE.svg.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
}

/// Servers, as a load sees them.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub addresses: Vec<SocketAddr>,
    pub keyspace: u8,
    pub processes: Vec<u32>,
}

/// The part of the time that counts, as `clock::now_ns` gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub begin_ns: u64,
    pub end_ns: u64,
}

/// One thread's share of a load.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub connections: usize,
    pub pipeline: usize,
    pub smooth: bool,
    /// Between two requests of this share, at a fixed rate.
    pub interval_ns: Option<f64>,
    pub window: Window,
}

pub(crate) fn run(arguments: &LoadArguments) -> Result<(), BenchError> {
    let place = Place {
        addresses: arguments.address.clone(),
        keyspace: arguments.keyspace,
        processes: arguments.process.clone(),
    };
    if arguments.fill {
        fill(&place, &arguments.workload)?;
    }
    let report = measure(&place, &arguments.workload, &arguments.pace)?;
    say(&report::HEADER);
    say(&report.line("load"));
    report.complain();
    if let Some(path) = &arguments.report {
        report::write(path, &[("load", &report)])?;
    }
    Ok(())
}

/// Sets every key once.
pub(crate) fn fill(place: &Place, workload: &WorkloadArguments) -> Result<(), BenchError> {
    let window = Window { begin_ns: 0, end_ns: u64::MAX };
    let share = Share { connections: 16, pipeline: 32, smooth: true, interval_ns: None, window };
    let mut tally = Tally::new();
    if workload.mix != Mix::only(Verb::Increment) {
        drive(place, &share, &mut Fill::new(workload), &mut tally)?;
    }
    match tally.refusal {
        Some(refusal) => Err(BenchError::server("a server refused to be filled", refusal)),
        None => Ok(()),
    }
}

/// Loads servers for the time that `pace` says, with one generator a thread.
pub(crate) fn measure(
    place: &Place,
    workload: &WorkloadArguments,
    pace: &PaceArguments,
) -> Result<Report, BenchError> {
    let threads = usize::from(pace.threads.min(pace.connections));
    let window = window(pace);
    let shares = (0..threads).map(|thread| share(pace, thread, threads, window));
    let work = |(thread, share): (usize, Share)| {
        let mut tally = Tally::new();
        let mut source = Workload::new(workload, thread as u64);
        drive(place, &share, &mut source, &mut tally).map(|()| tally)
    };
    let (tallies, cpu_us) = std::thread::scope(|scope| {
        let workers: Vec<_> =
            shares.enumerate().map(|share| scope.spawn(move || work(share))).collect();
        let cpu_us = watch(&place.processes, window);
        let tallies: Result<Vec<Tally>, BenchError> = workers
            .into_iter()
            .map(|worker| worker.join().expect("a generator does not panic"))
            .collect();
        (tallies, cpu_us)
    });
    let mut total = Tally::new();
    tallies?.iter().for_each(|tally| total.add(tally));
    let seconds = (window.end_ns - window.begin_ns) as f64 / 1e9;
    Ok(Report { tally: total, seconds, cpu_us, open_loop: pace.rate.is_some() })
}

/// When to begin and when to end, from now.
pub(crate) fn window(pace: &PaceArguments) -> Window {
    let begin_ns = clock::now_ns() + Duration::from_secs_f64(pace.warm_up).as_nanos() as u64;
    Window { begin_ns, end_ns: begin_ns + Duration::from_secs_f64(pace.seconds).as_nanos() as u64 }
}

/// Waits for a window to pass. Returns the CPU time that processes used in it.
pub(crate) fn watch(processes: &[u32], window: Window) -> u64 {
    clock::pause_until(window.begin_ns);
    let before = cpu::used_us(processes);
    clock::pause_until(window.end_ns);
    cpu::used_us(processes) - before
}

fn share(pace: &PaceArguments, thread: usize, threads: usize, window: Window) -> Share {
    let connections = usize::from(pace.connections);
    Share {
        connections: connections / threads + usize::from(thread < connections % threads),
        pipeline: usize::from(pace.pipeline),
        smooth: pace.smooth,
        interval_ns: pace.rate.map(|rate| 1e9 * threads as f64 / f64::from(rate)),
        window,
    }
}
