//! Waiting, on the node's own clock.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::simulated::timers::Alarm;
use crate::simulated::world::world;

/// No sleep is shorter, in nanoseconds: a loop of empty sleeps must still let time pass.
const SLEEP_NS_MIN: u64 = 1000;

/// No sleep is longer, in nanoseconds: a century, so that deadlines can be added to.
const SLEEP_NS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;

/// Waits at least `duration` on this node's clock, to the microsecond.
pub async fn sleep(duration: Duration) {
    let world = world();
    let node = world.this_node();
    let wait_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let start_ns = node.clock.borrow().monotonic_ns(world.now_ns());
    let deadline_ns = start_ns + wait_ns.clamp(SLEEP_NS_MIN, SLEEP_NS_MAX);
    let mut alarm = Alarm::default();
    poll_fn(|context| {
        let clock = node.clock.borrow();
        if deadline_ns <= clock.monotonic_ns(world.now_ns()) {
            return Poll::Ready(());
        }
        // The drift may change before then; the next poll sees to the rest.
        alarm.set(clock.true_ns(deadline_ns), context);
        Poll::Pending
    })
    .await;
}
