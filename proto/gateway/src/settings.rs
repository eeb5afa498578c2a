//! What `CONFIG GET` shows and `CONFIG SET` changes, under the names that Redis' clients ask for.
//!
//! One row a parameter. A row without a way to set it tells the truth about how this server works;
//! a row with one changes a limit of this gateway until it restarts.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_node::api::{KEYSPACE_CACHE, NodeStatus};
use evenkeel_wire::{glob, limits as wire_limits};

use crate::limits::{Limits, SLOWLOG_COUNT_MAX};

/// What can change while the gateway runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    /// Commands slower than this, in microseconds, go to the slow log; `None` for none of them.
    pub(crate) slowlog_slower_than_us: Option<u64>,
    pub(crate) slowlog_count_max: usize,
}

impl Settings {
    /// What a gateway with these limits starts with.
    pub(crate) fn new(limits: Limits) -> Settings {
        Settings { limits, slowlog_slower_than_us: Some(10_000), slowlog_count_max: 128 }
    }
}

/// What the rows show that is not a setting.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Where the gateway listens.
    pub(crate) listen: SocketAddr,
    /// The memory budget of all keyspaces, in bytes.
    pub(crate) memory_max: u64,
    /// Who has to go when that of `cache` is used up, by Redis' name.
    pub(crate) policy_name: String,
    /// Whether clients are expected to follow `MOVED`.
    pub(crate) redirect: bool,
    /// How many keyspaces `SELECT` knows.
    pub(crate) keyspace_count: usize,
}

/// The eviction policy of the keyspace `cache`, the only one that loses keys, as Redis would name it.
pub(crate) fn policy_name(status: &NodeStatus) -> String {
    match status.keyspaces.get(usize::from(KEYSPACE_CACHE)).map(|keyspace| keyspace.eviction) {
        None | Some("none") => "noeviction".to_owned(),
        Some(eviction) => format!("allkeys-{eviction}"),
    }
}

/// Why `CONFIG SET` refused; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetError {
    #[error("Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    #[error(
        "CONFIG SET failed (possibly related to argument '{0}') - it cannot be changed while the \
         node runs: change the node's configuration and restart it"
    )]
    ReadOnly(&'static str),
    #[error("CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Value { name: &'static str, reason: String },
}

type Show = fn(&Settings, &Surroundings) -> String;
type Set = fn(&mut Settings, &str) -> Result<(), String>;

struct Row {
    name: &'static str,
    show: Show,
    set: Option<Set>,
}

/// Shows every parameter whose name matches one of the patterns, each once, in the table's order.
pub(crate) fn get(
    settings: &Settings,
    surroundings: &Surroundings,
    patterns: &[&[u8]],
) -> Vec<(&'static str, String)> {
    let wanted = |row: &&Row| {
        patterns
            .iter()
            .any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), row.name.as_bytes()))
    };
    ROWS.iter().filter(wanted).map(|row| (row.name, (row.show)(settings, surroundings))).collect()
}

/// Sets all of the parameters, or none of them.
pub(crate) fn set(settings: &mut Settings, pairs: &[(&[u8], &[u8])]) -> Result<(), SetError> {
    let mut changed = settings.clone();
    for (name, value) in pairs {
        let name = String::from_utf8_lossy(name);
        let row = ROWS
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(&name))
            .ok_or_else(|| SetError::Unknown(name.into_owned()))?;
        let set = row.set.ok_or(SetError::ReadOnly(row.name))?;
        let value = String::from_utf8_lossy(value);
        set(&mut changed, &value).map_err(|reason| SetError::Value { name: row.name, reason })?;
    }
    *settings = changed;
    Ok(())
}

const fn fixed(name: &'static str, show: Show) -> Row {
    Row { name, show, set: None }
}

const fn live(name: &'static str, show: Show, set: Set) -> Row {
    Row { name, show, set: Some(set) }
}

