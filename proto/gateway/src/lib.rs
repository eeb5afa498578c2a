//! The door: listeners, connections, limits, and the commands that are about them.
//!
//! Start at `gateway` for the whole, `connection` for the way of bytes, `commands` for what the door
//! answers itself, `service` for what it needs of the house behind it. Nothing behind this crate knows
//! that connections exist.

mod clients;
mod commands;
mod connection;
mod door;
pub mod gateway;
pub mod limits;
mod listener;
mod metrics;
mod node;
pub mod process;
mod replies;
pub mod service;
mod session;
mod settings;
mod slowlog;
mod stopwatch;
mod table;
mod wave;
