//! The node's side of the simulation: the same names as in production.

pub use self::random::random_u64;
pub(crate) use self::task::contained;
pub use self::task::{Task, spawn, yield_now};
pub use self::time::sleep;

pub mod clock;
pub mod net;
pub mod process;
mod random;
mod task;
mod time;
