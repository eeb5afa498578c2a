//! What commands cost, without asking the clock for each.
//!
//! Commands that are quick and all alike (`GET`, `SET`, …) are timed together: a batch's time is shared
//! out evenly when it ends. A command that may take long is timed alone.

use crate::metrics::Metrics;

/// Different commands that one run of quick ones may hold.
const KIND_COUNT_MAX: usize = 8;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    since_us: u64,
    kinds: [(usize, u64); KIND_COUNT_MAX],
    kind_count: usize,
    interrupted: bool,
}

impl Stopwatch {
    /// A run of quick commands begins.
    pub(crate) fn start(&mut self, now_us: u64) {
        self.since_us = now_us;
        self.kind_count = 0;
        self.interrupted = false;
    }

    /// When the run began, in microseconds: a good enough start for anything in it.
    pub(crate) fn since_us(&self) -> u64 {
        self.since_us
    }

    /// Counts a quick command. False if the run holds too many different ones: stop it first.
    #[inline]
    pub(crate) fn tick(&mut self, command: usize) -> bool {
        for kind in &mut self.kinds[..self.kind_count] {
            if kind.0 == command {
                kind.1 += 1;
                return true;
            }
        }
        if self.kind_count == KIND_COUNT_MAX {
            return false;
        }
        self.kinds[self.kind_count] = (command, 1);
        self.kind_count += 1;
        true
    }

    /// The run ends, or something slow comes: shares out the time.
    pub(crate) fn stop(&mut self, now_us: u64, metrics: &Metrics) {
        let kinds = &self.kinds[..self.kind_count];
        let total: u64 = kinds.iter().map(|kind| kind.1).sum();
        let elapsed_us = now_us.saturating_sub(self.since_us);
        for &(command, count) in kinds {
            metrics.commands[command].calls.add(count);
            metrics.commands[command].duration_us.add(elapsed_us * count / total);
        }
        self.kind_count = 0;
        self.since_us = now_us;
    }

    /// Notes that a command was timed alone since `start`.
    pub(crate) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Whether one was, since this was last asked.
    pub(crate) fn interrupted(&mut self) -> bool {
        std::mem::take(&mut self.interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_time_is_shared_by_its_commands() {
        let metrics = Metrics::new(2);
        let mut stopwatch = Stopwatch::default();
        stopwatch.start(1000);
        assert!((0..3).all(|_| stopwatch.tick(0)));
        assert!(stopwatch.tick(1));
        stopwatch.stop(1040, &metrics);
        let cost = |command: usize| {
            let counters = &metrics.commands[command];
            (counters.calls.get(), counters.duration_us.get())
        };
        assert_eq!((cost(0), cost(1)), ((3, 30), (1, 10)));
        stopwatch.stop(9999, &metrics);
        assert_eq!(cost(0), (3, 30), "an empty run costs nothing");
    }

    #[test]
    fn a_run_of_too_many_kinds_asks_to_be_stopped() {
        let metrics = Metrics::new(KIND_COUNT_MAX + 1);
        let mut stopwatch = Stopwatch::default();
        assert!((0..KIND_COUNT_MAX).all(|command| stopwatch.tick(command)));
        assert!(!stopwatch.tick(KIND_COUNT_MAX));
        stopwatch.stop(1, &metrics);
        assert!(stopwatch.tick(KIND_COUNT_MAX));
    }
}
