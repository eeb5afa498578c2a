//! `evenkeel scrub`: every node reads all that it has on its disk, now, and mends what is damaged.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_runtime::{block_on, sleep};
use evenkeel_wire::reply::Reply;
use serde::Serialize;

use crate::arguments::{Output, ScrubArguments};
use crate::cluster::{field, integer, members};
use crate::failure::{Exit, Failure};
use crate::progress::{Progress, mib};
use crate::status::write_table;
use crate::talk::Connection;
use crate::write_out;

/// How often a node is asked how far it is.
const PAUSE: Duration = Duration::from_millis(200);
/// One answer may take so long.
const REPLY_PATIENCE: Duration = Duration::from_secs(15);

/// The document of `--output json` has a list of these. Fields are only ever added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Verdict {
    node: String,
    /// Why there is no more to say of this node; then what follows is as of the last answer.
    failed: Option<String>,
    bytes_read: i64,
    /// Values whose bytes were damaged, found by this pass.
    damaged: i64,
    /// Of these, so many have a new place.
    mended: i64,
    /// Values that nobody could give back.
    left: i64,
}

/// A node that reads.
struct Reader {
    verdict: Verdict,
    /// `None` when it is over.
    connection: Option<Connection>,
    /// The pass that was asked for.
    pass: i64,
    bytes: i64,
    /// What was found before.
    damaged_before: i64,
    mended_before: i64,
}

pub(crate) fn run(arguments: &ScrubArguments) -> Result<(), Failure> {
    let verdicts = block_on(async {
        let mut readers = begin(arguments).await?;
        let mut progress = Progress::new();
        while readers.iter().any(|reader| reader.connection.is_some()) {
            sleep(PAUSE).await;
            for reader in &mut readers {
                reader.look().await;
            }
            progress.at(|_| so_far(&readers));
        }
        Ok::<Vec<Verdict>, Failure>(readers.into_iter().map(|reader| reader.verdict).collect())
    })?;
    let text = match arguments.output {
        Output::Text => for_people(&verdicts),
        Output::Json => {
            let text = serde_json::to_string_pretty(&verdicts).expect("numbers are JSON");
            format!("{text}\n")
        }
    };
    write_out(text.as_bytes())?;
    judge(&verdicts)
}

/// Asks every node, or the one that was named.
async fn begin(arguments: &ScrubArguments) -> Result<Vec<Reader>, Failure> {
    let mut connection = Connection::open(arguments.address, REPLY_PATIENCE, 0).await?;
    let mut nodes = members::list_nodes(&mut connection).await?;
    nodes.retain(|node| node.id.is_some());
    if let Some(wanted) = &arguments.node {
        nodes.retain(|node| node.name == *wanted);
        if nodes.is_empty() {
            return Err(Failure::new(Exit::Failed, format!("no node is called `{wanted}`"))
                .next("See `evenkeel cluster nodes`."));
        }
    }
    let mut readers = Vec::new();
    for node in nodes {
        let address = node.client.as_deref().and_then(|client| client.parse().ok());
        readers.push(Reader::begin(node.name, address).await);
    }
    Ok(readers)
}

impl Reader {
    async fn begin(node: String, address: Option<SocketAddr>) -> Reader {
        let verdict = Verdict { node, ..Verdict::default() };
        let mut reader = Reader {
            verdict,
            connection: None,
            pass: 0,
            bytes: 0,
            damaged_before: 0,
            mended_before: 0,
        };
        let opened = match address {
            Some(address) => Connection::open(address, REPLY_PATIENCE, 0).await,
            None => Err(Failure::new(Exit::Unavailable, "its address cannot be understood")),
        };
        match opened {
            Ok(mut connection) => match connection.call(&[b"EVENKEEL", b"SCRUB"]).await {
                Ok(reply) => {
                    let number = |name| field(&reply, name).map_or(0, integer);
                    reader.pass = number("scrub_asked");
                    reader.damaged_before = number("scrub_damaged");
                    reader.mended_before = number("scrub_mended");
                    reader.connection = Some(connection);
                }
                Err(failure) => reader.verdict.failed = Some(failure.to_string()),
            },
            Err(failure) => reader.verdict.failed = Some(failure.to_string()),
        }
        reader
    }

    async fn look(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        match connection.call(&[b"EVENKEEL", b"SCRUB", b"STATUS"]).await {
            Ok(reply) => self.take(&reply),
            Err(failure) => {
                self.verdict.failed = Some(failure.to_string());
                self.connection = None;
            }
        }
    }

