//! What every replica does for others: promise, accept, vouch. (The acceptor of the textbooks.)

use alloc::vec::Vec;

use super::{Paxos, State};
use crate::bugs::{Bug, planted};
use crate::consensus::{Ballot, Effect, Entry, Message, Micros, Payload, ReplicaId, Slot, Token};

/// What a message of a leader is, by its ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Deposed, or not its sender's ballot: nothing to do.
    Stale,
    /// The leader this replica follows.
    Known,
    /// A new one: the promise was raised and must be persisted.
    New,
}

impl Paxos {
    /// Would this replica promise? Asking changes nothing here.
    pub(super) fn on_pre_prepare(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        (last, commit): (Slot, Slot),
        transfer: bool,
        effects: &mut Vec<Effect>,
    ) {
        // A laggard can win and learn the rest from the promises, but whoever has more goes first:
        // who has tried in vain itself lets it.
        let complete = self.log.commit() <= last || self.tried;
        let granted = self.promised.round < ballot.round
            && self.may_elect(now, from, ballot, transfer)
            && self.can_report_from(commit.next())
            && !self.is_outvoted(from, commit)
            && complete;
        let message = Message::PrePromise { ballot, granted, promised: self.promised };
        effects.push(Effect::Send { to: from, message, after: None });
        if commit < self.log.base() && self.may_elect(now, self.id, ballot, false) {
            self.take_care(now, effects);
        }
    }

