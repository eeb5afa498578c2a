//! Which policy hits most, here and now: shadows of the candidates on a sample of the keys.
//!
//! A key is in the sample by its hash, so that a cache that is 2^k times smaller sees the requests of
//! 2^k times fewer keys, and its hit ratio is about the real one (Waldspurger et al., "SHARDS", FAST
//! 2015). The candidates hear the same requests; whoever is ahead by more than chance explains rules.
//!
//! Invariant: what this takes is bounded by `ITEMS_MAX` and by a part of the budget, whatever the
//! number of keys; a key outside the sample costs one comparison.

use super::shadow::{ITEM_BYTES, Shadow};
use super::{LFU_YOUNG_PERCENT, Rule, S3_YOUNG_PERCENT};

/// Who may rule.
const CANDIDATES: [Rule; 4] =
    [Rule::S3Fifo(S3_YOUNG_PERCENT), Rule::S3Fifo(30), Rule::Lru, Rule::Lfu(LFU_YOUNG_PERCENT)];
/// A shadow has at most about so many items,
const ITEMS_MAX: u64 = 2048;
/// and all shadows together take at most one part in so many of the budget.
const BUDGET_PARTS: u64 = 64;
/// A round has so many requests for each item of a shadow, and not fewer than the second.
const REQUESTS_PER_ITEM: u64 = 4;
const REQUESTS_MIN: u64 = 500;
/// To take over, a candidate must have this share more of all requests as hits, in thousandths,
const LEAD_PER_MILLE: f64 = 4.0;
/// and so many standard deviations of the difference (McNemar's test).
const LEAD_DEVIATIONS: f64 = 3.0;

/// See the module's text.
pub(super) struct Auto {
    /// A key is in the sample if its lowest `thinning` bits are zero.
    thinning: u32,
    shadows: Vec<Shadow>,
    /// Per shadow.
    scores: [Score; CANDIDATES.len()],
    /// Whose rule is followed now.
    ruling: usize,
    /// Like a score.
    requests: f64,
    requests_in_round: u64,
}

/// Of this round and of those before, each worth half of the next.
#[derive(Clone, Copy, Default)]
struct Score {
    hits: f64,
    /// Requests of which only one, this shadow or the ruling one, was a hit.
    differences: f64,
}

impl Auto {
    pub(super) fn new() -> Auto {
        Auto {
            thinning: 0,
            shadows: Vec::new(),
            scores: Default::default(),
            ruling: 0,
            requests: 0.0,
            requests_in_round: 0,
        }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.shadows.iter().map(Shadow::bytes).sum()
    }

    /// Whether a key is in the sample.
    pub(super) fn samples(&self, hash: u64) -> bool {
        hash & ((1 << self.thinning) - 1) == 0
    }

    /// A key of the sample was asked for; `size` is what it takes, if it is there.
    pub(super) fn asked(&mut self, hash: u64, size: Option<u32>) {
        let mut outcomes = [false; CANDIDATES.len()];
        for (shadow, hit) in self.shadows.iter_mut().zip(&mut outcomes) {
            *hit = shadow.ask(hash >> self.thinning, size);
        }
        for (score, hit) in self.scores.iter_mut().zip(outcomes) {
            score.hits += f64::from(u8::from(hit));
            score.differences += f64::from(u8::from(hit != outcomes[self.ruling]));
        }
        self.requests += 1.0;
        self.requests_in_round += 1;
    }

    /// A key of the sample was stored.
    pub(super) fn stored(&mut self, hash: u64, size: u32) {
        for shadow in &mut self.shadows {
            shadow.store(hash >> self.thinning, size);
        }
    }

    /// At the end of a round: who should rule from now on, if somebody else. `len` items are there, if
    /// there is no room for more: before, there is nothing to decide.
    pub(super) fn decide(&mut self, len: Option<usize>, budget: u64) -> Option<Rule> {
        let len = len? as u64;
        if !self.shadows.is_empty() && self.requests_in_round < REQUESTS_MIN {
            return None;
        }
        let items_max = ITEMS_MAX.min(budget / BUDGET_PARTS / ITEM_BYTES / CANDIDATES.len() as u64);
        if self.requests_in_round < (len >> self.thinning) * REQUESTS_PER_ITEM
            && !self.shadows.is_empty()
        {
            return None;
        }
        self.requests_in_round = 0;
        let thinning = (len / items_max.max(1)).checked_ilog2().map_or(0, |bits| bits + 1);
        if self.shadows.is_empty() || 1 < self.thinning.abs_diff(thinning) {
            self.thinning = thinning;
            let shadow = |rule| Shadow::new(rule, budget >> thinning);
            self.shadows = CANDIDATES.map(shadow).into();
            (self.scores, self.requests) = Default::default();
            return None;
        }
        let best = (0..CANDIDATES.len())
            .max_by(|one, other| self.scores[*one].hits.total_cmp(&self.scores[*other].hits))?;
        let lead = self.scores[best].hits - self.scores[self.ruling].hits;
        let chance = LEAD_DEVIATIONS * self.scores[best].differences.sqrt();
        let is_ahead = chance.max(self.requests * LEAD_PER_MILLE / 1000.0) < lead;
        for score in &mut self.scores {
            score.hits /= 2.0;
            score.differences /= 2.0;
        }
        self.requests /= 2.0;
        if is_ahead {
            self.ruling = best;
            self.scores.iter_mut().for_each(|score| score.differences = 0.0);
        }
        is_ahead.then(|| CANDIDATES[best])
    }
}