    fn take(&mut self, reply: &Reply) {
        let number = |name| field(reply, name).map_or(0, integer);
        if number("scrub_asked") < self.pass {
            self.verdict.failed = Some("it was started again meanwhile".to_owned());
            self.connection = None;
            return;
        }
        self.bytes = number("scrub_bytes");
        self.verdict.bytes_read = number("scrub_bytes_read");
        self.verdict.damaged = number("scrub_damaged") - self.damaged_before;
        self.verdict.mended = number("scrub_mended") - self.mended_before;
        self.verdict.left = number("scrub_left");
        if self.pass <= number("scrub_answered") {
            self.connection = None;
        }
    }
}

fn so_far(readers: &[Reader]) -> String {
    let over = readers.iter().filter(|reader| reader.connection.is_none()).count();
    let read: i64 = readers.iter().map(|reader| reader.verdict.bytes_read).sum();
    let bytes: i64 = readers.iter().map(|reader| reader.bytes).sum();
    let damaged: i64 = readers.iter().map(|reader| reader.verdict.damaged).sum();
    let (read, bytes) = (mib(read.max(0) as u64), mib(bytes.max(0) as u64));
    let (count, values) = (readers.len(), if damaged == 1 { "value" } else { "values" });
    format!("{over} of {count} nodes, {read} of {bytes}, {damaged} damaged {values}")
}

fn for_people(verdicts: &[Verdict]) -> String {
    let mut table = vec![["node", "read", "damaged", "mended", "left", ""].map(str::to_owned)];
    for verdict in verdicts {
        table.push([
            verdict.node.clone(),
            mib(verdict.bytes_read.max(0) as u64),
            verdict.damaged.to_string(),
            verdict.mended.to_string(),
            verdict.left.to_string(),
            verdict.failed.clone().unwrap_or_default(),
        ]);
    }
    let mut text = String::new();
    write_table(&mut text, &table);
    text
}

fn judge(verdicts: &[Verdict]) -> Result<(), Failure> {
    let left: i64 = verdicts.iter().map(|verdict| verdict.left).sum();
    if left != 0 {
        let what = format!("{left} values are damaged, and no other node that answers has them");
        return Err(Failure::new(Exit::Failed, what).next(
            "Bring every node back and run this again. What stays: the node's log names the segments; \
             write those keys again, or restore a backup.",
        ));
    }
    match verdicts.iter().find(|verdict| verdict.failed.is_some()) {
        Some(verdict) => {
            let what = format!("`{}` has not read all of its disk", verdict.node);
            Err(Failure::new(Exit::Unavailable, what).next("Run this again."))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(numbers: &[(&'static str, i64)]) -> Reply {
        let field =
            |&(name, number): &(&'static str, i64)| (Reply::text(name), Reply::Integer(number));
        Reply::Map(numbers.iter().map(field).collect())
    }

    fn reader() -> Reader {
        let verdict = Verdict { node: "a".to_owned(), ..Verdict::default() };
        Reader { verdict, connection: None, pass: 3, bytes: 0, damaged_before: 5, mended_before: 5 }
    }

    #[test]
    fn only_what_this_pass_found_counts() {
        let mut reader = reader();
        reader.take(&reply(&[
            ("scrub_asked", 3),
            ("scrub_bytes_read", 1 << 20),
            ("scrub_bytes", 1 << 21),
            ("scrub_damaged", 9),
            ("scrub_mended", 8),
            ("scrub_left", 1),
        ]));
        assert_eq!((reader.verdict.damaged, reader.verdict.mended), (4, 3));
        assert_eq!(so_far(&[reader]), "1 of 1 nodes, 1.0 MiB of 2.0 MiB, 4 damaged values");
    }

    #[test]
    fn a_node_that_was_started_again_has_not_read_all() {
        let mut reader = reader();
        reader.take(&reply(&[("scrub_asked", 0), ("scrub_answered", 0)]));
        let text = judge(&[reader.verdict]).unwrap_err().to_string();
        assert!(text.starts_with("`a` has not read all of its disk"), "{text}");
    }

    #[test]
    fn what_nobody_has_is_a_failure() {
        let verdict = Verdict { left: 2, ..Verdict::default() };
        let failure = judge(&[Verdict::default(), verdict]).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(judge(&[Verdict::default()]).is_ok());
    }
}
