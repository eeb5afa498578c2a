//! How far it is, while it takes long: one line that is written again and again where a person looks,
//! a line now and then where a file is kept.

use std::io::{IsTerminal, Write};

use evenkeel_runtime::clock;

use crate::tell;

/// A terminal's line is written again after this, in microseconds.
const TERMINAL_US: u64 = 200_000;
/// Elsewhere a new line comes after this.
const LINE_US: u64 = 10_000_000;

pub(crate) struct Progress {
    is_terminal: bool,
    started_us: u64,
    told_us: u64,
    has_line: bool,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        let started_us = clock::monotonic_us();
        let is_terminal = std::io::stderr().is_terminal();
        Progress { is_terminal, started_us, told_us: started_us, has_line: false }
    }

    /// So far, in words; told if it is time to.
    pub(crate) fn at(&mut self, words: impl FnOnce(f64) -> String) {
        let now_us = clock::monotonic_us();
        let pause = if self.is_terminal { TERMINAL_US } else { LINE_US };
        if now_us.saturating_sub(self.told_us) < pause {
            return;
        }
        self.told_us = now_us;
        let line = words(self.seconds());
        if self.is_terminal {
            // Back to the first column, and whatever was longer is cleared.
            write!(std::io::stderr(), "\r{line}\x1b[K").ok();
            self.has_line = true;
        } else {
            tell(&line);
        }
    }

    /// Something that must not be lost in a line that is written again.
    pub(crate) fn note(&mut self, text: &str) {
        self.clear();
        tell(text);
    }

    /// Since it began.
    pub(crate) fn seconds(&self) -> f64 {
        clock::monotonic_us().saturating_sub(self.started_us) as f64 / 1e6
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.has_line) {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Bytes for people.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
