//! Where the search has been, and what it had left when it was there.
//!
//! **Invariant.** Two positions that agree in everything but the operations of unknown outcome that
//! they have used up differ in their future only by what is left: whoever used up no more than the
//! other can do all that the other can. So a position is new only if no earlier one dominates it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::random::mix;

/// How many operations of each class have been used up.
pub(super) type Used = Box<[u16]>;

/// For each position, the smallest ways to have reached it; none contains another.
#[derive(Default)]
pub(super) struct Memo {
    seen: HashMap<u128, Vec<Used>, BuildHasherDefault<Folded>>,
}

impl Memo {
    /// Takes note of a position, named by a hash of what was placed and of the state; whether it
    /// leads anywhere new.
    pub(super) fn is_new(&mut self, position: u128, used: &[u16]) -> bool {
        let ways = self.seen.entry(position).or_default();
        if ways.iter().any(|way| is_within(way, used)) {
            return false;
        }
        ways.retain(|way| !is_within(used, way));
        ways.push(used.into());
        true
    }
}

fn is_within(less: &[u16], more: &[u16]) -> bool {
    less.iter().zip(more).all(|(less, more)| less <= more)
}

/// 128 bits of any value, so that two positions of the search never share a name in practice.
pub(super) fn wide_hash(value: &impl Hash) -> u128 {
    let mut wide = Wide { high: 0x6c62_272e_07bb_0142, low: 0x62b8_2175_6295_c58d };
    value.hash(&mut wide);
    u128::from(mix(wide.high)) << 64 | u128::from(mix(wide.low))
}

/// Two independent lanes of multiply-and-mix.
struct Wide {
    high: u64,
    low: u64,
}

impl Hasher for Wide {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last) ^ (rest.len() as u64) << 59);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.high = mix(self.high.rotate_left(23) ^ value);
        self.low = (self.low ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.high ^ self.low
    }
}

/// A key that is a good hash already only needs to be folded.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u128 keys are hashed so");
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = (value >> 64) as u64 ^ value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
