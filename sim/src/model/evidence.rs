//! What answers give away about *other* operations: a value that somebody read was written.
//!
//! **Invariant.** Only what has a single possible source is concluded from: a token that two operations
//! wrote, or a number, which an increment may have made, proves nothing about either.

use std::collections::{HashMap, HashSet};

use super::{Action, Answer, Step};
use crate::history::KeysOperation;

/// A part of a value, and the key that holds it.
pub(super) type Token<'a> = (usize, &'a str);

/// Appended values end with a full stop, so a grown value shows what it grew from.
pub(super) fn tokens(key: usize, value: &str) -> impl Iterator<Item = Token<'_>> {
    value.split_inclusive('.').map(move |token| (key, token))
}

/// The value that a step writes, should it write.
pub(super) fn written(action: &Action) -> Option<&str> {
    match action {
        Action::Set(value)
        | Action::SetIfAbsent(value)
        | Action::CompareAndSet(_, value)
        | Action::Append(value) => Some(value),
        Action::Get | Action::Delete | Action::Increment(_) => None,
    }
}

/// What a step's answer says that the key held before or after it.
pub(super) fn seen<'a>(action: &'a Action, answer: Option<&'a Answer>) -> Option<&'a str> {
    match (action, answer) {
        (_, Some(Answer::Holds(Some(value)))) => Some(value),
        (Action::CompareAndSet(Some(expected), _), Some(Answer::Happened(true))) => Some(expected),
        _ => None,
    }
}

/// The steps of an operation, each with its answer if there is one.
pub(super) fn answered(
    operation: &KeysOperation,
) -> impl Iterator<Item = (&Step, Option<&Answer>)> {
    let answers = operation.output.as_ref();
    let answer = move |index: usize| answers.and_then(|answers| answers.get(index));
    operation.input.iter().enumerate().map(move |(index, step)| (step, answer(index)))
}

/// A text, which no increment can have made.
pub(super) fn is_text(value: &str) -> bool {
    value.parse::<i64>().is_err()
}

/// What the answers of a history prove.
pub(super) struct Evidence<'a> {
    /// Of each operation, when it was asked at the earliest.
    pub(super) invoked: Vec<u64>,
    /// And when it had certainly taken effect, if it certainly did.
    pub(super) returned: Vec<Option<u64>>,
    /// The conditional steps that certainly took effect: operation and step.
    pub(super) happened: HashSet<(usize, usize)>,
    /// Shown by an answer, or compared with: these tokens have to be told apart.
    shown: HashSet<&'a str>,
    /// Where each token can have come from.
    sources: Sources<'a>,
    /// Of such a token, everything up to and with it in the values that show it; `None` if they differ.
    prefixes: HashMap<Token<'a>, Option<&'a str>>,
    is_tokenised: bool,
}

impl<'a> Evidence<'a> {
    /// Reads a history.
    pub(super) fn of(history: &'a [KeysOperation]) -> Evidence<'a> {
        let mut evidence = Evidence {
            invoked: history.iter().map(|operation| operation.invoked).collect(),
            returned: history.iter().map(|operation| operation.returned).collect(),
            happened: HashSet::new(),
            shown: shown(history),
            sources: Sources::new(),
            prefixes: HashMap::new(),
            is_tokenised: is_tokenised(history),
        };
        if evidence.is_tokenised {
            evidence.conclude(history);
        }
        evidence
    }

    /// Whether this value may be taken for any other that nobody saw.
    pub(super) fn is_unseen(&self, value: &str) -> bool {
        self.is_tokenised
            && is_text(value)
            && value.split_inclusive('.').all(|token| !self.shown.contains(token))
    }

    /// Whether a key holds this value once at most: some part of it was written by one step only.
    pub(super) fn is_passing(&self, key: usize, value: &str) -> bool {
        tokens(key, value).any(|token| self.sources.get(&token).is_some_and(Option::is_some))
    }

    /// What a key held after this was appended to it, if that was seen.
    pub(super) fn grown(&self, key: usize, appended: &str) -> Option<&'a str> {
        *self.prefixes.get(&(key, appended))?
    }

    /// A write took effect before whoever saw it was answered, and who saw it did so after it was
    /// asked for.
    fn conclude(&mut self, history: &'a [KeysOperation]) {
        let sources = sources(history);
        for (reader, operation) in history.iter().enumerate() {
            let Some(answer_time) = operation.returned else { continue };
            for ((key, action), answer) in answered(operation) {
                let Some(value) = seen(action, answer) else { continue };
                let mut size = 0;
                for token in tokens(*key, value) {
                    size += token.1.len();
                    let Some(&Some((writer, step))) = sources.get(&token) else { continue };
                    let prefix = self.prefixes.entry(token).or_insert(Some(&value[..size]));
                    *prefix = prefix.filter(|prefix| *prefix == &value[..size]);
                    let asked = history[writer].invoked;
                    // Else the history is broken, and the search will say so.
                    if writer == reader || answer_time <= asked {
                        continue;
                    }
                    let returned = &mut self.returned[writer];
                    *returned = Some(returned.map_or(answer_time, |other| other.min(answer_time)));
                    self.happened.insert((writer, step));
                    let invoked = &mut self.invoked[reader];
                    *invoked = (*invoked).max(asked);
                }
            }
        }
        self.sources = sources;
        // Conclusions of conclusions may leave no time at all; then those drawn first must do.
        for (index, operation) in history.iter().enumerate() {
            if self.returned[index].is_some_and(|returned| returned <= self.invoked[index]) {
                self.invoked[index] = operation.invoked;
            }
        }
    }
}

/// For each token, the only operation and step that can have brought it; `None` if there are several.
type Sources<'a> = HashMap<Token<'a>, Option<(usize, usize)>>;

fn sources(history: &[KeysOperation]) -> Sources<'_> {
    let mut sources = Sources::new();
    for (index, operation) in history.iter().enumerate() {
        for (step, (key, action)) in operation.input.iter().enumerate() {
            let Some(value) = written(action).filter(|value| is_text(value)) else { continue };
            for token in tokens(*key, value) {
                let source = sources.entry(token).or_insert(Some((index, step)));
                if *source != Some((index, step)) {
                    *source = None;
                }
            }
        }
    }
    sources
}

fn shown(history: &[KeysOperation]) -> HashSet<&str> {
    let mut shown = HashSet::new();
    for (step, answer) in history.iter().flat_map(answered) {
        if let (_, Action::CompareAndSet(Some(expected), _)) = step {
            shown.extend(expected.split_inclusive('.'));
        }
        if let Some(value) = seen(&step.1, answer) {
            shown.extend(value.split_inclusive('.'));
        }
    }
    shown
}

/// Whether a value that something was appended to can be told into its parts again.
fn is_tokenised(history: &[KeysOperation]) -> bool {
    let mut actions = history.iter().flat_map(|operation| &operation.input).map(|step| &step.1);
    let grows = actions.clone().any(|action| matches!(action, Action::Append(_)));
    let is_whole = |action: &Action| {
        !matches!(action, Action::Increment(_))
            && written(action).is_none_or(|value| value.ends_with('.'))
    };
    !grows || actions.all(is_whole)
}
