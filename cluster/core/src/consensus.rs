//! What every consensus core takes and gives: the trait that Multi-Paxos implements and Raft will.
//!
//! **Durability invariant.** A message that vouches for a promise or an entry carries
//! `after: Some(token)`; the driver sends it only once its disk has reported that token. There is no
//! other way to say "vouch", so acknowledging before the flush cannot be written by accident.

use alloc::vec::Vec;

use bytes::Bytes;

/// Microseconds of a monotonic clock of this node. Its zero means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub u64);

impl Micros {
    /// This much later.
    pub fn plus(self, duration: Micros) -> Micros {
        Micros(self.0.saturating_add(duration.0))
    }

    /// How long after `earlier`; zero if it is not.
    pub fn since(self, earlier: Micros) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

/// A replica, for ever: a node that lost its disk comes back with a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReplicaId(pub u64);

/// A position in a shard's log; 1 is the first, 0 means "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot behind this one.
    pub fn next(self) -> Slot {
        Slot(self.0 + 1)
    }

    /// The slot before this one; of the first one, and of "before the first", 0.
    pub fn previous(self) -> Slot {
        Slot(self.0.saturating_sub(1))
    }
}

/// Who leads, and since when. Ordered by round, then by replica; zero is below all real ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ballot {
    /// Grows with every election.
    pub round: u64,
    /// The replica that may lead in this ballot.
    pub replica: ReplicaId,
}

/// Names a batch of writes from `Effect::Persist` to `Input::Persisted`; grows by one per batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token(pub u64);

/// Chosen by the driver; comes back in `Effect::Proposed` or `Effect::Refused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// Chosen by the driver; comes back in `Effect::ReadReady` or `Effect::ReadRefused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payload {
    /// Fills a hole, or opens a ballot.
    Noop,
    /// Bytes that mean something to the driver only.
    Application(Bytes),
    /// From this slot on (as soon as it is in a replica's log) these are the voters.
    Configuration(Configuration),
}

/// Who votes. Sorted, without duplicates, never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Configuration {
    /// The voters; a majority of them is a quorum.
    pub voters: Vec<ReplicaId>,
}

impl Configuration {
    /// Sorts, and drops duplicates. At least one voter, or this panics.
    pub fn new(mut voters: Vec<ReplicaId>) -> Configuration {
        voters.sort_unstable();
        voters.dedup();
        assert!(!voters.is_empty(), "without a voter nothing is ever chosen");
        Configuration { voters }
    }

    /// Whether this replica votes.
    pub fn contains(&self, replica: ReplicaId) -> bool {
        self.voters.binary_search(&replica).is_ok()
    }

    /// How many voters make a quorum.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }
}

/// One accepted value: `payload` was accepted in `ballot` at `slot`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Where.
    pub slot: Slot,
    /// The ballot in which it was last accepted here.
    pub ballot: Ballot,
    /// What.
    pub payload: Payload,
}

/// What a replica must never forget, beside its entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct HardState {
    /// No ballot below this one may be accepted any more.
    pub promised: Ballot,
}

/// Where a snapshot stands: the state after applying every slot up to `slot`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotMark {
    /// The last slot the snapshot contains.
    pub slot: Slot,
    /// The voters as of `slot`.
    pub configuration: Configuration,
}

/// Everything a replica recovers from its disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recovered {
    /// The last hard state that was written.
    pub hard_state: HardState,
    /// Where the log starts: the state up to here is in the store, not in `entries`.
    pub snapshot: SnapshotMark,
    /// Accepted entries above the snapshot, in slot order; holes are possible.
    pub entries: Vec<Entry>,
    /// The highest slot known chosen; every slot up to it is in `entries` or in the snapshot.
    pub commit: Slot,
}

/// What may happen to a replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// Time has passed. Every `Timing::tick` or so.
    Tick,
    /// A peer's message arrived. It may be old, repeated, or out of order.
    Receive {
        /// Its sender.
        from: ReplicaId,
        /// What it says.
        message: Message,
    },
    /// Put these into the log, in this order. Answered by one effect each.
    Propose(Vec<(ProposalId, Bytes)>),
    /// From which slot on may a linearizable read be served?
    Read(ReadId),
    /// The disk has everything up to and including this token.
    Persisted(Token),
    /// The driver has applied everything up to here: older entries may leave memory.
    Applied(Slot),
    /// The snapshot sent by the leader is installed and durable.
    SnapshotInstalled(SnapshotMark),
    /// The snapshot stream to this peer ended, well or not: it may be tried again.
    SnapshotEnded {
        /// The peer.
        to: ReplicaId,
    },
    /// Change the voters. One voter may join or leave at a time; one that joins catches up first, and
    /// the change is refused (`Refusal::CatchingUp`) and must be asked for again until it has.
    Reconfigure(ProposalId, Configuration),
    /// Hand leadership over to a voter (or to the best one), now.
    Transfer(Option<ReplicaId>),
}

