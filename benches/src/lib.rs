//! What it costs: a load generator, and the experiments that are made with it.
//!
//! A server is seen here as its clients see it: from outside, over its protocol, with its processes'
//! CPU time read from `/proc`. No code of ours runs on both sides, so nothing is measured twice and a
//! peer is measured by the same hand as we are.
//!
//! **Invariant.** A figure is never given alone: `compare` runs its targets in turn, in one run, and
//! gives ratios; a latency at a fixed rate is counted from when the request was due, not from when the
//! server let it be sent.

use clap::Subcommand;

pub use crate::at_rest::AtRestArguments;
pub use crate::compare::CompareArguments;
pub use crate::error::BenchError;
pub use crate::expiry::ExpiryArguments;
pub use crate::failover::FailoverArguments;
pub use crate::hit_ratio::HitRatioArguments;
pub use crate::load::LoadArguments;
pub use crate::trace::TraceArguments;

mod at_rest;
mod clock;
mod compare;
mod console;
mod cpu;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod expiry;
mod failover;
mod hit_ratio;
mod ledger;
mod load;
mod picture;
mod report;
mod resp;
mod talk;
mod target;
mod trace;
mod workload;

/// An experiment, with all that it needs to know. `clap` reads it from a command line.
#[derive(Debug, Subcommand)]
pub enum Experiment {
    /// Load servers that already run: throughput, or latency at a fixed rate.
    Load(LoadArguments),
    /// Start servers and load them in turn, A B A B …: rates, CPU per operation, and their ratios.
    Compare(CompareArguments),
    /// Kill nodes under load, again and again: time without service, and a ledger of every write.
    Failover(FailoverArguments),
    /// Let keys expire beside others that do not yet: how late their memory is given back.
    Expiry(ExpiryArguments),
    /// Replay a cache trace: hit ratio, rate, latency.
    Trace(TraceArguments),
    /// Replay traces against the store itself: the hit ratio of every eviction policy, and the optimum.
    HitRatio(HitRatioArguments),
    /// What compression and encryption cost the engine, and what compression saves.
    AtRest(AtRestArguments),
}

/// Makes an experiment; its figures go to the standard output.
///
/// # Errors
/// What kept it from being made, or, for `failover`, what it found.
pub fn run(experiment: &Experiment) -> Result<(), BenchError> {
    match experiment {
        Experiment::Load(arguments) => load::run(arguments),
        Experiment::Compare(arguments) => compare::run(arguments),
        Experiment::Failover(arguments) => failover::run(arguments),
        Experiment::Expiry(arguments) => expiry::run(arguments),
        Experiment::Trace(arguments) => trace::run(arguments),
        Experiment::HitRatio(arguments) => hit_ratio::run(arguments),
        Experiment::AtRest(arguments) => at_rest::run(arguments),
    }
}
