//! Keys that will be asked for soon, all at once: what they need is fetched side by side.
//!
//! A lookup is a chain of reads, each of which has to wait for the one before: table, link, entry, bytes.
//! In a large store each costs a trip to main memory, some 100 ns. The trips of different keys are
//! independent, so a processor makes several at a time if it meets them close enough together. `warm`
//! walks all chains abreast, a step at a time, with plain reads: no answer depends on it, and there is
//! nothing unsafe about it.

use std::hint::black_box;

use super::slab::NONE;
use super::{Store, hash, spread};

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
    hash: u32,
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
        let mut ids = [NONE; ABREAST_COUNT];
        let mut seen = 0;
        for hint in hints {
            seen ^= self.tables[usize::from(hint.slot)].capacity();
        }
        for (id, hint) in ids.iter_mut().zip(hints) {
            let is_it = |link: &super::Link| link.hash == hint.hash;
            let found = self.tables[usize::from(hint.slot)].find(spread(hint.hash), is_it);
            *id = found.map_or(NONE, |link| link.id);
        }
        let ids = &ids[..hints.len()];
        for &id in ids.iter().filter(|&&id| id != NONE) {
            seen ^= self.slab[id].key_size as usize;
        }
        for &id in ids.iter().filter(|&&id| id != NONE) {
            let data = &self.slab[id].data;
            let lines = data.iter().step_by(LINE_SIZE).take(LINE_COUNT_MAX).chain(data.last());
            seen ^= lines.fold(0, |seen, byte| seen ^ usize::from(*byte));
        }
        black_box(seen);
    }
}
