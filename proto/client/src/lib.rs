//! The other side of the door: the client that the CLI, the simulator and the benches use.
//!
//! `client::Client` runs wherever `evenkeel_runtime` runs, the simulator included. `blocking` is for
//! programs without a runtime, over the machine's own sockets. `cluster` follows `MOVED`. `snapshot`
//! fetches a cluster's shards for a backup.
//!
//! **Invariant.** A client never repeats a command by itself: only its user knows whether doing it
//! twice does harm (`snapshot` knows that of its own). Every error says whether the command may have been carried out.

pub use client::{Client, Options};
pub use error::ClientError;

pub mod blocking;
mod client;
pub mod cluster;
mod conversation;
mod error;
pub mod snapshot;

#[cfg(test)]
mod tests;
