//! `evenkeel status`: the cluster as its nodes describe it.
//!
//! One node names the others (`CLUSTER NODES`, `CLUSTER SLOTS`); then each is asked for itself
//! (`INFO`). Nothing here needs a door of its own: any client can see the same.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_runtime::block_on;
use evenkeel_wire::reply::Reply;
use serde::Serialize;

use crate::arguments::{Output, StatusArguments};
use crate::failure::{Exit, Failure};
use crate::talk::Connection;
use crate::write_out;

/// The document of `--output json`. Fields are only ever added.
#[derive(Debug, Serialize)]
struct ClusterStatus {
    map_epoch: u64,
    shard_count: u64,
    shards_with_leader: u64,
    nodes: Vec<NodeStatus>,
    /// Neighbouring shards with the same leader and replicas are one entry.
    ranges: Vec<RangeStatus>,
}

#[derive(Debug, Serialize)]
struct NodeStatus {
    id: String,
    address: String,
    reachable: bool,
    /// Nothing is known of a node that cannot be reached.
    #[serde(flatten)]
    details: Option<NodeDetails>,
}

#[derive(Debug, Serialize)]
struct NodeDetails {
    name: String,
    uptime_s: u64,
    mode: String,
    shards_led: u64,
    lag_max: u64,
    keys: u64,
    memory_bytes: u64,
    memory_bytes_max: u64,
    resident_bytes: u64,
    log_bytes: u64,
    log_segments: u64,
    disk_backend: String,
}

#[derive(Debug, Serialize)]
struct RangeStatus {
    slot_first: i64,
    slot_last: i64,
    leader: String,
    replicas: Vec<String>,
}

/// A node's `INFO`, by name.
struct Info(BTreeMap<String, String>);

pub(crate) fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let target = &arguments.target;
    let status = block_on(ask(target.address, target.timeout()))?;
    let text = match arguments.output {
        Output::Text => for_people(&status),
        Output::Json => {
            let text = serde_json::to_string_pretty(&status).expect("names and numbers are JSON");
            format!("{text}\n")
        }
    };
    write_out(text.as_bytes())?;
    judge(&status)
}

/// Whoever scripts this wants to know from the exit code whether all is well.
fn judge(status: &ClusterStatus) -> Result<(), Failure> {
    let gone = status.nodes.iter().filter(|node| !node.reachable).count();
    let leaderless = status.shard_count.saturating_sub(status.shards_with_leader);
    match (gone, leaderless) {
        (0, 0) => Ok(()),
        _ => {
            let what = format!(
                "{gone} of {} nodes cannot be reached, {leaderless} of {} shards have no leader",
                status.nodes.len(),
                status.shard_count
            );
            Err(Failure::new(Exit::Unavailable, what).next("Look at the logs of those nodes."))
        }
    }
}

async fn ask(address: SocketAddr, patience: Duration) -> Result<ClusterStatus, Failure> {
    let mut first = Connection::open(address, patience, 0).await?;
    let info = Info::of(first.call(&[b"INFO"]).await?)?;
    let members = members(&text(first.call(&[b"CLUSTER", b"NODES"]).await?)?);
    let slots = first.call(&[b"CLUSTER", b"SLOTS"]).await?;

    let mut nodes = Vec::new();
    for (id, address) in members {
        let details = match address.parse() {
            Ok(address) => details(address, patience).await.ok(),
            Err(_) => None,
        };
        nodes.push(NodeStatus { id, address, reachable: details.is_some(), details });
    }
    let names: BTreeMap<&str, &str> = nodes
        .iter()
        .filter_map(|node| Some((node.id.as_str(), node.details.as_ref()?.name.as_str())))
        .collect();
    let ranges = ranges(&slots, &names)?;
    Ok(ClusterStatus {
        map_epoch: info.number("map_epoch"),
        shard_count: info.number("shards"),
        shards_with_leader: info.number("shards_with_leader"),
        nodes,
        ranges,
    })
}

async fn details(address: SocketAddr, patience: Duration) -> Result<NodeDetails, Failure> {
    let mut connection = Connection::open(address, patience, 0).await?;
    let info = Info::of(connection.call(&[b"INFO"]).await?)?;
    Ok(NodeDetails {
        name: info.word("node_name"),
        uptime_s: info.number("uptime_in_seconds"),
        mode: info.word("cluster_mode"),
        shards_led: info.number("shards_led"),
        lag_max: info.number("lag_max"),
        keys: info.keys(),
        memory_bytes: info.number("used_memory"),
        memory_bytes_max: info.number("maxmemory"),
        resident_bytes: info.number("used_memory_rss"),
        log_bytes: info.number("log_bytes"),
        log_segments: info.number("log_segments"),
        disk_backend: info.word("disk_backend"),
    })
}

