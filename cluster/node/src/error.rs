//! Why a node does not start.

use evenkeel_engine::EngineError;

/// One variant per thing the operator can do about it. Nothing was changed on disk unless said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Mend the configuration.
    #[error("the configuration cannot work: {problem}")]
    Config {
        /// What is wrong with it.
        problem: String,
    },

    /// Somebody else listens there, or the address is not this machine's.
    #[error("cannot listen for peers on {address}: is another node running there?")]
    Listen {
        /// As configured.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },

    /// The data directory belongs to another node or cluster: check `data_dir`.
    #[error("the data directory belongs to {found}, this node is {wanted}")]
    Identity {
        /// Whose it is.
        found: String,
        /// Who this node is.
        wanted: String,
    },

    /// The log holds what this release cannot read; a newer one may have written it.
    #[error(
        "the log holds a record this release cannot read, at byte {offset} of segment {segment}"
    )]
    Foreign {
        /// The segment.
        segment: u32,
        /// The byte.
        offset: u32,
    },

    /// The engine did not open. If its data is damaged and the cluster has other copies: empty the
    /// directory and start again; the node then joins as a new one and copies from its peers.
    #[error("the data directory cannot be opened")]
    Engine(#[from] EngineError),
}
