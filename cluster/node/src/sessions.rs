//! Exactly once: which writes of which session a group has already applied.
//!
//! A session is opened through the log and named by the slot that opened it, so no two are ever the
//! same. A write carries its session and a sequence; applying it twice is then impossible, however
//! often a node repeats it after a lost answer (Ongaro 2014, §6.3). The table is part of the replicated
//! state: every replica evicts the same session at the same slot.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use crate::entry::{SessionStamp, put_bytes};
use crate::reader::Reader;

/// The most sessions a group remembers; beyond it the one idle for longest is forgotten.
pub(crate) const SESSION_COUNT_MAX: usize = 1024;
/// The most unacknowledged writes remembered of one session.
pub(crate) const SESSION_WINDOW_MAX: usize = 65_536;
/// A longer reply is not kept: a repeated request then hears that it was applied, without the reply.
pub(crate) const SAVED_REPLY_SIZE_MAX: usize = 1024;

/// The table of one group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sessions {
    sessions: BTreeMap<u64, Session>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Session {
    /// The slot that last used it.
    used: u64,
    acknowledged_below: u64,
    /// Applied and not yet acknowledged, in order: sequence, reply.
    applied: VecDeque<(u64, SavedReply)>,
}

/// Most replies are the same.
type SavedReply = Cow<'static, [u8]>;

const OK: &[u8] = b"+OK\r\n";

fn saved(reply: &[u8]) -> SavedReply {
    if reply == OK { Cow::Borrowed(OK) } else { Cow::Owned(reply.to_vec()) }
}

impl Session {
    /// Where a sequence is, or would be.
    fn place_of(&self, sequence: u64) -> Result<usize, usize> {
        self.applied.binary_search_by_key(&sequence, |(applied, _)| *applied)
    }

    /// Everything below is acknowledged: its replies are forgotten.
    fn acknowledge(&mut self, below: u64) {
        self.acknowledged_below = self.acknowledged_below.max(below);
        while self.applied.front().is_some_and(|(sequence, _)| *sequence < below) {
            self.applied.pop_front();
        }
    }
}

/// What the table says of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Apply it.
    New,
    /// It has been applied; this was the reply.
    Applied(Vec<u8>),
    /// No such session (any more): whether the write was applied is unknown.
    NoSession,
}

impl Sessions {
    pub(crate) fn open(&mut self, slot: u64) {
        if self.sessions.len() == SESSION_COUNT_MAX {
            let idle = self.sessions.iter().min_by_key(|(id, session)| (session.used, **id));
            let idle = *idle.expect("the table is full, so not empty").0;
            self.sessions.remove(&idle);
        }
        self.sessions.insert(slot, Session { used: slot, ..Session::default() });
    }

    pub(crate) fn look(&self, stamp: SessionStamp) -> Seen {
        if stamp.session == 0 {
            return Seen::New;
        }
        let Some(session) = self.sessions.get(&stamp.session) else { return Seen::NoSession };
        if stamp.sequence < session.acknowledged_below {
            return Seen::Applied(Vec::new()); // Its sender has had the answer.
        }
        match session.place_of(stamp.sequence) {
            Ok(at) => Seen::Applied(session.applied[at].1.to_vec()),
            Err(_) => Seen::New,
        }
    }

    /// Notes that the write was applied at `slot`, with this reply.
    pub(crate) fn applied(&mut self, stamp: SessionStamp, slot: u64, reply: &[u8]) {
        if stamp.session == 0 {
            return;
        }
        let session = self.sessions.get_mut(&stamp.session).expect("looked up before applying");
        session.used = slot;
        session.acknowledge(stamp.acknowledged_below);
        let kept = if reply.len() <= SAVED_REPLY_SIZE_MAX { saved(reply) } else { saved(&[]) };
        match session.place_of(stamp.sequence) {
            Ok(at) => session.applied[at].1 = kept,
            Err(at) => session.applied.insert(at, (stamp.sequence, kept)),
        }
        if SESSION_WINDOW_MAX < session.applied.len() {
            // Counts as acknowledged: forgetting it must not make it look new.
            let oldest = session.applied.front().expect("longer than the window").0;
            session.acknowledge(oldest + 1);
        }
    }

    pub(crate) fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(&(self.sessions.len() as u32).to_le_bytes());
        for (id, session) in &self.sessions {
            target.extend_from_slice(&id.to_le_bytes());
            target.extend_from_slice(&session.used.to_le_bytes());
            target.extend_from_slice(&session.acknowledged_below.to_le_bytes());
            target.extend_from_slice(&(session.applied.len() as u32).to_le_bytes());
            for (sequence, reply) in &session.applied {
                target.extend_from_slice(&sequence.to_le_bytes());
                put_bytes(target, reply);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Sessions> {
        let mut sessions = BTreeMap::new();
        for _ in 0..reader.u32()? {
            let id = reader.u64()?;
            let (used, acknowledged_below) = (reader.u64()?, reader.u64()?);
            let mut session = Session { used, acknowledged_below, ..Session::default() };
            for _ in 0..reader.u32()? {
                let sequence = reader.u64()?;
                if session.applied.back().is_some_and(|(last, _)| sequence <= *last) {
                    return None; // Nobody writes them so, and a search would miss them.
                }
                session.applied.push_back((sequence, saved(reader.sized()?)));
            }
            sessions.insert(id, session);
        }
        Some(Sessions { sessions })
    }
}

#[cfg(test)]
mod tests;
