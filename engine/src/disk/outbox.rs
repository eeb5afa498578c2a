//! Completions on their way from I/O threads to the thread that polls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Completion;

/// Shared by a disk and its threads.
#[derive(Default)]
pub(super) struct Outbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    completions: Vec<Completion>,
    waker: Option<Waker>,
}

impl Outbox {
    pub(super) fn push(&self, completion: Completion) {
        let mut inner = self.lock();
        inner.completions.push(completion);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll(
        &self,
        context: &mut Context<'_>,
        completions: &mut Vec<Completion>,
    ) -> Poll<()> {
        let mut inner = self.lock();
        if inner.completions.is_empty() {
            inner.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        completions.append(&mut inner.completions);
        Poll::Ready(())
    }

    /// A thread that panicked left a list that is whole: it is only ever pushed to.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