    pub(super) fn on_prepare(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        first: Slot,
        transfer: bool,
        effects: &mut Vec<Effect>,
    ) {
        if ballot.replica != from {
            return;
        }
        let again = ballot == self.promised;
        if !again && ballot.round <= self.promised.round {
            let message = Message::Reject { promised: self.promised };
            return effects.push(Effect::Send { to: from, message, after: None });
        }
        if !self.can_report_from(first) || self.is_outvoted(from, first.previous()) {
            return; // Chosen entries it asks for are gone from memory, or it is: it must not lead.
        }
        if !again {
            if !self.may_elect(now, from, ballot, transfer) {
                return;
            }
            self.raise_promise(ballot);
            self.lease_promised_until = now; // It is over, or its holder let go.
            self.follow(now, None, effects);
            self.persist(now, true, Vec::new(), effects);
        }
        let accepted = self.log.entries_from(first).cloned().collect();
        let message = Message::Promise { ballot, accepted, commit: self.log.commit() };
        let after = if planted(Bug::PromiseBeforeFlush) { None } else { self.flushes.pending() };
        effects.push(Effect::Send { to: from, message, after });
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of one message")]
    pub(super) fn on_accept(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        after: Slot,
        payloads: Vec<Payload>,
        commit: Slot,
        effects: &mut Vec<Effect>,
    ) {
        let heard = self.hear(now, from, ballot, effects);
        if heard == Heard::Stale {
            return;
        }
        let end = Slot(after.0 + payloads.len() as u64);
        let fits = after <= self.have;
        let written = if fits { self.accept(ballot, after, payloads) } else { Vec::new() };
        if heard == Heard::New || !written.is_empty() {
            self.persist(now, heard == Heard::New, written, effects);
        }
        if fits {
            self.have = self.have.max(end);
            self.vouch(from, ballot, effects);
            self.learn_commit(commit, effects);
        } else {
            let message = Message::Gap { ballot, have: self.have };
            effects.push(Effect::Send { to: from, message, after: None });
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        commit: Slot,
        round: u64,
        effects: &mut Vec<Effect>,
    ) {
        let heard = self.hear(now, from, ballot, effects);
        if heard == Heard::Stale {
            return;
        }
        if heard == Heard::New {
            self.persist(now, true, Vec::new(), effects);
        }
        self.promise_lease(now);
        let message = Message::HeartbeatOk { ballot, round, have: self.have };
        // It vouches for no entry, but a leader's ballot must not be forgotten once it was confirmed.
        let after: Option<Token> = self.flushes.pending().filter(|_| heard == Heard::New);
        effects.push(Effect::Send { to: from, message, after });
        self.learn_commit(commit, effects);
    }

    /// Whether everything this replica has accepted from there on is still in memory.
    fn can_report_from(&self, first: Slot) -> bool {
        self.log.base() < first || planted(Bug::ChosenHoleFilled)
    }

    /// Whether a candidate that knows chosen what is up to `commit` has missed its own removal. Two such
    /// would elect each other by the voters of old, and raise the ballots of those of today.
    ///
    /// One that knows as much as this replica may be the last that does: see `take_care`.
    fn is_outvoted(&self, candidate: ReplicaId, commit: Slot) -> bool {
        let votes = self.log.in_force().any(|(_, configuration)| configuration.contains(candidate));
        !votes && commit < self.log.commit() && !planted(Bug::OutvotedElected)
    }

    /// A replica that promises a ballot starts over in what it knows of its leader's log.
    pub(super) fn raise_promise(&mut self, ballot: Ballot) {
        assert!(self.promised < ballot, "a promise only grows");
        self.promised = ballot;
        self.seen = self.seen.max(ballot);
        self.have = self.log.commit();
    }

    fn hear(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        effects: &mut Vec<Effect>,
    ) -> Heard {
        if ballot.replica != from {
            return Heard::Stale;
        }
        if ballot < self.promised && !planted(Bug::AcceptLowerBallot) {
            let message = Message::Reject { promised: self.promised };
            effects.push(Effect::Send { to: from, message, after: None });
            return Heard::Stale;
        }
        let is_new = self.promised < ballot;
        if is_new {
            self.raise_promise(ballot);
        }
        self.follow(now, Some(from), effects);
        self.tried = false;
        if is_new { Heard::New } else { Heard::Known }
    }

    /// Takes values for the slots behind `after`; returns what is new and must be written.
    fn accept(&mut self, ballot: Ballot, after: Slot, payloads: Vec<Payload>) -> Vec<Entry> {
        assert!(after <= self.have, "there would be a hole");
        assert!(self.log.commit() <= self.have, "what is chosen equals any leader's log");
        let mut written = Vec::new();
        let mut slot = after;
        for payload in payloads {
            slot = slot.next();
            if slot <= self.log.base() {
                continue; // Chosen, applied, and gone from memory.
            }
            let old = self.log.entry(slot);
            if slot <= self.log.commit() {
                let same = old.is_some_and(|entry| entry.payload == payload);
                assert!(same, "two values were chosen at slot {}", slot.0);
                continue;
            }
            if let Some(old) = old.filter(|entry| entry.ballot == ballot) {
                assert!(old.payload == payload, "one ballot, two values at slot {}", slot.0);
                continue; // A duplicate: the network may repeat anything.
            }
            let entry = Entry { slot, ballot, payload };
            self.log.put(entry.clone());
            written.push(entry);
        }
        written
    }

    /// Tells the leader what is safe here, once it is. A repeated `Accept` gets the same answer, with
    /// the same reservation: being in memory is not being on disk.
    fn vouch(&self, leader: ReplicaId, ballot: Ballot, effects: &mut Vec<Effect>) {
        assert!(self.log.commit() <= self.have, "what is chosen equals any leader's log");
        let message = Message::Accepted { ballot, upto: self.have };
        let after = if planted(Bug::AcceptedBeforeFlush) { None } else { self.flushes.pending() };
        effects.push(Effect::Send { to: leader, message, after });
    }

    /// The leader may know more chosen than this replica has; what else is here may differ from it.
    fn learn_commit(&mut self, commit: Slot, effects: &mut Vec<Effect>) {
        assert!(matches!(self.state, State::Follower { .. }), "a leader learns from vouches");
        let known = if planted(Bug::CommitBeyondHave) { self.log.last() } else { self.have };
        self.commit_to(commit.min(known), effects);
    }
}
