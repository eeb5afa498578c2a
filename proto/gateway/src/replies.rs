//! The replies of one connection, in the order of its commands.
//!
//! ```text
//!   to be sent ◄── output ◄── queue: pending │ ready bytes │ pending │ pending
//! ```
//!
//! While nothing is pending, replies are encoded straight into `output`: that is the hot path. Behind a
//! pending one they wait as ready bytes; all pending ones are polled, so they make progress side by side.
//!
//! **Invariant.** Bytes leave in the order in which `write` and `wait` were called.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use evenkeel_node::api::PendingReply;
use evenkeel_wire::reply::Protocol;

/// From this size on, moving a buffer is cheaper than copying it and keeping the other's memory.
const MOVED_SIZE_MIN: usize = 16 * 1024;

/// Remembers what is needed to count a command once its reply is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Which command: a place in the metrics.
    pub(crate) command: usize,
    /// When it started, in microseconds of the monotonic clock.
    pub(crate) started_us: u64,
    /// Bytes of the command as it came in.
    pub(crate) size: usize,
    /// How many words it had, its name included.
    pub(crate) argument_count: usize,
    /// The word after its name, cut short: what the slow log will know.
    pub(crate) argument: Bytes,
}

struct Pending {
    future: PendingReply,
    protocol: Protocol,
    /// The client asked not to be answered.
    silent: bool,
    receipt: Receipt,
}

enum Entry {
    Ready(BytesMut),
    Pending(Pending),
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Replies {
    output: BytesMut,
    queue: VecDeque<Entry>,
    pending_count: usize,
    pending_size: usize,
    ready_size: usize,
}

impl Replies {
    /// Writes a whole reply, or none, at the end of the line.
    #[inline]
    pub(crate) fn write<R>(&mut self, encode: impl FnOnce(&mut BytesMut) -> R) -> R {
        if self.queue.is_empty() { encode(&mut self.output) } else { self.write_behind(encode) }
    }

    #[cold]
    fn write_behind<R>(&mut self, encode: impl FnOnce(&mut BytesMut) -> R) -> R {
        if !matches!(self.queue.back(), Some(Entry::Ready(_))) {
            self.queue.push_back(Entry::Ready(BytesMut::new()));
        }
        let Some(Entry::Ready(buffer)) = self.queue.back_mut() else {
            unreachable!("made ready just now")
        };
        let size_before = buffer.len();
        let result = encode(buffer);
        assert!(size_before <= buffer.len(), "a reply is only ever appended");
        self.ready_size += buffer.len() - size_before;
        result
    }

    /// Leaves a place at the end of the line for a reply that is still to come.
    pub(crate) fn wait(
        &mut self,
        future: PendingReply,
        protocol: Protocol,
        silent: bool,
        receipt: Receipt,
    ) {
        self.pending_count += 1;
        self.pending_size += receipt.size;
        self.queue.push_back(Entry::Pending(Pending { future, protocol, silent, receipt }));
    }

    /// Polls everything that is pending. `settled` hears of each that ended, with its reply as encoded
    /// (also when it is not sent). Returns whether any did.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        mut settled: impl FnMut(&Receipt, &[u8]),
    ) -> bool {
        if self.pending_count == 0 {
            return false;
        }
        let pending_before = self.pending_count;
        // What is first in line is encoded where it is sent from.
        while let Some(front) = self.queue.front_mut() {
            match front {
                Entry::Ready(buffer) => {
                    self.ready_size -= buffer.len();
                    append(&mut self.output, buffer);
                }
                Entry::Pending(pending) => {
                    let Poll::Ready(reply) = pending.future.as_mut().poll(context) else { break };
                    self.pending_count -= 1;
                    self.pending_size -= pending.receipt.size;
                    let size_before = self.output.len();
                    reply.encode(pending.protocol, &mut self.output);
                    settled(&pending.receipt, &self.output[size_before..]);
                    if pending.silent {
                        self.output.truncate(size_before);
                    }
                }
            }
            self.queue.pop_front();
        }
        for entry in self.queue.iter_mut().skip(1) {
            let Entry::Pending(pending) = entry else { continue };
            let Poll::Ready(reply) = pending.future.as_mut().poll(context) else { continue };
            self.pending_count -= 1;
            self.pending_size -= pending.receipt.size;
            let mut buffer = BytesMut::new();
            reply.encode(pending.protocol, &mut buffer);
            settled(&pending.receipt, &buffer);
            if pending.silent {
                buffer.clear();
            }
            self.ready_size += buffer.len();
            *entry = Entry::Ready(buffer);
        }
        self.pending_count != pending_before
    }

    /// Swaps the bytes to be sent with an empty buffer; false if there are none.
    pub(crate) fn take_output(&mut self, empty: &mut BytesMut) -> bool {
        assert!(empty.is_empty(), "what was taken before has been sent");
        std::mem::swap(&mut self.output, empty);
        !empty.is_empty()
    }

    /// Bytes that wait to be sent, or to become sendable.
    pub(crate) fn size(&self) -> usize {
        self.output.len() + self.ready_size
    }

    /// Commands that have started and not ended.
    pub(crate) fn pending_count(&self) -> usize {
        self.pending_count
    }

    /// Bytes of those commands.
    pub(crate) fn pending_size(&self) -> usize {
        self.pending_size
    }

    /// Whether bytes can be sent now.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }
}

/// Adds `more` to what is sent next; large buffers are moved, not copied.
fn append(output: &mut BytesMut, more: &mut BytesMut) {
    if output.is_empty() && MOVED_SIZE_MIN <= more.len() {
        std::mem::swap(output, more);
    } else {
        output.extend_from_slice(more);
    }
}

#[cfg(test)]
mod tests;
