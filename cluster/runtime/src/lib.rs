//! The ground: tasks, time, network, clocks, randomness.
//!
//! The only production crate that knows whether time is real. In production everything here is
//! tokio on one thread; built with `--cfg madsim` it is madsim's executor and virtual time, with a
//! network and clocks of our own (see `simulated`). The same names mean the same things in both.
//!
//! **Invariant.** Whatever a node learns about the outside world that is not a disk, it learns
//! through this crate. So one seed replays a whole cluster.

#[cfg(not(madsim))]
use crate::production as ground;
#[cfg(madsim)]
use crate::simulated::ground;

pub use crate::combinators::{Either, Elapsed, either, timeout};
pub use crate::ground::{Task, clock, net, process, random_u64, sleep, spawn, yield_now};

#[cfg(not(madsim))]
pub use crate::production::block_on;

mod combinators;
#[cfg(not(madsim))]
mod production;
#[cfg(madsim)]
pub mod simulated;
