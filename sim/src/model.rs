//! What the simulator's clients believe a key does, written a second time, independently of the node.
//!
//! An object is a group of keys that share a hash tag, since a transaction over them is one step.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::checker::{self, Footprint, Model, Names, Verdict};
use crate::history::KeysOperation;

/// What a key holds.
pub type Value = Rc<str>;

/// One command on one key of the object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// GET
    Get,
    /// SET, unconditionally
    Set(Value),
    /// SET with NX
    SetIfAbsent(Value),
    /// SET inside WATCH and EXEC, after seeing this
    CompareAndSet(Option<Value>, Value),
    /// DEL
    Delete,
    /// INCRBY
    Increment(i64),
    /// APPEND
    Append(Value),
}

/// The answer to one action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To `Get`: what the key holds.
    Holds(Option<Value>),
    /// To `Set`.
    Done,
    /// To `SetIfAbsent`, `CompareAndSet`, `Delete`: whether anything happened.
    Happened(bool),
    /// To `Increment`: the new number.
    Number(i64),
    /// To `Append`: the new size in bytes.
    Size(usize),
    /// To `Increment`: the key holds something else than a number; nothing happened.
    NotANumber,
}

/// One action on one key; the key is an index into the object's keys.
pub type Step = (usize, Action);

/// Several keys at once; see the module's text.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// How many keys the object has.
    pub count: usize,
}

impl Model for Keys {
    type State = Vec<Option<Value>>;
    type Input = Vec<Step>;
    type Output = Vec<Answer>;

    fn initial(&self) -> Self::State {
        vec![None; self.count]
    }

    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State> {
        let mut state = state.clone();
        for (index, (key, action)) in input.iter().enumerate() {
            let answer = act(&mut state[*key], action);
            if output.is_some_and(|output| output.get(index) != Some(&answer)) {
                return None;
            }
        }
        output.is_none_or(|output| output.len() == input.len()).then_some(state)
    }

    fn footprint(&self, input: &Self::Input) -> Footprint {
        let mut footprint = Footprint::default();
        for (key, action) in input {
            let bit = 1 << key;
            if matches!(action, Action::Set(_)) && footprint.touched & bit == 0 {
                footprint.overwritten |= bit;
            }
            footprint.touched |= bit;
        }
        footprint
    }

    fn is_read(&self, input: &Self::Input, output: Option<&Self::Output>) -> bool {
        let happened = |index: usize| match output.and_then(|output| output.get(index)) {
            Some(Answer::Happened(false) | Answer::NotANumber | Answer::Holds(_)) => false,
            Some(_) => true,
            None => !matches!(input[index].1, Action::Get),
        };
        !(0..input.len()).any(happened)
    }

    fn names(&self, input: &Self::Input, output: Option<&Self::Output>) -> Names {
        let mut names = Names::default();
        for (key, action) in input {
            match action {
                Action::Get | Action::Increment(_) => (),
                Action::Delete => names.provided.push(format!("{key}=")),
                Action::CompareAndSet(expected, value) => {
                    names.provided.extend(tokens(*key, value));
                    let seen = expected.as_deref().unwrap_or_default();
                    names.shown.extend(tokens(*key, seen));
                }
                Action::Set(value) | Action::SetIfAbsent(value) | Action::Append(value) => {
                    names.provided.extend(tokens(*key, value));
                }
            }
        }
        for ((key, _), answer) in input.iter().zip(output.into_iter().flatten()) {
            match answer {
                Answer::Holds(Some(value)) => names.shown.extend(tokens(*key, value)),
                Answer::Holds(None) => names.shown.push(format!("{key}=")),
                _ => (),
            }
        }
        names
    }
}

/// Appended values end with a full stop, so a grown value shows what it grew from.
fn tokens(key: usize, value: &str) -> impl Iterator<Item = String> {
    value.split_inclusive('.').map(move |token| format!("{key}={token}"))
}

