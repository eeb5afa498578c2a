//! The verdict about one object, and the few operations that show why.

use super::compile::{Judgement, compile};
use super::evidence::{answered, tokens, written};
use super::{Action, Answer, Keys, Step};
use crate::checker::shrink::{Names, Subject, shrink};
use crate::checker::{Found, Model, STEPS_MAX, Verdict, decide};
use crate::history::KeysOperation;

/// What shrinking a counter-example may cost: steps of the search, and operations looked at. What
/// is left then is merely less small.
const SHRINK_STEPS_MAX: u64 = 4_000_000;
const SHRINK_OPERATIONS_MAX: u64 = 20_000_000;

/// Judges the history of one object with keys below `key_count`.
pub fn judge(key_count: usize, history: &[KeysOperation]) -> Verdict<Vec<Step>, Vec<Answer>> {
    match search(key_count, history, STEPS_MAX) {
        Judgement::Order => Verdict::Linearizable,
        Judgement::GaveUp => Verdict::Undecided(STEPS_MAX),
        Judgement::Nothing(few) => {
            let few: Vec<KeysOperation> = few.iter().map(|&index| history[index].clone()).collect();
            let mut attempt =
                Attempt { key_count, steps: SHRINK_STEPS_MAX, operations: SHRINK_OPERATIONS_MAX };
            Verdict::Broken(shrink(&mut attempt, &few))
        }
    }
}

/// A contradiction anywhere is a contradiction, whatever remains undecided elsewhere.
fn search(key_count: usize, history: &[KeysOperation], steps_max: u64) -> Judgement {
    let mut result = Judgement::Order;
    let Some(parts) = compile(key_count, history) else {
        let mut steps = steps_max;
        return match decide(&Keys { count: key_count }, history, &mut steps) {
            Found::Order => Judgement::Order,
            Found::Nothing => Judgement::Nothing((0..history.len()).collect()),
            Found::GaveUp => Judgement::GaveUp,
        };
    };
    for part in parts {
        match part.judge(&mut steps_max.clone()) {
            Judgement::Order => (),
            Judgement::GaveUp => result = Judgement::GaveUp,
            Judgement::Nothing(few) => return Judgement::Nothing(few),
        }
    }
    result
}

struct Attempt {
    key_count: usize,
    steps: u64,
    operations: u64,
}

impl Subject for Attempt {
    type Input = Vec<Step>;
    type Output = Vec<Answer>;

    fn is_broken(&mut self, history: &[KeysOperation]) -> bool {
        let size = history.len() as u64;
        if self.operations < size || self.steps == 0 {
            return false;
        }
        self.operations -= size;
        let Some(parts) = compile(self.key_count, history) else {
            let keys = Keys { count: self.key_count };
            return decide(&keys, history, &mut self.steps) == Found::Nothing;
        };
        parts.iter().any(|part| matches!(part.judge(&mut self.steps), Judgement::Nothing(_)))
    }

    fn is_removable(&self, operation: &KeysOperation) -> bool {
        let footprint = Keys { count: self.key_count }.footprint(&operation.input);
        footprint.touched == footprint.overwritten
            || operation.output.is_none()
            || answered(operation).all(|(step, answer)| is_read(&step.1, answer))
    }

    fn names(&self, operation: &KeysOperation) -> Names {
        let mut names = Names::default();
        let named = |key: usize, value: &str| -> Vec<String> {
            tokens(key, value).map(|(key, token)| format!("{key}={token}")).collect()
        };
        for ((key, action), answer) in answered(operation) {
            names.provided.extend(written(action).into_iter().flat_map(|value| named(*key, value)));
            match action {
                Action::Delete => names.provided.push(format!("{key}=")),
                Action::CompareAndSet(Some(expected), _) => {
                    names.shown.extend(named(*key, expected));
                }
                _ => (),
            }
            match answer {
                Some(Answer::Holds(Some(value))) => names.shown.extend(named(*key, value)),
                Some(Answer::Holds(None)) => names.shown.push(format!("{key}=")),
                _ => (),
            }
        }
        names
    }
}

/// Whether the key is afterwards as it was before.
fn is_read(action: &Action, answer: Option<&Answer>) -> bool {
    match answer {
        Some(Answer::Happened(false) | Answer::NotANumber | Answer::Holds(_)) => true,
        Some(_) => false,
        None => matches!(action, Action::Get),
    }
}
