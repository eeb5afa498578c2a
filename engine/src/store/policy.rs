//! Who has to go: decisions about one item at a time, from one byte that is kept with it.
//!
//! Items stand in two queues, Young and Main, each in order of arrival. A policy says into which of
//! them a newcomer goes, which queue's oldest item is looked at next, and what becomes of that one: out,
//! or once more to the young end of a queue. It is asked for nothing else, so that the store (over
//! megabytes) and the shadows of `auto` (over fingerprints) are ruled by the same code.
//!
//! ```text
//! fifo      ─► Main ─► out
//! lru       ─► Main ─► out, or, if used since, once more              (second chance: one bit)
//! lfu       ─► Young ─► Main, if used more often than Main's oldest;  (W-TinyLFU; Main is `lru`)
//!                       otherwise out
//! s3-fifo   ─► Young ─► Main, if used twice; otherwise out, and remembered: who comes back soon
//!                       goes to Main                                  (Yang et al., SOSP 2023)
//! ```
//!
//! Invariant: a hit changes at most the one byte, and not even that once it is at its limit.

use self::auto::Auto;
use self::ghost::Ghost;
use self::sketch::Sketch;
use super::arena::Queue;

mod auto;
mod ghost;
mod lines;
mod shadow;
mod sketch;

/// How a keyspace chooses who has to go when its memory is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Eviction {
    /// Who came first.
    Fifo,
    /// Who was not used for long.
    Lru,
    /// Who is used seldom.
    Lfu,
    /// Who was used once only; then who was not used for long.
    #[default]
    S3Fifo,
    /// Nobody: writes are refused.
    None,
    /// Whatever hits most, of the others, as measured all the time on a sample of the keys.
    Auto,
}

impl Eviction {
    /// All of them.
    pub const ALL: &[Eviction] = &[
        Eviction::Fifo,
        Eviction::Lru,
        Eviction::Lfu,
        Eviction::S3Fifo,
        Eviction::None,
        Eviction::Auto,
    ];

    /// As an operator writes it.
    pub fn name(self) -> &'static str {
        match self {
            Eviction::Fifo => "fifo",
            Eviction::Lru => "lru",
            Eviction::Lfu => "lfu",
            Eviction::S3Fifo => "s3-fifo",
            Eviction::None => "none",
            Eviction::Auto => "auto",
        }
    }
}

/// A policy with its one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Fifo,
    Lru,
    /// Young's share of the memory, in percent.
    Lfu(u8),
    /// Young's share of the memory, in percent.
    S3Fifo(u8),
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Out,
    /// To the young end of a queue, with this usage.
    Again(Queue, u8),
}

/// What the queues hold, in the unit that the budget has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Filled {
    pub(super) young: u64,
    pub(super) main: u64,
}

/// Usage is counted to here by `s3-fifo`.
const S3_USAGE_MAX: u8 = 3;
/// An item that was used so often while young goes to Main.
const S3_USAGE_MIN: u8 = 2;
/// What `lfu` and `s3-fifo` set aside for newcomers, in percent of the memory.
const S3_YOUNG_PERCENT: u8 = 10;
const LFU_YOUNG_PERCENT: u8 = 20;

impl Rule {
    /// What a static policy means; `auto` begins with the default.
    pub(super) fn of(eviction: Eviction) -> Rule {
        match eviction {
            Eviction::Fifo => Rule::Fifo,
            Eviction::Lru => Rule::Lru,
            Eviction::Lfu => Rule::Lfu(LFU_YOUNG_PERCENT),
            Eviction::S3Fifo | Eviction::None | Eviction::Auto => Rule::S3Fifo(S3_YOUNG_PERCENT),
        }
    }

    /// The usage of an item after one more use.
    pub(super) fn used(self, usage: u8) -> u8 {
        match self {
            Rule::Fifo => usage,
            Rule::Lru | Rule::Lfu(_) => usage.max(1),
            Rule::S3Fifo(_) => usage.saturating_add(1).min(S3_USAGE_MAX),
        }
    }
}

/// A rule and what it remembers of items that are not there.
pub(super) struct Policy {
    rule: Rule,
    ghost: Ghost,
    sketch: Sketch,
    /// Something was evicted: until then there is room for everybody.
    is_full: bool,
    /// Who watches the others and changes the rule, if that is wanted.
    auto: Option<Box<Auto>>,
}

impl Policy {
    pub(super) fn new(rule: Rule) -> Policy {
        Policy { rule, ghost: Ghost::new(), sketch: Sketch::new(), is_full: false, auto: None }
    }

