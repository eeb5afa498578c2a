//! `evenkeel cluster`: who leads and who votes, seen and changed (`EVENKEEL …` over RESP).
//!
//! A change is decided at once and carried out in the background, so these commands watch until the
//! voters are in force. Whoever ends one early undoes nothing.

use std::time::{Duration, Instant};

use evenkeel_runtime::{block_on, sleep};
use evenkeel_wire::reply::Reply;
use serde::Serialize;

use crate::arguments::{ClusterCommand, ClusterTarget, Output};
use crate::failure::{Exit, Failure};
use crate::status::write_table;
use crate::talk::Connection;
use crate::{tell, write_out};

/// One answer may take so long: nodes give up after ten seconds.
const REPLY_PATIENCE: Duration = Duration::from_secs(15);
/// How often to look whether it is done.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) mod members;

/// The document of `--output json`. Fields are only ever added.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether every shard has a leader, and the voters that it should have.
    settled: bool,
    /// Copies of shards that had to be made, and how few would have been enough.
    votes_moved: i64,
    lower_bound: i64,
    /// Shards that should have changed and could not.
    stuck: Vec<i64>,
    shards: Vec<Shard>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Shard {
    shard: i64,
    slot_first: i64,
    slot_last: i64,
    leader: Option<String>,
    voters: Vec<String>,
    voters_wanted: Vec<String>,
    learner: Option<String>,
    lag_max: i64,
    settled: bool,
}

pub(crate) fn run(command: &ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status { target } => {
            let shards = block_on(async { shards(&mut open(target).await?).await })?;
            let report = Report { shards, ..Report::default() }.judged();
            show(target, &report)?;
            report.verdict()
        }
        ClusterCommand::Nodes { target } => members::nodes(target),
        ClusterCommand::Join { node, target } => members::join(target, node),
        ClusterCommand::Remove { node, target } => members::remove(target, node),
        ClusterCommand::Replace { old, new, target } => members::replace(target, old, new),
        ClusterCommand::TransferLeader { shard, node, target } => {
            let mut words = vec!["TRANSFER".to_owned(), shard.to_string()];
            words.extend(node.clone());
            carry_out(target, words)
        }
        ClusterCommand::Move { shard, nodes, target } => {
            let mut words = vec!["MOVE".to_owned(), shard.to_string()];
            words.extend(nodes.iter().cloned());
            carry_out(target, words)
        }
        ClusterCommand::Drain { node, target } => {
            carry_out(target, vec!["DRAIN".to_owned(), node.clone()])
        }
        ClusterCommand::Balance { without, target } => {
            let mut words = vec!["BALANCE".to_owned()];
            if !without.is_empty() {
                words.push("WITHOUT".to_owned());
                words.extend(without.iter().cloned());
            }
            carry_out(target, words)
        }
    }
}

fn carry_out(target: &ClusterTarget, words: Vec<String>) -> Result<(), Failure> {
    let report = block_on(ask_and_watch(target, &words))?;
    show(target, &report)?;
    report.verdict()
}

async fn open(target: &ClusterTarget) -> Result<Connection, Failure> {
    Connection::open(target.address, REPLY_PATIENCE, 0).await
}

#[expect(clippy::disallowed_methods, reason = "a person waits, by a real clock")]
async fn ask_and_watch(target: &ClusterTarget, words: &[String]) -> Result<Report, Failure> {
    let end = Instant::now() + Duration::from_secs(target.timeout_s);
    let mut connection = open(target).await?;
    let command: Vec<&[u8]> = std::iter::once("EVENKEEL")
        .chain(words.iter().map(|word| &**word))
        .map(str::as_bytes)
        .collect();
    let reply = connection.call(&command).await?;
    let mut report = Report {
        votes_moved: field(&reply, "votes_moved").map_or(0, integer),
        lower_bound: field(&reply, "lower_bound").map_or(0, integer),
        stuck: field(&reply, "stuck").map_or_else(Vec::new, |stuck| list(stuck, integer)),
        ..Report::default()
    };
    let mut open_before = usize::MAX;
    loop {
        report.shards = shards(&mut connection).await?;
        let open = report.shards.iter().filter(|shard| !shard.settled).count();
        if open == 0 || end <= Instant::now() {
            return Ok(report.judged());
        }
        if open != open_before {
            tell(&format!("{open} of {} shards are on the way", report.shards.len()));
            open_before = open;
        }
        sleep(PAUSE).await;
    }
}

async fn shards(connection: &mut Connection) -> Result<Vec<Shard>, Failure> {
    let reply = connection.call(&[b"EVENKEEL", b"SHARDS"]).await?;
    let shards = list(&reply, shard);
    if shards.is_empty() {
        return Err(Failure::new(Exit::Failed, "the node's EVENKEEL SHARDS cannot be understood")
            .next("Is it another server, or another release?"));
    }
    Ok(shards)
}

