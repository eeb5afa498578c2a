//! What waits to be sent to one peer: bounded, and folded where two messages say as much as one.
//!
//! Consensus tolerates loss, so a full box drops consensus messages. It must not drop silently for
//! ever: what is lost is counted, and the cores send again.

use std::collections::VecDeque;

use bytes::Bytes;
use evenkeel_core::consensus::{Message, Payload, ReplicaId, Slot};

/// The most bytes of messages kept for a peer that does not take them.
pub(crate) const OUTBOX_BYTES_MAX: usize = 16 * 1024 * 1024;
/// An `Accept` grows by folding until it holds this much.
const FOLDED_BYTES_MAX: usize = 1024 * 1024;

/// One thing to send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outgoing {
    Consensus {
        group: u32,
        to: ReplicaId,
        message: Message,
        /// In bytes, about.
        size: usize,
    },
    /// A frame that is encoded already.
    Frame(Bytes),
}

/// Messages for one peer, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Outgoing>,
    bytes: usize,
    pub(crate) dropped: u64,
}

impl Outbox {
    pub(crate) fn consensus(&mut self, group: u32, to: ReplicaId, message: Message) {
        let size = message_size(&message);
        if let Some(Outgoing::Consensus {
            group: last_group,
            to: last_to,
            message: last,
            size: sum,
        }) = self.queue.back_mut()
            && (*last_group, *last_to) == (group, to)
            && fold(last, &message)
        {
            *sum += size;
            self.bytes += size;
            return;
        }
        if OUTBOX_BYTES_MAX < self.bytes + size {
            self.dropped += 1;
            return;
        }
        self.bytes += size;
        self.queue.push_back(Outgoing::Consensus { group, to, message, size });
    }

    /// Queues a frame. `false`: the box is full, and the frame will not be sent.
    pub(crate) fn frame(&mut self, frame: Bytes) -> bool {
        if OUTBOX_BYTES_MAX < self.bytes + frame.len() {
            self.dropped += 1;
            return false;
        }
        self.bytes += frame.len();
        self.queue.push_back(Outgoing::Frame(frame));
        true
    }

    pub(crate) fn take(&mut self) -> VecDeque<Outgoing> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

/// Makes `last` say what `next` adds. `false`: they stay two messages.
fn fold(last: &mut Message, next: &Message) -> bool {
    match (last, next) {
        (
            Message::Accept { ballot, after, payloads, commit },
            Message::Accept {
                ballot: next_ballot,
                after: next_after,
                payloads: more,
                commit: next_commit,
            },
        ) => {
            let end = Slot(after.0 + payloads.len() as u64);
            let size: usize = payloads.iter().chain(more).map(payload_size).sum();
            if ballot != next_ballot || end != *next_after || FOLDED_BYTES_MAX < size {
                return false;
            }
            payloads.extend(more.iter().cloned());
            *commit = (*commit).max(*next_commit);
            true
        }
        (
            Message::Accepted { ballot, upto },
            Message::Accepted { ballot: next_ballot, upto: next_upto },
        ) if ballot == next_ballot => {
            *upto = (*upto).max(*next_upto);
            true
        }
        _ => false,
    }
}

fn message_size(message: &Message) -> usize {
    const ENVELOPE: usize = 48;
    ENVELOPE
        + match message {
            Message::Accept { payloads, .. } => payloads.iter().map(payload_size).sum(),
            Message::Promise { accepted, .. } => {
                accepted.iter().map(|entry| payload_size(&entry.payload) + 24).sum()
            }
            _ => 0,
        }
}

fn payload_size(payload: &Payload) -> usize {
    const OVERHEAD: usize = 16;
    OVERHEAD
        + match payload {
            Payload::Application(bytes) => bytes.len(),
            Payload::Noop => 0,
            Payload::Configuration(voters) => voters.voters.len() * 8,
        }
}

#[cfg(test)]
mod tests {
    use evenkeel_core::consensus::Ballot;

    use super::*;

    fn accept(after: u64, count: usize) -> Message {
        let ballot = Ballot { round: 1, replica: ReplicaId(1) };
        let payloads = vec![Payload::Application(Bytes::from_static(b"x")); count];
        Message::Accept { ballot, after: Slot(after), payloads, commit: Slot(after) }
    }

    #[test]
    fn accepts_that_follow_each_other_travel_as_one() {
        let (mut outbox, to) = (Outbox::default(), ReplicaId(2));
        outbox.consensus(1, to, accept(0, 1));
        outbox.consensus(1, to, accept(1, 2));
        outbox.consensus(2, to, accept(3, 1)); // Another group: not folded.
        outbox.consensus(2, to, accept(9, 1)); // A gap: not folded.
        let Message::Accept { ballot, payloads, .. } = accept(0, 3) else { unreachable!() };
        let folded = Message::Accept { ballot, after: Slot(0), payloads, commit: Slot(1) };
        let messages: Vec<(u32, Message)> = outbox
            .take()
            .into_iter()
            .map(|outgoing| match outgoing {
                Outgoing::Consensus { group, message, .. } => (group, message),
                Outgoing::Frame(_) => panic!("no frame was sent"),
            })
            .collect();
        assert_eq!(messages, [(1, folded), (2, accept(3, 1)), (2, accept(9, 1))]);
    }

    #[test]
    fn a_peer_that_takes_nothing_cannot_grow_our_memory() {
        let mut outbox = Outbox::default();
        let body = Bytes::from(vec![0; 1024 * 1024]);
        let sent = (0..64).filter(|_| outbox.frame(body.clone())).count();
        assert_eq!(sent, OUTBOX_BYTES_MAX / body.len());
        assert_eq!(outbox.dropped, 64 - sent as u64);
        assert!(outbox.bytes <= OUTBOX_BYTES_MAX);
    }
}
