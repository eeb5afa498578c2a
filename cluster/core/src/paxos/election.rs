//! Becoming leader: pre-vote, phase 1, and what to do with the values found.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::leader::Leadership;
use super::{Paxos, State, quorum};
use crate::bugs::{Bug, planted};
use crate::consensus::{
    Ballot, Configuration, Effect, Entry, Message, Micros, Payload, ReplicaId, Slot, Token,
};

/// Asks whether an election could be won; nobody's promise changes meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PreVote {
    ballot: Ballot,
    granted_by: BTreeSet<ReplicaId>,
    ask_again_at: Micros,
}

/// Phase 1 of one ballot, over every slot that is not known chosen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Candidacy {
    ballot: Ballot,
    /// Its own promise is durable once this is; `Prepare` leaves no earlier.
    pub(super) token: Token,
    /// Promises were asked to report from here on.
    first: Slot,
    transfer: bool,
    pub(super) promised_by: BTreeSet<ReplicaId>,
    asked: BTreeSet<ReplicaId>,
    ask_again_at: Micros,
    /// Per slot, of all that was reported: what was accepted in the highest ballot.
    found: BTreeMap<Slot, Entry>,
    /// Everything up to here is known chosen, and is in `found` or in the log.
    chosen: Slot,
}

impl Candidacy {
    fn prepare(&self) -> Message {
        Message::Prepare { ballot: self.ballot, from: self.first, transfer: self.transfer }
    }

    fn merge(&mut self, accepted: Vec<Entry>) {
        for entry in accepted {
            let known = self.found.get(&entry.slot).map(|known| known.ballot);
            let newer = known.is_none_or(|known| known < entry.ballot);
            if newer || planted(Bug::ValueFromWrongBallot) {
                self.found.insert(entry.slot, entry);
            }
        }
    }
}

impl Paxos {
    /// The time-out: no leader was heard, or an election was not won.
    pub(super) fn ask_for_votes(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let promised_to_other = now < self.lease_promised_until && self.promised.replica != self.id;
        self.follow(now, None, effects);
        if !promised_to_other && self.is_voter() && self.may_stand(now) {
            self.start_pre_vote(now, effects);
        }
    }

    /// A replica that was voted out may be the last one that knows so: the others lack entries that it
    /// can no longer report, and wait for it in vain. It leads once more, until they have everything.
    pub(super) fn take_care(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let waits = matches!(self.state, State::Follower { leader: None });
        if waits && !self.is_voter() && self.may_stand(now) {
            self.start_pre_vote(now, effects);
        }
    }

    fn start_pre_vote(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let round = self.promised.round.max(self.seen.round) + 1;
        let ballot = Ballot { round, replica: self.id };
        if planted(Bug::RejoiningNodeDeposes) {
            return self.stand(now, ballot, false, effects);
        }
        let granted_by = BTreeSet::from([self.id]);
        let ask_again_at = now.plus(self.timing.heartbeat);
        self.state = State::PreVote(PreVote { ballot, granted_by, ask_again_at });
        self.broadcast(&self.pre_prepare(ballot), None, effects);
        self.stand_if_granted(now, effects);
    }

    /// Messages get lost; whoever has not answered is asked again.
    pub(super) fn ask_again(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let next = now.plus(self.timing.heartbeat);
        match &mut self.state {
            State::PreVote(vote) if vote.ask_again_at <= now => {
                vote.ask_again_at = next;
                let ballot = vote.ballot;
                self.broadcast(&self.pre_prepare(ballot), None, effects);
            }
            State::Candidate(candidacy) if candidacy.ask_again_at <= now => {
                candidacy.ask_again_at = next;
                let (message, after) = (candidacy.prepare(), Some(candidacy.token));
                for &to in candidacy.asked.difference(&candidacy.promised_by) {
                    effects.push(Effect::Send { to, message: message.clone(), after });
                }
            }
            State::PreVote(_) | State::Candidate(_) | State::Follower { .. } | State::Leader(_) => {
            }
        }
    }

    pub(super) fn on_pre_promise(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        granted: bool,
        promised: Ballot,
        effects: &mut Vec<Effect>,
    ) {
        self.seen = self.seen.max(promised);
        let State::PreVote(vote) = &mut self.state else { return };
        if vote.ballot != ballot {
            return;
        }
        if granted {
            vote.granted_by.insert(from);
            self.stand_if_granted(now, effects);
        } else if ballot.round <= promised.round {
            self.ask_for_votes(now, effects); // Now that it knows what to exceed.
        }
    }

    /// A candidate's disk must answer: its own promise has to get there.
    pub(super) fn may_stand(&self, now: Micros) -> bool {
        !self.flushes.hang(now, self.timing.election_max)
    }

    pub(super) fn is_voter(&self) -> bool {
        self.log.configuration().contains(self.id)
    }

    /// Phase 1a, once this replica's own promise is durable.
    pub(super) fn stand(
        &mut self,
        now: Micros,
        ballot: Ballot,
        transfer: bool,
        effects: &mut Vec<Effect>,
    ) {
        assert!(ballot.replica == self.id, "the ballot is another replica's");
        assert!(self.promised.round < ballot.round, "one promise a round");
        self.follow(now, None, effects);
        self.raise_promise(ballot);
        let token = self.persist(now, true, Vec::new(), effects);
        let first = self.log.commit().next();
        let found = self.log.entries_from(first).map(|entry| (entry.slot, entry.clone()));
        let candidacy = Candidacy {
            ballot,
            token,
            first,
            transfer,
            promised_by: BTreeSet::new(),
            asked: self.others(),
            ask_again_at: now.plus(self.timing.heartbeat),
            found: found.collect(),
            chosen: self.log.commit(),
        };
        self.broadcast(&candidacy.prepare(), Some(token), effects);
        self.state = State::Candidate(candidacy);
    }