    /// For a keyspace that is configured so.
    pub(super) fn of(eviction: Eviction) -> Policy {
        let auto = (eviction == Eviction::Auto).then(|| Box::new(Auto::new()));
        Policy { auto, ..Policy::new(Rule::of(eviction)) }
    }

    pub(super) fn rule(&self) -> Rule {
        self.rule
    }

    /// What it remembers takes so many bytes.
    pub(super) fn bytes(&self) -> u64 {
        let auto = self.auto.as_ref().map_or(0, |auto| auto.bytes());
        self.ghost.bytes() + self.sketch.bytes() + auto
    }

    /// Whether `auto` wants to hear what becomes of this key.
    pub(super) fn samples(&self, hash: u64) -> bool {
        self.auto.as_ref().is_some_and(|auto| auto.samples(hash))
    }

    /// A key of the sample was asked for; `size` is what it takes, if it is there. Now and then the
    /// rule changes here; what is in the queues stays there.
    pub(super) fn asked(&mut self, hash: u64, size: Option<u32>, len: usize, budget: u64) {
        let Some(auto) = &mut self.auto else { return };
        auto.asked(hash, size);
        if let Some(rule) = auto.decide(self.is_full.then_some(len), budget) {
            if !matches!(rule, Rule::Lfu(_)) {
                self.sketch = Sketch::new();
            }
            if !matches!(rule, Rule::S3Fifo(_)) {
                self.ghost = Ghost::new();
            }
            self.rule = rule;
        }
    }

    /// A key of the sample was stored, and takes `size`.
    pub(super) fn stored(&mut self, hash: u64, size: u32) {
        if let Some(auto) = &mut self.auto {
            auto.stored(hash, size);
        }
    }

    /// An item was asked for, whether it is there or not.
    pub(super) fn seen(&mut self, hash: u64) {
        if let Rule::Lfu(_) = self.rule {
            self.sketch.add(hash);
        }
    }

    /// The queue for a newcomer. `len` items are there, and `filled` says how much they take.
    pub(super) fn admit(&mut self, hash: u64, len: usize, filled: Filled, budget: u64) -> Queue {
        match self.rule {
            Rule::Fifo | Rule::Lru => Queue::Main,
            Rule::Lfu(_) => {
                self.sketch.fit(len);
                Queue::Young
            }
            Rule::S3Fifo(percent) => {
                let is_young_full = share(budget, percent) <= filled.young;
                if self.ghost.remembers(hash) || (!self.is_full && is_young_full) {
                    Queue::Main
                } else {
                    Queue::Young
                }
            }
        }
    }

    /// The queue whose oldest item is judged next; of one that is not empty.
    pub(super) fn next(&self, filled: Filled, budget: u64) -> Queue {
        let young_max = match self.rule {
            Rule::Fifo | Rule::Lru => 0,
            Rule::Lfu(percent) | Rule::S3Fifo(percent) => share(budget, percent),
        };
        if filled.main == 0 || young_max < filled.young { Queue::Young } else { Queue::Main }
    }

    /// What becomes of the oldest item of a queue. `rival` is the hash of Main's oldest, if the queue
    /// is Young and Main has one. `len` items are there.
    pub(super) fn judge(
        &mut self,
        queue: Queue,
        usage: u8,
        hash: u64,
        rival: Option<u64>,
        len: usize,
    ) -> Verdict {
        self.is_full = true;
        match (self.rule, queue) {
            (Rule::Lfu(_), Queue::Young) => match rival {
                Some(rival) if self.sketch.estimate(hash) <= self.sketch.estimate(rival) => {
                    Verdict::Out
                }
                _ => Verdict::Again(Queue::Main, 0),
            },
            (Rule::S3Fifo(_), Queue::Young) if S3_USAGE_MIN <= usage => {
                Verdict::Again(Queue::Main, 0)
            }
            (Rule::S3Fifo(_), Queue::Young) => {
                self.ghost.remember(hash, len);
                Verdict::Out
            }
            (Rule::Lru | Rule::Lfu(_) | Rule::S3Fifo(_), _) if 0 < usage => {
                Verdict::Again(Queue::Main, usage.min(S3_USAGE_MAX) - 1)
            }
            _ => Verdict::Out,
        }
    }
}

fn share(budget: u64, percent: u8) -> u64 {
    budget / 100 * u64::from(percent) + budget % 100 * u64::from(percent) / 100
}

#[cfg(test)]
mod tests;
