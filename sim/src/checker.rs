//! Is there an order of these operations, true to real time, in which each answer makes sense?
//!
//! Wing and Gong's search with Lowe's memo ("Testing for linearizability", 2017), over one object;
//! a caller splits its history by object first, since linearizability is local. An operation whose
//! outcome nobody learned may take effect at any moment after its invocation, or never.
//!
//! **Invariant.** A verdict of `Broken` is a proof: the search has tried everything. When it would
//! take too long it says `Undecided`, which is no verdict and must be treated as a failure.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use self::chain::Chain;
use crate::random;

mod chain;
mod shrink;
#[cfg(test)]
mod tests;

/// What one object does, one operation after the other.
pub trait Model {
    /// Everything the object remembers.
    type State: Clone + Eq + Hash + Debug;
    /// What is asked.
    type Input: Clone + Eq + Hash + Debug;
    /// What is answered.
    type Output: Clone + Eq + Debug;

    /// Before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `input`, if `output` is a right answer to it in `state`; without an output,
    /// any answer would have been right.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Which parts of the state `input` has to do with; parts are numbered by bits.
    fn footprint(&self, input: &Self::Input) -> Footprint;

    /// Whether the state after `input`, answered like this, is always the state before.
    fn is_read(&self, input: &Self::Input, output: Option<&Self::Output>) -> bool;

    /// Names of what `input` brings into the world and of what `output` shows of it. They keep the
    /// shrinking honest: the write of a value that something still shows is not taken away.
    fn names(&self, input: &Self::Input, output: Option<&Self::Output>) -> Names;
}

/// See `Model::footprint`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Read or written.
    pub touched: u64,
    /// Written without having been looked at.
    pub overwritten: u64,
}

/// See `Model::names`.
#[derive(Debug, Default, Clone)]
pub struct Names {
    /// Brought by the operation, if it takes effect.
    pub provided: Vec<String>,
    /// Shown by its answer.
    pub shown: Vec<String>,
}

/// One operation on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who asked; a client asks one thing at a time, or several in a pipeline.
    pub client: u32,
    /// When it was asked. Any clock that all operations share, and that grows.
    pub invoked: u64,
    /// When the answer came, later than `invoked`; an operation without an answer never ends.
    pub returned: Option<u64>,
    /// What was asked.
    pub input: I,
    /// What was answered; there exactly if `returned` is.
    pub output: Option<O>,
}

/// The operations of a model.
pub type History<M> = Vec<Operation<<M as Model>::Input, <M as Model>::Output>>;

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<I, O> {
    /// An order exists.
    Linearizable,
    /// None does; here is a small part of the history for which none does.
    Broken(Vec<Operation<I, O>>),
    /// The search was given up after this many steps.
    Undecided(u64),
}

/// The search gives up after this many steps: half a minute or so, and far above what any history of
/// the simulator has needed.
pub const STEPS_MAX: u64 = 20_000_000;

/// Judges the history of one object. Cost: almost linear when few operations overlap and values are
/// unique; exponential in the number of overlapping operations at worst.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
) -> Verdict<M::Input, M::Output> {
    let mut steps = STEPS_MAX;
    match Search::new(model, history).run(&mut steps) {
        Found::Order => Verdict::Linearizable,
        Found::Nothing => Verdict::Broken(shrink::shrink(model, history)),
        Found::GaveUp => Verdict::Undecided(STEPS_MAX),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Order,
    Nothing,
    GaveUp,
}

/// Whether an order exists; `steps` is what may be spent, and shrinks.
fn has_order<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    steps: &mut u64,
) -> Found {
    Search::new(model, history).run(steps)
}

/// Where the search stands on one level: which operation it tried last.
#[derive(Debug, Clone, Copy)]
enum Cursor {
    /// In the chain of operations with answers.
    Answered(usize),
    /// In the chain of operations without.
    Open(usize),
}

struct Frame<S> {
    cursor: Cursor,
    state: S,
    idle: Vec<u64>,
}

