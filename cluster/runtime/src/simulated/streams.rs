//! Separate random streams of one seed, so that removing one event does not reshuffle the others.
//!
//! SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) spreads seed, purpose and index over the state of a
//! xoshiro256++ (Blackman, Vigna, 2019). Written out here because a generator from elsewhere could
//! change its sequence with a release, and with it every seed that was kept.

/// What a stream is drawn for. The order of calls in one never shifts another. (madsim draws the
/// schedule of tasks from a generator of its own.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Latency, loss, duplication; one stream a directed link.
    Network = 1,
    /// What disks do; one stream a disk.
    Disk = 2,
    /// How clocks go wrong.
    Clocks = 3,
    /// Which faults happen, and when.
    Faults = 4,
    /// What clients ask.
    Workload = 5,
    /// `random_u64` of a node; one stream an incarnation.
    Node = 6,
    /// Shape of the world: topology, knobs.
    World = 7,
}

/// One stream of random numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    state: [u64; 4],
}

impl Stream {
    /// The stream of `seed` for `purpose`; `index` tells several of the same purpose apart.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Stream {
        let mut mixer = seed;
        let mut mixed = split_mix(&mut mixer) ^ purpose as u64;
        mixed = split_mix(&mut mixed) ^ index;
        Stream { state: std::array::from_fn(|_| split_mix(&mut mixed)) }
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`, or 0 if `bound` is 0. (Lemire's multiplication; its bias, below
    /// 2⁻⁶⁴ × `bound`, is of no consequence here.)
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `high` is below `low`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range has no numbers: {low} to {high}");
        match (high - low).checked_add(1) {
            Some(span) => low + self.below(span),
            None => self.next_u64(),
        }
    }

    /// True `parts_per_million` times in a million. 0 and a million draw nothing from the stream.
    pub fn chance(&mut self, parts_per_million: u32) -> bool {
        match parts_per_million {
            0 => false,
            1..1_000_000 => self.below(1_000_000) < u64::from(parts_per_million),
            _ => true,
        }
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        assert!(!choices.is_empty(), "there is nothing to pick from");
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Puts `items` in a random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index as u64 + 1) as usize);
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
