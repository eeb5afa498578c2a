//! The world's control panel: what a simulated node stands on, and how the world shakes it.
//!
//! One run is one host thread (`run`). Its first task is the *supervisor*, the world itself; nodes
//! are madsim nodes made by `create_node`. True time is nanoseconds since the run began (`now_ns`);
//! only the supervisor sees it, nodes see their own clocks.
//!
//! ```text
//! streams   separate random streams of the seed      record    every event, hashed; the last ones kept
//! nodes     create, kill, restart, pause, fail       clocks    offset, drift, jumps, frozen
//! network   links, partitions, resets, duplicates    timers    one queue of everything that happens later
//! ```
//!
//! **Invariant.** Whatever happens is a function of the seed: every choice is drawn from a stream,
//! every collection that is walked is ordered, and nothing reads the host.

pub use madsim::task::NodeId;

pub use self::nodes::{
    Failure, Kill, create_node, failures, incarnation, is_running, kill, name, next_failure, pause,
    restart, resume, set_address, supervisor, terminate, this_node,
};
pub use self::run::{Run, run, run_keeping, seed};
pub use self::timers::{now_ns, schedule, sleep_true};

pub mod clocks;
pub(crate) mod ground;
pub mod network;
mod nodes;
pub mod record;
mod run;
pub mod streams;
mod timers;
mod world;