/// Operations are numbered by invocation. Three chains hold what is not yet in the order: answered
/// operations by invocation, the same by return, and open ones by invocation.
struct Search<'a, M: Model> {
    model: &'a M,
    operations: Vec<&'a Operation<M::Input, M::Output>>,
    answered: Chain,
    returns: Chain,
    open: Chain,
    /// For each open operation, the one before it that asks the same.
    twin: Vec<Option<usize>>,
    placed: Vec<bool>,
    placed_hash: u128,
    seen: HashSet<u128>,
    state: M::State,
    /// What the open operations touched that were placed since the last answered one, and that
    /// nothing has had to do with yet. See `meet`.
    idle: Vec<u64>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, history: &'a [Operation<M::Input, M::Output>]) -> Search<'a, M> {
        let mut operations: Vec<_> = history.iter().collect();
        operations.sort_by_key(|operation| (operation.invoked, operation.returned));
        for operation in &operations {
            assert_eq!(operation.returned.is_some(), operation.output.is_some(), "answer and time");
            assert!(operation.returned.is_none_or(|returned| returned > operation.invoked));
        }
        let count = operations.len();
        let is_answered = |&index: &usize| operations[index].returned.is_some();
        let (answered, open): (Vec<_>, Vec<_>) = (0..count).partition(is_answered);
        let mut by_return = answered.clone();
        by_return.sort_by_key(|&index| operations[index].returned);
        let twin = twins(&operations, &open);
        Search {
            model,
            answered: Chain::new(count, &answered),
            returns: Chain::new(count, &by_return),
            open: Chain::new(count, &open),
            twin,
            placed: vec![false; count],
            placed_hash: 0,
            seen: HashSet::new(),
            state: model.initial(),
            idle: Vec::new(),
            operations,
        }
    }

    fn run(mut self, steps: &mut u64) -> Found {
        let mut frames: Vec<Frame<M::State>> = Vec::new();
        let mut cursor = None;
        loop {
            // Open operations may stay out for ever: the order is complete without them.
            if self.answered.first().is_none() {
                return Found::Order;
            }
            if let Some(found) = self.next(cursor, steps) {
                let (at, state) = found;
                let idle = self.idle.clone();
                frames.push(Frame { cursor: at, state: self.place(at, state), idle });
                cursor = None;
            } else if *steps == 0 {
                return Found::GaveUp;
            } else if let Some(frame) = frames.pop() {
                self.take_back(&frame);
                cursor = Some(frame.cursor);
            } else {
                return Found::Nothing;
            }
        }
    }

    /// The next operation after `cursor` that may come now and leads somewhere new.
    fn next(&mut self, cursor: Option<Cursor>, steps: &mut u64) -> Option<(Cursor, M::State)> {
        let deadline = self.returns.first().and_then(|index| self.operations[index].returned);
        let mut in_reach = None;
        let mut at = match cursor {
            None => self.answered.first().map(Cursor::Answered),
            Some(cursor) => self.after(cursor),
        };
        while let Some(cursor) = at {
            let (Cursor::Answered(index) | Cursor::Open(index)) = cursor;
            // Whoever was asked after somebody else's return cannot come before it.
            if deadline.is_some_and(|deadline| self.operations[index].invoked > deadline) {
                at = match cursor {
                    Cursor::Answered(_) => self.open.first().map(Cursor::Open),
                    Cursor::Open(_) => None,
                };
                continue;
            }
            if let Cursor::Open(index) = cursor {
                let within = *in_reach.get_or_insert_with(|| self.reach(deadline));
                if self.model.footprint(&self.operations[index].input).touched & within == 0 {
                    at = self.after(cursor);
                    continue;
                }
            }
            *steps = steps.saturating_sub(1);
            if *steps == 0 {
                return None;
            }
            if let Some(state) = self.try_place(cursor) {
                return Some((cursor, state));
            }
            at = self.after(cursor);
        }
        None
    }

    fn after(&self, cursor: Cursor) -> Option<Cursor> {
        match cursor {
            Cursor::Answered(index) => self
                .answered
                .after(index)
                .map(Cursor::Answered)
                .or_else(|| self.open.first().map(Cursor::Open)),
            Cursor::Open(index) => self.open.after(index).map(Cursor::Open),
        }
    }

    /// What the answered operations that may come now have to do with, and whatever open operations
    /// connect it to: no other open operation can matter to them.
    fn reach(&self, deadline: Option<u64>) -> u64 {
        let available = |index: &usize| {
            deadline.is_none_or(|deadline| self.operations[*index].invoked <= deadline)
        };
        let touched = |index: usize| self.model.footprint(&self.operations[index].input).touched;
        let mut reach = 0;
        let mut at = self.answered.first().filter(available);
        while let Some(index) = at {
            reach |= touched(index);
            at = self.answered.after(index).filter(available);
        }
        loop {
            let mut grown = reach;
            let mut at = self.open.first().filter(available);
            while let Some(index) = at {
                grown |= if touched(index) & grown == 0 { 0 } else { touched(index) };
                at = self.open.after(index).filter(available);
            }
            if grown == reach {
                return reach;
            }
            reach = grown;
        }
    }

    fn try_place(&mut self, cursor: Cursor) -> Option<M::State> {
        let (Cursor::Answered(index) | Cursor::Open(index)) = cursor;
        let operation = self.operations[index];
        let idle = self.meet(cursor)?;
        let state = self.model.step(&self.state, &operation.input, operation.output.as_ref())?;
        if matches!(cursor, Cursor::Open(_)) {
            // Without effect it says nothing; and of two that ask the same, the older comes first.
            let has_older_twin = self.twin[index].is_some_and(|twin| !self.placed[twin]);
            if state == self.state || has_older_twin {
                return None;
            }
        }
        let hash = self.placed_hash ^ label(index) ^ wide_hash(&(&state, &idle));
        self.seen.insert(hash).then_some(state)
    }

    /// What is idle once this operation is placed; `None` if it may not come now.
    ///
    /// An open operation may always come later, so it is placed only where it matters: before the next
    /// answered one, something has to do with what it touched, and does not just overwrite it.
    fn meet(&self, cursor: Cursor) -> Option<Vec<u64>> {
        let (Cursor::Answered(index) | Cursor::Open(index)) = cursor;
        let footprint = self.model.footprint(&self.operations[index].input);
        let is_pointless = |idle: &u64| idle & !footprint.overwritten == 0;
        let is_apart = |idle: &u64| idle & footprint.touched == 0;
        if self.idle.iter().any(is_pointless) {
            return None;
        }
        match cursor {
            Cursor::Answered(_) => (!self.idle.iter().any(is_apart)).then(Vec::new),
            Cursor::Open(_) => {
                let mut idle: Vec<u64> = self.idle.iter().copied().filter(is_apart).collect();
                idle.push(footprint.touched);
                Some(idle)
            }
        }
    }

    /// Puts the operation next in the order, and gives back the state before it.
    fn place(&mut self, cursor: Cursor, state: M::State) -> M::State {
        let (Cursor::Answered(index) | Cursor::Open(index)) = cursor;
        self.idle = self.meet(cursor).expect("try_place has asked");
        match cursor {
            Cursor::Answered(_) => {
                self.answered.remove(index);
                self.returns.remove(index);
            }
            Cursor::Open(_) => self.open.remove(index),
        }
        self.placed[index] = true;
        self.placed_hash ^= label(index);
        std::mem::replace(&mut self.state, state)
    }

    fn take_back(&mut self, frame: &Frame<M::State>) {
        let (Cursor::Answered(index) | Cursor::Open(index)) = frame.cursor;
        match frame.cursor {
            Cursor::Answered(_) => {
                self.returns.restore(index);
                self.answered.restore(index);
            }
            Cursor::Open(_) => self.open.restore(index),
        }
        self.placed[index] = false;
        self.placed_hash ^= label(index);
        self.state = frame.state.clone();
        self.idle.clone_from(&frame.idle);
    }
}

fn twins<I: Eq + Hash, O>(operations: &[&Operation<I, O>], open: &[usize]) -> Vec<Option<usize>> {
    let mut twin = vec![None; operations.len()];
    let mut last = std::collections::HashMap::new();
    for &index in open {
        twin[index] = last.insert(&operations[index].input, index);
    }
    twin
}

/// A random-looking number for each operation: their exclusive-or names a set of operations.
fn label(index: usize) -> u128 {
    let index = index as u64;
    u128::from(random::mix(index ^ 0x6c62_272e_07bb_0142)) << 64
        | u128::from(random::mix(index ^ 0x62b8_2175_6295_c58d))
}

/// 128 bits, so that two different positions of the search never share one in practice.
fn wide_hash(value: &impl Hash) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
