//! Tasks of a simulated node, on madsim's executor.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::simulated::nodes::ProcessFailed;

/// Starts `future` on this node. It runs until it is done, whether or not its `Task` is kept.
/// A panic in it ends the run.
pub fn spawn<F: Future + 'static>(future: F) -> Task<F::Output> {
    Task { handle: madsim::task::spawn_local(contained(future)) }
}

/// Lets other tasks that are ready run. Which of them, and how many, the seed decides.
pub async fn yield_now() {
    madsim::task::yield_now().await;
}

/// A spawned task. Dropping it lets the task run on; awaiting it gives the task's output, or `None`
/// if it was aborted.
#[derive(Debug)]
pub struct Task<T> {
    handle: madsim::task::JoinHandle<T>,
}

impl<T> Task<T> {
    /// Drops the task's future at its next turn, unless it has finished by then.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether the task's future is gone: it has returned or was dropped after an `abort`.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.handle).poll(context).map(Result::ok)
    }
}

/// Lets the unwinding of `process::fail_now` end here: its node is dead, so the task waits to be
/// dropped. Any other panic is a bug found, and ends the run.
pub(crate) async fn contained<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))).unwrap_or_else(|payload| {
            if payload.is::<ProcessFailed>() { Poll::Pending } else { resume_unwind(payload) }
        })
    })
    .await
}
