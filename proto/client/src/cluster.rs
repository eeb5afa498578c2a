//! A client of the whole cluster: asks a node, and goes where `MOVED` sends it.
//!
//! A node that says `MOVED` has not done what it was asked, so asking another one repeats nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evenkeel_wire::reply::Reply;

use crate::client::{Client, Options};
use crate::error::ClientError;

/// So often may one command be sent on before we think that the nodes go in circles.
const MOVED_COUNT_MAX: usize = 5;

/// Connections to the nodes of one cluster, made when they are first needed.
#[derive(Debug)]
pub struct ClusterClient {
    /// Asked first, in this order, as long as nobody said otherwise.
    seeds: Vec<SocketAddr>,
    options: Options,
    clients: BTreeMap<SocketAddr, Client>,
    /// Answered last: likely to answer again.
    current: Option<SocketAddr>,
}

impl ClusterClient {
    /// A client that knows these nodes; at least one. Connects to nobody yet.
    pub fn new(seeds: Vec<SocketAddr>, options: Options) -> ClusterClient {
        assert!(!seeds.is_empty(), "without a node there is nobody to ask");
        ClusterClient { seeds, options, clients: BTreeMap::new(), current: None }
    }

    /// Sends a command to a node that answers it. The reply may be a `Reply::Error`.
    ///
    /// # Errors
    ///
    /// * `Refused` — no node can be reached; nothing was sent.
    /// * `Server` — the nodes send us in circles; nothing was done.
    /// * Others as `Client::command`. The next command finds a new connection.
    pub async fn command(&mut self, arguments: &[&[u8]]) -> Result<Reply, ClientError> {
        let mut address = self.reachable().await?;
        for _ in 0..=MOVED_COUNT_MAX {
            let client = self.client(address).await?;
            match client.command(arguments).await {
                Ok(Reply::Error(text)) => match moved_to(&text) {
                    Some(leader) => address = leader,
                    None => return Ok(Reply::Error(text)),
                },
                Ok(reply) => {
                    self.current = Some(address);
                    return Ok(reply);
                }
                Err(error) => {
                    self.clients.remove(&address);
                    self.current = None;
                    return Err(error);
                }
            }
        }
        let text = format!("ERR sent on {MOVED_COUNT_MAX} times: the nodes do not agree who leads");
        Err(ClientError::Server(text))
    }

    /// A node to which there is a connection now.
    async fn reachable(&mut self) -> Result<SocketAddr, ClientError> {
        let mut refusal = None;
        for address in self.current.into_iter().chain(self.seeds.clone()) {
            match self.client(address).await {
                Ok(_) => return Ok(address),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.expect("at least one seed was asked"))
    }

    async fn client(&mut self, address: SocketAddr) -> Result<&mut Client, ClientError> {
        // Not `entry`: its borrow would have to outlive the connecting.
        if !self.clients.contains_key(&address) {
            let client = Client::connect_with(address, self.options).await?;
            self.clients.insert(address, client);
        }
        Ok(self.clients.get_mut(&address).expect("just put there"))
    }
}

/// The address in `MOVED 3999 127.0.0.1:7002`.
pub fn moved_to(error: &str) -> Option<SocketAddr> {
    error.strip_prefix("MOVED ")?.split(' ').nth(1)?.parse().ok()
}
