//! Bugs planted on purpose, so that every oracle can prove that it would notice them.
//!
//! Without the feature `planted-bugs`, `planted` is `false` at compile time and the wrong branches are
//! gone from the binary.

/// What can be broken, and where. Each was somebody's real bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// `acceptor.rs`: a promise leaves before the disk has it.
    PromiseBeforeFlush,
    /// `acceptor.rs`: an entry is vouched for before the disk has it.
    AcceptedBeforeFlush,
    /// `election.rs`: the value of the last responder wins, not the one of the highest ballot.
    ValueFromWrongBallot,
    /// `election.rs`: a new leader keeps found values in its log under their old ballots.
    GhostEntryRevived,
    /// `election.rs`: a slot that a responder knows chosen but cannot report any more gets a no-op.
    ChosenHoleFilled,
    /// `paxos.rs`: after a restart the replica's own promise is forgotten.
    BallotReusedAfterRestart,
    /// `quorum.rs`: the median of unsorted progress.
    CommitWithMinority,
    /// `leader.rs`: a vouch given to an older ballot counts in this one.
    StaleAcceptedCounted,
    /// `leader.rs`: the leader counts its own vote before its own flush.
    LeaderVoteBeforeFlush,
    /// `reads.rs`: a new leader serves before a slot of its own ballot is chosen.
    ReadBeforeOwnCommit,
    /// `reads.rs`: a leader serves locally, lease or not.
    ReadWithoutLease,
    /// `lease.rs`: the lease counts from the reply's receipt, without the drift bound.
    LeaseFromReceipt,
    /// `transfer.rs`: the leader keeps its lease while it hands over.
    TransferKeepsLease,
    /// `reads.rs`: a read is confirmed by a round that was answered before it arrived.
    ReadIndexUsesOldRound,
    /// `lease.rs`: a follower promises another ballot during the lease it granted.
    VoteDuringLease,
    /// `paxos.rs`: a restarted replica votes at once, though it may have granted a lease.
    BootGraceSkipped,
    /// `election.rs`: no pre-vote: a replica that was cut off raises its ballot alone.
    RejoiningNodeDeposes,
    /// `acceptor.rs`: a lower ballot than the promised one is accepted.
    AcceptLowerBallot,
    /// `acceptor.rs`: a follower commits what the leader has chosen, though its own entries may differ.
    CommitBeyondHave,
    /// `membership.rs`: a leader goes on after its own removal is chosen.
    RemovedLeaderServesOn,
    /// `quorum.rs`: whoever answers counts, voter or not.
    AcksFromNonVoters,
    /// `quorum.rs`: a change of voters that is not chosen yet needs no quorum of the old ones.
    JointQuorumSkipped,
    /// `leader.rs`: a learner's answers to heartbeats count as the voters'.
    LearnerCounted,
    /// `acceptor.rs`: whoever missed its own removal is promised to, if it asks a leaderless voter.
    OutvotedElected,
}

impl Bug {
    /// All of them, in order.
    pub const ALL: &'static [Bug] = &[
        Bug::PromiseBeforeFlush,
        Bug::AcceptedBeforeFlush,
        Bug::ValueFromWrongBallot,
        Bug::GhostEntryRevived,
        Bug::ChosenHoleFilled,
        Bug::BallotReusedAfterRestart,
        Bug::CommitWithMinority,
        Bug::StaleAcceptedCounted,
        Bug::LeaderVoteBeforeFlush,
        Bug::ReadBeforeOwnCommit,
        Bug::ReadWithoutLease,
        Bug::LeaseFromReceipt,
        Bug::TransferKeepsLease,
        Bug::ReadIndexUsesOldRound,
        Bug::VoteDuringLease,
        Bug::BootGraceSkipped,
        Bug::RejoiningNodeDeposes,
        Bug::AcceptLowerBallot,
        Bug::CommitBeyondHave,
        Bug::RemovedLeaderServesOn,
        Bug::AcksFromNonVoters,
        Bug::JointQuorumSkipped,
        Bug::LearnerCounted,
        Bug::OutvotedElected,
    ];

    /// For command lines and reports.
    pub fn name(self) -> &'static str {
        match self {
            Bug::PromiseBeforeFlush => "promise-before-flush",
            Bug::AcceptedBeforeFlush => "accepted-before-flush",
            Bug::ValueFromWrongBallot => "value-from-wrong-ballot",
            Bug::GhostEntryRevived => "ghost-entry-revived",
            Bug::ChosenHoleFilled => "chosen-hole-filled",
            Bug::BallotReusedAfterRestart => "ballot-reused-after-restart",
            Bug::CommitWithMinority => "commit-with-minority",
            Bug::StaleAcceptedCounted => "stale-accepted-counted",
            Bug::LeaderVoteBeforeFlush => "leader-vote-before-flush",
            Bug::ReadBeforeOwnCommit => "read-before-own-commit",
            Bug::ReadWithoutLease => "read-without-lease",
            Bug::LeaseFromReceipt => "lease-from-receipt",
            Bug::TransferKeepsLease => "transfer-keeps-lease",
            Bug::ReadIndexUsesOldRound => "read-index-uses-old-round",
            Bug::VoteDuringLease => "vote-during-lease",
            Bug::BootGraceSkipped => "boot-grace-skipped",
            Bug::RejoiningNodeDeposes => "rejoining-node-deposes",
            Bug::AcceptLowerBallot => "accept-lower-ballot",
            Bug::CommitBeyondHave => "commit-beyond-have",
            Bug::RemovedLeaderServesOn => "removed-leader-serves-on",
            Bug::AcksFromNonVoters => "acks-from-non-voters",
            Bug::JointQuorumSkipped => "joint-quorum-skipped",
            Bug::LearnerCounted => "learner-counted",
            Bug::OutvotedElected => "outvoted-elected",
        }
    }
}

#[cfg(feature = "planted-bugs")]
static PLANTED: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// Plants one bug in this process, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u32 + 1);
    PLANTED.store(number, core::sync::atomic::Ordering::Relaxed);
}

/// Whether this bug is planted in this process.
#[cfg(feature = "planted-bugs")]
pub fn planted(bug: Bug) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == bug as u32 + 1
}

/// Without the feature nothing is ever planted; asking for it is a mistake of the caller.
#[cfg(not(feature = "planted-bugs"))]
pub fn plant(bug: Option<Bug>) {
    assert!(bug.is_none(), "built without the feature planted-bugs");
}

/// Never, without the feature.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(_bug: Bug) -> bool {
    false
}