impl Info {
    fn of(reply: Reply) -> Result<Info, Failure> {
        let text = text(reply)?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(Info(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    fn word(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// 0 for what an older or newer node does not tell.
    fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// The sum over keyspaces: lines such as `db0:keys=3,expires=0`.
    fn keys(&self) -> u64 {
        let counts =
            self.0.iter().filter(|(name, _)| name.starts_with("db")).filter_map(|(_, value)| {
                value.strip_prefix("keys=")?.split(',').next()?.parse::<u64>().ok()
            });
        counts.sum()
    }
}

/// Id and client address of each line of `CLUSTER NODES`, in the order of their addresses.
fn members(text: &str) -> Vec<(String, String)> {
    let mut members: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (id, address) = (words.next()?, words.next()?);
            let address = address.split('@').next()?;
            Some((id.to_owned(), address.to_owned()))
        })
        .collect();
    members.sort_by(|left, right| left.1.cmp(&right.1));
    members
}

/// The rows of `CLUSTER SLOTS`; a node is its name if it is known, else its id.
fn ranges(reply: &Reply, names: &BTreeMap<&str, &str>) -> Result<Vec<RangeStatus>, Failure> {
    let unknown = || Failure::new(Exit::Failed, "the node's CLUSTER SLOTS cannot be understood");
    let Reply::Array(rows) = reply else { return Err(unknown()) };
    let name = |node: &Reply| -> Option<String> {
        let Reply::Array(parts) = node else { return None };
        let Some(Reply::Bulk(id)) = parts.get(2) else { return None };
        let id = std::str::from_utf8(id).ok()?;
        Some(names.get(id).copied().unwrap_or(id).to_owned())
    };
    let row = |row: &Reply| -> Option<RangeStatus> {
        let Reply::Array(parts) = row else { return None };
        let [Reply::Integer(slot_first), Reply::Integer(slot_last), leader, replicas @ ..] =
            parts.as_slice()
        else {
            return None;
        };
        let replicas: Option<Vec<String>> = replicas.iter().map(name).collect();
        Some(RangeStatus {
            slot_first: *slot_first,
            slot_last: *slot_last,
            leader: name(leader)?,
            replicas: replicas?,
        })
    };
    let rows: Option<Vec<RangeStatus>> = rows.iter().map(row).collect();
    rows.ok_or_else(unknown)
}

fn text(reply: Reply) -> Result<String, Failure> {
    match reply {
        Reply::Bulk(text) | Reply::Verbatim { text, .. } => {
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        _ => Err(Failure::new(Exit::Failed, "the node answered something else than text")
            .next("Is it another server, or another release?")),
    }
}

fn for_people(status: &ClusterStatus) -> String {
    let ClusterStatus { map_epoch, shard_count, shards_with_leader, nodes, ranges } = status;
    let mut table = vec![
        ["node", "address", "leads", "lag", "keys", "memory", "log", "disk"].map(str::to_owned),
    ];
    for node in nodes {
        let Some(details) = &node.details else {
            let id = node.id.chars().take(8).collect();
            let dash = || "-".to_owned();
            let gone = "not reachable".to_owned();
            table.push([id, node.address.clone(), gone, dash(), dash(), dash(), dash(), dash()]);
            continue;
        };
        table.push([
            details.name.clone(),
            node.address.clone(),
            details.shards_led.to_string(),
            details.lag_max.to_string(),
            details.keys.to_string(),
            format!("{} of {}", mib(details.memory_bytes), mib(details.memory_bytes_max)),
            mib(details.log_bytes),
            details.disk_backend.clone(),
        ]);
    }
    let mut text = format!(
        "{} nodes, {shard_count} shards, {shards_with_leader} with a leader, map epoch {map_epoch}\n\n",
        nodes.len()
    );
    write_table(&mut text, &table);
    text.push('\n');
    let mut table = vec![["slots", "leader", "replicas"].map(str::to_owned)];
    table.extend(ranges.iter().map(|range| {
        let RangeStatus { slot_first, slot_last, leader, replicas } = range;
        [format!("{slot_first}-{slot_last}"), leader.clone(), replicas.join(", ")]
    }));
    write_table(&mut text, &table);
    text
}

/// Columns as wide as their widest cell.
pub(crate) fn write_table<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            write!(line, "{cell:width$}  ").expect("a string takes every write");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests;
