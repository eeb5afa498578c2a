//! `expiry`: how long after its deadline a key is gone for good, beside many others that will expire.
//!
//! Seen from outside, for every server alike: keys get deadlines that are evenly spread, nobody reads
//! them, and `INFO keyspace` tells how many are left. The first to be gone is counted against the first
//! deadline, and so on; so a server that removes them in another order looks no better for it. What a
//! look costs, a millisecond or less, is part of every figure.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;

use crate::clock;
use crate::console::say;
use crate::error::BenchError;
use crate::talk::{Reply, Talk};
use crate::target::{self, Kind, ServerArguments, Target};
use crate::{resp, workload};

/// For a reply.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_micros(500);
/// Commands sent together.
const BATCH: u64 = 1_000;
/// From the last command to the first deadline.
const AHEAD_US: u64 = 1_000_000;
/// Deadlines of so many seconds from now do not matter here.
const LATER_S: &[u8] = b"100000";

/// `expiry`'s part of a command line.
#[derive(Debug, Args)]
pub struct ExpiryArguments {
    /// The servers; a cluster's first node is looked at.
    #[arg(value_enum, required = true, num_args = 1..=4)]
    pub(crate) targets: Vec<Kind>,
    /// How many keys expire.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) keys: u64,
    /// Over how many milliseconds their deadlines are spread.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) spread_ms: u64,
    /// How many others will expire much later, in a server of their own each.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 10_000, 100_000, 1_000_000])]
    pub(crate) others: Vec<u64>,
    /// The size of a value, in bytes.
    #[arg(long, default_value_t = 64)]
    pub(crate) value_size: usize,
    /// Whoever is later than this many seconds is not waited for, and counts as so late.
    #[arg(long, default_value_t = 30)]
    pub(crate) wait_seconds: u64,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

pub(crate) fn run(arguments: &ExpiryArguments) -> Result<(), BenchError> {
    if arguments.keys == 0 || arguments.spread_ms == 0 || arguments.wait_seconds == 0 {
        return Err(BenchError::Usage(
            "`--keys`, `--spread-ms`, `--wait-seconds`: at least 1".into(),
        ));
    }
    target::pin_self(&arguments.server)?;
    say(&format!(
        "{:<16} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "", "others", "p50 ms", "p99", "max", "still there"
    ));
    let mut index = 0;
    for &kind in &arguments.targets {
        for &others in &arguments.others {
            let target = Target::start(kind, index, &arguments.server)?;
            index += 1;
            let lags = expire(&target, others, arguments)?;
            let ms = |quantile| lags.late.value_at_quantile(quantile) as f64 / 1_000.0;
            let mut line = format!("{:<16} {others:>10}", kind.name());
            for quantile in [0.5, 0.99, 1.0] {
                write!(line, " {:>10.1}", ms(quantile)).expect("a string takes every write");
            }
            say(&format!("{line} {:>12}", lags.still_there));
        }
    }
    Ok(())
}

/// How late keys were gone, in microseconds, and how many were not in time.
struct Lags {
    late: Histogram<u64>,
    still_there: u64,
}

fn expire(target: &Target, others: u64, arguments: &ExpiryArguments) -> Result<Lags, BenchError> {
    let mut server = Server::open(target)?;
    let value = workload::value(arguments.value_size);
    for number in 0..others {
        server.send(&[format!("o{number}").as_bytes(), &value, b"EX", LATER_S])?;
    }
    server.settle()?;
    // The deadlines have to be told before they come.
    let telling_us = arguments.keys * 20;
    let first_us = clock::wall_us() + telling_us + AHEAD_US;
    let spread_us = arguments.spread_ms * 1_000;
    let deadline_us =
        |number: u64| (first_us + number * spread_us / arguments.keys) / 1_000 * 1_000;
    for number in 0..arguments.keys {
        let deadline_ms = (deadline_us(number) / 1_000).to_string();
        server.send(&[format!("x{number}").as_bytes(), &value, b"PXAT", deadline_ms.as_bytes()])?;
    }
    server.settle()?;
    if first_us < clock::wall_us() {
        return Err(BenchError::Usage(format!(
            "setting {} keys took so long that the first are over: ask for fewer (`--keys`)",
            arguments.keys
        )));
    }
    let late_max = 2 * arguments.wait_seconds * 1_000_000;
    let mut late = Histogram::new_with_bounds(1, late_max, 3).expect("the bounds are in order");
    let end_us = deadline_us(arguments.keys - 1) + arguments.wait_seconds * 1_000_000;
    let mut gone = 0;
    while gone < arguments.keys && clock::wall_us() < end_us {
        let left = server.key_count()?.saturating_sub(others);
        let now_us = clock::wall_us();
        while gone < arguments.keys.saturating_sub(left) {
            late.saturating_record(now_us.saturating_sub(deadline_us(gone)));
            gone += 1;
        }
        clock::pause(PAUSE);
    }
    let still_there = arguments.keys - gone;
    late.saturating_record_n(arguments.wait_seconds * 1_000_000, still_there);
    Ok(Lags { late, still_there })
}

/// A server of an experiment, over one connection.
struct Server {
    talk: Talk,
    name: String,
    keyspace: u8,
    /// Commands whose replies have not been read.
    unread: u64,
    batch: Vec<u8>,
}

impl Server {
    fn open(target: &Target) -> Result<Server, BenchError> {
        let (name, keyspace) = (target.kind.name(), target.place.keyspace);
        let failed = |error| BenchError::server(format!("`{name}` cannot be reached"), error);
        let address = target.place.addresses.first();
        let address = *address.ok_or_else(|| BenchError::Usage(format!("`{name}` has no RESP")))?;
        let talk = Talk::open(address, PATIENCE).map_err(failed)?;
        let mut server = Server { talk, name, keyspace, unread: 0, batch: Vec::new() };
        let number = keyspace.to_string();
        resp::command(&[b"SELECT", number.as_bytes()], &mut server.batch);
        server.unread += 1;
        server.settle()?;
        Ok(server)
    }

