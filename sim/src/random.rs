//! Randomness by name: each part of the world draws from a stream of its own.
//!
//! **Invariant.** A stream depends on the seed and on its name alone, so a fault that is taken away,
//! or a log line that is added, does not reshuffle anybody else's draws.

use std::time::Duration;

/// One stream. Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): enough
/// for weather, not for secrets.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of this name in the world of this seed.
    pub fn new(seed: u64, name: &str) -> Random {
        let named = name.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
        Random { state: named }
    }

    /// A stream for a part of this part; it does not advance this one.
    pub fn child(&self, name: &str) -> Random {
        Random::new(self.state, name)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below zero");
        // The bias is below 2^-32 for every bound the simulator uses.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range has its ends in order");
        low + self.below(high - low + 1)
    }

    /// True so many times out of a million.
    pub fn chance_ppm(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }

    /// True every second time.
    pub fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }

    /// One of these; there is at least one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// A new order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index as u64 + 1) as usize);
        }
    }

    /// A time with a long tail: at least `least`, `typical` on average above that, and one in a
    /// hundred ten times as long.
    pub fn latency(&mut self, least: Duration, typical: Duration) -> Duration {
        let tail = if self.chance_ppm(10_000) { 10 } else { 1 };
        // Inverse transform of the exponential distribution, cut off at 16 means.
        let uniform = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        least + typical.mul_f64((-(1.0 - uniform).ln()).min(16.0)) * tail
    }
}

/// The finaliser of SplitMix64: each bit of the input reaches each bit of the output.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: streams are independent of each other. Method: draw from one, and compare the other.
    #[test]
    fn a_stream_depends_on_seed_and_name_alone() {
        let mut first = Random::new(7, "disk 1");
        let mut second = Random::new(7, "disk 1");
        Random::new(7, "network").next_u64();
        assert_eq!(first.next_u64(), second.next_u64());
        assert_ne!(first.next_u64(), Random::new(7, "disk 2").next_u64());
        assert_ne!(first.next_u64(), Random::new(8, "disk 1").next_u64());
    }

    /// Goal: bounds hold, both ends are reached, and the tail is there. Method: ten thousand draws.
    #[test]
    fn draws_stay_within_their_bounds() {
        let mut random = Random::new(1, "test");
        let mut seen = [false; 5];
        let mut longest = Duration::ZERO;
        for _ in 0..10_000 {
            seen[random.between(3, 7) as usize - 3] = true;
            let latency = random.latency(Duration::from_micros(50), Duration::from_micros(100));
            assert!(latency >= Duration::from_micros(50));
            longest = longest.max(latency);
        }
        assert_eq!(seen, [true; 5]);
        assert!(longest > Duration::from_millis(1) && longest < Duration::from_millis(17));
    }
}
