//! Tasks that never leave the thread they were spawned on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::{Builder, LocalOptions};

/// Runs `future` and everything it spawns on this thread until `future` is done; what it spawned
/// is then dropped where it stands.
///
/// # Panics
/// If the operating system refuses an epoll instance, or from inside another `block_on`.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a process may open an epoll instance");
    runtime.block_on(future)
}

/// Starts `future` on this thread. It runs until it is done, whether or not its `Task` is kept.
/// A panic in it ends the process in release builds (`panic = "abort"`); in others it reaches
/// whoever awaits the task.
pub fn spawn<F: Future + 'static>(future: F) -> Task<F::Output> {
    Task { handle: tokio::task::spawn_local(future) }
}

/// Lets every other task that is ready run once.
pub async fn yield_now() {
    tokio::task::yield_now().await;
}

/// A spawned task. Dropping it lets the task run on; awaiting it gives the task's output, or `None`
/// if it was aborted.
#[derive(Debug)]
pub struct Task<T> {
    handle: tokio::task::JoinHandle<T>,
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
        Pin::new(&mut self.handle).poll(context).map(|result| match result {
            Ok(output) => Some(output),
            Err(error) if error.is_cancelled() => None,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        })
    }
}
