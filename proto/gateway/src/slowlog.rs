//! The last commands that took too long, in a ring that cannot grow.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{SLOWLOG_ARGUMENT_COUNT_MAX, SLOWLOG_ARGUMENT_SIZE_MAX, SLOWLOG_COUNT_MAX};

/// One slow command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlowCommand {
    /// Counts up for the life of the process, also across resets.
    pub(crate) id: u64,
    /// When it ended, in Unix seconds.
    pub(crate) ended_at_s: u64,
    /// How long it took, in microseconds.
    pub(crate) duration_us: u64,
    /// Its words, cut short.
    pub(crate) arguments: Vec<Bytes>,
    /// The client's address.
    pub(crate) address: String,
    /// The client's name, if it gave one.
    pub(crate) name: String,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct SlowLog {
    entries: VecDeque<SlowCommand>,
    id_next: u64,
    count_max: usize,
}

impl SlowLog {
    /// An empty ring for `count_max` commands.
    pub(crate) fn new(count_max: usize) -> SlowLog {
        SlowLog {
            entries: VecDeque::new(),
            id_next: 0,
            count_max: count_max.min(SLOWLOG_COUNT_MAX),
        }
    }

    /// Notes a command; the oldest makes room.
    pub(crate) fn push(&mut self, mut entry: SlowCommand) {
        entry.id = self.id_next;
        self.id_next += 1;
        self.entries.push_front(entry);
        self.entries.truncate(self.count_max);
    }

    /// The newest `count` commands, newest first.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = &SlowCommand> {
        self.entries.iter().take(count)
    }

    /// How many commands the ring holds.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Keeps at most `count_max` from now on.
    pub(crate) fn set_count_max(&mut self, count_max: usize) {
        self.count_max = count_max.min(SLOWLOG_COUNT_MAX);
        self.entries.truncate(self.count_max);
    }
}

/// A command's words as the slow log keeps them: long ones and many of them are cut, and say so.
pub(crate) fn shorten<'a>(arguments: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Bytes> {
    let count = arguments.len();
    let kept =
        if count <= SLOWLOG_ARGUMENT_COUNT_MAX { count } else { SLOWLOG_ARGUMENT_COUNT_MAX - 1 };
    let mut words: Vec<Bytes> = arguments.take(kept).map(shorten_word).collect();
    if kept < count {
        words.push(Bytes::from(format!("... ({} more arguments)", count - kept)));
    }
    words
}

fn shorten_word(word: &[u8]) -> Bytes {
    if word.len() <= SLOWLOG_ARGUMENT_SIZE_MAX {
        return Bytes::copy_from_slice(word);
    }
    let mut short = word[..SLOWLOG_ARGUMENT_SIZE_MAX].to_vec();
    let more = word.len() - SLOWLOG_ARGUMENT_SIZE_MAX;
    short.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
    Bytes::from(short)
}

#[cfg(test)]
mod tests;
