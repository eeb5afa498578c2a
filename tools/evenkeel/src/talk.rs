//! A conversation with a node, as any client would have it: connect, ask, follow `MOVED`.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_client::{Client, ClientError, Options};
use evenkeel_wire::reply::Reply;

use crate::failure::{Exit, Failure};

/// So often may an answer send us to another node before we think that they go in circles.
const MOVED_COUNT_MAX: usize = 5;

/// One connection to one node, in one keyspace; every step of it is bounded in time.
pub(crate) struct Connection {
    client: Client,
    keyspace: u8,
    options: Options,
}

impl Connection {
    /// Connects to a node and selects a keyspace.
    pub(crate) async fn open(
        address: SocketAddr,
        patience: Duration,
        keyspace: u8,
    ) -> Result<Connection, Failure> {
        let options =
            Options { connect_timeout: patience, reply_timeout: patience, ..Options::default() };
        Connection::open_with(address, options, keyspace).await
    }

    /// One command and its reply. An error reply is a failure, `MOVED` is followed.
    pub(crate) async fn call(&mut self, arguments: &[&[u8]]) -> Result<Reply, Failure> {
        for _ in 0..=MOVED_COUNT_MAX {
            match self.client.command(arguments).await.map_err(failure)? {
                Reply::Error(text) => match moved_to(&text) {
                    Some(leader) => {
                        *self = Connection::open_with(leader, self.options, self.keyspace).await?;
                    }
                    None => {
                        let what = format!("{} answered: {text}", self.client.address());
                        return Err(Failure::new(Exit::Failed, what));
                    }
                },
                reply => return Ok(reply),
            }
        }
        Err(Failure::new(Exit::Unavailable, "the nodes do not agree who leads")
            .next("Try again in a moment."))
    }

    async fn open_with(
        address: SocketAddr,
        options: Options,
        keyspace: u8,
    ) -> Result<Connection, Failure> {
        let mut client = Client::connect_with(address, options).await.map_err(failure)?;
        if keyspace != 0 {
            let number = keyspace.to_string();
            client.ask(&[b"SELECT", number.as_bytes()]).await.map_err(failure)?;
        }
        Ok(Connection { client, keyspace, options })
    }
}

pub(crate) fn failure(error: ClientError) -> Failure {
    match &error {
        ClientError::Refused { address, source } => {
            Failure::new(Exit::Unavailable, format!("cannot connect to {address}"))
                .because(source)
                .next("Start a cluster with `evenkeel up`, or name a node with --address.")
        }
        ClientError::Server(text) => {
            Failure::new(Exit::Failed, format!("the node answered: {text}"))
        }
        _ => Failure::new(Exit::Unavailable, "no answer").because(&error),
    }
}

/// The address in `MOVED 3999 127.0.0.1:7002`.
fn moved_to(error: &str) -> Option<SocketAddr> {
    error.strip_prefix("MOVED ")?.split(' ').nth(1)?.parse().ok()
}
