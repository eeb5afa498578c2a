//! The real world: tokio on one thread, the kernel's sockets, clocks and randomness.

pub use self::random::random_u64;
pub use self::task::{Task, block_on, spawn, yield_now};
pub use self::time::sleep;

pub mod clock;
pub mod net;
pub mod process;
mod random;
mod task;
mod time;
