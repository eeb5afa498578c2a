//! How a command of the binary fails: one line that says what, why, and what to do next.
//!
//! The exit codes are an interface: scripts and service managers act on them, so they never change
//! their meaning. `docs/operations.md` lists them.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// What a failure means to whoever started the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The request was understood and answered with "no": a missing key, an error reply.
    Failed = 1,
    /// The command line or the configuration is wrong. Starting again changes nothing.
    Usage = 2,
    /// Nobody answered, or a port is taken. Starting again may help (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A disk, or a promise of our own code, is broken: a human must look (`EX_SOFTWARE`).
    Internal = 70,
}

/// The end of a command that did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why the process ends.
    pub exit: Exit,
    what: String,
    why: Option<String>,
    next: Option<String>,
}

impl Failure {
    /// A failure that needs no reason beside itself.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), why: None, next: None }
    }

    /// Adds an error as the reason, with all that caused it. The chain is walked here and nowhere else.
    pub(crate) fn because(self, error: &dyn Error) -> Failure {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries print their cause as well: once is enough.
            if !why.contains(&text) {
                why.push_str(": ");
                why.push_str(&text);
            }
            cause = error.source();
        }
        Failure { why: Some(why), ..self }
    }

    /// Adds what the reader can do about it.
    pub(crate) fn next(self, next: impl Into<String>) -> Failure {
        Failure { next: Some(next.into()), ..self }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { what, .. } = self;
        // One line, whatever a library thinks an error message looks like.
        let mut text = what.clone();
        if let Some(why) = &self.why {
            text = format!("{text}: {why}");
        }
        if let Some(next) = &self.next {
            text = format!("{}. {next}", text.trim_end_matches('.'));
        }
        formatter.write_str(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests;
