//! A leader's view of one peer: what to send it next, and what it has vouched for.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::log::{Log, bytes_of};
use super::timing::Limits;
use crate::consensus::{Ballot, Effect, Message, Micros, ReplicaId, Slot};

/// What may be sent to a peer now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Flow {
    /// Entries, one `Accept` behind the other.
    Stream,
    /// Nothing: the state itself is on its way.
    Snapshot,
    /// Nothing: its next answer says where it stands.
    Probe,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    pub(super) flow: Flow,
    /// The next slot to send.
    pub(super) next: Slot,
    /// Everything up to here is on its disk, in this ballot or chosen.
    pub(super) vouched: Slot,
    /// The newest round it has answered, and when that round started.
    pub(super) round: u64,
    pub(super) round_started: Option<Micros>,
    /// When it was last heard.
    pub(super) heard_at: Micros,
    /// What was in flight: the last slot and the bytes of each `Accept`.
    sent: VecDeque<(Slot, u64)>,
    sent_bytes: u64,
    /// `have` and `vouched` as of the last answered round: no progress since then means loss.
    have_then: Option<Slot>,
    vouched_then: Option<Slot>,
    /// Where, and in which round, sending last started over: the Gaps of one burst cause one resend.
    rewound: Option<(Slot, u64)>,
}

impl Progress {
    pub(super) fn new(next: Slot, now: Micros) -> Progress {
        assert!(Slot(0) < next, "the first slot is 1");
        Progress {
            flow: Flow::Stream,
            next,
            vouched: Slot(0),
            round: 0,
            round_started: None,
            heard_at: now,
            sent: VecDeque::new(),
            sent_bytes: 0,
            have_then: None,
            vouched_then: None,
            rewound: None,
        }
    }

    /// Sends what the window allows.
    pub(super) fn stream(
        &mut self,
        to: ReplicaId,
        ballot: Ballot,
        log: &Log,
        limits: &Limits,
        effects: &mut Vec<Effect>,
    ) {
        while self.flow == Flow::Stream && self.next <= log.last() {
            if self.next <= log.base() {
                self.flow = Flow::Snapshot;
                return effects.push(Effect::SendSnapshot { to });
            }
            if limits.pipeline_bytes_max <= self.sent_bytes {
                return; // Its next vouch makes room.
            }
            let message = self.next_accept(ballot, log, limits);
            effects.push(Effect::Send { to, message, after: None });
        }
    }

    /// An `Accept` without payloads: its answer repeats a vouch that was lost.
    pub(super) fn ask_for_vouch(
        &self,
        to: ReplicaId,
        ballot: Ballot,
        log: &Log,
        effects: &mut Vec<Effect>,
    ) {
        let (after, commit) = (self.next.previous(), log.commit());
        let message = Message::Accept { ballot, after, payloads: Vec::new(), commit };
        effects.push(Effect::Send { to, message, after: None });
    }

    pub(super) fn vouch(&mut self, upto: Slot) {
        self.vouched = self.vouched.max(upto); // Answers may arrive out of order.
        self.next = self.next.max(upto.next());
        while self.sent.front().is_some_and(|&(slot, _)| slot <= self.vouched) {
            let (_, bytes) = self.sent.pop_front().expect("looked at it just now");
            self.sent_bytes -= bytes;
        }
        assert!(upto < self.next, "what it has need not be sent");
    }

    /// It has only this much: start over behind it, once per round and place.
    ///
    /// That may be less than it has vouched for: after a restart it has the entries, but no longer knows
    /// whose they are.
    pub(super) fn rewind(&mut self, have: Slot, round: u64) {
        let behind = have.next() < self.next;
        let fresh = self.rewound.is_none_or(|rewound| rewound != (have, round));
        if behind && fresh {
            self.next = have.next();
            self.rewound = Some((have, round));
            self.sent.clear();
            self.sent_bytes = 0;
        }
    }

    /// Notes what an answer to a heartbeat says; tells what to repair.
    pub(super) fn answered(&mut self, have: Slot, round: u64) -> Repair {
        let (have_then, vouched_then) = (self.have_then, self.vouched_then);
        self.have_then = Some(have);
        self.vouched_then = Some(self.vouched);
        if self.flow == Flow::Probe {
            self.flow = Flow::Stream;
            self.next = have.next();
            return Repair::Resend;
        }
        if self.flow == Flow::Snapshot {
            return Repair::Nothing;
        }
        if have.next() < self.next && Some(have) == have_then {
            self.rewind(have, round);
            return Repair::Resend;
        }
        let unvouched = self.vouched.next() < self.next;
        if unvouched && self.next <= have.next() && Some(self.vouched) == vouched_then {
            return Repair::AskForVouch;
        }
        Repair::Nothing
    }

    fn next_accept(&mut self, ballot: Ballot, log: &Log, limits: &Limits) -> Message {
        assert!(log.base() < self.next, "the entry is gone from memory");
        assert!(self.next <= log.last(), "there is nothing to send");
        let after = self.next.previous();
        let (mut payloads, mut bytes) = (Vec::new(), 0);
        for entry in log.entries_from(self.next) {
            assert!(entry.slot == self.next, "a leader's log has no holes");
            let size = bytes_of(&entry.payload);
            let full = limits.accept_count_max <= payloads.len() as u64
                || limits.accept_bytes_max < bytes + size;
            if full && !payloads.is_empty() {
                break;
            }
            payloads.push(entry.payload.clone());
            bytes += size;
            self.next = self.next.next();
        }
        self.sent.push_back((self.next.previous(), bytes));
        self.sent_bytes += bytes;
        Message::Accept { ballot, after, payloads, commit: log.commit() }
    }
}

/// What an answer to a heartbeat calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Repair {
    Nothing,
    /// Entries were lost on the way.
    Resend,
    /// The vouch was.
    AskForVouch,
}
