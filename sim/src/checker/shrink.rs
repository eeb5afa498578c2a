//! From a broken history to a small part of it that is broken for the same reason.

use std::collections::BTreeSet;

use super::{Found, Model, Operation, has_order};

/// What all attempts together may cost; a larger remainder is merely less small.
const STEPS_MAX: u64 = 4_000_000;

/// First the shortest broken beginning, by halving (every beginning of a linearizable history is
/// linearizable); then without each operation that is not needed.
pub(super) fn shrink<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
) -> Vec<Operation<M::Input, M::Output>> {
    let mut steps = STEPS_MAX;
    let mut small = shortest_beginning(model, history, &mut steps);
    let unexplained = unexplained(model, &small);
    let mut index = 0;
    while index < small.len() {
        let candidate: Vec<_> = [&small[..index], &small[index + 1..]].concat();
        let is_fair = is_removable(model, &small[index], &candidate, &unexplained);
        if is_fair && has_order(model, &candidate, &mut steps) == Found::Nothing {
            small = candidate;
            // An earlier one may have been needed for this one only.
            index = 0;
        } else {
            index += 1;
        }
    }
    small
}

fn shortest_beginning<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    steps: &mut u64,
) -> Vec<Operation<M::Input, M::Output>> {
    let mut returns: Vec<u64> = history.iter().filter_map(|operation| operation.returned).collect();
    returns.sort_unstable();
    let is_broken = |end: &u64, steps: &mut u64| {
        has_order(model, &until(history, *end), steps) == Found::Nothing
    };
    let first_broken = returns.partition_point(|end| !is_broken(end, steps));
    let end = returns.get(first_broken).copied().unwrap_or(u64::MAX);
    until(history, end)
}

/// What was known at `end`: later invocations had not happened, later answers had not come.
fn until<I: Clone, O: Clone>(history: &[Operation<I, O>], end: u64) -> Vec<Operation<I, O>> {
    let begun = history.iter().filter(|operation| operation.invoked < end).cloned();
    begun
        .map(|mut operation| {
            if operation.returned.is_some_and(|returned| returned > end) {
                operation.returned = None;
                operation.output = None;
            }
            operation
        })
        .collect()
}

/// Reads always; blind writes, and writes without a known outcome, while nothing left shows them.
fn is_removable<M: Model>(
    model: &M,
    operation: &Operation<M::Input, M::Output>,
    rest: &[Operation<M::Input, M::Output>],
    unexplained_before: &BTreeSet<String>,
) -> bool {
    let output = operation.output.as_ref();
    if model.is_read(&operation.input, output) {
        return true;
    }
    let footprint = model.footprint(&operation.input);
    (footprint.touched == footprint.overwritten || output.is_none())
        && unexplained(model, rest).is_subset(unexplained_before)
}

/// What answers show and no operation provides.
fn unexplained<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
) -> BTreeSet<String> {
    let mut provided = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for operation in history {
        let names = model.names(&operation.input, operation.output.as_ref());
        provided.extend(names.provided);
        shown.extend(names.shown);
    }
    shown.difference(&provided).cloned().collect()
}
