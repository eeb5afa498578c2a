//! How often, about: counters of four bits that many keys share.
//!
//! A count-min sketch with conservative bounds, as in Caffeine: each key has four counters within one
//! cache line; its estimate is the least of them. Lines are halved in turn, each once while eight times
//! as many uses are counted as there are items: what was popular long ago is forgotten, and no single
//! use pays for it (after Einziger et al., "TinyLFU", 2017).
//!
//! Invariant: an estimate is never below the number of uses since the last halving, up to 15.

use super::lines::Lines;

/// Words of one line: a cache line, 128 counters.
const LINE_LEN: usize = 8;
/// One line serves so many items: eight counters each.
const ITEMS_PER_LINE: usize = 16;
/// How many uses an item has on average before all is halved.
const USES_PER_ITEM: u32 = 8;
const COUNT_MAX: u64 = 15;
const LOW_THREE_BITS: u64 = 0x7777_7777_7777_7777;

/// See the module's text.
pub(super) struct Sketch {
    lines: Lines<[u64; LINE_LEN]>,
    /// Uses since the last halving of a line, and which one is next.
    uses: u32,
    next: usize,
}

impl Sketch {
    pub(super) fn new() -> Sketch {
        Sketch { lines: Lines::new(), uses: 0, next: 0 }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// There are so many items: grows, if that is too many.
    pub(super) fn fit(&mut self, items: usize) {
        if self.lines.len() * ITEMS_PER_LINE < items.max(1) {
            self.lines.grow([0; LINE_LEN]);
        }
    }

    /// One use of a key.
    pub(super) fn add(&mut self, hash: u64) {
        let Some(line) = self.lines.get_mut(hash) else { return };
        for (word, shift) in counters(hash) {
            if line[word] >> shift & COUNT_MAX < COUNT_MAX {
                line[word] += 1 << shift;
            }
        }
        self.uses += 1;
        if self.uses == USES_PER_ITEM * ITEMS_PER_LINE as u32 {
            self.uses = 0;
            self.next = (self.next + 1) % self.lines.len();
            for word in self.lines.line_mut(self.next) {
                *word = *word >> 1 & LOW_THREE_BITS;
            }
        }
    }

    /// About how often a key was used lately, 15 for that or more.
    pub(super) fn estimate(&self, hash: u64) -> u8 {
        let Some(line) = self.lines.get(hash) else { return 0 };
        let counts = counters(hash).map(|(word, shift)| line[word] >> shift & COUNT_MAX);
        counts.into_iter().min().unwrap_or(0) as u8
    }
}

/// A key's four counters: word of the line, and shift within it.
fn counters(hash: u64) -> [(usize, u32); 4] {
    let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [0, 1, 2, 3].map(|row| {
        let bits = spread >> (64 - 5 * (row + 1));
        (2 * row + (bits as usize & 1), (bits >> 1 & 15) as u32 * 4)
    })
}

#[cfg(test)]
mod tests;
