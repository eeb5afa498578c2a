//! What a command sees when it is evaluated: applied state, or the leader's state to be.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use evenkeel_core::placement::slots;
use evenkeel_engine::store::{Store, Value};

use crate::command::{self, Seen, View};
use crate::machine::{ABSENT, Overlay, Vanished, token_of};

/// One change to one key, that outlives the command that asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    Put { key: Bytes, value: Bytes, expires_at_ms: u64 },
    Delete { key: Bytes },
}

impl Write {
    pub(crate) fn keep(write: command::Write<'_>) -> Write {
        match write {
            command::Write::Put { key, value, expires_at_ms } => Write::Put {
                key: Bytes::copy_from_slice(key),
                value: Bytes::from(value.into_owned()),
                expires_at_ms,
            },
            command::Write::Delete { key } => Write::Delete { key: Bytes::copy_from_slice(key) },
        }
    }

    pub(crate) fn key(&self) -> &Bytes {
        match self {
            Write::Put { key, .. } | Write::Delete { key } => key,
        }
    }

    /// The value and its deadline; `None`: deleted.
    pub(crate) fn value(&self) -> Option<(Bytes, u64)> {
        match self {
            Write::Put { value, expires_at_ms, .. } => Some((value.clone(), *expires_at_ms)),
            Write::Delete { .. } => None,
        }
    }
}

/// Values by key, with the version they belong to.
pub(crate) type Fetched = BTreeMap<Bytes, (u64, Bytes)>;

/// The state as applied here, with the writes of the same transaction on top.
///
/// With an overlay it is the state to be: what is proposed counts as done. The version of a key that
/// an earlier command of the same transaction wrote is the one it had before the transaction.
pub(crate) struct GroupView<'a> {
    store: &'a Store,
    overlay: Option<&'a Overlay>,
    /// Values that were read from the log for this evaluation.
    fetched: &'a Fetched,
    scratch: BTreeMap<Bytes, Scratch>,
    /// Whether anything uncommitted was seen: the reply must then wait for it.
    speculative: Cell<bool>,
    ttl_jitter_percent: u8,
}

struct Scratch {
    value: Option<(Bytes, u64)>,
    version: u64,
}

impl<'a> GroupView<'a> {
    pub(crate) fn new(
        store: &'a Store,
        overlay: Option<&'a Overlay>,
        fetched: &'a Fetched,
    ) -> GroupView<'a> {
        GroupView {
            store,
            overlay,
            fetched,
            scratch: BTreeMap::new(),
            speculative: Cell::new(false),
            ttl_jitter_percent: 0,
        }
    }

    /// With times to live that are shorter than asked for by up to so many percent.
    pub(crate) fn with_ttl_jitter(self, ttl_jitter_percent: u8) -> GroupView<'a> {
        GroupView { ttl_jitter_percent, ..self }
    }

    pub(crate) fn was_speculative(&self) -> bool {
        self.speculative.get()
    }

    /// Lets later commands of the transaction see this one's writes.
    pub(crate) fn write(&mut self, writes: &[Write], now_ms: u64) {
        for write in writes {
            let version = self.version(write.key(), now_ms);
            let scratch = Scratch { value: write.value(), version };
            self.scratch.insert(write.key().clone(), scratch);
        }
    }

    /// What `WATCH` remembers of a key; see `token_of`. For a transaction's first look.
    pub(crate) fn token(&self, vanished: &Vanished, key: &[u8], now_ms: u64) -> u64 {
        assert!(self.scratch.is_empty(), "what is watched is looked at before anything is written");
        match self.overlay.and_then(|overlay| overlay.newest(key)) {
            None => token_of(self.store, vanished, key, now_ms),
            Some(pending) => {
                self.speculative.set(true);
                match &pending.value {
                    Some((_, expires_at_ms)) if !is_over(*expires_at_ms, now_ms) => pending.slot.0,
                    Some(_) | None => ABSENT | pending.slot.0,
                }
            }
        }
    }

    /// The version a condition must name; 0 if the key is absent or has expired.
    pub(crate) fn version(&self, key: &[u8], now_ms: u64) -> u64 {
        if let Some(scratch) = self.scratch.get(key) {
            return scratch.version;
        }
        if let Some(pending) = self.overlay.and_then(|overlay| overlay.newest(key)) {
            self.speculative.set(true);
            return match &pending.value {
                Some((_, expires_at_ms)) if is_over(*expires_at_ms, now_ms) => 0,
                Some(_) => pending.slot.0,
                None => 0,
            };
        }
        match self.store.peek(slots::slot(key), key) {
            Some(found) if is_over(found.expires_at_ms, now_ms) => 0,
            Some(found) => found.version,
            None => 0,
        }
    }
}

pub(crate) fn is_over(expires_at_ms: u64, now_ms: u64) -> bool {
    expires_at_ms != 0 && expires_at_ms <= now_ms
}

impl View for GroupView<'_> {
    fn ttl_jitter_percent(&self) -> u8 {
        self.ttl_jitter_percent
    }

    fn get(&self, key: &[u8]) -> Seen<'_> {
        if let Some(Scratch { value, version }) = self.scratch.get(key) {
            return present(value.as_ref(), *version);
        }
        if let Some(pending) = self.overlay.and_then(|overlay| overlay.newest(key)) {
            self.speculative.set(true);
            return present(pending.value.as_ref(), pending.slot.0);
        }
        let Some(found) = self.store.peek(slots::slot(key), key) else { return Seen::Absent };
        let (version, expires_at_ms) = (found.version, found.expires_at_ms);
        match found.value {
            Value::Memory(value) => Seen::Present { version, expires_at_ms, value },
            Value::Log(..) if self.fetched.get(key).is_some_and(|(of, _)| *of == version) => {
                Seen::Present { version, expires_at_ms, value: &self.fetched[key].1 }
            }
            Value::Log(..) => Seen::PresentElsewhere { version, expires_at_ms, size: found.size },
        }
    }
}

fn present(value: Option<&(Bytes, u64)>, version: u64) -> Seen<'_> {
    match value {
        Some((value, expires_at_ms)) => {
            Seen::Present { version, expires_at_ms: *expires_at_ms, value }
        }
        None => Seen::Absent,
    }
}
