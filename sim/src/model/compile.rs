//! From what clients saw to what the checker wants: parts that can be judged alone, each as small and
//! as definite as the answers allow.
//!
//! ```text
//! set x a    ?            get x -> a proves that it landed: by then, certainly
//! set x b    ?            nobody saw b, nobody would notice: left out
//! set y c    ?            nobody saw c, but `setnx y` might notice: any value, as long as it is one
//! incr z 1   ?            as any other `incr z 1` of unknown outcome
//! ```
//! Keys that no operation connects are judged apart.
//!
//! **Invariant.** A part has an order exactly if the operations it was made of have one.

use std::collections::{HashMap, HashSet};

use super::compact::{Change, Compact, Held, KEY_COUNT_MAX, Reply, Suffix, is_canonical};
use super::evidence::{Evidence, answered, seen, written};
use super::{Action, Answer};
use crate::checker::register::{Access, contradiction};
use crate::checker::{Found, Operation, decide};
use crate::history::KeysOperation;

type Compiled = Operation<Vec<(u8, Change)>, Vec<Option<Reply>>>;

/// Keys that belong together, and what was done to them.
pub(super) struct Part {
    kind: Kind,
    /// Of each operation of the part, which one of the history it is.
    origins: Vec<usize>,
}

enum Kind {
    Register(Vec<Access>),
    Other(Compact, Vec<Compiled>),
}

/// What was found, and if nothing was, where to look for the reason.
pub(super) enum Judgement {
    Order,
    /// Operations of the history.
    Nothing(Vec<usize>),
    GaveUp,
}

impl Part {
    pub(super) fn judge(&self, steps: &mut u64) -> Judgement {
        match &self.kind {
            Kind::Register(accesses) => match contradiction(accesses) {
                None => Judgement::Order,
                Some(few) => {
                    Judgement::Nothing(few.iter().map(|&index| self.origins[index]).collect())
                }
            },
            Kind::Other(model, operations) => match decide(model, operations, steps) {
                Found::Order => Judgement::Order,
                Found::Nothing => Judgement::Nothing(self.origins.clone()),
                Found::GaveUp => Judgement::GaveUp,
            },
        }
    }
}

/// The parts of a history; `None` if it does things that only `Keys` understands.
pub(super) fn compile(key_count: usize, history: &[KeysOperation]) -> Option<Vec<Part>> {
    let evidence = Evidence::of(history);
    let traits = Traits::of(key_count, history, &evidence)?;
    let mut kept: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        let is_open = evidence.returned[index].is_none();
        // Nobody learns what it would have read.
        let says = |step: &usize| !is_open || !matches!(operation.input[*step].1, Action::Get);
        let steps: Vec<usize> = (0..operation.input.len()).filter(says).collect();
        let is_noticed = |step: &usize| {
            let (key, action) = &operation.input[*step];
            let value = written(action);
            traits.notices[*key] || value.is_none_or(|value| !evidence.is_unseen(value))
        };
        if !is_open || steps.iter().any(is_noticed) {
            kept.push((index, steps));
        }
    }
    let compiler = Compiler { history, evidence, counts_size: traits.counts_size };
    let groups = groups(key_count, history, &kept);
    let mut parts = Vec::new();
    for keys in groups {
        let touches = |(index, _): &&(usize, Vec<usize>)| {
            history[*index].input.iter().any(|(key, _)| keys.contains(key))
        };
        let own: Vec<_> = kept.iter().filter(touches).collect();
        if !own.is_empty() {
            parts.push(compiler.part(&keys, &own)?);
        }
    }
    Some(parts)
}

/// What is done with each key, on the whole.
struct Traits {
    /// Somebody would notice whether it holds anything, whatever that is.
    notices: Vec<bool>,
    /// Somebody was told the size of what it holds.
    counts_size: Vec<bool>,
}

