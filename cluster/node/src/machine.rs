//! The replicated state of one group beside its keys: sessions, time, and a digest of its history.
//!
//! Pure but for the store it is handed. Applying the same entries in the same order gives the same
//! state everywhere: expiry is judged by the time in the entry, never by a clock.

use std::collections::{BTreeMap, VecDeque};

use evenkeel_core::consensus::{Ballot, Slot};
use evenkeel_core::placement::slots;
use evenkeel_engine::Location;
use evenkeel_engine::batch::{Batch, Operation};
use evenkeel_engine::store::Store;

use crate::bugs::{Bug, planted};
use crate::entry::{Context, Leading, WriteContext, ballot, context, put_ballot};
use crate::observe::{digest, observed};
use crate::reader::Reader;
use crate::sessions::{Seen, Sessions};

/// Hash slot → the log slot that last took a key of it away.
pub(crate) type Vanished = BTreeMap<u16, u64>;

/// Marks a token of a key that is not there.
pub(crate) const ABSENT: u64 = 1 << 62;

/// The state of one group, as of `applied`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Machine {
    pub(crate) applied: Slot,
    /// The highest time in any applied entry: what has expired by then is gone for good.
    pub(crate) time_ms: u64,
    pub(crate) sessions: Sessions,
    /// Per hash slot, when a key of it last vanished; see `token_of`.
    pub(crate) vanished: Vanished,
    /// All writes from slot `since` on were evaluated in this ballot.
    pub(crate) ballot: Ballot,
    pub(crate) since: u64,
    /// Rolls over every effect; equal at equal slots, or replicas have diverged.
    pub(crate) digest: u64,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took effect now, or had already: the client gets this reply.
    Applied(Vec<u8>),
    /// A key did not have the version the write relied on. No effect.
    ConditionFailed,
    /// The session is not known. No effect now; before, unknown.
    NoSession,
    /// A session was opened; its id is the slot.
    SessionOpened(u64),
    /// A placement command, for the placement group to look at.
    Placement(Vec<u8>),
    /// Nothing to tell anybody.
    Nothing,
}

impl Machine {
    /// Applies the entry at the next slot. `home` is where the log keeps it.
    pub(crate) fn apply(
        &mut self,
        slot: Slot,
        payload: &[u8],
        home: Location,
        store: &mut Store,
    ) -> Outcome {
        assert!(slot.0 == self.applied.0 + 1, "slots are applied in order, each once");
        self.applied = slot;
        let batch = Batch::decode(payload).expect("checked when it entered the log");
        let outcome = match context(batch.context()).expect("checked when it entered the log") {
            Context::Noop | Context::Voters(_) => Outcome::Nothing,
            Context::Placement(command) => Outcome::Placement(command.to_vec()),
            Context::OpenSession { time_ms, .. } => {
                self.time_ms = self.time_ms.max(time_ms);
                self.sessions.open(slot.0);
                Outcome::SessionOpened(slot.0)
            }
            Context::Write(write) => self.write(slot, &write, &batch, home, store),
        };
        if observed() {
            self.roll_digest(slot, payload, &outcome);
        }
        outcome
    }

    fn write(
        &mut self,
        slot: Slot,
        write: &WriteContext<'_>,
        batch: &Batch<'_>,
        home: Location,
        store: &mut Store,
    ) -> Outcome {
        self.time_ms = self.time_ms.max(write.time_ms);
        if self.ballot != write.evaluated_in.ballot {
            (self.ballot, self.since) = (write.evaluated_in.ballot, slot.0);
        }
        match self.sessions.look(write.session) {
            Seen::New => (),
            Seen::Applied(_) if planted(Bug::RepeatedWriteApplied) => (),
            Seen::Applied(reply) => return Outcome::Applied(reply),
            Seen::NoSession => return Outcome::NoSession,
        }
        let holds = |&(key, wanted): &(&[u8], u64)| match wanted & ABSENT {
            0 => version_of(store, key, self.time_ms) == wanted,
            _ => token_of(store, &self.vanished, key, self.time_ms) == wanted,
        };
        let is_sound = |condition: &(&[u8], u64)| {
            holds(condition) && !self.is_built_on_another(write.evaluated_in, condition.1)
        };
        if !write.conditions.iter().all(is_sound) && !planted(Bug::ConditionsIgnored) {
            return Outcome::ConditionFailed;
        }
        for (index, operation) in batch.operations().enumerate() {
            if perform(&operation, slot, (home, index as u32), self.time_ms, store) {
                let (Operation::Put { key, .. } | Operation::Delete { key }) = operation;
                self.vanished.insert(slots::slot(key), slot.0);
            }
        }
        self.sessions.applied(write.session, slot.0, write.reply);
        Outcome::Applied(write.reply.to_vec())
    }

