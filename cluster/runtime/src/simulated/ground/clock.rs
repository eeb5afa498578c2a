//! What time this node believes it is.

use crate::simulated::world::world;

/// Microseconds since this process started. Never goes back; says nothing about any other process.
pub fn monotonic_us() -> u64 {
    let world = world();
    let node = world.this_node();
    node.clock_reads.set(node.clock_reads.get() + 1);
    node.clock.borrow().monotonic_ns(world.now_ns()) / 1000
}

/// Unix time in milliseconds, as this node believes it. May jump either way.
pub fn wall_ms() -> u64 {
    let world = world();
    let node = world.this_node();
    node.wall_reads.set(node.wall_reads.get() + 1);
    node.clock.borrow().wall_ms(world.now_ns(), world.wall_base_ms)
}