impl Traits {
    fn of(key_count: usize, history: &[KeysOperation], evidence: &Evidence<'_>) -> Option<Traits> {
        let mut traits =
            Traits { notices: vec![false; key_count], counts_size: vec![false; key_count] };
        let (mut grows, mut counts) = (vec![false; key_count], vec![false; key_count]);
        for (operation, returned) in history.iter().zip(&evidence.returned) {
            for ((key, action), answer) in answered(operation) {
                // What may never happen notices nothing.
                let is_plain = matches!(action, Action::Get | Action::Set(_));
                traits.notices[*key] |= !is_plain && returned.is_some();
                traits.counts_size[*key] |= matches!(answer, Some(Answer::Size(_)));
                grows[*key] |= matches!(action, Action::Append(_));
                counts[*key] |= matches!(action, Action::Increment(_));
                for value in [written(action), seen(action, answer)].into_iter().flatten() {
                    match value.parse() {
                        Ok(number) if !is_canonical(value, number) => return None,
                        Ok(_) => counts[*key] = true,
                        Err(_) => (),
                    }
                }
            }
        }
        let mixes = grows.iter().zip(&counts).any(|(grows, counts)| *grows && *counts);
        (!mixes).then_some(traits)
    }
}

/// Keys that some operation touches together, or that are reached so one from the other.
fn groups(
    key_count: usize,
    history: &[KeysOperation],
    kept: &[(usize, Vec<usize>)],
) -> Vec<Vec<usize>> {
    let mut group: Vec<usize> = (0..key_count).collect();
    for (index, steps) in kept {
        let mut keys = steps.iter().map(|&step| history[*index].input[step].0);
        let Some(first) = keys.next() else { continue };
        for key in keys {
            let (from, to) = (group[key], group[first]);
            group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
    }
    let members = |of: usize| (0..key_count).filter(|&key| group[key] == of).collect::<Vec<_>>();
    (0..key_count).map(members).filter(|keys| !keys.is_empty()).collect()
}

struct Compiler<'a> {
    history: &'a [KeysOperation],
    evidence: Evidence<'a>,
    counts_size: Vec<bool>,
}

