//! What can go wrong when talking to a node, seen by a caller who has to decide what to do next.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_wire::reply::ReplyError;

/// A command has no usable reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no connection, and nothing was sent: try this node later, or another one now.
    #[error("cannot connect to {address}")]
    Refused {
        /// The node's.
        address: SocketAddr,
        /// `TimedOut` if nobody answered.
        source: io::Error,
    },

    /// The connection ended. Commands without a reply may have been carried out, or not, or may be
    /// later. Connect again.
    #[error(
        "the connection to {address} ended before the reply; what was asked may have been done"
    )]
    Disconnected {
        /// The node's.
        address: SocketAddr,
        /// `UnexpectedEof` if the node closed it.
        source: io::Error,
    },

    /// No reply in time; otherwise as `Disconnected`. The connection is of no more use.
    #[error("{address} did not answer within {after:?}; what was asked may have been done")]
    TimedOut {
        /// The node's.
        address: SocketAddr,
        /// `Options::reply_timeout`.
        after: Duration,
    },

    /// The node says no. The connection is good, and what the error's first word means is the
    /// protocol's to say.
    #[error("{0}")]
    Server(String),

    /// Whoever answers does not speak the protocol, or says more than we hold. The connection is of
    /// no more use; see `Disconnected` for what became of commands.
    #[error("{address} does not answer as a node would")]
    Protocol {
        /// The node's.
        address: SocketAddr,
        /// What is wrong with the answer.
        source: ReplyError,
    },
}

impl ClientError {
    /// Whether what was asked may have been done, or may still be.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            ClientError::Refused { .. } | ClientError::Server(_) => false,
            ClientError::Disconnected { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Protocol { .. } => true,
        }
    }
}
