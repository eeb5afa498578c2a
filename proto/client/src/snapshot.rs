//! Fetching a cluster's shards for a backup, through whichever node answers.
//!
//! The requests of a snapshot can be repeated without harm, and here they are: with another node, if
//! one is gone. What cannot go on is a snapshot whose holder is gone or has given it up: then that
//! shard has to be begun again, which is for the caller to decide.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_runtime::{clock, sleep};
use evenkeel_wire::reply::Reply;

use crate::client::{Client, Options};
use crate::error::ClientError;

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(100);
/// Errors that pass.
const PASSING: &[&str] =
    &["TIMEOUT ", "CLUSTERDOWN ", "BUSY ", "LOADING ", "ERR the node is stopping"];

/// A snapshot of a shard that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Names it.
    pub token: Bytes,
    /// Which shard.
    pub shard: u16,
    /// The slot of the shard's log that it is as of.
    pub position: u64,
    /// When that was: Unix milliseconds.
    pub taken_ms: u64,
    /// The cluster's number.
    pub cluster: u64,
    /// The epoch of its placement map.
    pub epoch: u64,
    /// How many shards it has.
    pub shard_count: u32,
}

/// What comes of asking for a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The part.
    Part(Bytes),
    /// There are no more.
    Done,
    /// The snapshot is not held any more, and why: begin again.
    Gone(String),
}

/// A client that asks one node at a time, and the next one when that does not answer.
#[derive(Debug)]
pub struct SnapshotClient {
    nodes: Vec<SocketAddr>,
    options: Options,
    patience: Duration,
    current: usize,
    client: Option<Client>,
}

impl SnapshotClient {
    /// Knows these nodes, at least one. Gives up when no node answers for as long as `patience`.
    pub fn new(nodes: Vec<SocketAddr>, options: Options, patience: Duration) -> SnapshotClient {
        assert!(!nodes.is_empty(), "without a node there is nobody to ask");
        SnapshotClient { nodes, options, patience, current: 0, client: None }
    }

    /// Asks the cluster for its other nodes, to go on with when this one is gone.
    ///
    /// # Errors
    /// As `begin`.
    pub async fn learn_nodes(&mut self) -> Result<(), ClientError> {
        let reply = self.ask(&[b"CLUSTER", b"NODES"]).await?;
        let (Reply::Bulk(text) | Reply::Verbatim { text, .. }) = reply else {
            return Err(strange());
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let address = line.split(' ').nth(1).and_then(|word| word.split('@').next());
            let address = address.and_then(|address| address.parse().ok());
            self.nodes.extend(address.filter(|address| !self.nodes.contains(address)));
        }
        Ok(())
    }

    /// The nodes that it knows.
    pub fn nodes(&self) -> &[SocketAddr] {
        &self.nodes
    }

    /// Has the cluster take a snapshot of a shard, as of a moment between the call and its end.
    ///
    /// # Errors
    /// * `Server` — it cannot be had; the error says why.
    /// * Others — no node answered in time.
    pub async fn begin(&mut self, shard: u16) -> Result<Begun, ClientError> {
        let number = shard.to_string();
        let reply = self.ask(&[b"EVENKEEL", b"SNAPSHOT", b"BEGIN", number.as_bytes()]).await?;
        begun(&reply).filter(|begun| begun.shard == shard).ok_or_else(strange)
    }

    /// Fetches a part; parts count from 0.
    ///
    /// # Errors
    /// As `begin`.
    pub async fn next(&mut self, begun: &Begun, index: u64) -> Result<Step, ClientError> {
        let index = index.to_string();
        let words: [&[u8]; 5] = [b"EVENKEEL", b"SNAPSHOT", b"NEXT", &begun.token, index.as_bytes()];
        match self.ask(&words).await {
            Ok(Reply::Bulk(part)) => Ok(Step::Part(part)),
            Ok(Reply::Null) => Ok(Step::Done),
            Ok(_) => Err(strange()),
            Err(ClientError::Server(text)) => match text.strip_prefix("NOSNAPSHOT ") {
                Some(why) => Ok(Step::Gone(why.to_string())),
                None => Err(ClientError::Server(text)),
            },
            Err(error) => Err(error),
        }
    }

    /// Gives a snapshot up. If nobody hears it, the holder notices by itself.
    pub async fn end(&mut self, begun: &Begun) {
        if let Some(client) = &mut self.client {
            let words: [&[u8]; 4] = [b"EVENKEEL", b"SNAPSHOT", b"END", &begun.token];
            if client.command(&words).await.is_err() {
                self.client = None;
            }
        }
    }

    /// Asks until somebody answers, and not with an error that passes.
    async fn ask(&mut self, words: &[&[u8]]) -> Result<Reply, ClientError> {
        let deadline = clock::monotonic_us() + self.patience.as_micros() as u64;
        loop {
            let error = match self.ask_once(words).await {
                Ok(Reply::Error(text)) => {
                    let error = ClientError::Server(text);
                    if !passes(&error) {
                        return Err(error);
                    }
                    error
                }
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            self.client = None;
            self.current = (self.current + 1) % self.nodes.len();
            if deadline <= clock::monotonic_us() {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask_once(&mut self, words: &[&[u8]]) -> Result<Reply, ClientError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect_with(self.nodes[self.current], self.options).await?,
        };
        let reply = client.command(words).await?;
        self.client = Some(client);
        Ok(reply)
    }
}

/// Whether asking again may help.
pub fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Server(text) => PASSING.iter().any(|start| text.starts_with(start)),
        ClientError::Refused { .. }
        | ClientError::Disconnected { .. }
        | ClientError::TimedOut { .. } => true,
        ClientError::Protocol { .. } => false,
    }
}

fn strange() -> ClientError {
    ClientError::Server(
        "ERR the node gave an answer of an unknown kind: is it another server, or another release?"
            .to_string(),
    )
}

fn begun(reply: &Reply) -> Option<Begun> {
    let number = |name| match field(reply, name)? {
        Reply::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let word = |name| match field(reply, name)? {
        Reply::Bulk(word) => Some(word.clone()),
        _ => None,
    };
    let cluster = word("cluster")?;
    Some(Begun {
        token: word("token")?,
        shard: u16::try_from(number("shard")?).ok()?,
        position: number("position")?,
        taken_ms: number("taken_ms")?,
        cluster: u64::from_str_radix(std::str::from_utf8(&cluster).ok()?, 16).ok()?,
        epoch: number("epoch")?,
        shard_count: u32::try_from(number("shards")?).ok()?,
    })
}

/// A field of a map, which RESP2 writes as an array of names and values.
fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a Reply> {
    let is_named = |key: &Reply| matches!(key, Reply::Bulk(key) if key == name.as_bytes());
    match reply {
        Reply::Map(rows) => rows.iter().find(|(key, _)| is_named(key)).map(|(_, value)| value),
        Reply::Array(parts) => {
            parts.chunks_exact(2).find(|row| is_named(&row[0])).map(|row| &row[1])
        }
        _ => None,
    }
}
