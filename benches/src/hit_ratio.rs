//! `hit-ratio`: which eviction policy keeps what will be asked for again, on real traces.
//!
//! The store of the product is filled as a cache is: GET, and PUT after a miss. Nothing is simulated
//! but the clients; what is measured is the very code that a keyspace runs.
//!
//! **Invariant.** Every policy gets the same requests and the same budget in bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use evenkeel_engine::store::{Eviction, Store, StoreOptions, Tier};

use crate::console::say;
use crate::error::BenchError;
use crate::trace::{self, Asked, Format};

mod optimum;

/// What an entry of a trace without sizes takes, in bytes: enough for what is kept beside it not to
/// matter.
const UNIT_BYTES: u64 = 1024;
/// What the store keeps beside a value of that size, in bytes, about: key, header, index.
const BESIDE_BYTES: u64 = 24;

/// `hit-ratio`'s part of a command line.
#[derive(Debug, Args)]
pub struct HitRatioArguments {
    /// Traces, each with what it looks like: `arc:FILE`, `u32:FILE`, `lines:FILE` or `sized:FILE`.
    #[arg(required = true, value_name = "FORMAT:FILE", value_parser = named)]
    pub(crate) traces: Vec<(Format, PathBuf)>,
    /// The cache's size in percent of all different keys (of their bytes, if the trace has sizes).
    #[arg(long, value_delimiter = ',', default_values_t = [0.1, 1.0, 10.0, 25.0])]
    pub(crate) percent: Vec<f64>,
}

/// All that evict.
const POLICIES: [Eviction; 5] =
    [Eviction::Fifo, Eviction::Lru, Eviction::Lfu, Eviction::S3Fifo, Eviction::Auto];

fn named(text: &str) -> Result<(Format, PathBuf), String> {
    let (format, file) = text.split_once(':').ok_or("expected FORMAT:FILE")?;
    Ok((clap::ValueEnum::from_str(format, true)?, PathBuf::from(file)))
}

pub(crate) fn run(arguments: &HitRatioArguments) -> Result<(), BenchError> {
    let names: Vec<&str> = POLICIES.iter().map(|policy| policy.name()).collect();
    say(&format!("| trace | size | {} | auto − best | optimum |", names.join(" | ")));
    say(&format!("| --- | {}", "---: | ".repeat(POLICIES.len() + 3).trim_end()));
    let mut sums = [0.0; POLICIES.len() + 1];
    let mut rows = 0;
    for (format, file) in &arguments.traces {
        let requests = trace::requests(file, *format)?;
        let name = file.file_name().map_or_else(String::new, |name| name.display().to_string());
        let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
        for asked in &requests {
            sizes.insert(asked.key, entry_bytes(asked));
        }
        let total: u64 = sizes.values().sum();
        say(&format!("| {name}: {} requests, {} keys |", requests.len(), sizes.len()));
        for percent in &arguments.percent {
            let budget = (total as f64 * percent / 100.0) as u64;
            let mut ratios = Vec::new();
            for policy in POLICIES {
                ratios.push(measured(&requests, policy, budget));
            }
            let optimum = match requests.first() {
                Some(Asked { size: None, .. }) => {
                    let keys: Vec<u64> = requests.iter().map(|asked| asked.key).collect();
                    Some(optimum::hits(&keys, (budget / entry_bytes(&requests[0])) as usize))
                }
                _ => None,
            };
            let optimum = optimum.map(|hits| 100.0 * hits as f64 / requests.len() as f64);
            say(&row(*percent, &ratios, optimum));
            rows += 1;
            for (sum, ratio) in sums.iter_mut().zip(ratios.iter().chain(&optimum)) {
                *sum += ratio;
            }
        }
    }
    let means: Vec<String> =
        sums.iter().map(|sum| format!("{:.2}", sum / f64::from(rows))).collect();
    say(&format!("| mean of {rows} rows | | {} |", means.join(" | ")));
    Ok(())
}

fn row(percent: f64, ratios: &[f64], optimum: Option<f64>) -> String {
    let (auto, fixed) = ratios.split_last().expect("there are policies");
    let best = fixed.iter().copied().fold(0.0, f64::max);
    let cells: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let optimum = optimum.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    format!("| | {percent} % | {} | {:+.2} | {optimum} |", cells.join(" | "), auto - best)
}

/// What a request's entry takes in the store, in bytes.
fn entry_bytes(asked: &Asked) -> u64 {
    asked.size.map_or(UNIT_BYTES, u64::from) + BESIDE_BYTES
}

/// The hit ratio, in percent.
fn measured(requests: &[Asked], eviction: Eviction, budget: u64) -> f64 {
    let mut store = Store::new(StoreOptions {
        tier: Tier::MemoryOnly,
        memory_bytes_max: budget,
        eviction,
        slot_of: |_| 0,
    });
    let value = vec![0; 16 << 20];
    for (number, asked) in (1..).zip(requests) {
        let key = asked.key.to_le_bytes();
        let size = (entry_bytes(asked) - BESIDE_BYTES) as usize;
        if store.get(0, &key).is_none() && store.fits(key.len(), size) {
            store.put(0, &key, &value[..size], number, 0, None);
        }
    }
    100.0 * store.stats().hits as f64 / requests.len() as f64
}
