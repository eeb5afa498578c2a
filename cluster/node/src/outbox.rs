//! What waits to be sent to one peer: bounded, and folded where two messages say as much as one.
//!
//! ```text
//! frames     everything but consensus, encoded already
//! messages   of the consensus groups, in the order of each group: one frame a wake-up, or a few
//! ```
//!
//! The two keep no order between them, and need none: consensus tolerates messages that overtake each
//! other. It tolerates loss, so a full box drops consensus messages. It must not drop silently for ever:
//! what is lost is counted, and the cores send again.

use std::collections::BTreeMap;

use bytes::BytesMut;
use evenkeel_core::consensus::{Message, Payload, ReplicaId, Slot};
use evenkeel_wire::peer::{self, Message as Frame, PeerError};

/// The most bytes of messages kept for a peer that does not take them.
pub(crate) const OUTBOX_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A buffer for frames that grew larger is given back.
const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// An `Accept` grows by folding until it holds this much.
const FOLDED_BYTES_MAX: usize = 1024 * 1024;

/// One consensus message to send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) group: u32,
    pub(crate) to: ReplicaId,
    pub(crate) message: Message,
    /// In bytes, about.
    pub(crate) size: usize,
}

/// What waits for one peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: Vec<Outgoing>,
    /// Group → its last message in `messages`.
    last: BTreeMap<u32, usize>,
    frames: BytesMut,
    bytes: usize,
    pub(crate) dropped: u64,
}

impl Outbox {
    pub(crate) fn consensus(&mut self, group: u32, to: ReplicaId, message: Message) {
        let size = message_size(&message);
        if OUTBOX_BYTES_MAX < self.bytes + size {
            self.dropped += 1;
            return;
        }
        self.bytes += size;
        if let Some(&place) = self.last.get(&group)
            && self.messages[place].to == to
            && fold(&mut self.messages[place].message, &message)
        {
            self.messages[place].size += size;
            return;
        }
        self.last.insert(group, self.messages.len());
        self.messages.push(Outgoing { group, to, message, size });
    }

    /// Queues a frame. `false`: the box is full, and the frame will not be sent.
    ///
    /// # Errors
    /// The frame is too large for any peer; it is not queued.
    pub(crate) fn frame(&mut self, frame: &Frame) -> Result<bool, PeerError> {
        let size_before = self.frames.len();
        peer::encode(frame, &mut self.frames)?;
        let size = self.frames.len() - size_before;
        let fits = self.bytes + size <= OUTBOX_BYTES_MAX;
        if fits {
            self.bytes += size;
        } else {
            self.frames.truncate(size_before);
            self.dropped += 1;
        }
        Ok(fits)
    }

    /// Empties the box: appends the frames to `frames`, and returns the consensus messages.
    pub(crate) fn take(&mut self, frames: &mut BytesMut) -> Vec<Outgoing> {
        self.bytes = 0;
        self.last.clear();
        frames.extend_from_slice(&self.frames);
        self.frames.clear();
        if KEPT_BYTES_MAX < self.frames.capacity() {
            self.frames = BytesMut::new();
        }
        std::mem::take(&mut self.messages)
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

/// In bytes, about.
pub(crate) fn payload_size(payload: &Payload) -> usize {
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
    use bytes::Bytes;
    use evenkeel_core::consensus::Ballot;
    use evenkeel_wire::peer::messages::MapReply;

    use super::*;

    fn accept(after: u64, count: usize) -> Message {
        let ballot = Ballot { round: 1, replica: ReplicaId(1) };
        let payloads = vec![Payload::Application(Bytes::from_static(b"x")); count];
        Message::Accept { ballot, after: Slot(after), payloads, commit: Slot(after) }
    }

    #[test]
    fn accepts_of_a_group_that_follow_each_other_travel_as_one() {
        let (mut outbox, to) = (Outbox::default(), ReplicaId(2));
        outbox.consensus(1, to, accept(0, 1));
        outbox.consensus(2, to, accept(3, 1)); // Another group: not folded.
        outbox.consensus(1, to, accept(1, 2)); // Folded, whatever stands between.
        outbox.consensus(2, to, accept(9, 1)); // A gap: not folded.
        let Message::Accept { ballot, payloads, .. } = accept(0, 3) else { unreachable!() };
        let folded = Message::Accept { ballot, after: Slot(0), payloads, commit: Slot(1) };
        let messages: Vec<(u32, Message)> = outbox
            .take(&mut BytesMut::new())
            .into_iter()
            .map(|outgoing| (outgoing.group, outgoing.message))
            .collect();
        assert_eq!(messages, [(1, folded), (2, accept(3, 1)), (2, accept(9, 1))]);
    }

    /// A message folds into the last one of its group only: what is behind that must not overtake it.
    #[test]
    fn a_message_never_overtakes_another_of_its_group() {
        let (mut outbox, to) = (Outbox::default(), ReplicaId(2));
        let ballot = Ballot { round: 1, replica: ReplicaId(1) };
        let heartbeat = Message::Heartbeat { ballot, commit: Slot(0), round: 1 };
        outbox.consensus(1, to, accept(0, 1));
        outbox.consensus(1, to, heartbeat.clone());
        outbox.consensus(1, to, accept(1, 1));
        outbox.consensus(1, ReplicaId(3), accept(2, 1)); // Another life of the peer.
        let messages: Vec<Message> = outbox
            .take(&mut BytesMut::new())
            .into_iter()
            .map(|outgoing| outgoing.message)
            .collect();
        assert_eq!(messages, [accept(0, 1), heartbeat, accept(1, 1), accept(2, 1)]);
        outbox.consensus(1, to, accept(1, 1)); // What was taken is gone.
        assert_eq!(outbox.take(&mut BytesMut::new()).len(), 1);
    }

    #[test]
    fn a_peer_that_takes_nothing_cannot_grow_our_memory() {
        let mut outbox = Outbox::default();
        let placement = Bytes::from(vec![0; 1024 * 1024]);
        let frame = Frame::MapReply(MapReply { epoch: 1, placement });
        let sent = (0..64).filter(|_| outbox.frame(&frame).expect("it is not too large")).count();
        assert_eq!(sent, 15, "sixteen, but for their headers");
        assert_eq!(outbox.dropped, 64 - sent as u64);
        assert!(outbox.bytes <= OUTBOX_BYTES_MAX);
        outbox.consensus(1, ReplicaId(2), accept(0, 1));
        let mut frames = BytesMut::new();
        let messages = outbox.take(&mut frames);
        assert_eq!(messages.len(), 1, "small ones still fit");
        assert!(15 << 20 < frames.len() && frames.len() <= OUTBOX_BYTES_MAX);
        assert_eq!(outbox.frame(&frame), Ok(true), "what was taken makes room");
    }
}
