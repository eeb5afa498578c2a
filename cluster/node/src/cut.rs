//! A shard's keys as they were at one slot of its log, given out while writes go on.
//!
//! ```text
//!  hash slots of the shard
//!  ├──── given out ────┼──────────────── left ────────────────┤
//!                      ▲ a write here first notes what its keys were
//! ```
//!
//! Nothing is copied beforehand: keys are read from the index slot by slot, and a key that is about to
//! change in a slot that is still left is noted as it was, name, version, deadline and where the log
//! keeps its value. The log never changes, so the value itself can be read at leisure, as long as
//! whoever took the cut holds an engine's pin. Replicas that lag get their snapshot this way, and so
//! do backups.
//!
//! **Invariant.** What is given out, all together, is every key of the shard at the slot at which the
//! cut was taken, and nothing of any later one. A cut for which that cannot be kept up is broken, and
//! gives out nothing more.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use evenkeel_core::consensus::Slot;
use evenkeel_core::placement::slots;
use evenkeel_engine::Location;
use evenkeel_engine::batch::{Batch, Operation};
use evenkeel_engine::scrub::Lost;
use evenkeel_engine::store::{Found, Store, Value};

use crate::bugs::{Bug, planted};
use crate::group::Group;
use crate::mend::Asked;
use crate::node::Node;

/// What a key takes beside its name and value, in bytes, at most, in anything that carries it.
const ENTRY_OVERHEAD: usize = 32;
/// What a note about a key takes beside the key's name, in bytes, about.
const NOTE_OVERHEAD: usize = 160;
/// So many values are read from the log side by side: reads for clients must find the disk free.
const READS_AHEAD_MAX: usize = 16;

/// One key, as it was when the cut was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frozen {
    slot: u16,
    pub(crate) key: Bytes,
    pub(crate) version: u64,
    pub(crate) expires_at_ms: u64,
    /// Of the value, in bytes.
    pub(crate) size: u32,
    home: (Location, u32),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The last slot of the log that counts.
    position: Slot,
    left: RefCell<Range<u16>>,
    /// Taken from the index and not given out yet: the rest of one hash slot.
    rest: RefCell<VecDeque<Frozen>>,
    /// Per hash slot that is left, what keys were that have changed since. Keys that were not there need no
    /// note: what a later slot of the log wrote is not given out.
    notes: RefCell<BTreeMap<u16, BTreeMap<Bytes, Frozen>>>,
    note_bytes: Cell<usize>,
    note_bytes_max: usize,
    is_broken: Cell<bool>,
}

impl Frozen {
    fn wanted(&self) -> Lost {
        let Frozen { slot, key, version, home, .. } = self;
        Lost { slot: *slot, key: key[..].into(), version: *version, home: *home }
    }
}

impl Cut {
    /// As of now, of these hash slots; `position` is the last slot of the log that was applied.
    /// `Group::cuts` must know it before the next write is applied.
    pub(crate) fn new(position: Slot, slots: Range<u16>, note_bytes_max: usize) -> Cut {
        Cut {
            position,
            left: RefCell::new(slots),
            rest: RefCell::default(),
            notes: RefCell::default(),
            note_bytes: Cell::new(0),
            note_bytes_max,
            is_broken: Cell::new(false),
        }
    }

