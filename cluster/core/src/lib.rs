//! Decides: consensus, membership, placement. Plain data in, plain data out.
//!
//! There is no clock, no disk, no socket and no randomness in here: time and completions are inputs,
//! everything that must happen is an effect. That is why one seed replays a cluster and why a model
//! checker can drive the very code that runs in production.
#![no_std]

extern crate alloc;

pub mod consensus;
pub mod paxos;
pub mod placement;

pub mod bugs;
mod scramble;