/// What must now happen. The driver may run effects in any order, or all at once; only `after` and the
/// order of `Persist` among themselves matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Append these to the log, in this order; an entry replaces an older one at its slot. Report
    /// `Input::Persisted(token)` once they, and all before them, would survive a power cut.
    Persist {
        /// Names this batch.
        token: Token,
        /// Written first, if there.
        hard_state: Option<HardState>,
        /// Accepted entries, in slot order.
        entries: Vec<Entry>,
        /// What this replica knows to be chosen by now; a hint that saves work after a restart.
        commit: Slot,
    },
    /// Send, once `after` is persisted.
    Send {
        /// The receiver.
        to: ReplicaId,
        /// What to say.
        message: Message,
        /// Hold the message back until this token is durable.
        after: Option<Token>,
    },
    /// Every slot up to here is chosen and readable by `Consensus::entry`. Apply in slot order.
    Commit(Slot),
    /// The proposal is in the log at this slot, of this ballot; not yet chosen.
    Proposed(ProposalId, Slot, Ballot),
    /// The proposal was not put into any log and never will be.
    Refused(ProposalId, Refusal),
    /// A linearizable read may be served once every slot up to here is applied; lease reads must ask
    /// `Consensus::lease_holds` once more just before the reply leaves.
    ReadReady(ReadId, Slot, ReadBasis),
    /// Ask elsewhere, or again.
    ReadRefused(ReadId, Refusal),
    /// This peer needs the state itself; its next entries are gone from memory.
    SendSnapshot {
        /// Who needs it.
        to: ReplicaId,
    },
    /// This replica's role or its idea of the leader changed.
    Role(Role),
}

/// Why a read is linearizable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadBasis {
    /// A quorum has promised not to elect anyone else before the lease ends.
    Lease,
    /// A quorum confirmed the leader after the read arrived.
    Quorum,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another replica leads, or nobody known.
    NotLeader {
        /// Who, as far as this replica knows.
        leader: Option<ReplicaId>,
    },
    /// Too much is in flight: try again after a pause.
    Busy,
    /// The change of voters is not one this core makes now: one at a time, and one voter at a time.
    BadConfiguration,
    /// The joining voter learns what there is, and votes nowhere meanwhile: ask again.
    CatchingUp,
}

/// What a replica is, right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows this leader, or waits for one.
    Follower {
        /// Who leads, as far as it knows.
        leader: Option<ReplicaId>,
    },
    /// Collects promises.
    Candidate,
    /// Leads; ready once a slot of its own ballot is chosen.
    Leader,
}

/// For people, metrics and oracles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Status {
    /// See `Role`.
    pub role: Role,
    /// The highest ballot promised.
    pub promised: Ballot,
    /// The highest slot known chosen.
    pub commit: Slot,
    /// The highest slot accepted.
    pub last: Slot,
    /// The first slot still in memory.
    pub first: Slot,
    /// The voters in force.
    pub configuration: Configuration,
    /// A leader's view of its peers: (replica, vouched up to).
    pub progress: Vec<(ReplicaId, Slot)>,
    /// A leader's learner: it receives everything and votes nowhere.
    pub learner: Option<ReplicaId>,
}

/// What replicas of a shard tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// "Would you promise me this ballot?" Changes nothing at the receiver.
    PrePrepare {
        /// The ballot the sender would use.
        ballot: Ballot,
        /// The highest slot the sender has accepted.
        last: Slot,
        /// The highest slot the sender knows chosen.
        commit: Slot,
        /// The leader itself asked the sender to take over: a lease does not stand in the way.
        transfer: bool,
    },
    /// Answer to `PrePrepare`.
    PrePromise {
        /// As asked.
        ballot: Ballot,
        /// Yes or no.
        granted: bool,
        /// The responder's promised ballot: a refused sender learns what to exceed.
        promised: Ballot,
    },
    /// Phase 1a.
    Prepare {
        /// The ballot asked for.
        ballot: Ballot,
        /// Report what was accepted from here on.
        from: Slot,
        /// As in `PrePrepare`.
        transfer: bool,
    },
    /// Phase 1b: vouches for the promise and for the entries.
    Promise {
        /// The ballot promised.
        ballot: Ballot,
        /// All that the sender has accepted from `Prepare::from` on.
        accepted: Vec<Entry>,
        /// The highest slot the sender knows chosen.
        commit: Slot,
    },
    /// "I have promised a higher ballot."
    Reject {
        /// That ballot.
        promised: Ballot,
    },
    /// Phase 2a, pipelined: values for the slots right behind `after`.
    Accept {
        /// The leader's ballot.
        ballot: Ballot,
        /// The slot before the first payload.
        after: Slot,
        /// Values of consecutive slots.
        payloads: Vec<Payload>,
        /// What the leader knows chosen.
        commit: Slot,
    },
    /// Phase 2b: "all slots up to here are, on my disk, what you sent in this ballot, or chosen."
    Accepted {
        /// The ballot vouched in.
        ballot: Ballot,
        /// Vouched up to.
        upto: Slot,
    },
    /// "I cannot place your `after`; send from behind `have`."
    Gap {
        /// The leader's ballot.
        ballot: Ballot,
        /// All up to here is known to equal the leader's log.
        have: Slot,
    },
    /// "I still lead."
    Heartbeat {
        /// The leader's ballot.
        ballot: Ballot,
        /// What the leader knows chosen.
        commit: Slot,
        /// Grows with every round of heartbeats; the answer carries it back.
        round: u64,
    },
    /// "I heard round `round`, and elect nobody else for a lease's time."
    HeartbeatOk {
        /// The leader's ballot.
        ballot: Ballot,
        /// As heard.
        round: u64,
        /// All up to here is known to equal the leader's log.
        have: Slot,
    },
    /// "I let go of my lease: stand for election now."
    TakeOver {
        /// The old leader's ballot.
        ballot: Ballot,
    },
}

/// A replica of one shard. Clone, Eq and Hash, so that a model checker can drive it.
pub trait Consensus {
    /// Consumes one input, appends what must now happen to `effects`.
    fn step(&mut self, now: Micros, input: Input, effects: &mut Vec<Effect>);

    /// The accepted entry at a slot, while it is in memory.
    fn entry(&self, slot: Slot) -> Option<&Entry>;

    /// Whether this replica may answer a lease read at this very moment.
    fn lease_holds(&self, now: Micros) -> bool;

    /// What it is and where it stands.
    fn status(&self) -> Status;
}