fn shard(reply: &Reply) -> Shard {
    let number = |name| field(reply, name).map_or(0, integer);
    let words = |name| field(reply, name).map_or_else(Vec::new, |words| list(words, word));
    let maybe = |name| field(reply, name).map(word).filter(|word| !word.is_empty());
    Shard {
        shard: number("shard"),
        slot_first: number("slot_first"),
        slot_last: number("slot_last"),
        leader: maybe("leader"),
        voters: words("voters"),
        voters_wanted: words("voters_wanted"),
        learner: maybe("learner"),
        lag_max: number("lag_max"),
        settled: number("settled") == 1,
    }
}

/// A field of a map, which RESP2 writes as an array of names and values.
pub(crate) fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a Reply> {
    match reply {
        Reply::Map(rows) => rows.iter().find(|(key, _)| word(key) == name).map(|(_, value)| value),
        Reply::Array(parts) => {
            let mut rows = parts.chunks_exact(2);
            rows.find(|row| word(&row[0]) == name).map(|row| &row[1])
        }
        _ => None,
    }
}

fn list<T>(reply: &Reply, read: impl Fn(&Reply) -> T) -> Vec<T> {
    match reply {
        Reply::Array(parts) => parts.iter().map(read).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn integer(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(number) => *number,
        _ => 0,
    }
}

fn word(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

impl Report {
    fn judged(self) -> Report {
        Report { settled: self.shards.iter().all(|shard| shard.settled), ..self }
    }

    /// Whoever scripts this wants to know from the exit code whether all is well.
    fn verdict(&self) -> Result<(), Failure> {
        if !self.stuck.is_empty() {
            let what = format!(
                "{} shards could not be moved: every other node that can be reached votes on them",
                self.stuck.len()
            );
            return Err(Failure::new(Exit::Failed, what).next("Add a node, or bring one back."));
        }
        let open = self.shards.iter().filter(|shard| !shard.settled).count();
        if open == 0 {
            return Ok(());
        }
        let what = format!("{open} of {} shards are not settled", self.shards.len());
        Err(Failure::new(Exit::Unavailable, what)
            .next("It goes on by itself: look again with `evenkeel cluster status`."))
    }
}

fn show(target: &ClusterTarget, report: &Report) -> Result<(), Failure> {
    let text = match target.output {
        Output::Text => for_people(report),
        Output::Json => {
            let text = serde_json::to_string_pretty(report).expect("names and numbers are JSON");
            format!("{text}\n")
        }
    };
    write_out(text.as_bytes())
}

fn for_people(report: &Report) -> String {
    let mut table =
        vec![["shard", "slots", "leader", "voters", "lag", "on the way"].map(str::to_owned)];
    for shard in &report.shards {
        let coming = match (&shard.learner, shard.settled) {
            (Some(learner), _) => format!("{learner} catches up"),
            (None, false) => format!("to {}", shard.voters_wanted.join(", ")),
            (None, true) => String::new(),
        };
        table.push([
            shard.shard.to_string(),
            format!("{}-{}", shard.slot_first, shard.slot_last),
            shard.leader.clone().unwrap_or_else(|| "none".to_owned()),
            shard.voters.join(", "),
            shard.lag_max.to_string(),
            coming,
        ]);
    }
    let mut text = String::new();
    if report.votes_moved != 0 {
        text = format!(
            "{} copies made, {} would have been the fewest\n\n",
            report.votes_moved, report.lower_bound
        );
    }
    write_table(&mut text, &table);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(shard: i64, is_settled: bool) -> Reply {
        let names = |names: &[&str]| Reply::Array(names.iter().map(Reply::bulk).collect());
        let wanted = if is_settled { ["a", "b"] } else { ["a", "c"] };
        Reply::Map(vec![
            (Reply::text("shard"), Reply::Integer(shard)),
            (Reply::text("slot_last"), Reply::Integer(9)),
            (Reply::text("leader"), Reply::bulk("a")),
            (Reply::text("voters"), names(&["a", "b"])),
            (Reply::text("voters_wanted"), names(&wanted)),
            (Reply::text("learner"), Reply::Null),
            (Reply::text("settled"), Reply::Integer(i64::from(is_settled))),
        ])
    }

    #[test]
    fn a_shard_is_read_from_a_map_and_from_the_array_that_resp2_makes_of_it() {
        let Reply::Map(rows) = settled(3, true) else { panic!("it is a map") };
        let flat = rows.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect();
        let read = shard(&Reply::Array(flat));
        assert_eq!(read, shard(&settled(3, true)));
        assert_eq!((read.shard, read.slot_last, read.leader.as_deref()), (3, 9, Some("a")));
        assert_eq!((read.voters, read.learner), (vec!["a".to_owned(), "b".to_owned()], None));
    }

    #[test]
    fn the_exit_code_tells_whether_all_is_well() {
        let report = |is_settled| {
            let shards = vec![shard(&settled(0, true)), shard(&settled(1, is_settled))];
            Report { shards, ..Report::default() }.judged()
        };
        assert!(report(true).verdict().is_ok());
        let failure = report(false).verdict().unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.to_string().starts_with("1 of 2 shards are not settled"));
        let stuck = Report { stuck: vec![1], ..report(true) };
        assert_eq!(stuck.verdict().unwrap_err().exit, Exit::Failed);
    }
}
