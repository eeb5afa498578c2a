//! The same keys as `Keys`, small enough to be copied and hashed a million times a second.
//!
//! **Invariant.** Two values are equal here exactly if they are equal there, but for a chance below
//! 2^-100: texts are kept as two polynomial hashes modulo the prime 2^61 - 1 and their size, and the
//! hash of a text with another appended follows from the hashes of both (Karp and Rabin, 1987).

use std::collections::HashMap;

use crate::checker::{Footprint, Model};

/// Objects with more keys are left to `Keys`.
pub(super) const KEY_COUNT_MAX: usize = 4;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Held {
    #[default]
    Nil,
    Number(i64),
    Text(Text),
}

/// A text, without its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Text {
    lanes: [u64; 2],
    /// In bytes; zero on keys whose sizes nobody asks for.
    size: u64,
}

/// What is put at the end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Suffix {
    text: Text,
    /// What the lanes of the text before it are multiplied with.
    shifts: [u64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Change {
    Get,
    Set(Held),
    SetIfAbsent(Held),
    CompareAndSet(Held, Held),
    Delete,
    Increment(i64),
    Append(Suffix),
    /// An append of which others saw to what it was appended.
    Grow {
        before: Held,
        after: Text,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Holds(Held),
    Done,
    Happened(bool),
    Number(i64),
    Size(u64),
    NotANumber,
}

const PRIME: u64 = (1 << 61) - 1;
const BASES: [u64; 2] = [0x0123_4567_89ab_cdef % PRIME, 0x1f83_d9ab_fb41_bd6b % PRIME];

/// The product of two numbers below the prime.
const fn times(left: u64, right: u64) -> u64 {
    reduced(left as u128 * right as u128)
}

/// The rest of a number below 2^122.
const fn reduced(product: u128) -> u64 {
    let folded = (product >> 61) as u64 + (product as u64 & PRIME);
    if folded >= PRIME { folded - PRIME } else { folded }
}

/// `base` to so high a power.
const fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut square, mut result) = (base, 1);
    while exponent != 0 {
        if exponent & 1 == 1 {
            result = times(result, square);
        }
        square = times(square, square);
        exponent >>= 1;
    }
    result
}

/// How many characters are taken at a time: products of so many fit together into 128 bits.
const STRIDE: usize = 16;
/// What each of them is multiplied with, by lane.
const WEIGHTS: [[u64; STRIDE]; 2] = {
    let mut weights = [[0; STRIDE]; 2];
    let mut place = 0;
    while place < STRIDE {
        weights[0][place] = power(BASES[0], (STRIDE - 1 - place) as u64);
        weights[1][place] = power(BASES[1], (STRIDE - 1 - place) as u64);
        place += 1;
    }
    weights
};

/// The polynomial of these characters, the last one alone.
fn polynomial(value: &[u8], lane: usize) -> u64 {
    let (strides, rest) = value.as_chunks::<STRIDE>();
    let shift = times(WEIGHTS[lane][0], BASES[lane]);
    let whole = strides.iter().fold(0, |hash, stride| {
        let products = stride.iter().zip(&WEIGHTS[lane]);
        let sum: u128 =
            products.map(|(&byte, &weight)| (u128::from(byte) + 1) * u128::from(weight)).sum();
        plus(times(hash, shift), reduced(sum))
    });
    rest.iter().fold(whole, |hash, &byte| plus(times(hash, BASES[lane]), u64::from(byte) + 1))
}

fn plus(left: u64, right: u64) -> u64 {
    let sum = left + right;
    if sum >= PRIME { sum - PRIME } else { sum }
}

impl Held {
    /// What a key holds that was set to this; `counts_size` unless nobody asks for sizes.
    pub(super) fn new(value: &str, counts_size: bool) -> Held {
        match value.parse() {
            Ok(number) if is_canonical(value, number) => Held::Number(number),
            _ => Held::Text(Suffix::new(value, counts_size).text),
        }
    }
}

/// Whether printing the number gives the value again.
pub(super) fn is_canonical(value: &str, number: i64) -> bool {
    number.to_string() == value
}

impl Text {
    /// See `Text::size`.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Suffix {
    pub(super) fn new(value: &str, counts_size: bool) -> Suffix {
        let lanes = [0, 1].map(|lane| polynomial(value.as_bytes(), lane));
        let shifts = BASES.map(|base| power(base, value.len() as u64));
        let size = if counts_size { value.len() as u64 } else { 0 };
        Suffix { text: Text { lanes, size }, shifts }
    }

    /// The text itself.
    pub(super) fn text(&self) -> Text {
        self.text
    }

    fn after(&self, before: Text) -> Text {
        let lane =
            |lane: usize| plus(times(before.lanes[lane], self.shifts[lane]), self.text.lanes[lane]);
        Text { lanes: [lane(0), lane(1)], size: before.size + self.text.size }
    }
}