    /// A leader evaluates on what it has proposed itself. If its entries come back under a later leader,
    /// a slot among them may hold another leader's entry, of the same key even: then the version is the
    /// slot that was expected, and the value is not. So what relies on a slot behind the opening of its
    /// own ballot takes effect only if nothing but that ballot's writes was applied from there on.
    fn is_built_on_another(&self, evaluated_in: Leading, wanted: u64) -> bool {
        let relied_on = wanted & !ABSENT;
        let is_own = evaluated_in.ballot.round != 0 && evaluated_in.opening < relied_on;
        is_own && relied_on < self.since && !planted(Bug::GhostChainApplied)
    }

    fn roll_digest(&mut self, slot: Slot, payload: &[u8], outcome: &Outcome) {
        let word = match outcome {
            Outcome::Applied(_) => 1u8,
            Outcome::ConditionFailed => 2,
            Outcome::NoSession => 3,
            Outcome::SessionOpened(_) | Outcome::Placement(_) | Outcome::Nothing => 4,
        };
        let state = digest(self.digest, &slot.0.to_le_bytes());
        self.digest = digest(digest(state, &[word]), payload);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut target = Vec::new();
        target.extend_from_slice(&self.applied.0.to_le_bytes());
        target.extend_from_slice(&self.time_ms.to_le_bytes());
        target.extend_from_slice(&self.digest.to_le_bytes());
        target.extend_from_slice(&(self.vanished.len() as u32).to_le_bytes());
        for (slot, at) in &self.vanished {
            target.extend_from_slice(&u32::from(*slot).to_le_bytes());
            target.extend_from_slice(&at.to_le_bytes());
        }
        if planted(Bug::SessionsLeftOut) {
            Sessions::default().encode(&mut target);
        } else {
            self.sessions.encode(&mut target);
        }
        put_ballot(&mut target, self.ballot);
        target.extend_from_slice(&self.since.to_le_bytes());
        target
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Machine> {
        let applied = Slot(reader.u64()?);
        let (time_ms, digest) = (reader.u64()?, reader.u64()?);
        let mut vanished = Vanished::new();
        for _ in 0..reader.u32()? {
            let slot = u16::try_from(reader.u32()?).ok()?;
            vanished.insert(slot, reader.u64()?);
        }
        let sessions = Sessions::decode(reader)?;
        // Earlier releases ended here.
        let ballot = ballot(reader).unwrap_or_default();
        let since = reader.u64().unwrap_or(0);
        Some(Machine { applied, time_ms, ballot, since, digest, vanished, sessions })
    }
}

/// The version of a key as of `time_ms`; 0 when it is absent or has expired by then.
pub(crate) fn version_of(store: &Store, key: &[u8], time_ms: u64) -> u64 {
    match store.peek(slots::slot(key), key) {
        Some(found) if found.expires_at_ms != 0 && found.expires_at_ms <= time_ms => 0,
        Some(found) => found.version,
        None => 0,
    }
}

/// What `WATCH` remembers of a key: its version, or, of one that is not there, since when at the
/// earliest. Without the latter, a key that came and went between `WATCH` and `EXEC` would look
/// untouched to a client that has seen it in between.
pub(crate) fn token_of(store: &Store, vanished: &Vanished, key: &[u8], time_ms: u64) -> u64 {
    let slot = slots::slot(key);
    match store.peek(slot, key) {
        Some(found) if found.expires_at_ms != 0 && found.expires_at_ms <= time_ms => {
            ABSENT | found.version
        }
        Some(found) => found.version,
        None => ABSENT | vanished.get(&slot).copied().unwrap_or(0),
    }
}

/// Does one operation to the store, as of `time_ms`. Whether it took a key away.
pub(crate) fn perform(
    operation: &Operation<'_>,
    slot: Slot,
    home: (Location, u32),
    time_ms: u64,
    store: &mut Store,
) -> bool {
    match *operation {
        Operation::Put { key, value, expires_at_ms } => {
            store.put(slots::slot(key), key, value, slot.0, expires_at_ms, Some(home));
            false
        }
        Operation::Delete { key } => store.remove_expired(slots::slot(key), key, time_ms),
    }
}

/// The leader's uncommitted writes, newest last: what a key will be once they are applied.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    keys: BTreeMap<Box<[u8]>, VecDeque<PendingWrite>>,
}

/// One uncommitted write of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingWrite {
    pub(crate) slot: Slot,
    /// `None`: deleted.
    pub(crate) value: Option<(bytes::Bytes, u64)>,
}

impl Overlay {
    pub(crate) fn newest(&self, key: &[u8]) -> Option<&PendingWrite> {
        self.keys.get(key).and_then(VecDeque::back)
    }

    pub(crate) fn push(&mut self, key: &[u8], write: PendingWrite) {
        if let Some(pending) = self.keys.get_mut(key) {
            pending.push_back(write);
        } else {
            self.keys.insert(key.into(), VecDeque::from([write]));
        }
    }

    /// Forgets what has been applied, or never will be.
    pub(crate) fn settle(&mut self, key: &[u8], upto: Slot) {
        if let Some(pending) = self.keys.get_mut(key) {
            while pending.front().is_some_and(|write| write.slot <= upto) {
                pending.pop_front();
            }
            if pending.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.keys.clear();
    }
}

#[cfg(test)]
mod tests;