static ROWS: &[Row] = &[
    fixed("appendfsync", |_, _| "always".to_owned()),
    fixed("appendonly", |_, _| "yes".to_owned()),
    fixed("bind", |_, around| around.listen.ip().to_string()),
    live(
        "client-output-buffer-limit",
        |settings, _| {
            let limits = &settings.limits;
            let (hard, soft) = (limits.output_size_max, limits.output_size_high);
            let seconds = limits.output_stall_max.as_secs();
            format!("normal {hard} {soft} {seconds} slave 0 0 0 pubsub 0 0 0")
        },
        set_output_limit,
    ),
    live(
        "client-query-buffer-limit",
        |settings, _| settings.limits.query_size_max.to_string(),
        |settings, value| {
            let size_max = bounded(size(value)?, 1024 * 1024, wire_limits::COMMAND_SIZE_MAX)?;
            settings.limits.query_size_max = size_max;
            Ok(())
        },
    ),
    fixed("cluster-enabled", |_, around| yes_no(around.redirect)),
    fixed("cluster-require-full-coverage", |_, _| "no".to_owned()),
    fixed("databases", |_, around| around.keyspace_count.to_string()),
    fixed("io-threads", |_, _| "1".to_owned()),
    fixed("latency-monitor-threshold", |_, _| "0".to_owned()),
    live(
        "maxclients",
        |settings, _| settings.limits.connection_count_max.to_string(),
        |settings, value| {
            settings.limits.connection_count_max = bounded(number(value)?, 1, 1_000_000)?;
            Ok(())
        },
    ),
    fixed("maxmemory", |_, around| around.memory_max.to_string()),
    fixed("maxmemory-policy", |_, around| around.policy_name.clone()),
    fixed("notify-keyspace-events", |_, _| String::new()),
    fixed("port", |_, around| around.listen.port().to_string()),
    live(
        "proto-max-bulk-len",
        |settings, _| settings.limits.bulk_size_max.to_string(),
        |settings, value| {
            let size_max = bounded(size(value)?, 1024, settings.limits.query_size_max)?;
            settings.limits.bulk_size_max = size_max;
            Ok(())
        },
    ),
    fixed("replica-read-only", |_, _| "yes".to_owned()),
    fixed("requirepass", |_, _| String::new()),
    fixed("save", |_, _| String::new()),
    live(
        "slowlog-log-slower-than",
        |settings, _| match settings.slowlog_slower_than_us {
            Some(slower_than_us) => slower_than_us.to_string(),
            None => "-1".to_owned(),
        },
        |settings, value| {
            let slower_than: i64 =
                value.parse().map_err(|_| "argument couldn't be parsed into an integer")?;
            settings.slowlog_slower_than_us = u64::try_from(slower_than).ok();
            Ok(())
        },
    ),
    live(
        "slowlog-max-len",
        |settings, _| settings.slowlog_count_max.to_string(),
        |settings, value| {
            settings.slowlog_count_max = bounded(number(value)?, 0, SLOWLOG_COUNT_MAX)?;
            Ok(())
        },
    ),
    fixed("tcp-keepalive", |_, _| "0".to_owned()),
    live(
        "timeout",
        |settings, _| settings.limits.idle_max.map_or(0, |idle| idle.as_secs()).to_string(),
        |settings, value| {
            let seconds = bounded(number(value)?, 0, i32::MAX as usize)? as u64;
            settings.limits.idle_max = (seconds != 0).then(|| Duration::from_secs(seconds));
            Ok(())
        },
    ),
];

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn number(value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| "argument couldn't be parsed into an integer".to_owned())
}

/// A size in bytes with Redis' suffixes: `k` is a thousand, `kb` is 1,024.
fn size(value: &str) -> Result<usize, String> {
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: usize = match value[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1024,
        "m" => 1_000_000,
        "mb" => 1024 * 1024,
        "g" => 1_000_000_000,
        "gb" => 1024 * 1024 * 1024,
        _ => return Err("argument must be a memory value".to_owned()),
    };
    let count: usize = digits.parse().map_err(|_| "argument must be a memory value".to_owned())?;
    count.checked_mul(unit).ok_or_else(|| "argument must be a memory value".to_owned())
}

fn bounded(value: usize, min: usize, max: usize) -> Result<usize, String> {
    if min <= value && value <= max {
        Ok(value)
    } else {
        Err(format!("argument must be between {min} and {max} inclusive"))
    }
}

/// `normal HARD SOFT SECONDS`; the other classes of Redis do not exist here.
fn set_output_limit(settings: &mut Settings, value: &str) -> Result<(), String> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let ["normal", hard, soft, seconds] = words.as_slice() else {
        return Err("only the class 'normal' exists: 'normal HARD SOFT SECONDS'".to_owned());
    };
    const SIZE_MIN: usize = 64 * 1024;
    let hard = bounded(size(hard)?, SIZE_MIN, usize::MAX)?;
    let soft = bounded(size(soft)?, SIZE_MIN, hard)?;
    let seconds = bounded(number(seconds)?, 1, 3600)? as u64;
    settings.limits.output_size_max = hard;
    settings.limits.output_size_high = soft;
    settings.limits.output_stall_max = Duration::from_secs(seconds);
    Ok(())
}

#[cfg(test)]
mod tests;