/// The model; see `Keys`.
#[derive(Debug, Clone, Default)]
pub(super) struct Compact {
    /// What a key holds once at most, because a part of it was written once only: numbered.
    pub(super) passing: HashMap<(u8, Held), usize>,
}

impl Model for Compact {
    type State = [Held; KEY_COUNT_MAX];
    type Input = Vec<(u8, Change)>;
    /// An answer that nobody knows may be any.
    type Output = Vec<Option<Reply>>;

    fn initial(&self) -> Self::State {
        [Held::Nil; KEY_COUNT_MAX]
    }

    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State> {
        let mut state = *state;
        for (index, (key, change)) in input.iter().enumerate() {
            let reply = act(&mut state[usize::from(*key)], change);
            let known = output.and_then(|output| output[index]);
            if known.is_some_and(|known| known != reply) {
                return None;
            }
        }
        Some(state)
    }

    fn footprint(&self, input: &Self::Input) -> Footprint {
        let mut footprint = Footprint::default();
        for (key, change) in input {
            let bit = 1 << key;
            if matches!(change, Change::Set(_)) && footprint.touched & bit == 0 {
                footprint.overwritten |= bit;
            }
            footprint.touched |= bit;
        }
        footprint
    }

    fn needs(&self, input: &Self::Input, output: Option<&Self::Output>) -> Vec<usize> {
        let held = |(index, (key, change)): (usize, &(u8, Change))| {
            let held = match (change, output?[index].as_ref()?) {
                (_, Reply::Holds(held)) => *held,
                (Change::CompareAndSet(expected, _), Reply::Happened(true)) => *expected,
                (Change::Grow { before, .. }, _) => *before,
                _ => return None,
            };
            self.passing.get(&(*key, held)).copied()
        };
        input.iter().enumerate().filter_map(held).collect()
    }

    fn leaves(
        &self,
        before: &Self::State,
        after: &Self::State,
        is_needed: impl Fn(usize) -> bool,
    ) -> bool {
        let pairs = (0..).zip(before.iter().zip(after));
        let mut gone = pairs.filter(|(_, (before, after))| before != after);
        gone.any(|(key, (held, _))| {
            self.passing.get(&(key, *held)).is_some_and(|&thing| is_needed(thing))
        })
    }
}

fn act(held: &mut Held, change: &Change) -> Reply {
    match change {
        Change::Get => Reply::Holds(*held),
        Change::Set(value) => {
            *held = *value;
            Reply::Done
        }
        Change::SetIfAbsent(value) => set_if(held, *value, Held::Nil),
        Change::CompareAndSet(expected, value) => set_if(held, *value, *expected),
        Change::Delete => Reply::Happened(std::mem::take(held) != Held::Nil),
        Change::Increment(by) => {
            let number = match held {
                Held::Nil => Some(*by),
                Held::Number(number) => number.checked_add(*by),
                Held::Text(_) => None,
            };
            let Some(number) = number else { return Reply::NotANumber };
            *held = Held::Number(number);
            Reply::Number(number)
        }
        Change::Grow { before, after } => {
            let fits = held == before;
            *held = if fits { Held::Text(*after) } else { *held };
            // Nothing that an append could answer: it does not happen here.
            if fits { Reply::Size(after.size) } else { Reply::Happened(false) }
        }
        Change::Append(suffix) => {
            let text = match held {
                Held::Nil => suffix.text,
                Held::Text(before) => suffix.after(*before),
                Held::Number(_) => unreachable!("`compile` leaves keys that mix both to `Keys`"),
            };
            *held = Held::Text(text);
            Reply::Size(text.size)
        }
    }
}

fn set_if(held: &mut Held, value: Held, expected: Held) -> Reply {
    let happens = *held == expected;
    if happens {
        *held = value;
    }
    Reply::Happened(happens)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: many characters at a time are the same as one after the other.
    #[test]
    fn a_text_hashes_as_the_sum_of_its_parts() {
        let text: String =
            (0..100).map(|index| char::from(b' ' + (index * 7 % 90) as u8)).collect();
        for whole in 0..text.len() {
            let text = &text[..whole];
            let by_one = text.bytes().fold([0; 2], |lanes, byte| {
                [0, 1].map(|lane| plus(times(lanes[lane], BASES[lane]), u64::from(byte) + 1))
            });
            assert_eq!(Suffix::new(text, true).text.lanes, by_one, "{whole} bytes");
            for cut in [0, whole / 3, whole] {
                let (before, after) = text.split_at(cut);
                let before = Suffix::new(before, true).text();
                let joined = Suffix::new(after, true).after(before);
                assert_eq!(joined, Suffix::new(text, true).text(), "{whole} bytes, cut at {cut}");
            }
        }
    }
}
