//! What time it is. Reading either clock costs some 25 ns (vDSO), no system call.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the first call in this process. Never goes back; says nothing about any
/// other process.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn monotonic_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// Unix time in milliseconds, as the operating system believes it. May jump either way.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn wall_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_millis() as u64)
}
