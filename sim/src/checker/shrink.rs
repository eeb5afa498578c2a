//! From a broken history to a small part of it that is broken for the same reason.

use std::collections::BTreeSet;

use super::Operation;

/// What the shrinking has to know of a history.
pub(crate) trait Subject {
    /// What is asked.
    type Input: Clone;
    /// What is answered.
    type Output: Clone;

    /// Whether certainly no order explains these operations.
    fn is_broken(&mut self, history: &[Operation<Self::Input, Self::Output>]) -> bool;

    /// Whether a history without this operation could be a real one, if nothing else shows it: it is
    /// a read, a blind write, or of unknown outcome.
    fn is_removable(&self, operation: &Operation<Self::Input, Self::Output>) -> bool;

    /// Names of what the operation brings into the world and of what its answer shows of it. They
    /// keep the shrinking honest: the write of a value that something still shows stays.
    fn names(&self, operation: &Operation<Self::Input, Self::Output>) -> Names;
}

/// See `Subject::names`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    /// Brought by the operation, if it takes effect.
    pub(crate) provided: Vec<String>,
    /// Shown by its answer.
    pub(crate) shown: Vec<String>,
}

type History<S> = Vec<Operation<<S as Subject>::Input, <S as Subject>::Output>>;

/// First the shortest broken beginning, by halving (every beginning of a linearizable history is
/// linearizable); then without ever smaller pieces that are not needed, until none can be spared.
pub(crate) fn shrink<S: Subject>(
    subject: &mut S,
    history: &[Operation<S::Input, S::Output>],
) -> History<S> {
    let mut small = shortest_beginning(subject, history);
    let unexplained = unexplained(subject, &small);
    let mut size = (small.len() / 2).max(1);
    loop {
        let is_smaller = remove_pieces(subject, &mut small, size, &unexplained);
        if size == 1 && !is_smaller {
            return small;
        }
        size = (size / 2).max(1);
    }
}

/// Tries to spare each piece of so many operations; whether any could be.
fn remove_pieces<S: Subject>(
    subject: &mut S,
    small: &mut History<S>,
    size: usize,
    unexplained_before: &BTreeSet<String>,
) -> bool {
    let before = small.len();
    // From the end: what is late explains nothing that is early.
    let mut end = small.len();
    while end > 0 {
        let begin = end.saturating_sub(size);
        let candidate: Vec<_> = [&small[..begin], &small[end..]].concat();
        let is_fair = small[begin..end].iter().all(|operation| subject.is_removable(operation))
            && unexplained(subject, &candidate).is_subset(unexplained_before);
        if is_fair && subject.is_broken(&candidate) {
            *small = candidate;
        }
        end = begin;
    }
    small.len() < before
}

fn shortest_beginning<S: Subject>(
    subject: &mut S,
    history: &[Operation<S::Input, S::Output>],
) -> History<S> {
    let mut returns: Vec<u64> = history.iter().filter_map(|operation| operation.returned).collect();
    returns.sort_unstable();
    let first_broken = returns.partition_point(|end| !subject.is_broken(&until(history, *end)));
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

/// What answers show and no operation provides.
fn unexplained<S: Subject>(
    subject: &S,
    history: &[Operation<S::Input, S::Output>],
) -> BTreeSet<String> {
    let mut provided = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for operation in history {
        let names = subject.names(operation);
        provided.extend(names.provided);
        shown.extend(names.shown);
    }
    shown.difference(&provided).cloned().collect()
}
