//! Which kinds of trouble a run asked for, and which of them anybody felt.
//!
//! **Invariant.** A kind counts as activated only where it changed something that the system under test
//! could see: a write that was held up, a read that returned other bytes, a process that had lived. That
//! the weather asked for it is counted apart.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(test)]
mod tests;

/// Each kind once: its name in Rust, its name for people, and what makes it count as activated.
macro_rules! kinds {
    ($($variant:ident $name:literal $activated:literal)*) => {
        /// A kind of trouble.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = $activated] $variant,)*
        }

        impl Kind {
            /// All there are.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            /// For people.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)*
                }
            }

            /// What makes it count as activated.
            pub fn activated(self) -> &'static str {
                match self {
                    $(Kind::$variant => $activated,)*
                }
            }
        }
    };
}

kinds! {
    // Processes.
    Kill "kill" "a living process was killed"
    KillLeader "kill-leader" "a living leader was killed"
    KillAll "kill-all" "two or more living nodes lost power at once"
    CrashInRecovery "crash-in-recovery" "a node that had not come up yet lost power"
    Pause "pause" "a living process stood still"
    PauseLeader "pause-leader" "a living leader stood still"
    Terminate "terminate" "a living process was asked to end"
    TerminateLeader "terminate-leader" "a living leader was asked to end"
    Wipe "wipe" "a disk with something on it was lost"
    // What is left of a power cut.
    PowerLoseAll "power-lose-all" "a write that no flush had covered was lost"
    PowerKeepAll "power-keep-all" "a write survived that no flush had covered"
    PowerPrefix "power-prefix" "the beginning of a write survived"
    PowerShuffled "power-shuffled" "some sectors of a write survived, or a write but not an earlier one"
    // Networks.
    Partition "partition" "something sent between the halves was held up"
    Mute "mute" "something that the node sent was held up"
    Deaf "deaf" "something sent to the node was held up"
    Bridge "bridge" "something sent past the bridge was held up"
    Ring "ring" "something sent across the ring was held up"
    Pair "pair" "something sent between the two was held up"
    Swizzle "swizzle" "something was held up while nodes were cut off one by one"
    IsolateLeader "isolate-leader" "something between the leader and its peers was held up"
    SlowLink "slow-link" "something was sent over the slow direction"
    Latency "latency" "something was sent while everything took longer"
    Tail "tail" "something took much longer than usual"
    Loss "loss" "a packet was lost, and sent again later"
    Duplicate "duplicate" "a frame was sent twice"
    Corrupt "corrupt" "a frame was sent with a bit flipped"
    ResetOnWrite "reset-on-write" "a write broke its connection"
    Reset "reset" "connections between two nodes were broken"
    Fragment "fragment" "a write arrived in pieces"
    ShortRead "short-read" "a read got less than there was"
    ShortWrite "short-write" "a write was taken in part"
    Bandwidth "bandwidth" "a write waited behind others"
    HalfOpen "half-open" "a peer died without a word at the other end of an open connection"
    // Clocks.
    ClockOffset "clock-offset" "a wall clock that is off from the start was read"
    ClockForward "clock-forward" "a wall clock was read after it had jumped ahead"
    ClockBack "clock-back" "a wall clock was read after it had jumped back"
    ClockFast "clock-fast" "a monotonic clock that runs fast was read"
    ClockSlow "clock-slow" "a monotonic clock that runs slow was read"
    ClockFreeze "clock-freeze" "a wall clock that stands was read"
    // Disks.
    DiskSlow "disk-slow" "an operation ended on the slow disk"
    DiskStall "disk-stall" "an operation ended late"
    DiskHung "disk-hung" "an operation was asked of a disk that does not answer"
    DiskFull "disk-full" "a new area found no room"
    ReadError "read-error" "a read failed"
    WriteError "write-error" "a write failed"
    FlushError "flush-error" "a flush failed"
    ReadFlip "read-flip" "a read returned a bit that is not so on the disk"
    ReadMisdirected "read-misdirected" "a read returned another block"
    RotFlip "rot-flip" "a block with a bit turned over was read"
    RotZero "rot-zero" "a block with a zeroed sector was read"
    WriteMisdirected "write-misdirected" "a block with what belongs elsewhere was read"
    WriteLost "write-lost" "a block was read as before a write that was reported as done"
    // Operators.
    TransferLeader "transfer-leader" "the cluster did as asked"
    MoveVoters "move-voters" "the cluster did as asked"
    Drain "drain" "the cluster did as asked"
    Readmit "readmit" "a removed node was let in again"
    CutClients "cut-clients" "a client's connection was ended"
    Backup "backup" "a snapshot of every shard was fetched"
    Scrub "scrub" "a node that read all of its disk mended something"
    // Scripts.
    LeaseTrap "lease-trap" "the follower that grants the lease was restarted"
    LeaderChurn "leader-churn" "two leaders or more were cut off, one after the other"
    DeafLeader "deaf-leader" "something sent to the leader was held up"
    PowerStorm "power-storm" "the node lost power twice or more"
    LateAnswers "late-answers" "something between the leader and the others was held up"
    Grace "grace" "the followers that granted the lease were restarted"
    DeafHandOver "deaf-hand-over" "the deaf leader was asked to end"
    StaleVouch "stale-vouch" "the others were restarted while vouches were on their way"
    Laggard "laggard" "the leader died while one node lacked a part"
    SnapshotCut "snapshot-cut" "a node lost power right after it had installed a snapshot"
    VotersOnTheMove "move-shard" "voters were asked to change, and something was held up meanwhile"
    LearnerTrap "learner-trap" "a newcomer was asked to learn, and something was held up meanwhile"
    Ghosts "ghosts" "a second leader was elected and cut off"
    AbsentVoter "absent-voter" "the absent one installed a snapshot"
}

/// How often, of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// The weather asked for it.
    pub reached: u64,
    /// It changed something.
    pub activated: u64,
}

/// Of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<Kind, Count>,
}

impl Coverage {
    /// The weather asks for this.
    pub fn reach(&mut self, kind: Kind) {
        self.counts.entry(kind).or_default().reached += 1;
    }

    /// So many effects of this were felt.
    pub fn activate(&mut self, kind: Kind, effects: u64) {
        self.counts.entry(kind).or_default().activated += effects;
    }

    /// Of one kind.
    pub fn count(&self, kind: Kind) -> Count {
        self.counts.get(&kind).copied().unwrap_or_default()
    }
}

/// `kill=3/2 ..`: reached and activated, of every kind that was either; what campaigns add up.
impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("coverage:")?;
        self.counts.iter().try_for_each(|(kind, count)| {
            write!(formatter, " {}={}/{}", kind.name(), count.reached, count.activated)
        })
    }
}
