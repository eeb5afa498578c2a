//! What clients asked and were told, in the order in which it happened.
//!
//! **Invariant.** An operation is entered before its first byte leaves, and ended after its answer is
//! read, so the ledger's intervals contain the real ones. Whatever ended without an answer may still
//! take effect, for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checker::Verdict;
use crate::history::{KeysOperation, print};
use crate::model::judge::judge;
use crate::model::{Answer, Step};

#[cfg(test)]
mod tests;

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId(usize);

/// A place in the order of all invocations and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With these answers, one for each step.
    Answered(Vec<Answer>),
    /// Refused: it certainly has no effect.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

#[derive(Debug, Clone)]
struct Entry {
    object: usize,
    operation: KeysOperation,
    /// Virtual time of invocation and of the end, in nanoseconds, for people.
    invoked_ns: u64,
    ended_ns: Option<u64>,
    /// Why there is no answer.
    reason: Option<String>,
    is_refused: bool,
    is_final: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// Counts invocations and ends: a clock that orders them all.
    moment: u64,
    answered: u64,
    /// Operations that nobody knows the end of, by object.
    unsettled: BTreeMap<usize, u64>,
    in_final_reads: bool,
}

/// A claim that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// "linearizability" or "durability".
    pub oracle: &'static str,
    /// In a sentence.
    pub claim: String,
    /// The entries that contradict each other, with times.
    pub lines: Vec<String>,
    /// The same in the format of `history`, to be kept in the corpus.
    pub history: Vec<String>,
}

impl Ledger {
    /// A client is about to ask for this.
    pub fn invoke(&mut self, now_ns: u64, client: u32, object: usize, steps: Vec<Step>) -> EntryId {
        self.moment += 1;
        self.entries.push(Entry {
            object,
            operation: KeysOperation {
                client,
                invoked: self.moment,
                returned: None,
                input: steps,
                output: None,
            },
            invoked_ns: now_ns,
            ended_ns: None,
            reason: None,
            is_refused: false,
            is_final: self.in_final_reads,
        });
        EntryId(self.entries.len() - 1)
    }

    /// A moment between what was entered before and what will be.
    pub fn moment(&mut self) -> Moment {
        self.moment += 1;
        Moment(self.moment)
    }

    /// The client knows more.
    pub fn end(&mut self, now_ns: u64, id: EntryId, outcome: Outcome) {
        let moment = self.moment();
        self.end_as_of(now_ns, id, moment, outcome);
    }

    /// The client knows more, and that it was so by that moment already.
    pub fn end_as_of(&mut self, now_ns: u64, id: EntryId, moment: Moment, outcome: Outcome) {
        let entry = &mut self.entries[id.0];
        assert!(entry.ended_ns.is_none(), "an operation ends once");
        entry.ended_ns = Some(now_ns);
        match outcome {
            Outcome::Answered(answers) => {
                assert!(entry.operation.invoked < moment.0, "an operation ends after it began");
                entry.operation.returned = Some(moment.0);
                entry.operation.output = Some(answers);
                self.answered += 1;
            }
            Outcome::Refused(reason) => {
                entry.is_refused = true;
                entry.reason = Some(reason);
            }
            Outcome::Unknown(reason) => {
                entry.reason = Some(reason);
                *self.unsettled.entry(entry.object).or_default() += 1;
            }
        }
    }

    /// What is asked from now on only looks at what is left.
    pub fn begin_final_reads(&mut self) {
        self.in_final_reads = true;
    }

    /// Operations asked for.
    pub fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Operations answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Operations answered to one client.
    pub fn answered_by(&self, client: u32) -> u64 {
        let is_answer =
            |entry: &&Entry| entry.operation.client == client && entry.operation.returned.is_some();
        self.entries.iter().filter(is_answer).count() as u64
    }

