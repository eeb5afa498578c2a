//! Real time, which is what a benchmark measures. Nothing here is ever simulated.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since this process first asked.
pub(crate) fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).expect("a benchmark takes less than 500 years")
}

/// Microseconds since 1970, as servers on this machine count them.
pub(crate) fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_micros()).expect("a benchmark takes less than 500,000 years")
}

/// Blocks this thread.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Blocks this thread until a moment that `now_ns` will give.
pub(crate) fn pause_until(moment_ns: u64) {
    pause(Duration::from_nanos(moment_ns.saturating_sub(now_ns())));
}
