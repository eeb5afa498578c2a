//! What one replica has accepted, and how much of it is chosen.
//!
//! ```text
//!        in the store only        in memory, applied    in memory, chosen     accepted, not chosen
//!  1 ───────────────────── base ───────────────── applied ─────────── commit ───────────────── last
//! ```
//!
//! **Invariant.** A slot up to `commit` never changes its payload, and none is missing above `base`.

use alloc::collections::{BTreeMap, VecDeque};

use super::timing::Limits;
use crate::consensus::{Configuration, Entry, Payload, Recovered, Slot, SnapshotMark};

/// What an entry weighs beside its payload, about.
const ENTRY_OVERHEAD_BYTES: u64 = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Log {
    base: SnapshotMark,
    commit: Slot,
    applied: Slot,
    /// From `base` to `commit`, without a hole: written once, read for laggards, forgotten in order.
    chosen: VecDeque<Entry>,
    /// Above `commit`: few, and a disk that lost one leaves a hole.
    open: BTreeMap<Slot, Entry>,
    /// Every configuration in `chosen` and `open`: a shortcut.
    configurations: BTreeMap<Slot, Configuration>,
    bytes_chosen: u64,
    bytes_open: u64,
}

impl Log {
    pub(super) fn new(recovered: Recovered) -> Log {
        let base = recovered.snapshot;
        let mut log = Log {
            commit: base.slot,
            applied: base.slot,
            base,
            chosen: VecDeque::new(),
            open: BTreeMap::new(),
            configurations: BTreeMap::new(),
            bytes_chosen: 0,
            bytes_open: 0,
        };
        for entry in recovered.entries {
            if log.base.slot < entry.slot {
                log.put(entry);
            }
        }
        // A disk may have lost an entry that was known chosen; what is not here is not known.
        while log.commit < recovered.commit && log.open.contains_key(&log.commit.next()) {
            log.commit_to(log.commit.next());
        }
        log
    }

    /// The last slot that is gone from memory.
    pub(super) fn base(&self) -> Slot {
        self.base.slot
    }

    pub(super) fn commit(&self) -> Slot {
        self.commit
    }

    /// The highest slot accepted.
    pub(super) fn last(&self) -> Slot {
        self.open.last_key_value().map_or(self.commit, |(&slot, _)| slot)
    }

    pub(super) fn entry(&self, slot: Slot) -> Option<&Entry> {
        match self.place(slot) {
            Some(place) => self.chosen.get(place),
            None => self.open.get(&slot),
        }
    }

    /// In slot order.
    pub(super) fn entries_from(&self, slot: Slot) -> impl Iterator<Item = &Entry> {
        let before = slot.previous().0.saturating_sub(self.base.slot.0);
        let before = usize::try_from(before).unwrap_or(usize::MAX).min(self.chosen.len());
        let chosen = self.chosen.range(before..);
        chosen.chain(self.open.range(slot..).map(|(_, entry)| entry))
    }

    /// What is proposed and not yet chosen: entries, bytes.
    pub(super) fn window(&self) -> (u64, u64) {
        (self.last().0.saturating_sub(self.commit.0), self.bytes_open)
    }

    pub(super) fn put(&mut self, entry: Entry) {
        assert!(self.base.slot < entry.slot, "the slot is in the snapshot already");
        if entry.slot <= self.commit {
            let same = self.entry(entry.slot).is_some_and(|old| old.payload == entry.payload);
            assert!(same, "a chosen value is being replaced at slot {}", entry.slot.0);
        }
        let slot = entry.slot;
        let bytes = bytes_of(&entry.payload);
        match &entry.payload {
            Payload::Configuration(configuration) => {
                self.configurations.insert(slot, configuration.clone());
            }
            Payload::Noop | Payload::Application(_) => {
                self.configurations.remove(&slot); // An older ballot's change never came to be.
            }
        }
        if let Some(place) = self.place(slot) {
            self.chosen[place] = entry; // The same payload in a later ballot.
            return;
        }
        let replaced = self.open.insert(slot, entry).map_or(0, |old| bytes_of(&old.payload));
        assert!(replaced <= self.bytes_open, "bytes were counted twice, or not at all");
        self.bytes_open = self.bytes_open + bytes - replaced;
    }

