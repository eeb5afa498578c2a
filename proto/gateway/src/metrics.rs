//! What the door counts. Plain cells: everything runs on one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::limits::ERROR_KIND_COUNT_MAX;

/// Where errors go whose first word is one too many to count apart.
const ERROR_KIND_OTHER: &str = "OTHER";

/// A number that goes up, and sometimes down again.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.set(self.0.get() + amount);
    }

    pub(crate) fn subtract(&self, amount: u64) {
        let value = self.0.get();
        assert!(amount <= value, "what is subtracted was added before");
        self.0.set(value - amount);
    }

    pub(crate) fn reset(&self) {
        self.0.set(0);
    }
}

/// What one command cost so far.
#[derive(Debug, Default)]
pub(crate) struct CommandCounters {
    /// Times it was carried out, also when the reply was an error.
    pub(crate) calls: Counter,
    /// Time from its start to its reply, in microseconds.
    pub(crate) duration_us: Counter,
    /// Times it was refused before it started.
    pub(crate) rejected: Counter,
    /// Times its reply was an error.
    pub(crate) failed: Counter,
}

/// Everything the door counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// One for each command of the table, in its order.
    pub(crate) commands: Vec<CommandCounters>,
    pub(crate) commands_processed: Counter,
    pub(crate) connections_open: Counter,
    pub(crate) connections_accepted: Counter,
    /// Over the connection limit.
    pub(crate) connections_rejected: Counter,
    /// Cut off because they did not read.
    pub(crate) connections_cut_off: Counter,
    /// Silent for longer than the idle limit.
    pub(crate) connections_idle_closed: Counter,
    /// Bytes that are not a command.
    pub(crate) protocol_errors: Counter,
    pub(crate) network_in_bytes: Counter,
    pub(crate) network_out_bytes: Counter,
    /// Large query buffers and transactions, all together, at the moment.
    pub(crate) query_bytes: Counter,
    /// Unread replies, all together, at the moment.
    pub(crate) output_bytes: Counter,
    /// Commands waiting for their outcome at the moment.
    pub(crate) commands_pending: Counter,
    /// Their bytes.
    pub(crate) pending_bytes: Counter,
    pub(crate) error_replies: Counter,
    errors: RefCell<BTreeMap<String, u64>>,
    rate: Rate,
}

/// Rates over the last second or so.
#[derive(Debug, Default)]
struct Rate {
    sampled_us: Cell<u64>,
    commands: Cell<u64>,
    bytes: Cell<(u64, u64)>,
    commands_per_s: Cell<u64>,
    bytes_per_s: Cell<(u64, u64)>,
}

/// The shortest time over which a rate is taken, in microseconds.
const RATE_INTERVAL_US: u64 = 1_000_000;

impl Metrics {
    /// Zeros, with room for `command_count` commands.
    pub(crate) fn new(command_count: usize) -> Metrics {
        Metrics {
            commands: std::iter::repeat_with(CommandCounters::default)
                .take(command_count)
                .collect(),
            commands_processed: Counter::default(),
            connections_open: Counter::default(),
            connections_accepted: Counter::default(),
            connections_rejected: Counter::default(),
            connections_cut_off: Counter::default(),
            connections_idle_closed: Counter::default(),
            protocol_errors: Counter::default(),
            network_in_bytes: Counter::default(),
            network_out_bytes: Counter::default(),
            query_bytes: Counter::default(),
            output_bytes: Counter::default(),
            commands_pending: Counter::default(),
            pending_bytes: Counter::default(),
            error_replies: Counter::default(),
            errors: RefCell::new(BTreeMap::new()),
            rate: Rate::default(),
        }
    }

    /// Counts an error reply under its first word, as clients know it: `ERR`, `MOVED`, …
    pub(crate) fn count_error(&self, text: &str) {
        self.error_replies.add(1);
        let kind = text.split(' ').next().unwrap_or_default();
        let mut errors = self.errors.borrow_mut();
        if let Some(count) = errors.get_mut(kind) {
            *count += 1;
        } else if errors.len() < ERROR_KIND_COUNT_MAX {
            errors.insert(kind.to_owned(), 1);
        } else {
            *errors.entry(ERROR_KIND_OTHER.to_owned()).or_insert(0) += 1;
        }
    }

    /// Error replies by first word, in order.
    pub(crate) fn errors(&self) -> Vec<(String, u64)> {
        self.errors.borrow().iter().map(|(kind, count)| (kind.clone(), *count)).collect()
    }

    /// Takes the rates anew, if a second has passed.
    pub(crate) fn sample(&self, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.rate.sampled_us.get());
        if elapsed_us < RATE_INTERVAL_US {
            return;
        }
        let per_s = |now: u64, before: u64| now.saturating_sub(before) * 1_000_000 / elapsed_us;
        let commands = self.commands_processed.get();
        let (in_bytes, out_bytes) = (self.network_in_bytes.get(), self.network_out_bytes.get());
        let (in_before, out_before) = self.rate.bytes.get();
        self.rate.commands_per_s.set(per_s(commands, self.rate.commands.get()));
        self.rate.bytes_per_s.set((per_s(in_bytes, in_before), per_s(out_bytes, out_before)));
        self.rate.commands.set(commands);
        self.rate.bytes.set((in_bytes, out_bytes));
        self.rate.sampled_us.set(now_us);
    }

    /// Commands a second, as last sampled.
    pub(crate) fn commands_per_s(&self) -> u64 {
        self.rate.commands_per_s.get()
    }

    /// Bytes a second, in and out, as last sampled.
    pub(crate) fn bytes_per_s(&self) -> (u64, u64) {
        self.rate.bytes_per_s.get()
    }

    /// `CONFIG RESETSTAT`: forgets what happened, keeps what is.
    pub(crate) fn reset(&self) {
        for command in &self.commands {
            command.calls.reset();
            command.duration_us.reset();
            command.rejected.reset();
            command.failed.reset();
        }
        for counter in [
            &self.commands_processed,
            &self.connections_accepted,
            &self.connections_rejected,
            &self.connections_cut_off,
            &self.connections_idle_closed,
            &self.protocol_errors,
            &self.network_in_bytes,
            &self.network_out_bytes,
            &self.error_replies,
        ] {
            counter.reset();
        }
        self.errors.borrow_mut().clear();
        self.rate.commands.set(0);
        self.rate.bytes.set((0, 0));
    }
}

#[cfg(test)]
mod tests;
