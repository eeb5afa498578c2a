//! What an oracle may see of a node: facts, as they become facts here.
//!
//! Production installs no observer, and then an observation costs one thread-local check. The
//! simulator installs one and holds the facts of all nodes against each other.

use std::cell::RefCell;

use evenkeel_core::consensus::{Ballot, Configuration, ReplicaId, Role, Slot};

/// A fact about one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The replica it is about.
    pub replica: ReplicaId,
    /// Its shard; `u32::MAX` is the placement group.
    pub shard: u32,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The replica's role, or its idea of the leader, changed; with the ballot it has promised.
    Role {
        /// The new role.
        role: Role,
        /// The promised ballot at that moment.
        ballot: Ballot,
    },
    /// A promise is durable.
    PromiseDurable(Ballot),
    /// An accepted entry is durable.
    AcceptDurable {
        /// Where.
        slot: Slot,
        /// In which ballot.
        ballot: Ballot,
        /// A digest of the payload.
        digest: u64,
    },
    /// The replica believes this slot chosen.
    Chosen {
        /// Where.
        slot: Slot,
        /// A digest of the payload.
        digest: u64,
    },
    /// The replica has applied up to this slot; the digest rolls over every effect so far.
    Applied {
        /// The slot.
        slot: Slot,
        /// Equal at every replica that has applied the same slots.
        state: u64,
    },
    /// A read left this replica on the strength of its lease.
    LeaseServed {
        /// In which ballot.
        ballot: Ballot,
    },
    /// A snapshot took the place of everything the replica had, and counts as durable.
    Installed {
        /// Everything up to here is in its store.
        applied: Slot,
        /// The state digest there.
        state: u64,
    },
    /// The replica forgot and started over from its disk.
    Restarted {
        /// Everything up to here is in its store.
        applied: Slot,
        /// The state digest there.
        state: u64,
        /// The promise it remembers.
        promised: Ballot,
    },
    /// What recovery found accepted above what is applied: slots, ballots, digests of the payloads.
    Recovered(Vec<(Slot, Ballot, u64)>),
    /// These voters are in force here from this slot on, or, after a snapshot, as of this slot.
    Voters {
        /// The slot.
        slot: Slot,
        /// The voters.
        voters: Configuration,
    },
    /// The bytes of a value are not where this replica's index says.
    ValueDamaged,
    /// The replica remembers durably that it has met this life of another member: from now on, what
    /// that life says counts.
    Met(ReplicaId),
}

/// Receives observations.
pub type Observer = Box<dyn FnMut(Observation)>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Installs the observer of this thread; `None` removes it.
pub fn set_observer(observer: Option<Observer>) {
    OBSERVER.with(|slot| *slot.borrow_mut() = observer);
}

/// Whether anyone looks: lets callers skip computing digests.
pub(crate) fn observed() -> bool {
    OBSERVER.with(|slot| slot.borrow().is_some())
}

/// Reports a fact, if anyone looks.
pub(crate) fn observe(replica: ReplicaId, shard: u32, fact: impl FnOnce() -> Fact) {
    OBSERVER.with(|slot| {
        if let Some(observer) = slot.borrow_mut().as_mut() {
            observer(Observation { replica, shard, fact: fact() });
        }
    });
}

/// 64 bits over a state and some bytes, eight at a time: for comparing, not for security. The same on
/// every machine, but not for ever: nothing that is kept may depend on it.
pub(crate) fn digest(state: u64, bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| {
        let mixed = (state ^ word).wrapping_mul(MULTIPLIER);
        mixed ^ (mixed >> 29)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(state, |state, word| mix(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(state, u64::from_le_bytes(last)), bytes.len() as u64)
}
