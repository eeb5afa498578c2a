//! What one client was told, against what the servers say later.
//!
//! Each client writes keys that nobody else writes, so what they may hold is known exactly: what was
//! acknowledged, plus whatever of the writes without an answer has happened or may still happen.

use std::collections::BTreeSet;

/// The books of one client.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    counter: Counter,
    register: Register,
    /// Keys that are written once, with a value of their own: whether the write was acknowledged.
    once: Vec<bool>,
    /// Promises that were broken, a line each.
    pub broken: Vec<String>,
}

/// A key that is only ever incremented.
#[derive(Debug, Default)]
struct Counter {
    acknowledged: u64,
    unknown: u64,
    /// How many of the unknown ones are known to have happened.
    surplus: u64,
}

/// A key that is set to 1, 2, 3, …
#[derive(Debug, Default)]
struct Register {
    last: u64,
    acknowledged: u64,
    /// Writes without an answer; each may happen at any later time.
    unknown: BTreeSet<u64>,
}

impl Ledger {
    /// How many writes were acknowledged, and how many had no answer or an error.
    pub(crate) fn writes(&self) -> (u64, u64) {
        let once = self.once.iter().filter(|acknowledged| **acknowledged).count() as u64;
        let once_unknown = self.once.len() as u64 - once;
        let register_unknown = self.register.unknown.len() as u64;
        let register = self.register.last - register_unknown;
        (
            self.counter.acknowledged + register + once,
            self.counter.unknown + register_unknown + once_unknown,
        )
    }

    /// An increment was answered with a number, or not answered.
    pub(crate) fn incremented(&mut self, value: Option<i64>) {
        let Some(value) = value else {
            self.counter.unknown += 1;
            return;
        };
        self.counter.acknowledged += 1;
        self.counted("an increment", value);
    }

    /// The counter was read.
    pub(crate) fn counter_read(&mut self, value: i64) {
        self.counted("a read", value);
    }

    fn counted(&mut self, what: &str, value: i64) {
        let Counter { acknowledged, unknown, surplus } = &mut self.counter;
        let least = *acknowledged + *surplus;
        let most = *acknowledged + *unknown;
        match u64::try_from(value) {
            Ok(value) if value < least => self.broken.push(format!(
                "lost: {what} saw {value}, after {acknowledged} acknowledged increments and \
                 {surplus} others that were seen"
            )),
            Ok(value) if most < value => self.broken.push(format!(
                "applied twice: {what} saw {value}, after {acknowledged} acknowledged increments and \
                 {unknown} without an answer"
            )),
            Ok(value) => *surplus = value - *acknowledged,
            Err(_) => self.broken.push(format!("{what} of a counter saw {value}")),
        }
    }

    /// The number to set the register to.
    pub(crate) fn next_register(&mut self) -> u64 {
        self.register.last += 1;
        self.register.last
    }

    pub(crate) fn register_set(&mut self, value: u64, acknowledged: bool) {
        if acknowledged {
            self.register.acknowledged = value;
        } else {
            self.register.unknown.insert(value);
        }
    }

    /// The register was read; 0 if it was not there.
    pub(crate) fn register_read(&mut self, value: u64) {
        let Register { acknowledged, unknown, .. } = &self.register;
        if value != *acknowledged && !unknown.contains(&value) {
            self.broken.push(format!(
                "stale: a read saw {value}, after {acknowledged} was acknowledged; without an answer \
                 are {unknown:?}"
            ));
        }
    }

    /// The number of a key that was never written.
    pub(crate) fn next_once(&self) -> u64 {
        self.once.len() as u64
    }

    pub(crate) fn once_set(&mut self, acknowledged: bool) {
        self.once.push(acknowledged);
    }

    /// A key that was written once was read; `Some(true)` if it holds its value.
    pub(crate) fn once_read(&mut self, number: u64, holds: Option<bool>) {
        let acknowledged = self.once[usize::try_from(number).expect("it was counted in memory")];
        match holds {
            Some(true) => (),
            None if !acknowledged => (),
            None => {
                self.broken.push(format!("lost: write {number} was acknowledged, its key is gone"))
            }
            Some(false) => {
                self.broken.push(format!("wrong: the key of write {number} holds another value"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
