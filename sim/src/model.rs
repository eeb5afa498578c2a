//! What the simulator's clients believe a key does, written a second time, independently of the node.
//!
//! An object is a group of keys that share a hash tag, since a transaction over them is one step.

use std::rc::Rc;

use crate::checker::{Footprint, Model};

mod compact;
mod compile;
mod evidence;
pub mod judge;

#[cfg(test)]
pub(crate) use compile::is_sorted;

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
