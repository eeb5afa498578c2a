//! Bugs planted on purpose, at the real code sites: a check that finds none of them is no check.
//!
//! Without the feature `planted-bugs` nothing can be planted and `planted` is a constant `false`.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicU32, Ordering};

/// What is broken, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Bug {
    /// Payload and record checksums are not compared: half a write counts as whole
    /// (`format::checksum_matches`).
    TornTakenAsValid = 1,
    /// Damage below `durable_upto` is taken for the torn tail and cut off (`log::recovery`).
    WrongTailDecision,
    /// A failed flush counts as done (`log::Engine`, on completion).
    FlushErrorIgnored,
    /// Records are reported durable when they are written, before the flush (`log::Engine`).
    DurableBeforeFlush,
    /// The flush is asked for, and then vouched for, when the first of several writes is done
    /// (`log::Engine`).
    CompletionsOutOfOrder,
    /// Neither place nor incarnation of what is read is compared with what was asked for
    /// (`format::chunk`, `format::record`, `log::recovery`).
    StaleBlockAccepted,
    /// After a crash the old incarnation goes on in the same segment, over what may lie there
    /// (`log::recovery`).
    IncarnationReusedAfterCrash,
    /// Whatever has the right tag is taken for the key that was asked for (`store::change`).
    TagTakenForKey,
    /// An item moves, and the index goes on pointing at where it was (`store::change`).
    MoveNotIndexed,
    /// Memory counts as free and is not given back (`store::arena`).
    BudgetLeak,
    /// The superblock refers to a checkpoint that is not durable yet (`log::errand`).
    CheckpointAheadOfLog,
    /// A segment is given up when its values have been copied, before the copies and what refers to
    /// them are durable (`log::errand`).
    VictimFreedEarly,
    /// Compaction moves one value of a record and takes the others for moved too (`compaction`).
    CompactionDropsLive,
    /// A checkpoint says nothing of keys that are gone (`store::pages`).
    TombstoneForgotten,
    /// A checkpoint's list of pages lacks the last one (`store::pages`).
    PageListOffByOne,
    /// The nonce is the place of a block, not that of a record (`keys`).
    ReusedNonce,
    /// The data key follows from the incarnation alone, which a copy of a directory repeats (`keys`).
    DataKeyOutlivesProcess,
    /// Neither nonce nor what is authenticated has the record's place (`keys`).
    WrongPlaceDecrypted,
    /// A record's fields beside its payload are not authenticated (`keys`).
    FieldsNotAuthenticated,
    /// Both copies of the superblock are written with the new wrap before either is durable
    /// (`log::rekey`).
    KeyRotationLosesOldWrap,
    /// A compressed value counts in the index as if it were not (`store::census`).
    CompressedCountsWhole,
    /// `log::segments`: a log that wants no segment never learns that its disk is full no more.
    FullForGood,
    /// `scrub`: whatever is missing, nobody goes through the keys for it.
    ScrubBlind,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::TornTakenAsValid,
        Bug::WrongTailDecision,
        Bug::FlushErrorIgnored,
        Bug::DurableBeforeFlush,
        Bug::CompletionsOutOfOrder,
        Bug::StaleBlockAccepted,
        Bug::IncarnationReusedAfterCrash,
        Bug::TagTakenForKey,
        Bug::MoveNotIndexed,
        Bug::BudgetLeak,
        Bug::CheckpointAheadOfLog,
        Bug::VictimFreedEarly,
        Bug::CompactionDropsLive,
        Bug::TombstoneForgotten,
        Bug::PageListOffByOne,
        Bug::ReusedNonce,
        Bug::DataKeyOutlivesProcess,
        Bug::WrongPlaceDecrypted,
        Bug::FieldsNotAuthenticated,
        Bug::KeyRotationLosesOldWrap,
        Bug::CompressedCountsWhole,
        Bug::FullForGood,
        Bug::ScrubBlind,
    ];

    /// Whether clients of a cluster can run into it. The others need more keys or more memory than a
    /// simulated world has, or somebody who reads or changes the disk on purpose; `tests/planted_bugs.rs`
    /// finds them all.
    pub fn shows_in_a_cluster(self) -> bool {
        let hidden = [
            Bug::TagTakenForKey,
            Bug::MoveNotIndexed,
            Bug::BudgetLeak,
            Bug::ReusedNonce,
            Bug::DataKeyOutlivesProcess,
            Bug::WrongPlaceDecrypted,
            Bug::FieldsNotAuthenticated,
            Bug::KeyRotationLosesOldWrap,
            Bug::CompressedCountsWhole,
        ];
        !hidden.contains(&self)
    }

    /// In kebab-case, as a person types it.
    pub fn name(self) -> &'static str {
        match self {
            Bug::TornTakenAsValid => "torn-taken-as-valid",
            Bug::WrongTailDecision => "wrong-tail-decision",
            Bug::FlushErrorIgnored => "flush-error-ignored",
            Bug::DurableBeforeFlush => "durable-before-flush",
            Bug::CompletionsOutOfOrder => "completions-out-of-order",
            Bug::StaleBlockAccepted => "stale-block-accepted",
            Bug::IncarnationReusedAfterCrash => "incarnation-reused-after-crash",
            Bug::TagTakenForKey => "tag-taken-for-key",
            Bug::MoveNotIndexed => "move-not-indexed",
            Bug::BudgetLeak => "budget-leak",
            Bug::CheckpointAheadOfLog => "checkpoint-ahead-of-log",
            Bug::VictimFreedEarly => "victim-freed-early",
            Bug::CompactionDropsLive => "compaction-drops-live",
            Bug::TombstoneForgotten => "tombstone-forgotten",
            Bug::PageListOffByOne => "page-list-off-by-one",
            Bug::ReusedNonce => "reused-nonce",
            Bug::DataKeyOutlivesProcess => "data-key-outlives-process",
            Bug::WrongPlaceDecrypted => "wrong-place-decrypted",
            Bug::FieldsNotAuthenticated => "fields-not-authenticated",
            Bug::KeyRotationLosesOldWrap => "key-rotation-loses-old-wrap",
            Bug::CompressedCountsWhole => "compressed-counts-whole",
            Bug::FullForGood => "full-for-good",
            Bug::ScrubBlind => "scrub-blind",
        }
    }
}

#[cfg(feature = "planted-bugs")]
static PLANTED: AtomicU32 = AtomicU32::new(0);

/// Plants one bug in this process, or none. Without the feature it does nothing.
pub fn plant(bug: Option<Bug>) {
    #[cfg(feature = "planted-bugs")]
    PLANTED.store(bug.map_or(0, |bug| bug as u32), Ordering::Relaxed);
    #[cfg(not(feature = "planted-bugs"))]
    let _ = bug;
}

/// Whether this bug is planted.
#[cfg(feature = "planted-bugs")]
pub fn planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u32
}

/// Whether this bug is planted: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(bug: Bug) -> bool {
    let _ = bug;
    false
}
