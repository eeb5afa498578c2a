//! A disk that keeps what it has reported, and of the rest some prefix.

use std::collections::{BTreeMap, VecDeque};

use evenkeel_core::consensus::{
    Configuration, Entry, HardState, Payload, Recovered, Slot, SnapshotMark, Token,
};

pub(crate) struct Disk {
    pub(crate) queue: VecDeque<Write>,
    fresh: bool,
    hard_state: HardState,
    snapshot: SnapshotMark,
    entries: BTreeMap<Slot, Entry>,
    commit: Slot,
}

pub(crate) struct Write {
    token: Token,
    hard_state: Option<HardState>,
    entries: Vec<Entry>,
    commit: Slot,
}

impl Disk {
    pub(crate) fn new(configuration: Configuration) -> Disk {
        Disk {
            queue: VecDeque::new(),
            fresh: true,
            hard_state: HardState::default(),
            snapshot: SnapshotMark { slot: Slot(0), configuration },
            entries: BTreeMap::new(),
            commit: Slot(0),
        }
    }

    pub(crate) fn write(
        &mut self,
        token: Token,
        hard_state: Option<HardState>,
        entries: Vec<Entry>,
        commit: Slot,
    ) {
        self.queue.push_back(Write { token, hard_state, entries, commit });
    }

    pub(crate) fn flush_oldest(&mut self) -> Token {
        let write = self.queue.pop_front().expect("one flush per write");
        self.fresh = false;
        if let Some(hard_state) = write.hard_state {
            assert!(self.hard_state.promised <= hard_state.promised, "a promise was taken back");
            self.hard_state = hard_state;
        }
        for entry in write.entries {
            if self.snapshot.slot < entry.slot {
                self.entries.insert(entry.slot, entry);
            }
        }
        self.commit = self.commit.max(write.commit);
        write.token
    }

    /// Power fails; of the writes in flight the first few may have made it.
    pub(crate) fn crash(&mut self, survives: usize) {
        for _ in 0..survives {
            self.flush_oldest();
        }
        self.queue.clear();
    }

    pub(crate) fn install(&mut self, mark: &SnapshotMark) {
        self.fresh = false;
        self.snapshot = mark.clone();
        self.entries = self.entries.split_off(&mark.slot.next());
        self.commit = self.commit.max(mark.slot);
    }

    /// Lets the store take over what is known chosen here.
    pub(crate) fn compact(&mut self) {
        while self.snapshot.slot < self.commit {
            let slot = self.snapshot.slot.next();
            let Some(entry) = self.entries.remove(&slot) else { return };
            self.snapshot.slot = slot;
            if let Payload::Configuration(configuration) = entry.payload {
                self.snapshot.configuration = configuration;
            }
        }
    }

    pub(crate) fn recovered(&self) -> Option<Recovered> {
        assert!(self.queue.is_empty(), "it restarts with nothing in flight");
        let recovered = Recovered {
            hard_state: self.hard_state.clone(),
            snapshot: self.snapshot.clone(),
            entries: self.entries.values().cloned().collect(),
            commit: self.commit,
        };
        (!self.fresh).then_some(recovered)
    }
}
