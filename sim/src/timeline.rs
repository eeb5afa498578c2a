//! A run as one self-contained page: `timeline/page.html` with the run's events in it.
//!
//! ```text
//! marks      at a moment, in a lane: a fault, a kill, an election, a commit, a client's request
//! spans      from one moment to another: a node leads, is down, is paused; a disk is busy; a cut
//! messages   from a lane to a lane
//! clocks     how far a node's wall clock is off, as a line
//! ```
//!
//! **Invariant.** The page shows what was recorded and nothing else; what is left out because there is
//! too much of it is counted, and the page says so.

use std::collections::BTreeMap;

use evenkeel_runtime::simulated::record::Event;
use serde_json::{Value, json};

use self::lanes::Lanes;
use crate::story::{Failure, Summary};

mod clocks;
mod lanes;
mod messages;
mod spans;

/// Marks of one kind that a page holds; the last ones before the end matter most.
const MARK_COUNT_MAX: usize = 40_000;
/// Messages that a page holds.
const MESSAGE_COUNT_MAX: usize = 60_000;
/// Disk operations that a page holds.
const SPAN_COUNT_MAX: usize = 60_000;

const PAGE: &str = include_str!("timeline/page.html");

/// What stands in `PAGE` for the data.
const PLACE: &str = "/*DATA*/null";

/// What there is to show.
pub struct Run<'a> {
    /// The run's one line.
    pub summary: &'a Summary,
    /// What broke.
    pub failure: Option<&'a Failure>,
    /// Everything that happened, in order.
    pub events: &'a [Event],
    /// Nodes by their number: their names.
    pub names: &'a [(String, String)],
    /// What a person types to see it again.
    pub command: &'a str,
}

/// The page.
pub fn page(run: &Run<'_>) -> String {
    // A text must not end the script that it stands in.
    let data = data(run).to_string().replace("</", "<\\/");
    PAGE.replacen(PLACE, &data, 1)
}

/// What the page shows, as it is embedded.
pub fn data(run: &Run<'_>) -> Value {
    let lanes = Lanes::new(run.names);
    let end_ns = run.events.last().map_or(0, |event| event.at_ns);
    let mut left_out = BTreeMap::new();
    let mut last = |name: &'static str, mut list: Vec<Value>, count_max: usize| {
        let skipped = list.len().saturating_sub(count_max);
        if skipped > 0 {
            list.drain(..skipped);
            left_out.insert(name, skipped);
        }
        list
    };
    let mut marks: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in run.events.iter().filter(|event| is_mark(event.kind)) {
        let lane = lanes.of(&event.node.to_string());
        marks.entry(event.kind).or_default().push(json!([micros(event.at_ns), lane, event.detail]));
    }
    let marks: BTreeMap<&str, Vec<Value>> =
        marks.into_iter().map(|(kind, list)| (kind, last(kind, list, MARK_COUNT_MAX))).collect();
    let messages = last("message", messages::messages(run.events, &lanes), MESSAGE_COUNT_MAX);
    let (spans, disk) = spans::spans(run.events, &lanes, end_ns);
    let disk = last("disk", disk, SPAN_COUNT_MAX);
    json!({
        "seed": run.summary.seed,
        "scenario": run.summary.scenario,
        "line": run.summary.to_string(),
        "command": run.command,
        "end": micros(end_ns),
        "lanes": lanes.names(),
        "marks": marks,
        "spans": spans,
        "disk": disk,
        "messages": messages,
        "clocks": clocks::clocks(run.events, &lanes, end_ns),
        "leftOut": left_out,
        "failure": run.failure.map(|failure| json!({
            "oracle": failure.oracle,
            "claim": failure.claim,
            "at": failure.at_s * 1e6,
            "ledger": failure.ledger,
            "history": failure.history,
            "faults": failure.faults,
            "replicas": failure.replicas,
            "commit": failure.commit,
        })),
    })
}

/// What is not drawn in another way.
fn is_mark(kind: &str) -> bool {
    !["send", "deliver", "disk", "framed", "listen"].contains(&kind)
}

/// Microseconds, with what is below them.
fn micros(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}
