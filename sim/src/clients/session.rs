//! One client's connection: the real client, given up at the first trouble.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_client::{Client, Options};
use evenkeel_runtime as runtime;
use evenkeel_wire::reply::{Protocol, Reply};

use crate::ledger::Outcome;
use crate::workload::Command;

/// A connection, until something goes wrong with it.
pub struct Session {
    client: Client,
    limit: Duration,
}

impl Session {
    /// Every other client speaks RESP3.
    pub async fn connect(address: SocketAddr, limit: Duration) -> Option<Session> {
        let protocol =
            if runtime::random_u64() & 1 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
        let options = Options { connect_timeout: limit, reply_timeout: limit, protocol };
        let client = Client::connect_with(address, options).await.ok()?;
        Some(Session { client, limit })
    }

    /// Sends all commands at once and waits for all replies.
    ///
    /// # Errors
    /// What the client says about the outcome; the session is over.
    pub async fn exchange(&mut self, commands: &[Command]) -> Result<Vec<Reply>, Outcome> {
        let words: Vec<Vec<&[u8]>> =
            commands.iter().map(|command| command.iter().map(Vec::as_slice).collect()).collect();
        let words: Vec<&[&[u8]]> = words.iter().map(Vec::as_slice).collect();
        match runtime::timeout(self.limit, self.client.pipeline(&words)).await {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(error)) if error.is_outcome_unknown() => {
                Err(Outcome::Unknown(error.to_string()))
            }
            Ok(Err(error)) => Err(Outcome::Refused(error.to_string())),
            Err(_) => Err(Outcome::Unknown("no answer in time".to_owned())),
        }
    }
}
