//! Keys that will be asked for soon, all at once: what they need is fetched side by side.
//!
//! A lookup is a chain of reads, each of which has to wait for the one before: run, word, item. In a large store each costs a trip to main memory, some 100 ns. The trips of different keys are
//! independent, so a processor makes several at a time if it meets them close enough together. `warm`
//! walks all chains abreast, a step at a time, with plain reads: no answer depends on it, and there is
//! nothing unsafe about it.

use std::hint::black_box;

use super::Store;
use super::change::hash;
use super::index::{Place, Tag};

/// Chains walked abreast. More would not overlap better: a processor looks some hundred instructions
/// ahead.
const ABREAST_COUNT: usize = 16;

/// What a processor fetches at a time, in bytes.
const LINE_SIZE: usize = 64;
/// Of a value longer than so many lines, the processor guesses the rest by itself.
const LINE_COUNT_MAX: usize = 4;

/// A key that will be asked for soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hint {
    slot: u16,
    hash: u64,
}

impl Hint {
    /// Of a key in its hash slot. Another store's hints do no harm.
    pub fn new(slot: u16, key: &[u8]) -> Hint {
        Hint { slot, hash: hash(key) }
    }
}

impl Store {
    /// Brings what lookups of these keys will read close to the processor. Changes nothing: what is
    /// found or not is forgotten, and keys that are never asked for only cost the time.
    pub fn warm(&self, hints: impl Iterator<Item = Hint>) {
        let mut abreast = [Hint::default(); ABREAST_COUNT];
        let mut count = 0;
        for hint in hints {
            abreast[count] = hint;
            count += 1;
            if count == ABREAST_COUNT {
                self.warm_abreast(&abreast);
                count = 0;
            }
        }
        self.warm_abreast(&abreast[..count]);
    }

    fn warm_abreast(&self, hints: &[Hint]) {
        let mut places = [None::<Place>; ABREAST_COUNT];
        let mut seen = 0;
        for hint in hints {
            seen ^= self.index.glance(hint.slot, Tag::of(hint.hash));
        }
        for (place, hint) in places.iter_mut().zip(hints) {
            *place = self.index.candidates(hint.slot, Tag::of(hint.hash)).next();
        }
        for place in places.into_iter().flatten() {
            let item = self.arena.item(place);
            let lines = item.iter().step_by(LINE_SIZE).take(LINE_COUNT_MAX);
            seen ^= lines.fold(0, |seen, byte| seen ^ u64::from(*byte));
        }
        black_box(seen);
    }
}
