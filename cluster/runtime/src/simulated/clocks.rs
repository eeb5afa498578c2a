//! Clocks that go wrong, each node its own.
//!
//! A node's host has one oscillator, which drifts; its monotonic clock counts from the start of the
//! process, its wall clock is the same count plus an offset that may jump. Sleeps follow the
//! oscillator. Freezing stops the wall clock only: leases stand on a bounded drift of the monotonic
//! clock, and a monotonic clock that stops is outside of what any lease can survive.

use super::NodeId;
use super::record::record;
use super::world::world;

/// The slowest oscillator allowed, in parts per million: half speed.
pub const DRIFT_PPM_MIN: i32 = -500_000;
/// The fastest oscillator allowed, in parts per million: double speed.
pub const DRIFT_PPM_MAX: i32 = 1_000_000;

/// What a node's clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Microseconds since the process started.
    pub monotonic_us: u64,
    /// Unix milliseconds.
    pub wall_ms: u64,
}

/// What `node`'s clocks show now.
pub fn reading(node: NodeId) -> Reading {
    let world = world();
    let now_ns = world.now_ns();
    let node = world.node(node);
    let clock = node.clock.borrow();
    Reading {
        monotonic_us: clock.monotonic_ns(now_ns) / 1000,
        wall_ms: clock.wall_ms(now_ns, world.wall_base_ms),
    }
}

/// How often a node's processes have looked at their clocks, over all its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// The monotonic clock.
    pub monotonic: u64,
    /// The wall clock.
    pub wall: u64,
}

/// How often `node` has looked at its clocks so far.
pub fn reads(node: NodeId) -> Reads {
    let node = world().node(node);
    Reads { monotonic: node.clock_reads.get(), wall: node.wall_reads.get() }
}

/// What a perfect wall clock shows now, in Unix milliseconds.
pub fn true_wall_ms() -> u64 {
    let world = world();
    world.wall_base_ms + world.now_ns() / 1_000_000
}

/// Lets `node`'s oscillator run `drift_ppm` too fast (or too slow, below 0) from now on. A sleep
/// under way notices no later than its old deadline.
///
/// # Panics
/// Outside of `DRIFT_PPM_MIN` to `DRIFT_PPM_MAX`.
pub fn set_drift_ppm(node: NodeId, drift_ppm: i32) {
    assert!((DRIFT_PPM_MIN..=DRIFT_PPM_MAX).contains(&drift_ppm), "drift of {drift_ppm} ppm");
    record("clock-drift", node, || format!("{drift_ppm} ppm"));
    change(node, |clock, now_ns| clock.set_drift(now_ns, drift_ppm));
}

/// Sets how far `node`'s wall clock is ahead (or behind, below 0), apart from its drift.
pub fn set_offset_ms(node: NodeId, offset_ms: i64) {
    record("clock-offset", node, || format!("{offset_ms} ms"));
    change(node, |clock, _| clock.offset_ms = offset_ms);
}

/// Moves `node`'s wall clock forth, or back if `jump_ms` is below 0. The monotonic clock stays.
pub fn jump_ms(node: NodeId, jump_ms: i64) {
    record("clock-jump", node, || format!("{jump_ms} ms"));
    change(node, |clock, _| clock.offset_ms += jump_ms);
}

/// Stops `node`'s wall clock where it is.
pub fn freeze(node: NodeId) {
    record("clock-freeze", node, || "");
    let wall_base_ms = world().wall_base_ms;
    change(node, |clock, now_ns| clock.frozen_ms = Some(clock.wall_ms(now_ns, wall_base_ms)));
}

/// Lets a frozen wall clock jump to where it would be.
pub fn thaw(node: NodeId) {
    record("clock-thaw", node, || "");
    change(node, |clock, _| clock.frozen_ms = None);
}

fn change(node: NodeId, action: impl FnOnce(&mut Clock, u64)) {
    let world = world();
    action(&mut world.node(node).clock.borrow_mut(), world.now_ns());
}

/// The state of one host's clocks. A new one is perfect.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    drift_ppm: i32,
    /// When the drift last changed: true time, and the oscillator's count.
    anchor_true_ns: u64,
    anchor_count_ns: u64,
    /// The oscillator's count when the process started.
    origin_ns: u64,
    offset_ms: i64,
    frozen_ms: Option<u64>,
}

impl Clock {
    /// Nanoseconds since the process started, as its host counts them.
    pub(crate) fn monotonic_ns(&self, now_ns: u64) -> u64 {
        self.count_ns(now_ns) - self.origin_ns
    }

    pub(crate) fn wall_ms(&self, now_ns: u64, wall_base_ms: u64) -> u64 {
        self.frozen_ms.unwrap_or_else(|| {
            (wall_base_ms + self.count_ns(now_ns) / 1_000_000).saturating_add_signed(self.offset_ms)
        })
    }

    /// The true time at which the monotonic clock shows `monotonic_ns`, if the drift stays.
    pub(crate) fn true_ns(&self, monotonic_ns: u64) -> u64 {
        let count = (monotonic_ns + self.origin_ns).saturating_sub(self.anchor_count_ns);
        let wait = (u128::from(count) * 1_000_000).div_ceil(self.rate());
        self.anchor_true_ns + wait as u64
    }

    /// A new process starts counting from zero.
    pub(crate) fn restart(&mut self, now_ns: u64) {
        self.origin_ns = self.count_ns(now_ns);
    }

    fn set_drift(&mut self, now_ns: u64, drift_ppm: i32) {
        self.anchor_count_ns = self.count_ns(now_ns);
        self.anchor_true_ns = now_ns;
        self.drift_ppm = drift_ppm;
    }

    fn count_ns(&self, now_ns: u64) -> u64 {
        let passed_ns = u128::from(now_ns - self.anchor_true_ns);
        self.anchor_count_ns + (passed_ns * self.rate() / 1_000_000) as u64
    }

    /// Counts of the oscillator in a million true nanoseconds.
    fn rate(&self) -> u128 {
        u128::from(1_000_000_u32.saturating_add_signed(self.drift_ppm))
    }
}
