//! What keeps an experiment from being made, and what an experiment finds that must not be.

use std::io;
use std::path::PathBuf;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// What was asked for cannot be done, or not together. Ask differently.
    #[error("{0}")]
    Usage(String),
    /// A server did not start, ended, or went away. Its log says more.
    #[error("{what}: {reason}")]
    Server {
        /// Which server, and what it failed to do.
        what: String,
        /// What was seen of it.
        reason: String,
    },
    /// A server answered something that is no answer.
    #[error("{server} does not speak the protocol: {reason}")]
    Protocol {
        /// Who.
        server: String,
        /// What it said.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("`{}`: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The experiment was made, and a promise was found broken. The ledger's lines say which.
    #[error("{0}")]
    Broken(String),
}

impl BenchError {
    pub(crate) fn server(what: impl Into<String>, reason: impl ToString) -> BenchError {
        BenchError::Server { what: what.into(), reason: reason.to_string() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BenchError {
        let path = path.into();
        move |reason| BenchError::File { path, reason }
    }
}