    /// The slots up to here are chosen. Says whether that is news.
    pub(super) fn commit_to(&mut self, slot: Slot) -> bool {
        if slot <= self.commit {
            return false;
        }
        while self.commit < slot {
            self.commit = self.commit.next();
            let Some(entry) = self.open.remove(&self.commit) else {
                unreachable!("chosen, but not in the log: slot {}", self.commit.0);
            };
            let bytes = bytes_of(&entry.payload);
            self.bytes_open -= bytes;
            self.bytes_chosen += bytes;
            self.chosen.push_back(entry);
        }
        true
    }

    /// The driver has applied everything up to here: forget what is older than the limits allow.
    pub(super) fn applied(&mut self, slot: Slot, limits: &Limits) {
        assert!(slot <= self.commit, "applied before it was chosen");
        self.applied = self.applied.max(slot);
        while self.base.slot < self.applied {
            let count = self.commit.0 - self.base.slot.0;
            let in_bounds = count <= limits.retained_count_max
                && self.bytes_chosen <= limits.retained_bytes_max;
            if in_bounds {
                break;
            }
            self.forget_first();
        }
    }

    /// A snapshot took the place of everything up to its mark.
    ///
    /// Entries above the mark stay: this replica may have vouched for them, and a promise is a promise.
    pub(super) fn install(&mut self, mark: SnapshotMark) {
        assert!(self.commit < mark.slot, "an older snapshot would undo what is applied");
        self.chosen.clear();
        self.open = self.open.split_off(&mark.slot.next());
        self.configurations = self.configurations.split_off(&mark.slot.next());
        self.bytes_chosen = 0;
        self.bytes_open = self.open.values().map(|entry| bytes_of(&entry.payload)).sum();
        self.commit = mark.slot;
        self.applied = mark.slot;
        self.base = mark;
        assert!(self.base.slot <= self.last(), "the log ends before its own base");
    }

    /// The newest configuration in the log, chosen or not.
    pub(super) fn configuration(&self) -> &Configuration {
        self.configurations.last_key_value().map_or(&self.base.configuration, |(_, last)| last)
    }

    /// The configuration as of a slot; `None` if the log no longer reaches back to it.
    pub(super) fn configuration_at(&self, slot: Slot) -> Option<&Configuration> {
        if slot < self.base.slot {
            return None;
        }
        let at = self.configurations.range(..=slot).next_back();
        Some(at.map_or(&self.base.configuration, |(_, configuration)| configuration))
    }

    /// The chosen configuration, then every later one that is not chosen yet, with its slot.
    ///
    /// Whoever needs a quorum needs one in each of these.
    pub(super) fn in_force(&self) -> impl Iterator<Item = (Slot, &Configuration)> {
        let chosen = self.configuration_at(self.commit).expect("base <= commit");
        let open = self.configurations.range(self.commit.next()..);
        let open = open.map(|(&slot, configuration)| (slot, configuration));
        core::iter::once((self.commit, chosen)).chain(open)
    }

    /// Whether no change of voters is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.in_force().count() == 1
    }

    /// Where in `chosen` the entry of a slot is.
    fn place(&self, slot: Slot) -> Option<usize> {
        if slot <= self.base.slot || self.commit < slot {
            return None;
        }
        usize::try_from(slot.0 - self.base.slot.0 - 1).ok()
    }

    fn forget_first(&mut self) {
        let slot = self.base.slot.next();
        assert!(slot <= self.applied, "the driver has yet to read this entry");
        let entry = self.chosen.pop_front().expect("slots up to commit have no holes");
        assert!(entry.slot == slot, "slots up to commit have no holes");
        self.bytes_chosen -= bytes_of(&entry.payload);
        self.base.slot = slot;
        if let Some(configuration) = self.configurations.remove(&slot) {
            self.base.configuration = configuration;
        }
    }
}

pub(super) fn bytes_of(payload: &Payload) -> u64 {
    let bytes = match payload {
        Payload::Noop => 0,
        Payload::Application(bytes) => bytes.len(),
        Payload::Configuration(configuration) => size_of_val(configuration.voters.as_slice()),
    };
    bytes as u64 + ENTRY_OVERHEAD_BYTES
}