    /// `SET`, with these arguments; many go out together.
    fn send(&mut self, arguments: &[&[u8]]) -> Result<(), BenchError> {
        let words: Vec<&[u8]> =
            std::iter::once(&b"SET"[..]).chain(arguments.iter().copied()).collect();
        resp::command(&words, &mut self.batch);
        self.unread += 1;
        if self.unread == BATCH { self.settle() } else { Ok(()) }
    }

    /// Sends what is left and reads every reply.
    fn settle(&mut self) -> Result<(), BenchError> {
        let gone = |name: &str, error| BenchError::server(format!("`{name}` went away"), error);
        self.talk.send(&self.batch).map_err(|error| gone(&self.name, error))?;
        self.batch.clear();
        for _ in 0..std::mem::take(&mut self.unread) {
            match self.talk.reply().map_err(|error| gone(&self.name, error))? {
                Reply::Refused(reason) => {
                    return Err(BenchError::server(format!("`{}` refuses", self.name), reason));
                }
                Reply::Done | Reply::Number(_) | Reply::Bulk(_) | Reply::Missing => (),
            }
        }
        Ok(())
    }

    /// How many keys it still has memory for.
    fn key_count(&mut self) -> Result<u64, BenchError> {
        let asked = self.talk.ask(&[b"INFO", b"keyspace"]);
        let strange = |reason: String| BenchError::Protocol { server: self.name.clone(), reason };
        match asked.map_err(|error| strange(error.to_string()))? {
            Reply::Bulk(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                count_in(&text, self.keyspace).map_err(strange)
            }
            other => Err(strange(format!("{other:?} to INFO"))),
        }
    }
}

/// `dbN:keys=COUNT,…`; no such line: no keys.
fn count_in(info: &str, keyspace: u8) -> Result<u64, String> {
    let head = format!("db{keyspace}:keys=");
    let Some(rest) = info.lines().find_map(|line| line.strip_prefix(&head)) else { return Ok(0) };
    let digits = rest.split(',').next().unwrap_or_default();
    digits.parse().map_err(|_| format!("`{head}{rest}` has no count"))
}

#[cfg(test)]
mod tests {
    use super::count_in;

    #[test]
    fn keys_are_counted_of_the_keyspace_that_was_asked_for() {
        let info = "# Keyspace\r\ndb0:keys=7,expires=0,avg_ttl=0\r\ndb1:keys=42,expires=1\r\n";
        assert_eq!(count_in(info, 0), Ok(7));
        assert_eq!(count_in(info, 1), Ok(42));
        assert_eq!(count_in(info, 2), Ok(0));
        assert!(count_in("db0:keys=many,expires=0", 0).is_err());
    }
}