/// Judges the history of one object with keys below `key_count`.
pub fn judge(key_count: usize, history: &[KeysOperation]) -> Verdict<Vec<Step>, Vec<Answer>> {
    let verdict = checker::check(&Keys { count: key_count }, &blur(history));
    let Verdict::Broken(example) = verdict else { return verdict };
    // The example names operations; their words are in the history.
    let is_same = |one: &KeysOperation, other: &KeysOperation| {
        (one.client, one.invoked) == (other.client, other.invoked)
    };
    let original = |blurred: &KeysOperation| {
        let mut original = history.iter().find(|operation| is_same(operation, blurred)).cloned();
        if let Some(operation) = &mut original {
            (operation.returned, operation.output) = (blurred.returned, blurred.output.clone());
        }
        original
    };
    Verdict::Broken(example.iter().filter_map(original).collect())
}

/// Values that nobody was shown and nobody compared with are told apart by their size alone; it
/// spares the search trying each of them where any would do.
fn blur(history: &[KeysOperation]) -> Vec<KeysOperation> {
    let mut seen = BTreeSet::new();
    for operation in history {
        for ((_, action), index) in operation.input.iter().zip(0..) {
            if let Action::CompareAndSet(Some(expected), _) = action {
                seen.extend(expected.split_inclusive('.'));
            }
            let answer = operation.output.as_ref().and_then(|output| output.get(index));
            if let Some(Answer::Holds(Some(value))) = answer {
                seen.extend(value.split_inclusive('.'));
            }
        }
    }
    if !is_tokenised(history) {
        return history.to_vec();
    }
    // A number may be looked at by an increment, which shows another number.
    let is_plain = |value: &Value| value.parse::<i64>().is_err();
    let is_unseen = |value: &Value| value.split_inclusive('.').all(|token| !seen.contains(token));
    let mut blurred = history.to_vec();
    for (_, action) in blurred.iter_mut().flat_map(|operation| &mut operation.input) {
        if let Action::Set(value)
        | Action::SetIfAbsent(value)
        | Action::CompareAndSet(_, value)
        | Action::Append(value) = action
            && is_plain(value)
            && is_unseen(value)
        {
            *value = "~".repeat(value.len()).into();
        }
    }
    blurred
}

/// Whether a value that something was appended to can be told into its parts again.
fn is_tokenised(history: &[KeysOperation]) -> bool {
    let mut actions = history.iter().flat_map(|operation| &operation.input).map(|step| &step.1);
    let grows = actions.clone().any(|action| matches!(action, Action::Append(_)));
    !grows
        || actions.all(|action| match action {
            Action::Set(value)
            | Action::SetIfAbsent(value)
            | Action::CompareAndSet(_, value)
            | Action::Append(value) => value.ends_with('.'),
            Action::Increment(_) => false,
            Action::Get | Action::Delete => true,
        })
}

/// What a key answers, and what it holds from then on.
pub(crate) fn act(held: &mut Option<Value>, action: &Action) -> Answer {
    match action {
        Action::Get => Answer::Holds(held.clone()),
        Action::Set(value) => {
            *held = Some(value.clone());
            Answer::Done
        }
        Action::SetIfAbsent(value) => set_if(held, value, |held| held.is_none()),
        Action::CompareAndSet(expected, value) => set_if(held, value, |held| held == expected),
        Action::Delete => Answer::Happened(held.take().is_some()),
        Action::Increment(by) => {
            let number = held.as_deref().unwrap_or("0").parse::<i64>();
            let Some(number) = number.ok().and_then(|number| number.checked_add(*by)) else {
                return Answer::NotANumber;
            };
            *held = Some(number.to_string().into());
            Answer::Number(number)
        }
        Action::Append(value) => {
            let grown: Value = format!("{}{value}", held.as_deref().unwrap_or("")).into();
            let size = grown.len();
            *held = Some(grown);
            Answer::Size(size)
        }
    }
}

fn set_if(
    held: &mut Option<Value>,
    value: &Value,
    condition: impl Fn(&Option<Value>) -> bool,
) -> Answer {
    let happens = condition(held);
    if happens {
        *held = Some(value.clone());
    }
    Answer::Happened(happens)
}