    pub(super) fn on_promise(
        &mut self,
        now: Micros,
        from: ReplicaId,
        ballot: Ballot,
        accepted: Vec<Entry>,
        commit: Slot,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.log.commit();
        let State::Candidate(candidacy) = &mut self.state else { return };
        if candidacy.ballot != ballot || candidacy.promised_by.contains(&from) {
            return;
        }
        let chosen = accepted.iter().filter(|entry| known < entry.slot && entry.slot <= commit);
        let complete = chosen.count() as u64 == commit.0.saturating_sub(known.0);
        if !complete && !planted(Bug::ChosenHoleFilled) {
            // A value was chosen and nobody tells which: stand back, and let the responder lead.
            return self.follow(now, None, effects);
        }
        candidacy.merge(accepted);
        candidacy.chosen = candidacy.chosen.max(commit);
        candidacy.promised_by.insert(from);
        self.lead_if_elected(now, effects);
    }

    /// Somebody has promised a higher ballot.
    pub(super) fn on_reject(&mut self, now: Micros, promised: Ballot, effects: &mut Vec<Effect>) {
        self.seen = self.seen.max(promised);
        if promised <= self.promised {
            return; // Old news.
        }
        match &self.state {
            State::Candidate(_) => self.follow(now, None, effects),
            // Deposed, or healthy and in the way of one replica that cannot come back to a lower
            // ballot. The pre-vote tells: followers of this leader grant it, those of another do not.
            State::Leader(_) => self.ask_for_votes(now, effects),
            State::Follower { .. } | State::PreVote(_) => {}
        }
    }

    /// A quorum of promises, in every configuration in force: the promises themselves may bring a
    /// newer one to light.
    pub(super) fn lead_if_elected(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let State::Candidate(candidacy) = &self.state else { return };
        let needed = self.in_force_for(candidacy);
        let newest = needed.last().expect("some configuration is in force");
        if !newest.contains(self.id) && self.is_voter() {
            return self.follow(now, None, effects); // It was voted out and did not know.
        }
        let promised_by = &candidacy.promised_by;
        if needed.iter().all(|configuration| quorum::agreed(configuration, promised_by)) {
            let State::Candidate(candidacy) =
                core::mem::replace(&mut self.state, State::Follower { leader: None })
            else {
                unreachable!("matched above");
            };
            return self.lead(now, candidacy, effects);
        }
        let voters = needed.iter().flat_map(|configuration| configuration.voters.clone());
        let unasked: Vec<ReplicaId> =
            voters.filter(|voter| *voter != self.id && !candidacy.asked.contains(voter)).collect();
        let (message, after) = (candidacy.prepare(), Some(candidacy.token));
        for to in unasked {
            let State::Candidate(candidacy) = &mut self.state else { return };
            if candidacy.asked.insert(to) {
                effects.push(Effect::Send { to, message: message.clone(), after });
            }
        }
    }

    /// Phase 2 begins: every value found is proposed again, in this ballot, holes become no-ops, and a
    /// no-op of its own opens the ballot.
    fn lead(&mut self, now: Micros, candidacy: Candidacy, effects: &mut Vec<Effect>) {
        let Candidacy { ballot, mut found, chosen, .. } = candidacy;
        assert!(ballot == self.promised, "the promise went to another meanwhile");
        let first = self.log.commit().next();
        let last_found = found.last_key_value().map_or(Slot(0), |(&slot, _)| slot);
        let opening = last_found.max(chosen).max(self.log.commit()).next();
        let mut entries = Vec::new();
        for slot in (first.0..=opening.0).map(Slot) {
            let old = found.remove(&slot);
            let ghost = old.as_ref().filter(|_| planted(Bug::GhostEntryRevived));
            let ballot = ghost.map_or(ballot, |old| old.ballot);
            let payload = old.map_or(Payload::Noop, |old| old.payload);
            let entry = Entry { slot, ballot, payload };
            self.log.put(entry.clone());
            entries.push(entry);
        }
        assert!(self.log.last() == opening, "nothing may be behind the opening slot");
        let peers = self.others();
        let leadership = Leadership::new(first.previous(), opening, peers, now);
        self.state = State::Leader(leadership);
        self.write_own(now, entries, effects);
        self.commit_to(chosen, effects);
        self.settle_membership(now, effects);
        self.replicate_all(effects);
        self.start_round(now, effects);
    }

    fn stand_if_granted(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let State::PreVote(vote) = &self.state else { return };
        let (ballot, granted_by) = (vote.ballot, &vote.granted_by);
        if quorum::reached_in_all(&self.log, |voter| granted_by.contains(&voter)) {
            self.stand(now, ballot, false, effects);
        }
    }

    /// The newest configuration known chosen, and every later one that was found.
    fn in_force_for(&self, candidacy: &Candidacy) -> Vec<Configuration> {
        let commit = self.log.commit();
        let chosen = self.log.configuration_at(commit).expect("base <= commit").clone();
        let mut all = Vec::from([(commit, chosen)]);
        for entry in candidacy.found.range(commit.next()..).map(|(_, entry)| entry) {
            if let Payload::Configuration(configuration) = &entry.payload {
                all.push((entry.slot, configuration.clone()));
            }
        }
        let known = all.iter().rposition(|(slot, _)| *slot <= candidacy.chosen.max(commit));
        let in_force = all.split_off(known.expect("the first one is chosen"));
        in_force.into_iter().map(|(_, configuration)| configuration).collect()
    }

    fn pre_prepare(&self, ballot: Ballot) -> Message {
        let (last, commit) = (self.log.last(), self.log.commit());
        Message::PrePrepare { ballot, last, commit, transfer: false }
    }
}
