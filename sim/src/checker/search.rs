//! Wing and Gong's search ("Testing and verifying concurrent objects", 1993) with Lowe's memo
//! ("Testing for linearizability", 2017), and dominance for operations of unknown outcome.
//!
//! ```text
//! answered   |--a--|   |----c----|        placed one after the other, each before the first return
//!               |--b--|      |-d-|        of what is left; by invocation, then by return
//! open       o1 ......  o2 ............   unknown outcome: grouped by what they ask, oldest first,
//!                                         placed only right before something that notices
//! ```

use std::collections::HashMap;

use super::chain::Chain;
use super::memo::{Memo, wide_hash};
use super::{Footprint, Found, Model, Operation};
use crate::random::mix;

/// Where the search stands on one level: which operation it tried last.
#[derive(Debug, Clone, Copy)]
enum Cursor {
    /// An operation that certainly took effect.
    Answered(usize),
    /// The oldest one left of a class of operations without outcome.
    Open(usize),
}

struct Frame<S> {
    cursor: Cursor,
    state: S,
    idle: Vec<u64>,
}

/// Operations without outcome that ask the same: only how many of them were used matters.
struct Class {
    /// By invocation.
    members: Vec<usize>,
    footprint: Footprint,
}

/// Operations are numbered by invocation. Two chains hold the answered ones that are not yet in the
/// order: by invocation, and by return.
pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    operations: Vec<&'a Operation<M::Input, M::Output>>,
    footprints: Vec<Footprint>,
    needs: Vec<Vec<usize>>,
    /// How many answered operations that are left need each passing thing.
    needed: Vec<u32>,
    answered: Chain,
    returns: Chain,
    classes: Vec<Class>,
    /// Of each class.
    used: Vec<u16>,
    placed_hash: u128,
    memo: Memo,
    state: M::State,
    /// What the open operations touched that were placed since the last answered one, and that
    /// nothing has had to do with yet. See `meet`.
    idle: Vec<u64>,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(model: &'a M, history: &'a [Operation<M::Input, M::Output>]) -> Self {
        let mut operations: Vec<_> = history.iter().collect();
        operations.sort_by_key(|operation| (operation.invoked, operation.returned));
        for operation in &operations {
            assert!(operation.output.is_none() || operation.returned.is_some(), "answer and time");
            assert!(operation.returned.is_none_or(|returned| returned > operation.invoked));
        }
        let count = operations.len();
        let is_answered = |&index: &usize| operations[index].returned.is_some();
        let (answered, open): (Vec<_>, Vec<_>) = (0..count).partition(is_answered);
        let mut by_return = answered.clone();
        by_return.sort_by_key(|&index| operations[index].returned);
        let classes = classes(model, &operations, &open);
        let needs: Vec<Vec<usize>> = operations
            .iter()
            .map(|operation| model.needs(&operation.input, operation.output.as_ref()))
            .collect();
        let mut needed = Vec::new();
        needs.iter().flatten().for_each(|&thing| change(&mut needed, thing, 1));
        Search {
            needs,
            needed,
            model,
            footprints: operations.iter().map(|one| model.footprint(&one.input)).collect(),
            answered: Chain::new(count, &answered),
            returns: Chain::new(count, &by_return),
            used: vec![0; classes.len()],
            classes,
            placed_hash: 0,
            memo: Memo::default(),
            state: model.initial(),
            idle: Vec::new(),
            operations,
        }
    }

    pub(super) fn run(mut self, steps: &mut u64) -> Found {
        let mut frames: Vec<Frame<M::State>> = Vec::new();
        let mut cursor = None;
        loop {
            // Open operations may stay out for ever: the order is complete without them.
            if self.answered.first().is_none() {
                return Found::Order;
            }
            if let Some((at, state)) = self.next(cursor, steps) {
                let idle = self.idle.clone();
                frames.push(Frame { cursor: at, state: self.place(at, state), idle });
                cursor = None;
            } else if *steps == 0 {
                return Found::GaveUp;
            } else if let Some(frame) = frames.pop() {
                cursor = Some(frame.cursor);
                self.take_back(frame);
            } else {
                return Found::Nothing;
            }
        }
    }

    /// The next operation after `cursor` that may come now and leads somewhere new.
    fn next(&mut self, cursor: Option<Cursor>, steps: &mut u64) -> Option<(Cursor, M::State)> {
        let deadline = self.returns.first().and_then(|index| self.operations[index].returned);
        let deadline = deadline.expect("there are answered operations left");
        let mut in_reach = None;
        let mut at = match cursor {
            None => self.answered.first().map(Cursor::Answered),
            Some(cursor) => self.after(cursor),
        };
        while let Some(cursor) = at {
            at = self.after(cursor);
            if let Cursor::Answered(index) = cursor {
                // Whoever was asked after somebody else's return cannot come before it.
                if self.operations[index].invoked > deadline {
                    at = self.first_open();
                    continue;
                }
            } else {
                let within = *in_reach.get_or_insert_with(|| self.reach(deadline));
                let Some(index) = self.operation_at(cursor) else { continue };
                if self.operations[index].invoked > deadline
                    || self.footprints[index].touched & within == 0
                {
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
        }
        None
    }

    fn after(&self, cursor: Cursor) -> Option<Cursor> {
        match cursor {
            Cursor::Answered(index) => {
                self.answered.after(index).map(Cursor::Answered).or_else(|| self.first_open())
            }
            Cursor::Open(class) => {
                (class + 1 < self.classes.len()).then_some(Cursor::Open(class + 1))
            }
        }
    }

    fn first_open(&self) -> Option<Cursor> {
        (!self.classes.is_empty()).then_some(Cursor::Open(0))
    }

    /// Of an open class, the oldest member that is left, if one is.
    fn operation_at(&self, cursor: Cursor) -> Option<usize> {
        match cursor {
            Cursor::Answered(index) => Some(index),
            Cursor::Open(class) => {
                self.classes[class].members.get(usize::from(self.used[class])).copied()
            }
        }
    }

    /// What the answered operations that may come now have to do with, and whatever open operations
    /// connect it to: no other open operation can matter to them.
    fn reach(&self, deadline: u64) -> u64 {
        let mut reach = 0;
        let is_available = |index: &usize| self.operations[*index].invoked <= deadline;
        let mut at = self.answered.first().filter(is_available);
        while let Some(index) = at {
            reach |= self.footprints[index].touched;
            at = self.answered.after(index).filter(is_available);
        }
        loop {
            let mut grown = reach;
            for (class, used) in self.classes.iter().zip(&self.used) {
                let is_left = class.members.get(usize::from(*used)).is_some_and(is_available);
                let touched = class.footprint.touched;
                grown |= if is_left && touched & grown != 0 { touched } else { 0 };
            }
            if grown == reach {
                return reach;
            }
            reach = grown;
        }
    }

    fn try_place(&mut self, cursor: Cursor) -> Option<M::State> {
        let index = self.operation_at(cursor)?;
        let operation = self.operations[index];
        let idle = self.meet(cursor, index)?;
        let state = self.model.step(&self.state, &operation.input, operation.output.as_ref())?;
        if self.strands(index, &state) {
            return None;
        }
        let (mark, class) = match cursor {
            Cursor::Answered(_) => (label(index), None),
            // Without effect it says nothing.
            Cursor::Open(_) if state == self.state => return None,
            Cursor::Open(class) => (0, Some(class)),
        };
        let position = self.placed_hash ^ mark ^ wide_hash(&(&state, &idle));
        if let Some(class) = class {
            self.used[class] += 1;
        }
        let is_new = self.memo.is_new(position, &self.used);
        if let Some(class) = class {
            self.used[class] -= 1;
        }
        is_new.then_some(state)
    }

    /// Whether somebody who is left needs what this operation takes away for ever.
    fn strands(&self, index: usize, after: &M::State) -> bool {
        let own = |thing: usize| self.needs[index].iter().filter(|&&own| own == thing).count();
        let is_needed =
            |thing: usize| self.needed.get(thing).is_some_and(|count| *count as usize > own(thing));
        self.model.leaves(&self.state, after, is_needed)
    }

    /// What is idle once this operation is placed; `None` if it may not come now.
    ///
    /// An open operation may always come later, so it is placed only where it matters: before the
    /// next answered one, something has to do with what it touched, and does not just overwrite it.
    fn meet(&self, cursor: Cursor, index: usize) -> Option<Vec<u64>> {
        let footprint = self.footprints[index];
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
        let index = self.operation_at(cursor).expect("try_place has found it");
        self.idle = self.meet(cursor, index).expect("try_place has asked");
        match cursor {
            Cursor::Answered(index) => {
                self.answered.remove(index);
                self.returns.remove(index);
                self.placed_hash ^= label(index);
                self.needs[index].iter().for_each(|&thing| change(&mut self.needed, thing, -1));
            }
            Cursor::Open(class) => self.used[class] += 1,
        }
        std::mem::replace(&mut self.state, state)
    }

    fn take_back(&mut self, frame: Frame<M::State>) {
        match frame.cursor {
            Cursor::Answered(index) => {
                self.returns.restore(index);
                self.answered.restore(index);
                self.placed_hash ^= label(index);
                self.needs[index].iter().for_each(|&thing| change(&mut self.needed, thing, 1));
            }
            Cursor::Open(class) => self.used[class] -= 1,
        }
        self.state = frame.state;
        self.idle = frame.idle;
    }
}

fn change(counts: &mut Vec<u32>, thing: usize, by: i32) {
    if counts.len() <= thing {
        counts.resize(thing + 1, 0);
    }
    counts[thing] = counts[thing].checked_add_signed(by).expect("what is counted was counted in");
}

fn classes<M: Model>(
    model: &M,
    operations: &[&Operation<M::Input, M::Output>],
    open: &[usize],
) -> Vec<Class> {
    let mut classes: Vec<Class> = Vec::new();
    let mut known = HashMap::new();
    for &index in open {
        let input = &operations[index].input;
        let class = *known.entry(input).or_insert_with(|| {
            classes.push(Class { members: Vec::new(), footprint: model.footprint(input) });
            classes.len() - 1
        });
        classes[class].members.push(index);
        assert!(classes[class].members.len() < usize::from(u16::MAX), "counts fit");
    }
    classes
}

/// A random-looking number for each operation: their exclusive-or names a set of operations.
fn label(index: usize) -> u128 {
    let index = index as u64;
    u128::from(mix(index ^ 0x6c62_272e_07bb_0142)) << 64
        | u128::from(mix(index ^ 0x62b8_2175_6295_c58d))
}
