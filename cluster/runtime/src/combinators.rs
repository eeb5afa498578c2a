//! Waiting for one of two things. The same code in both worlds: no tie is broken by chance.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::ground::sleep;

/// Which of two futures was ready first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first one; it also wins when both are ready.
    Left(A),
    /// The second one.
    Right(B),
}

/// The time given to `timeout` passed before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the time allowed has passed")
    }
}

impl std::error::Error for Elapsed {}

/// Waits until one of two futures is ready and drops the other.
///
/// Biased: `first` is polled first every time, so a `first` that is always ready starves `second`.
/// An unbiased select draws from a generator that no seed reaches.
pub async fn either<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|context| {
        if let Poll::Ready(output) = first.as_mut().poll(context) {
            return Poll::Ready(Either::Left(output));
        }
        second.as_mut().poll(context).map(Either::Right)
    })
    .await
}

/// Waits for `future`, at most `duration` on this node's clock.
///
/// A future that is handed over by value is kept twice (an async function keeps its arguments beside
/// what it makes of them): where memory counts, hand over `pin!(future)`.
///
/// # Errors
/// `Elapsed`: the future was dropped where it stood. If it is ready at the deadline, it wins.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let (future, sleep) = (pin!(future), pin!(sleep(duration)));
    match either(future, sleep).await {
        Either::Left(output) => Ok(output),
        Either::Right(()) => Err(Elapsed),
    }
}
