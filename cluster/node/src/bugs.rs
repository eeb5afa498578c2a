//! Bugs planted on purpose, at the places where such bugs are made. They exist only with the feature
//! `planted-bugs`, which only the simulator turns on: it must find every one of them.

use std::sync::atomic::{AtomicU32, Ordering};

/// One way in which this crate could be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Bug {
    /// `driver`: a message that vouches for a write leaves before the disk has reported it.
    VouchBeforeFlush = 1,
    /// `machine`: a repeated write is applied again.
    RepeatedWriteApplied,
    /// `machine`: a write takes effect although a key is not what it relied on.
    ConditionsIgnored,
    /// `machine`: the session table is left out of snapshots and recovery.
    SessionsLeftOut,
    /// `lead`: the reply to a write that changes nothing does not wait for the writes it saw.
    SpeculativeReply,
    /// `lead`: any replica answers reads, whether it leads or not.
    ReadAnywhere,
    /// `lead`: a leader answers reads without asking whether its lease still holds.
    LeaseNotChecked,
    /// `errand`: a write whose outcome is unknown is reported as not done.
    TimeoutReportedAsFailure,
    /// `errand`: a write is repeated under a new number.
    RepeatedUnderNewNumber,
    /// `genesis`: a node that lost its disk takes up its old identity.
    OldIdentityReused,
    /// `snapshot`: a snapshot counts as installed before it is durable.
    SnapshotBeforeFlush,
    /// `snapshot`: keys that the snapshot does not have stay.
    SnapshotKeepsOldKeys,
    /// `requests`: the reply to a write leaves when it is proposed.
    ReplyBeforeCommit,
    /// `snapshot`: whoever installs a snapshot keeps the voters that it knew before.
    SnapshotWithoutVoters,
    /// `snapshot`: a snapshot is installed although a checkpoint was taken since its first items came,
    /// which a restart will not see.
    SnapshotAcrossCheckpoint,
    /// `space`: what was installed while a checkpoint was taken does not keep its segments.
    VictimNotAskedAgain,
    /// `machine`: a version is trusted, whatever ballot it was expected of.
    GhostChainApplied,
    /// `origin`: a client that goes away while its node opens a session leaves it half open for ever.
    OpeningLeftOpen,
    /// `errand`: the write of a client that goes away is waited for ever, and so no reply is forgotten.
    GoneClientAwaited,
    /// `node`: a restart gives up the checkpoint's pages if the log behind it makes them superfluous.
    PagesGivenUp,
    /// `cut`: what a key was when a snapshot began is not noted before it changes.
    CutMovesOn,
    /// `backup`: a snapshot for a backup does not hold on to the segments that it refers to.
    BackupNotPinned,
    /// `backup`: who thinks that it leads hands out a snapshot, without asking whether it still does.
    BackupUnconfirmed,
    /// `backup`: a snapshot is held for a client that has gone, for ever.
    BackupHeldForEver,
    /// `membership`: a node that was removed from the cluster goes on.
    RemovedLivesOn,
    /// `mend`: a replica that is asked for a value gives the one it has, whatever its version.
    AnotherVersionGiven,
    /// `mend`: a value that another replica had is used once, and not put back.
    MendNotKept,
    /// `recovery`: entries that were applied before a restart hold their segments for as long as the process
    /// lives.
    AppliedHoldsSegments,
    /// `space`: no room is kept for the entries that a checkpoint appends again.
    UnappliedNotReserved,
}

impl Bug {
    /// All of them.
    pub const ALL: &'static [Bug] = &[
        Bug::VouchBeforeFlush,
        Bug::RepeatedWriteApplied,
        Bug::ConditionsIgnored,
        Bug::SessionsLeftOut,
        Bug::SpeculativeReply,
        Bug::ReadAnywhere,
        Bug::LeaseNotChecked,
        Bug::TimeoutReportedAsFailure,
        Bug::RepeatedUnderNewNumber,
        Bug::OldIdentityReused,
        Bug::SnapshotBeforeFlush,
        Bug::SnapshotKeepsOldKeys,
        Bug::ReplyBeforeCommit,
        Bug::SnapshotWithoutVoters,
        Bug::SnapshotAcrossCheckpoint,
        Bug::VictimNotAskedAgain,
        Bug::GhostChainApplied,
        Bug::OpeningLeftOpen,
        Bug::GoneClientAwaited,
        Bug::PagesGivenUp,
        Bug::CutMovesOn,
        Bug::BackupNotPinned,
        Bug::BackupUnconfirmed,
        Bug::BackupHeldForEver,
        Bug::RemovedLivesOn,
        Bug::AnotherVersionGiven,
        Bug::MendNotKept,
        Bug::AppliedHoldsSegments,
        Bug::UnappliedNotReserved,
    ];

    /// As people type it.
    pub fn name(self) -> &'static str {
        match self {
            Bug::VouchBeforeFlush => "vouch-before-flush",
            Bug::RepeatedWriteApplied => "repeated-write-applied",
            Bug::ConditionsIgnored => "conditions-ignored",
            Bug::SessionsLeftOut => "sessions-left-out",
            Bug::SpeculativeReply => "speculative-reply",
            Bug::ReadAnywhere => "read-anywhere",
            Bug::LeaseNotChecked => "lease-not-checked",
            Bug::TimeoutReportedAsFailure => "timeout-reported-as-failure",
            Bug::RepeatedUnderNewNumber => "repeated-under-new-number",
            Bug::OldIdentityReused => "old-identity-reused",
            Bug::SnapshotBeforeFlush => "snapshot-before-flush",
            Bug::SnapshotKeepsOldKeys => "snapshot-keeps-old-keys",
            Bug::ReplyBeforeCommit => "reply-before-commit",
            Bug::SnapshotWithoutVoters => "snapshot-without-voters",
            Bug::SnapshotAcrossCheckpoint => "snapshot-across-checkpoint",
            Bug::VictimNotAskedAgain => "victim-not-asked-again",
            Bug::GhostChainApplied => "ghost-chain-applied",
            Bug::OpeningLeftOpen => "opening-left-open",
            Bug::GoneClientAwaited => "gone-client-awaited",
            Bug::PagesGivenUp => "pages-given-up",
            Bug::CutMovesOn => "cut-moves-on",
            Bug::BackupNotPinned => "backup-not-pinned",
            Bug::BackupUnconfirmed => "backup-unconfirmed",
            Bug::BackupHeldForEver => "backup-held-for-ever",
            Bug::RemovedLivesOn => "removed-lives-on",
            Bug::AnotherVersionGiven => "another-version-given",
            Bug::MendNotKept => "mend-not-kept",
            Bug::AppliedHoldsSegments => "applied-holds-segments",
            Bug::UnappliedNotReserved => "unapplied-not-reserved",
        }
    }
}

static PLANTED: AtomicU32 = AtomicU32::new(0);

/// Plants one bug in this process, or none. Without the feature, nothing.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u32), Ordering::Relaxed);
}

/// Whether this bug is planted. Always `false` without the feature, and then free.
pub(crate) fn planted(bug: Bug) -> bool {
    cfg!(feature = "planted-bugs") && PLANTED.load(Ordering::Relaxed) == bug as u32
}
