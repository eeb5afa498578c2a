//! Is there an order of these operations, true to real time, in which each answer makes sense?
//!
//! Two ways to the verdict, over one object; a caller splits its history by object first, since
//! linearizability is local (Herlihy and Wing, 1990):
//!
//! ```text
//! register   a register whose writes all write different values: sorting decides     O(n log n)
//! search     anything else: Wing and Gong's search with Lowe's memo (2017)            see `decide`
//! ```
//!
//! An operation whose outcome nobody learned may take effect at any moment after its invocation, or
//! never. `model` turns what clients saw into such operations, and knows which way to take.
//!
//! **Invariant.** A verdict of `Broken` is a proof: the search has tried everything. When it would
//! take too long it says `Undecided`, which is no verdict and must be treated as a failure.

use std::fmt::Debug;
use std::hash::Hash;

use self::search::Search;

mod chain;
mod memo;
pub mod register;
mod search;
pub(crate) mod shrink;
#[cfg(test)]
mod tests;

/// What one object does, one operation after the other.
pub trait Model {
    /// Everything the object remembers.
    type State: Clone + Eq + Hash;
    /// What is asked.
    type Input: Clone + Eq + Hash;
    /// What is answered.
    type Output;

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

    /// Which passing things the state must hold for `output` to be right: things that never come back
    /// once they are gone. They are numbered from 0.
    fn needs(&self, _input: &Self::Input, _output: Option<&Self::Output>) -> Vec<usize> {
        Vec::new()
    }

    /// Whether a change from one state to the other leaves any passing thing behind for which `is_needed`
    /// holds.
    fn leaves(
        &self,
        _before: &Self::State,
        _after: &Self::State,
        _is_needed: impl Fn(usize) -> bool,
    ) -> bool {
        false
    }
}

/// See `Model::footprint`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Read or written.
    pub touched: u64,
    /// Written without having been looked at.
    pub overwritten: u64,
}

/// One operation on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who asked; a client asks one thing at a time, or several in a pipeline.
    pub client: u32,
    /// When it was asked. Any clock that all operations share, and that grows.
    pub invoked: u64,
    /// When it had certainly taken effect, later than `invoked`: the answer came, or something else
    /// gave it away. `None`: it may take effect at any later time, or never.
    pub returned: Option<u64>,
    /// What was asked.
    pub input: I,
    /// What was answered, if that is known; only there if `returned` is.
    pub output: Option<O>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<I, O> {
    /// An order exists.
    Linearizable,
    /// None does; here is a small part of the history for which none does.
    Broken(Vec<Operation<I, O>>),
    /// The search was given up after this many steps.
    Undecided(u64),
}

/// The search gives up after this many steps: a few seconds, and far above what any history of the
/// simulator has needed.
pub const STEPS_MAX: u64 = 20_000_000;

/// Whether an order exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// One does.
    Order,
    /// All have been tried.
    Nothing,
    /// The steps are spent.
    GaveUp,
}

/// Whether an order exists; `steps` is what may be spent, and shrinks. Cost: about one step an
/// operation when few overlap; exponential in the number of overlapping operations at worst. Of
/// operations without outcome only the number of *different* ones in doubt counts: those that ask
/// the same are tried oldest first, and a position of the search is left when it was reached before
/// with fewer of them used up.
pub fn decide<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    steps: &mut u64,
) -> Found {
    Search::new(model, history).run(steps)
}