impl Compiler<'_> {
    fn part(&self, keys: &[usize], own: &[&(usize, Vec<usize>)]) -> Option<Part> {
        let origins = own.iter().map(|(index, _)| *index).collect();
        if let Some(accesses) = self.register(keys, own) {
            return Some(Part { kind: Kind::Register(accesses), origins });
        }
        if keys.len() > KEY_COUNT_MAX {
            return None;
        }
        let operations = own.iter().map(|(index, steps)| self.operation(keys, *index, steps));
        let kind = Kind::Other(self.model(keys, own), operations.collect());
        Some(Part { kind, origins })
    }

    /// The model, which knows the values that were seen and that never come back.
    fn model(&self, keys: &[usize], own: &[&(usize, Vec<usize>)]) -> Compact {
        let mut model = Compact::default();
        let steps = own.iter().flat_map(|(index, _)| answered(&self.history[*index]));
        for ((key, action), answer) in steps {
            let compared = match action {
                Action::CompareAndSet(expected, _) => expected.as_deref(),
                _ => None,
            };
            let before = match action {
                Action::Append(value) => {
                    let after = self.evidence.grown(*key, value);
                    after.map(|after| &after[..after.len() - value.len()])
                }
                _ => None,
            };
            for value in [compared, before, seen(action, answer)].into_iter().flatten() {
                if self.evidence.is_passing(*key, value) {
                    let thing = model.passing.len();
                    let held = self.held(*key, value);
                    model.passing.entry((place(keys, *key), held)).or_insert(thing);
                }
            }
        }
        model
    }

    /// If all that was done is to read one key and to write it, each time another value.
    fn register(&self, keys: &[usize], own: &[&(usize, Vec<usize>)]) -> Option<Vec<Access>> {
        if keys.len() != 1 {
            return None;
        }
        let mut values: HashMap<&str, usize> = HashMap::new();
        let mut written = HashSet::new();
        let mut accesses = Vec::with_capacity(own.len());
        for (index, steps) in own {
            let [step] = *steps.as_slice() else { return None };
            let operation = &self.history[*index];
            let answer = operation.output.as_ref().and_then(|output| output.get(step));
            let (value, is_write) = match (&operation.input[step].1, answer) {
                (Action::Set(value), _) => (Some(&**value), true),
                (Action::Get, Some(Answer::Holds(value))) => (value.as_deref(), false),
                _ => return None,
            };
            let fresh = values.len() + 1;
            let value = value.map_or(0, |value| *values.entry(value).or_insert(fresh));
            if is_write && !written.insert(value) {
                return None;
            }
            // That somebody saw it says that it happened; the reader itself says by when.
            self.evidence.returned[*index]?;
            let returned = operation.returned.unwrap_or(u64::MAX);
            accesses.push(Access { invoked: operation.invoked, returned, value, is_write });
        }
        Some(accesses)
    }

    fn operation(&self, keys: &[usize], index: usize, steps: &[usize]) -> Compiled {
        let operation = &self.history[index];
        let change = |&step: &usize| {
            let (key, action) = &operation.input[step];
            let grown = self.growth(index, step);
            (place(keys, *key), grown.unwrap_or_else(|| self.change(*key, action)))
        };
        let reply = |&step: &usize| self.reply(index, step);
        let returned = self.evidence.returned[index];
        Operation {
            client: operation.client,
            invoked: self.evidence.invoked[index],
            returned,
            input: steps.iter().map(change).collect(),
            output: returned.map(|_| steps.iter().map(reply).collect()),
        }
    }

    /// An append that certainly happened, and whose result others saw, has but one place.
    fn growth(&self, index: usize, step: usize) -> Option<Change> {
        self.evidence.returned[index]?;
        let (key, Action::Append(value)) = &self.history[index].input[step] else { return None };
        let after = self.evidence.grown(*key, value)?;
        let before = &after[..after.len() - value.len()];
        let counts_size = self.counts_size[*key];
        let before = if before.is_empty() { Held::Nil } else { Held::new(before, counts_size) };
        Some(Change::Grow { before, after: Suffix::new(after, counts_size).text() })
    }

    fn change(&self, key: usize, action: &Action) -> Change {
        let held = |value: &str| self.held(key, value);
        match action {
            Action::Get => Change::Get,
            Action::Set(value) => Change::Set(held(value)),
            Action::SetIfAbsent(value) => Change::SetIfAbsent(held(value)),
            Action::CompareAndSet(expected, value) => {
                let expected = expected.as_deref().map_or(Held::Nil, held);
                Change::CompareAndSet(expected, held(value))
            }
            Action::Delete => Change::Delete,
            Action::Increment(by) => Change::Increment(*by),
            Action::Append(value) => {
                let blurred = self.blurred(key, value);
                let value = blurred.as_deref().unwrap_or(value);
                Change::Append(Suffix::new(value, self.counts_size[key]))
            }
        }
    }

    fn held(&self, key: usize, value: &str) -> Held {
        let blurred = self.blurred(key, value);
        Held::new(blurred.as_deref().unwrap_or(value), self.counts_size[key])
    }

    /// Values that nobody was shown are told apart by their size alone, and only where sizes count:
    /// it spares the search trying each of them where any would do.
    fn blurred(&self, key: usize, value: &str) -> Option<String> {
        let size = if self.counts_size[key] { value.len() } else { 1 };
        self.evidence.is_unseen(value).then(|| "~".repeat(size))
    }

    /// The answer to a step: the one that was heard, or the one that others saw the effect of.
    fn reply(&self, index: usize, step: usize) -> Option<Reply> {
        let operation = &self.history[index];
        let (key, action) = &operation.input[step];
        let answer = operation.output.as_ref().and_then(|output| output.get(step));
        let is_conditional = matches!(action, Action::SetIfAbsent(_) | Action::CompareAndSet(..));
        match answer {
            None if is_conditional && self.evidence.happened.contains(&(index, step)) => {
                Some(Reply::Happened(true))
            }
            None => match self.growth(index, step)? {
                Change::Grow { after, .. } => Some(Reply::Size(after.size())),
                _ => None,
            },
            Some(Answer::Holds(value)) => {
                let held = |value: &str| Held::new(value, self.counts_size[*key]);
                Some(Reply::Holds(value.as_deref().map_or(Held::Nil, held)))
            }
            Some(Answer::Done) => Some(Reply::Done),
            Some(Answer::Happened(happened)) => Some(Reply::Happened(*happened)),
            Some(Answer::Number(number)) => Some(Reply::Number(*number)),
            Some(Answer::Size(size)) => Some(Reply::Size(*size as u64)),
            Some(Answer::NotANumber) => Some(Reply::NotANumber),
        }
    }
}

/// A key's number among those of its part.
fn place(keys: &[usize], key: usize) -> u8 {
    keys.iter().position(|&other| other == key).map_or(0, |place| place as u8)
}

/// Whether sorting alone decides about a history.
#[cfg(test)]
pub(crate) fn is_sorted(key_count: usize, history: &[KeysOperation]) -> bool {
    let parts = compile(key_count, history).unwrap_or_default();
    !parts.is_empty() && parts.iter().all(|part| matches!(part.kind, Kind::Register(_)))
}
