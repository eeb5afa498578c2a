//! How long after its deadline a key's memory was given back: counts, in steps of at most a quarter.
//!
//! Invariant: a quantile is never below the true one, and above it by a quarter at most.

/// Up to here every millisecond has its own count.
const EXACT_MS: u64 = 8;
/// Four counts for each doubling from there to 2^31 ms, 25 days.
const COUNTS: usize = EXACT_MS as usize + 28 * 4;

/// See the module's text. Milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    counts: [u64; COUNTS],
    total: u64,
    max_ms: u64,
}

impl Default for Lag {
    fn default() -> Lag {
        Lag { counts: [0; COUNTS], total: 0, max_ms: 0 }
    }
}

impl Lag {
    pub(super) fn record(&mut self, lag_ms: u64) {
        self.counts[bucket(lag_ms).min(COUNTS - 1)] += 1;
        self.total += 1;
        self.max_ms = self.max_ms.max(lag_ms);
    }

    /// At most so late were this many in a thousand; 0 if there was none.
    pub fn quantile_ms(&self, per_mille: u64) -> u64 {
        let wanted = (self.total * per_mille).div_ceil(1000);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if 0 < seen && wanted <= seen {
                return last_of(index).min(self.max_ms);
            }
        }
        self.max_ms
    }

    /// The longest.
    pub fn max_ms(&self) -> u64 {
        self.max_ms
    }
}

fn bucket(lag_ms: u64) -> usize {
    if lag_ms < EXACT_MS {
        return lag_ms as usize;
    }
    let bits = lag_ms.ilog2();
    let quarter = lag_ms >> (bits - 2) & 3;
    (EXACT_MS + u64::from(bits - EXACT_MS.ilog2()) * 4 + quarter) as usize
}

/// The highest lag that is counted there.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT_MS {
        return index;
    }
    let (doubling, quarter) = ((index - EXACT_MS) / 4, (index - EXACT_MS) % 4);
    ((5 + quarter) << (doubling + 1)) - 1
}

#[cfg(test)]
mod tests;
