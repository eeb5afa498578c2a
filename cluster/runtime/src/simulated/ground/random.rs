//! Randomness of the seed.

use crate::simulated::world::world;

/// Any number, from this node's own stream.
pub fn random_u64() -> u64 {
    world().this_node().random.borrow_mut().next_u64()
}
