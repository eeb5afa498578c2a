//! Does: drives the consensus cores, owns the engine, talks to peers.
//!
//! Start at `node` for the whole, `api` for what the door sees, `requests` and `errand` for the way of a
//! command, `driver` for how effects happen.

pub mod api;
mod backup;
pub mod bugs;
mod cache;
mod chores;
mod codec;
pub mod command;
pub mod config;
mod cut;
mod driver;
mod entry;
mod errand;
pub mod error;
mod forward;
mod genesis;
mod group;
mod inbound;
mod lead;
mod machine;
mod map;
mod membership;
mod mend;
mod metrics;
pub mod node;
pub mod observe;
mod operate;
mod order;
mod origin;
mod outbox;
mod peers;
mod reader;
mod recovery;
mod reply;
mod request;
pub mod requests;
mod scrub;
mod sessions;
mod snapshot;
mod space;
mod state;
mod status;
mod sweep;
mod unapplied;
mod views;
mod warm;

// Tests in here and tests out there start nodes in one way.
#[cfg(test)]
extern crate self as evenkeel_node;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
