//! Does: drives the consensus cores, owns the engine, talks to peers.
//!
//! Start at `node` for the whole, `api` for what the door sees, `driver` for how effects happen,
//! `requests` for the way of a command.

pub mod api;
pub mod command;
mod order;
