//! What happened: every event goes into a rolling hash, the last ones are kept for people.
//!
//! Two runs of one seed are the same run if and only if their hashes are equal. Nothing here
//! depends on a logging level, and recording draws no random numbers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write};

use super::NodeId;
use super::world::world;

/// Events kept for a failure report, at least. Older ones live on in the hash and the counts.
pub(crate) const EVENT_COUNT_MIN: usize = 4096;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// True time in nanoseconds since the run began.
    pub at_ns: u64,
    /// The node it happened to; the supervisor if it happened to none.
    pub node: NodeId,
    /// What happened, in one word.
    pub kind: &'static str,
    /// The particulars.
    pub detail: String,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.at_ns / 1_000_000_000, self.at_ns % 1_000_000_000);
        write!(formatter, "{seconds:>5}.{nanos:09} node {} {:<12} ", self.node, self.kind)?;
        formatter.write_str(&self.detail)
    }
}

/// Notes that `kind` happened to `node`. `detail` is part of the hash, so it must not contain
/// addresses in memory, host time or anything else the seed does not decide.
pub fn record<D: fmt::Display>(kind: &'static str, node: NodeId, detail: impl FnOnce() -> D) {
    let world = world();
    let number = world.node(node).number;
    let at_ns = world.now_ns();
    let detail = detail();
    world.recorder.borrow_mut().add(Place { at_ns, node, number }, kind, &detail);
}

/// 256 bits over every event: equal for two runs if and only if the runs were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventHash([u128; 2]);

impl fmt::Display for EventHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}{:032x}", self.0[0], self.0[1])
    }
}

/// Of every event so far.
pub fn hash() -> EventHash {
    world().recorder.borrow().hash.value()
}

/// Events so far.
pub fn event_count() -> u64 {
    world().recorder.borrow().event_count
}

/// How often each kind of event happened so far.
pub fn counts() -> BTreeMap<&'static str, u64> {
    let world = world();
    let recorder = world.recorder.borrow();
    let mut counts = BTreeMap::new();
    for (kind, count) in &recorder.counts {
        *counts.entry(*kind).or_default() += count;
    }
    counts
}

/// From now on so many of the last events are kept, or as many as always if that is more.
pub(crate) fn keep(event_count: usize) {
    world().recorder.borrow_mut().event_count_max = event_count.max(EVENT_COUNT_MIN);
}

/// The last events, oldest first; the last 4,096, unless the run was told to keep more.
pub fn recent() -> Vec<Event> {
    world().recorder.borrow().recent.iter().cloned().collect()
}

/// When and where.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at_ns: u64,
    pub(crate) node: NodeId,
    pub(crate) number: u64,
}

#[derive(Default)]
pub(crate) struct Recorder {
    hash: RollingHash,
    recent: VecDeque<Event>,
    event_count_max: usize,
    event_count: u64,
    /// By kind, as it stands in the code: a word that stands there twice may be here twice.
    counts: Vec<(&'static str, u64)>,
}

impl Recorder {
    pub(crate) fn add(&mut self, place: Place, kind: &'static str, detail: &dyn fmt::Display) {
        let mut text = self.recycled();
        write!(text, "{detail}").expect("writing to a string does not fail");

        self.hash.add_word(place.at_ns);
        self.hash.add_word(place.number);
        self.hash.add_bytes(kind.as_bytes());
        self.hash.add_bytes(text.as_bytes());
        self.event_count += 1;
        let is_same = |known: &&mut (&'static str, u64)| std::ptr::eq(known.0, kind);
        match self.counts.iter_mut().find(is_same) {
            Some(known) => known.1 += 1,
            None => self.counts.push((kind, 1)),
        }
        let Place { at_ns, node, .. } = place;
        self.recent.push_back(Event { at_ns, node, kind, detail: text });
    }

    /// An empty string; once the ring is full, the oldest event's.
    fn recycled(&mut self) -> String {
        if self.recent.len() < self.event_count_max.max(EVENT_COUNT_MIN) {
            return String::new();
        }
        let mut text = self.recent.pop_front().map(|event| event.detail).unwrap_or_default();
        text.clear();
        text
    }
}

/// A multiply-and-fold hash of two lanes, eight bytes at a time. Built to notice an accident, not an
/// attacker.
#[derive(Clone)]
pub(crate) struct RollingHash {
    lanes: [u128; 2],
}

impl Default for RollingHash {
    fn default() -> RollingHash {
        RollingHash { lanes: [0, 0x510e_527f_ade6_82d1_9b05_688c_2b3e_6c1f] }
    }
}

impl RollingHash {
    pub(crate) fn add_word(&mut self, word: u64) {
        const MULTIPLIERS: [u128; 2] =
            [0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835, 0xda94_2042_e4dd_58b5_2d99_2ddf_a232_49d7];
        for (lane, multiplier) in self.lanes.iter_mut().zip(MULTIPLIERS) {
            let mixed = (*lane ^ u128::from(word)).wrapping_mul(multiplier);
            *lane = mixed.rotate_left(59) ^ (mixed >> 71);
        }
    }

    /// The length first, so that "ab" + "c" and "a" + "bc" differ.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.add_word(bytes.len() as u64 + 1);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add_word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add_word(u64::from_le_bytes(last));
    }

    pub(crate) fn value(&self) -> EventHash {
        let mut last = self.clone();
        last.add_word(0);
        last.add_word(0);
        EventHash(last.lanes)
    }

    /// As much of it as stands for a handful of bytes.
    pub(crate) fn short_value(&self) -> u64 {
        self.value().0[0] as u64
    }
}
