//! The end of this process: asked for, or forced by a broken disk.

use std::convert::Infallible;

use tokio::signal::unix::{SignalKind, signal};

use crate::combinators::either;

/// `EX_SOFTWARE` of sysexits.h: restart me, I recover from the log.
const EXIT_CODE: i32 = 70;
/// As for a wrong configuration: do not restart me.
const EXIT_CODE_USAGE: i32 = 2;

/// Ends this process because what it keeps can no longer be trusted. Nothing more is written; the
/// supervisor restarts it, and it recovers.
#[expect(clippy::unused_async, reason = "in simulation the node waits here for its end")]
pub async fn fail(reason: &str) -> Infallible {
    fail_now(reason.to_owned())
}

/// `fail`, where nothing can be awaited.
pub fn fail_now(reason: String) -> ! {
    tracing::error!(%reason, "this process ends now, to recover when it is started again");
    std::process::exit(EXIT_CODE)
}

/// As `fail_now`, where starting again changes nothing: a person has to do something first.
pub fn give_up(reason: String) -> ! {
    tracing::error!(%reason, "this process ends now; starting it again changes nothing");
    std::process::exit(EXIT_CODE_USAGE)
}

/// Waits until somebody asks this process to end: SIGTERM, or SIGINT from a terminal.
///
/// # Panics
/// If the kernel refuses a signal handler.
pub async fn terminated() {
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    either(terminate.recv(), interrupt.recv()).await;
}
