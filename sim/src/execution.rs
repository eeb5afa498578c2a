//! Histories without a cluster: the simulator's own workload against the model itself, each operation
//! taking effect at a moment of its own. What comes out is linearizable by construction, and as long
//! as one likes; it tests and measures the checker.

use crate::checker::Model;
use crate::checker::Operation;
use crate::history::KeysOperation;
use crate::model::{Action, Answer, Keys, Value, act};
use crate::plan::ObjectKind;
use crate::random::Random;
use crate::workload::{KEY_COUNT, Request, Shape, Workload};

/// How to execute.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    /// What is asked.
    pub kind: Asked,
    /// Who ask at the same time, each one thing after the other.
    pub client_count: u32,
    /// How often, all together.
    pub operation_count: usize,
    /// Out of a million operations, so many have no known outcome; of these one in three takes
    /// effect as others do, one in three much later, one in three never.
    pub unknown_ppm: u32,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Reads and writes of one key, half and half.
    ReadsAndWrites,
    /// What the simulator's clients ask of such an object.
    Workload(ObjectKind),
}

/// Times between two requests of a client, in the unit of the history.
const PAUSE_MAX: u64 = 100;
/// How long an operation takes at most.
const TAKES_MAX: u64 = 400;
/// How much later one of unknown outcome may take effect.
const DELAY_MAX: u64 = 20_000;

struct Planned {
    operation: KeysOperation,
    effect: Option<u64>,
    is_unknown: bool,
    /// The operation whose expectation is what this one reads.
    guards: Option<usize>,
}

/// Executes; the history is in order of invocation.
pub fn execute(random: &Random, execution: &Execution) -> Vec<KeysOperation> {
    let mut planned: Vec<Planned> = Vec::with_capacity(execution.operation_count);
    let each = execution.operation_count.div_ceil(execution.client_count.max(1) as usize);
    for client in 0..execution.client_count {
        let mut client = Client {
            number: client,
            now: 0,
            random: random.child(&format!("client {client}")),
            workload: Workload::new(random.child(&format!("requests {client}")), client, 0),
        };
        for _ in 0..each {
            client.turn(execution, &mut planned);
        }
    }
    let mut order: Vec<(u64, usize)> =
        planned.iter().enumerate().filter_map(|(index, one)| Some((one.effect?, index))).collect();
    order.sort_unstable();
    let mut state = Keys { count: KEY_COUNT }.initial();
    for (_, index) in order {
        take_effect(&mut planned, index, &mut state);
    }
    let mut history: Vec<_> = planned.into_iter().map(|one| one.operation).collect();
    history.sort_by_key(|operation| operation.invoked);
    history
}

fn take_effect(planned: &mut [Planned], index: usize, state: &mut [Option<Value>]) {
    let one = &mut planned[index];
    let input = one.operation.input.iter();
    let answers: Vec<_> = input.map(|(key, action)| act(&mut state[*key], action)).collect();
    let guarded = one.guards.zip(answers.first().cloned());
    if !one.is_unknown {
        one.operation.output = Some(answers);
    }
    if let Some((guarded, Answer::Holds(seen))) = guarded
        && let (_, Action::CompareAndSet(expected, _)) = &mut planned[guarded].operation.input[0]
    {
        *expected = seen;
    }
}

struct Client {
    number: u32,
    now: u64,
    random: Random,
    workload: Workload,
}

impl Client {
    fn turn(&mut self, execution: &Execution, planned: &mut Vec<Planned>) {
        let request = match execution.kind {
            Asked::Workload(kind) => self.workload.request(kind),
            Asked::ReadsAndWrites => {
                let is_read = self.random.coin();
                let action = if is_read { Action::Get } else { Action::Set(self.workload.value()) };
                Request { steps: vec![(0, action)], shape: Shape::Single }
            }
        };
        if request.shape == Shape::Guarded {
            // WATCH and GET first; it is answered, or the client would not go on.
            let look = vec![(request.steps[0].0, Action::Get)];
            self.ask(0, look, planned);
            let index = planned.len() - 1;
            planned[index].guards = Some(index + 1);
        }
        self.ask(execution.unknown_ppm, request.steps, planned);
    }

    fn ask(&mut self, unknown_ppm: u32, input: Vec<(usize, Action)>, planned: &mut Vec<Planned>) {
        let invoked = self.now + self.random.below(PAUSE_MAX);
        let returned = invoked + 2 + self.random.below(TAKES_MAX);
        let is_unknown = self.random.chance_ppm(unknown_ppm);
        let soon = self.random.between(invoked, returned);
        let late = returned + self.random.below(DELAY_MAX);
        let effect = match self.random.below(3) {
            0 if is_unknown => None,
            1 if is_unknown => Some(late),
            _ => Some(soon),
        };
        self.now = returned;
        let operation = Operation {
            client: self.number,
            invoked,
            returned: (!is_unknown).then_some(returned),
            input,
            output: None,
        };
        planned.push(Planned { operation, effect, is_unknown, guards: None });
    }
}

/// Makes one answer of a history a wrong-looking one; it may still be explicable.
pub fn falsify(random: &mut Random, history: &mut [KeysOperation]) {
    let values: Vec<Option<Value>> = history
        .iter()
        .flat_map(|operation| operation.output.iter().flatten())
        .filter_map(
            |answer| if let Answer::Holds(value) = answer { Some(value.clone()) } else { None },
        )
        .chain([None])
        .collect();
    let answers: Vec<&mut Answer> = history
        .iter_mut()
        .flat_map(|operation| operation.output.iter_mut().flatten())
        .filter(|answer| !matches!(answer, Answer::Done | Answer::NotANumber))
        .collect();
    if answers.is_empty() {
        return;
    }
    let index = random.below(answers.len() as u64) as usize;
    if let Some(answer) = answers.into_iter().nth(index) {
        *answer = match answer {
            Answer::Holds(_) => Answer::Holds(random.pick(&values).clone()),
            Answer::Happened(happened) => Answer::Happened(!*happened),
            Answer::Number(number) => Answer::Number(*number + 1),
            Answer::Size(size) => Answer::Size(*size + 5),
            Answer::Done | Answer::NotANumber => return,
        };
    }
}