    /// The longest time without an answer to anybody, from the first answer to this moment, and when it
    /// began; `None`: nobody was ever answered.
    pub fn longest_silence(&self, until_ns: u64) -> Option<(Duration, Duration)> {
        let is_answer = |entry: &&Entry| entry.operation.returned.is_some() && !entry.is_final;
        let answers = self.entries.iter().filter(is_answer);
        let mut moments: Vec<u64> = answers.filter_map(|entry| entry.ended_ns).collect();
        moments.sort_unstable();
        let ends = moments.iter().skip(1).chain([&until_ns]);
        let silences = moments.iter().zip(ends);
        let longest = silences.map(|(&from, &to)| (to.saturating_sub(from), from)).max();
        longest.map(|(silence, from)| (Duration::from_nanos(silence), Duration::from_nanos(from)))
    }

    /// Operations without an answer, refused ones apart.
    pub fn unknown(&self) -> u64 {
        let is_unknown = |entry: &&Entry| entry.operation.returned.is_none() && !entry.is_refused;
        self.entries.iter().filter(is_unknown).count() as u64
    }

    /// Operations on one object that nobody knows the end of. Each may have happened or not, in any
    /// order with the others: with many of them a verdict takes for ever.
    pub fn unsettled(&self, object: usize) -> u64 {
        self.unsettled.get(&object).copied().unwrap_or(0)
    }

    /// Falsifies one answer, for the canary: the last one that holds a value.
    pub fn falsify(&mut self) {
        let answers =
            self.entries.iter_mut().rev().filter_map(|entry| entry.operation.output.as_mut());
        for answer in answers.flatten() {
            if let Answer::Holds(Some(value)) = answer {
                *value = format!("{value}never-written.").into();
                return;
            }
        }
    }

    /// Holds the whole ledger against the model, object by object.
    ///
    /// # Errors
    /// The first object whose history no order explains.
    pub fn judge(&self, object_count: usize, key_count: usize) -> Result<(), Breach> {
        for object in 0..object_count {
            let all = self.history(object, |_| true);
            match judge(key_count, &all) {
                Verdict::Linearizable => (),
                Verdict::Broken(example) => {
                    return Err(self.breach(object, key_count, &example));
                }
                Verdict::Undecided(steps) => {
                    return Err(Breach {
                        oracle: "undecided",
                        claim: format!("object {object}: no verdict after {steps} steps"),
                        lines: Vec::new(),
                        history: all.iter().map(print).collect(),
                    });
                }
            }
        }
        Ok(())
    }

    fn history(&self, object: usize, keeps: impl Fn(&Entry) -> bool) -> Vec<KeysOperation> {
        self.entries
            .iter()
            .filter(|entry| entry.object == object && !entry.is_refused && keeps(entry))
            .map(|entry| entry.operation.clone())
            .collect()
    }

    fn breach(&self, object: usize, key_count: usize, example: &[KeysOperation]) -> Breach {
        // Fine until the final reads, and they disagree: something acknowledged is gone.
        let before = self.history(object, |entry| !entry.is_final);
        let is_loss = judge(key_count, &before) == Verdict::Linearizable;
        let (oracle, claim) = if is_loss {
            ("durability", format!("object {object}: what was acknowledged is not what is left"))
        } else {
            ("linearizability", format!("object {object}: no order explains these answers"))
        };
        let lines = self.entries.iter().filter(|entry| {
            entry.object == object
                && example.iter().any(|other| other.invoked == entry.operation.invoked)
        });
        Breach {
            oracle,
            claim,
            lines: lines.map(describe).collect(),
            history: example.iter().map(print).collect(),
        }
    }

    /// The last entries of an object, for a story.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let skipped = self.entries.len().saturating_sub(count);
        self.entries[skipped..].iter().map(describe).collect()
    }
}

fn describe(entry: &Entry) -> String {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let ended = entry.ended_ns.map_or("        ?".to_owned(), |ns| format!("{:>9.3}", seconds(ns)));
    let line = print(&entry.operation);
    let what = line.splitn(3, "  ").nth(2).unwrap_or_default();
    let reason = entry.reason.as_deref().map_or(String::new(), |reason| format!("  ({reason})"));
    format!(
        "{:>9.3}..{ended}s  client {}  object {}  {what}{reason}",
        seconds(entry.invoked_ns),
        entry.operation.client,
        entry.object,
    )
}
