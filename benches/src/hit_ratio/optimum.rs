//! The most that any cache can hit, for keys of one size: Belady's optimum (1966), which knows the
//! future. A key that will be asked for later than every other one is not even let in.
//!
//! Invariant: no cache of that capacity hits more of the trace.

use std::collections::{BTreeMap, BTreeSet};

/// How many of the requests hit, with room for `capacity` keys.
pub(super) fn hits(keys: &[u64], capacity: usize) -> u64 {
    let mut next_use = vec![usize::MAX; keys.len()];
    let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, key) in keys.iter().enumerate().rev() {
        next_use[index] = seen.insert(*key, index).unwrap_or(usize::MAX);
    }
    // Who is inside, by when it will be asked for again.
    let mut inside: BTreeSet<usize> = BTreeSet::new();
    let mut hits = 0;
    for (index, next) in next_use.into_iter().enumerate() {
        hits += u64::from(inside.remove(&index));
        if next != usize::MAX {
            inside.insert(next);
            if capacity < inside.len() {
                inside.pop_last();
            }
        }
    }
    hits
}

#[cfg(test)]
mod tests;
