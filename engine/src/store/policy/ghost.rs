//! Who left lately: fingerprints, two bytes each.
//!
//! A fingerprint has 16 bits and a line of 32; within a line the youngest come first, so that its place
//! tells its age. About as many are remembered as there are items.
//!
//! Invariant: it takes at most one stranger in 2,000 for somebody who was here.

use super::lines::Lines;

/// Fingerprints of one line: a cache line.
const LINE_LEN: usize = 32;

/// See the module's text.
pub(super) struct Ghost {
    lines: Lines<[u16; LINE_LEN]>,
    /// How many of a line's fingerprints count.
    depth: usize,
}

impl Ghost {
    pub(super) fn new() -> Ghost {
        Ghost { lines: Lines::new(), depth: 0 }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// Whether an item with this hash left lately.
    pub(super) fn remembers(&self, hash: u64) -> bool {
        let line = self.lines.get(hash);
        line.is_some_and(|line| line[..self.depth].contains(&fingerprint(hash)))
    }

    /// An item leaves; so many are there.
    pub(super) fn remember(&mut self, hash: u64, len: usize) {
        if self.lines.len() * LINE_LEN < len.max(1) {
            self.lines.grow([0; LINE_LEN]);
        }
        self.depth = len.div_ceil(self.lines.len()).clamp(1, LINE_LEN);
        let line = self.lines.get_mut(hash).expect("there is a line by now");
        line.copy_within(..LINE_LEN - 1, 1);
        line[0] = fingerprint(hash);
    }
}

/// Never zero, which is no fingerprint.
fn fingerprint(hash: u64) -> u16 {
    ((hash >> 44) as u16).max(1)
}

#[cfg(test)]
mod tests;
