//! The end of this simulated process: asked for, or forced by a broken disk.

use std::convert::Infallible;
use std::future::{pending, poll_fn};

use crate::simulated::nodes::{self, ProcessFailed};
use crate::simulated::world::world;

/// Ends this node because what it keeps can no longer be trusted. It is dead at once; the world
/// finds the reason in `simulated::failures` and restarts it when it likes.
pub async fn fail(reason: &str) -> Infallible {
    nodes::fail(reason);
    pending().await
}

/// `fail`, where nothing can be awaited: unwinds this task, and only this task notices.
pub fn fail_now(reason: String) -> ! {
    nodes::fail(&reason);
    std::panic::resume_unwind(Box::new(ProcessFailed))
}

/// As `fail_now`; that starting it again changes nothing is for the world to find out.
pub fn give_up(reason: String) -> ! {
    fail_now(reason)
}

/// Waits until the world asks this node to end, with `simulated::terminate`.
pub async fn terminated() {
    poll_fn(|context| world().this_node().poll_terminated(context.waker())).await;
}
