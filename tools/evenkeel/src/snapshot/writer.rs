//! Writes a backup's keys into a cluster: pipelined, to whoever takes them, again where it does no harm.
//!
//! **Invariant.** An item is settled once, and `Restored` only if a node acknowledged it. What nobody
//! knows is sent again: the same write twice leaves the same value.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_client::cluster::moved_to;
use evenkeel_client::snapshot::{SnapshotClient, passes};
use evenkeel_client::{Client, ClientError, Options};
use evenkeel_node::api::slots;
use evenkeel_runtime::{clock, sleep};
use evenkeel_wire::backup::Entry;
use evenkeel_wire::reply::Reply;

use crate::failure::{Exit, Failure};
use crate::talk::failure;

/// How long to wait before what was not taken is sent again.
const PAUSE: Duration = Duration::from_millis(100);
/// One pipeline may take so long.
const REPLY_PATIENCE: Duration = Duration::from_secs(15);

/// A key on its way.
pub(super) struct Item {
    key: Vec<u8>,
    value: Vec<u8>,
    expires_at_ms: u64,
    deadline: String,
}

/// What became of it.
pub(super) enum Outcome {
    Restored,
    /// It was there already.
    Kept,
    /// And why.
    Refused(String),
}

impl Item {
    pub(super) fn of(entry: &Entry<'_>) -> Item {
        Item {
            key: entry.key.to_vec(),
            value: entry.value.to_vec(),
            expires_at_ms: entry.expires_at_ms,
            deadline: entry.expires_at_ms.to_string(),
        }
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= now_ms
    }

    fn command(&self, if_absent: bool) -> Vec<&[u8]> {
        let mut words: Vec<&[u8]> = vec![b"SET", &self.key, &self.value];
        if self.expires_at_ms != 0 {
            words.extend([b"PXAT", self.deadline.as_bytes()]);
        }
        if if_absent {
            words.push(b"NX");
        }
        words
    }
}

pub(super) struct RestoreClient {
    nodes: Vec<SocketAddr>,
    options: Options,
    patience: Duration,
    clients: BTreeMap<SocketAddr, Client>,
    /// Where `MOVED` said that a hash slot is.
    routes: BTreeMap<u16, SocketAddr>,
    /// Who is asked about slots that have no route.
    home: usize,
}

impl RestoreClient {
    pub(super) async fn connect(
        address: SocketAddr,
        patience: Duration,
    ) -> Result<RestoreClient, Failure> {
        let reply_timeout = REPLY_PATIENCE.min(patience);
        let options =
            Options { connect_timeout: reply_timeout, reply_timeout, ..Options::default() };
        let mut client = SnapshotClient::new(vec![address], options, patience);
        client.learn_nodes().await.map_err(failure)?;
        Ok(RestoreClient {
            nodes: client.nodes().to_vec(),
            options,
            patience,
            clients: BTreeMap::new(),
            routes: BTreeMap::new(),
            home: 0,
        })
    }

    /// The most keys that any node says there are: where clients follow the leaders, each answers for
    /// the shards that it leads.
    pub(super) async fn key_count(&mut self) -> Result<i64, Failure> {
        let mut most = None;
        let mut refusal = None;
        for address in self.nodes.clone() {
            match self.ask(address, &[&[b"DBSIZE"]]).await.as_deref() {
                Ok([Reply::Integer(count)]) => most = most.max(Some(*count)),
                Ok(replies) => refusal = Some(format!("{address} says {replies:?} to DBSIZE")),
                Err(error) => refusal = Some(error.to_string()),
            }
        }
        // Whoever cannot be reached leads nothing, once the others have noticed.
        most.ok_or_else(|| {
            let what = "no node says how many keys there are";
            Failure::new(Exit::Unavailable, format!("{what}: {}", refusal.unwrap_or_default()))
        })
    }

    /// Writes all of them, and says what became of each, in no particular order.
    pub(super) async fn write(
        &mut self,
        items: Vec<Item>,
        if_absent: bool,
    ) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::with_capacity(items.len());
        let mut left = items;
        let mut moved_us = clock::monotonic_us();
        let mut reason = String::new();
        while !left.is_empty() {
            let before = left.len();
            left = self.write_once(left, if_absent, &mut outcomes, &mut reason).await;
            let now_us = clock::monotonic_us();
            if left.len() < before {
                moved_us = now_us;
            } else if self.patience.as_micros() as u64 <= now_us - moved_us {
                let what = format!("no write was taken for {:?}", self.patience);
                return Err(Failure::new(Exit::Unavailable, format!("{what}: {reason}")));
            }
            if !left.is_empty() {
                sleep(PAUSE).await;
            }
        }
        Ok(outcomes)
    }

    /// Sends each to where it belongs; returns those that have to be sent again.
    async fn write_once(
        &mut self,
        items: Vec<Item>,
        if_absent: bool,
        outcomes: &mut Vec<Outcome>,
        reason: &mut String,
    ) -> Vec<Item> {
        let mut by_node: BTreeMap<SocketAddr, Vec<Item>> = BTreeMap::new();
        for item in items {
            let home = self.nodes[self.home];
            let address = self.routes.get(&slots::slot(&item.key)).copied().unwrap_or(home);
            by_node.entry(address).or_default().push(item);
        }
        let mut again = Vec::new();
        for (address, items) in by_node {
            let words: Vec<Vec<&[u8]>> = items.iter().map(|item| item.command(if_absent)).collect();
            let commands: Vec<&[&[u8]]> = words.iter().map(Vec::as_slice).collect();
            match self.ask(address, &commands).await {
                Ok(replies) => {
                    for (item, reply) in items.into_iter().zip(replies) {
                        match self.outcome(&item, reply, reason) {
                            Some(outcome) => outcomes.push(outcome),
                            None => again.push(item),
                        }
                    }
                }
                Err(error) => {
                    *reason = error.to_string();
                    self.routes.retain(|_, route| *route != address);
                    self.home = (self.home + 1) % self.nodes.len();
                    again.extend(items);
                }
            }
        }
        again
    }

    /// `None`: it has to be sent again.
    fn outcome(&mut self, item: &Item, reply: Reply, reason: &mut String) -> Option<Outcome> {
        match reply {
            Reply::Null => Some(Outcome::Kept),
            Reply::Error(text) => {
                if let Some(address) = moved_to(&text) {
                    self.routes.insert(slots::slot(&item.key), address);
                    return None;
                }
                reason.clone_from(&text);
                let is_full = text.starts_with("DISKFULL "); // It may free itself.
                let error = ClientError::Server(text);
                if is_full || passes(&error) {
                    return None;
                }
                Some(Outcome::Refused(format!("`{}`: {error}", item.key.escape_ascii())))
            }
            _ => Some(Outcome::Restored),
        }
    }

    async fn ask(
        &mut self,
        address: SocketAddr,
        commands: &[&[&[u8]]],
    ) -> Result<Vec<Reply>, ClientError> {
        let mut client = match self.clients.remove(&address) {
            Some(client) => client,
            None => Client::connect_with(address, self.options).await?,
        };
        let replies = client.pipeline(commands).await?;
        self.clients.insert(address, client);
        Ok(replies)
    }
}
