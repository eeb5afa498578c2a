//! What two checkers that others wrote say about the same histories.

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action as Event, History as TheirHistory};
use todc_utils::specifications::Specification;

use crate::checker::Model;
use crate::history::KeysOperation;
use crate::model::{Answer, Keys, Step, Value, act};

const KEYS: Keys = Keys { count: 3 };

struct TodcKeys;

impl Specification for TodcKeys {
    type State = Vec<Option<Value>>;
    type Operation = (Vec<Step>, Option<Vec<Answer>>);

    fn init() -> Self::State {
        KEYS.initial()
    }

    fn apply((input, output): &Self::Operation, state: &Self::State) -> (bool, Self::State) {
        match KEYS.step(state, input, output.as_ref()) {
            Some(after) => (true, after),
            None => (false, state.clone()),
        }
    }
}

/// todc-utils knows no unknown outcomes: any subset of the unanswered operations may have landed.
pub(super) fn todc(history: &[KeysOperation]) -> bool {
    let open: Vec<usize> =
        (0..history.len()).filter(|&index| history[index].returned.is_none()).collect();
    (0..1_u32 << open.len()).any(|subset| {
        let mut events = Vec::new();
        for (index, operation) in history.iter().enumerate() {
            let landed = open.iter().position(|&other| other == index);
            if landed.is_some_and(|bit| subset >> bit & 1 == 0) {
                continue;
            }
            let call = (operation.input.clone(), operation.output.clone());
            events.push((operation.invoked, 0, index, Event::Call(call.clone())));
            let end = operation.returned.unwrap_or(u64::MAX);
            events.push((end, 1, index, Event::Response(call)));
        }
        if events.is_empty() {
            return true;
        }
        events.sort_by_key(|event| (event.0, event.1));
        let actions = events.into_iter().map(|(_, _, index, event)| (index, event)).collect();
        WGLChecker::<TodcKeys>::is_linearizable(TheirHistory::from_actions(actions))
    })
}

#[derive(Debug, Clone)]
struct StaterightKeys(Vec<Option<Value>>);

impl SequentialSpec for StaterightKeys {
    type Op = Vec<Step>;
    type Ret = Vec<Answer>;

    fn invoke(&mut self, input: &Self::Op) -> Self::Ret {
        input.iter().map(|(key, action)| act(&mut self.0[*key], action)).collect()
    }
}

/// stateright's tester takes operations in flight for what may have happened or not; each operation
/// is a thread of its own.
pub(super) fn stateright(history: &[KeysOperation]) -> bool {
    let mut events = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        events.push((operation.invoked, 0, index));
        events.extend(operation.returned.map(|returned| (returned, 1, index)));
    }
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(StaterightKeys(KEYS.initial()));
    for (_, is_return, index) in events {
        let operation = &history[index];
        let result = match &operation.output {
            Some(output) if is_return == 1 => tester.on_return(index, output.clone()),
            _ => tester.on_invoke(index, operation.input.clone()),
        };
        result.unwrap();
    }
    tester.is_consistent()
}