    /// The next keys: as many as fit into so many bytes with their values, and at least one; none at the
    /// end. `None`: it is broken.
    pub(crate) fn next(&self, store: &Store, bytes_max: usize) -> Option<Vec<Frozen>> {
        if self.is_broken.get() {
            return None;
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut rest = self.rest.borrow_mut();
        while !rest.is_empty() || self.refill(&mut rest, store) {
            let front = rest.front().expect("there is one");
            bytes += ENTRY_OVERHEAD + front.key.len() + front.size as usize;
            if bytes_max < bytes && !taken.is_empty() {
                break;
            }
            taken.extend(rest.pop_front());
        }
        Some(taken)
    }

    /// Takes the next hash slot that has keys. `false`: there is none.
    fn refill(&self, rest: &mut VecDeque<Frozen>, store: &Store) -> bool {
        let (mut left, mut notes) = (self.left.borrow_mut(), self.notes.borrow_mut());
        for slot in left.by_ref() {
            let mut noted = notes.remove(&slot).unwrap_or_default();
            let bytes: usize = noted.keys().map(note_size).sum();
            self.note_bytes.set(self.note_bytes.get() - bytes);
            rest.extend(store.keys_in(slot).filter_map(|(key, found)| match noted.remove(key) {
                Some(was) => Some(was),
                None if self.position.0 < found.version => None, // It came later.
                None => Some(freeze(slot, key, &found, store)),
            }));
            rest.extend(noted.into_values());
            if !rest.is_empty() {
                return true;
            }
        }
        false
    }

    /// Notes what the keys are that this batch is about to change.
    fn note(&self, batch: &Batch<'_>, store: &Store) {
        let (left, mut notes) = (self.left.borrow(), self.notes.borrow_mut());
        for operation in batch.operations() {
            let (Operation::Put { key, .. } | Operation::Delete { key }) = operation;
            let slot = slots::slot(key);
            let is_noted = || notes.get(&slot).is_some_and(|noted| noted.contains_key(key));
            if !left.contains(&slot) || is_noted() || planted(Bug::CutMovesOn) {
                continue;
            }
            let was = store.peek(slot, key).filter(|found| found.version <= self.position.0);
            let Some(was) = was.map(|found| freeze(slot, key, &found, store)) else { continue };
            self.note_bytes.set(self.note_bytes.get() + note_size(&was.key));
            notes.entry(slot).or_default().insert(was.key.clone(), was);
        }
        if self.note_bytes_max < self.note_bytes.get() {
            drop((left, notes));
            self.break_off();
        }
    }

    /// Nothing can be said any more of what the keys were.
    pub(crate) fn break_off(&self) {
        self.is_broken.set(true);
        self.rest.take();
        self.notes.take();
        self.note_bytes.set(0);
        self.left.replace(0..0);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }
}

impl Group {
    /// This entry is about to be applied.
    pub(crate) fn note_for_cuts(&mut self, payload: &[u8], store: &Store) {
        if self.cuts.is_empty() {
            return;
        }
        self.cuts.retain(|cut| cut.strong_count() != 0);
        let batch = Batch::decode(payload).expect("checked when it entered the log");
        for cut in &self.cuts {
            if let Some(cut) = cut.upgrade() {
                cut.note(&batch, store);
            }
        }
    }

    /// All keys are about to be replaced by others.
    pub(crate) fn break_cuts(&mut self) {
        for cut in self.cuts.drain(..) {
            if let Some(cut) = cut.upgrade() {
                cut.break_off();
            }
        }
    }
}

impl Node {
    /// Hands the values that these keys had to `take`, in no particular order: from memory if they are
    /// still what they were, else from the log. An engine's pin must be older than the cut.
    ///
    /// # Errors
    /// The first key of which the value is damaged here and no other replica has it, or the node is
    /// stopping.
    pub(crate) async fn thaw(
        self: &Rc<Node>,
        frozen: Vec<Frozen>,
        mut take: impl FnMut(&Frozen, &[u8]),
    ) -> Result<(), Bytes> {
        let mut away = Vec::new();
        {
            let store = self.store.borrow();
            for frozen in frozen {
                match store.peek(frozen.slot, &frozen.key) {
                    Some(Found { version, value: Value::Memory(value), .. })
                        if version == frozen.version =>
                    {
                        take(&frozen, value);
                    }
                    _ => away.push(frozen),
                }
            }
        }
        for some in away.chunks(READS_AHEAD_MAX) {
            let reads: Vec<_> = some.iter().map(|frozen| self.begin_read(frozen.home.0)).collect();
            for (frozen, read) in some.iter().zip(reads) {
                let value = match self.end_read(read, frozen.home.1).await {
                    Some(value) => Some(value),
                    None => match self.value_from_others(frozen.wanted()).await {
                        Asked::Value(value) => Some(value),
                        Asked::Nobody | Asked::Unsure => None,
                    },
                };
                take(frozen, &value.ok_or_else(|| frozen.key.clone())?);
            }
        }
        Ok(())
    }
}

fn freeze(slot: u16, key: &[u8], found: &Found<'_>, store: &Store) -> Frozen {
    let (version, expires_at_ms, size) = (found.version, found.expires_at_ms, found.size);
    let home = store.home(slot, key).expect("the log has every value of a replicated keyspace");
    Frozen { slot, key: Bytes::copy_from_slice(key), version, expires_at_ms, size, home }
}

fn note_size(key: &Bytes) -> usize {
    NOTE_OVERHEAD + key.len()
}

#[cfg(test)]
mod tests;
