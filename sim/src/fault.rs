//! What may befall a cluster, in words that a person can read and a run can replay.
#![expect(missing_docs, reason = "the sentence of a variant explains its fields")]

use std::fmt;
use std::time::Duration;

use crate::coverage::Kind;
use crate::disk::HUNG;
use crate::disk::platter::{Rot, Tearing};

/// A node by its number, from 0; people read "node-1".
pub type NodeIndex = usize;

/// How a node's life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Death {
    /// The process is killed; what it wrote is the kernel's.
    Process,
    /// The machine loses power, and this is what its disk makes of it.
    Power(Tearing),
}

/// What a link does, beyond an ordinary local network; chances are per write, out of a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LinkWeather {
    /// Added to each way, in microseconds.
    pub latency_us: u64,
    /// How often it takes much longer.
    pub tail_ppm: u32,
    /// How much longer, in microseconds.
    pub tail_us: u64,
    /// Packets lost; TCP sends them again.
    pub loss_ppm: u32,
    /// Peers' frames that arrive twice.
    pub duplicate_ppm: u32,
    /// Peers' frames with a bit turned over.
    pub corrupt_ppm: u32,
    /// Writes that reset the connection instead.
    pub reset_ppm: u32,
    /// Writes that arrive in pieces.
    pub fragment_ppm: u32,
    /// 0 for no limit.
    pub bytes_per_second: u64,
    /// Bytes on their way at which a writer has to wait; 0 for the usual.
    pub window_bytes: u64,
}

impl LinkWeather {
    /// What it asks for, beside a plain link.
    pub fn kinds(&self, plain: &LinkWeather) -> Vec<Kind> {
        let asked = [
            (Kind::Latency, self.latency_us > plain.latency_us),
            (Kind::Tail, self.tail_ppm > 0 && self.tail_us > 0),
            (Kind::Loss, self.loss_ppm > 0),
            (Kind::Duplicate, self.duplicate_ppm > 0),
            (Kind::Corrupt, self.corrupt_ppm > 0),
            (Kind::ResetOnWrite, self.reset_ppm > 0),
            (Kind::Fragment, self.fragment_ppm > 0),
            (Kind::ShortRead, self.fragment_ppm > 0),
            (Kind::ShortWrite, self.window_bytes > 0),
            (Kind::Bandwidth, self.bytes_per_second > 0),
        ];
        asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(kind, _)| kind).collect()
    }
}

/// Who is cut off from whom.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// These on one side, the others on the other.
    Halves(Vec<NodeIndex>),
    /// What this node sends is lost, what is sent to it arrives.
    Mute(NodeIndex),
    /// What is sent to this node is lost, what it sends arrives.
    Deaf(NodeIndex),
    /// Nobody hears anybody, but all hear this node.
    Bridge(NodeIndex),
    /// These two do not hear each other.
    Pair(NodeIndex, NodeIndex),
    /// Each hears its two neighbours only.
    Ring,
}

impl Cut {
    /// The ways, from whom to whom, that it takes away from so many nodes.
    pub fn severed(&self, count: usize) -> Vec<(NodeIndex, NodeIndex)> {
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let is_cut = |&(from, to): &(usize, usize)| match self {
            _ if from == to => false,
            Cut::Halves(side) => side.contains(&from) != side.contains(&to),
            Cut::Mute(node) => from == *node,
            Cut::Deaf(node) => to == *node,
            Cut::Bridge(node) => from != *node && to != *node,
            Cut::Pair(left, right) => [(*left, *right), (*right, *left)].contains(&(from, to)),
            Cut::Ring => ![1, count - 1].contains(&((to + count - from) % count)),
        };
        pairs.filter(is_cut).collect()
    }

    /// As it is counted.
    pub fn kind(&self) -> Kind {
        match self {
            Cut::Halves(_) => Kind::Partition,
            Cut::Mute(_) => Kind::Mute,
            Cut::Deaf(_) => Kind::Deaf,
            Cut::Bridge(_) => Kind::Bridge,
            Cut::Pair(..) => Kind::Pair,
            Cut::Ring => Kind::Ring,
        }
    }
}

/// Faults in an order. The leader is the first shard's; `step` and `lasts` are the script's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// The leader is cut off from all but one follower, and that one is restarted every `step`: it
    /// must remember the lease that it granted.
    LeaseTrap,
    /// Whoever leads is cut off for `step`, then the next, and so on.
    LeaderChurn,
    /// The leader hears nothing; what was sent meanwhile arrives late.
    DeafLeader,
    /// The leader loses power every `step`.
    PowerStorm,
    /// Half of the followers answer the leader's heartbeats for `step`, and the answers take `lasts`;
    /// everything else between the leader and the others is lost meanwhile. A lease counts from the
    /// question.
    LateAnswers,
    /// The leader keeps one follower for `step`; then that one restarts, the leader cannot tell it
    /// anything, and the others want its vote while the leader's lease runs on.
    Grace,
    /// The leader has heard nothing for `step` when it is asked to end, and does not learn that it
    /// was followed.
    DeafHandOver,
    /// What one follower vouches for takes `lasts` to arrive; the leader loses its quorum meanwhile,
    /// and wins it back with the help of a slow follower.
    StaleVouch,
    /// One node is away for `step`, then the leader dies, and the node that has everything finds
    /// nobody to elect it; at last the laggard may stand.
    Laggard,
    /// One node is away for `step`; as soon as it has installed the snapshot that it then needs, it
    /// loses power, and everything that was not flushed.
    SnapshotCut,
    /// A shard's voters change, again and again, the leader's own vote among them; meanwhile the
    /// leader and whoever arrives are cut off from the others for `lasts`.
    VotersOnTheMove,
    /// A newcomer whose disk is slow learns for `step`; then it and the leader are alone for `lasts`,
    /// and the others, who are a quorum, elect.
    LearnerTrap,
    /// The leader is alone with what it still writes down; as soon as another one has chosen its first
    /// values, that one is cut off for `lasts`, and the third learns of both.
    Ghosts,
    /// A voter is away for `step` while another one's vote goes to a newcomer; the snapshot that brings
    /// it back is the first that it hears of the change.
    AbsentVoter,
}

impl Series {
    /// All that play with three nodes.
    pub const ALL: &[Series] = &[
        Series::LeaseTrap,
        Series::LeaderChurn,
        Series::DeafLeader,
        Series::PowerStorm,
        Series::LateAnswers,
        Series::Grace,
        Series::DeafHandOver,
        Series::StaleVouch,
        Series::Laggard,
        Series::SnapshotCut,
        Series::Ghosts,
    ];

    /// Those that need a node without a vote: worlds of four and five.
    pub const OF_VOTERS: &[Series] =
        &[Series::VotersOnTheMove, Series::LearnerTrap, Series::AbsentVoter];

    /// As it is counted.
    pub fn kind(self) -> Kind {
        match self {
            Series::LeaseTrap => Kind::LeaseTrap,
            Series::LeaderChurn => Kind::LeaderChurn,
            Series::DeafLeader => Kind::DeafLeader,
            Series::PowerStorm => Kind::PowerStorm,
            Series::LateAnswers => Kind::LateAnswers,
            Series::Grace => Kind::Grace,
            Series::DeafHandOver => Kind::DeafHandOver,
            Series::StaleVouch => Kind::StaleVouch,
            Series::Laggard => Kind::Laggard,
            Series::SnapshotCut => Kind::SnapshotCut,
            Series::VotersOnTheMove => Kind::VotersOnTheMove,
            Series::LearnerTrap => Kind::LearnerTrap,
            Series::Ghosts => Kind::Ghosts,
            Series::AbsentVoter => Kind::AbsentVoter,
        }
    }

    /// As people type it.
    pub fn name(self) -> &'static str {
        match self {
            Series::LeaseTrap => "lease-trap",
            Series::LeaderChurn => "leader-churn",
            Series::DeafLeader => "deaf-leader",
            Series::PowerStorm => "power-storm",
            Series::LateAnswers => "late-answers",
            Series::Grace => "grace",
            Series::DeafHandOver => "deaf-hand-over",
            Series::StaleVouch => "stale-vouch",
            Series::Laggard => "laggard",
            Series::SnapshotCut => "snapshot-cut",
            Series::VotersOnTheMove => "move-shard",
            Series::LearnerTrap => "learner-trap",
            Series::Ghosts => "ghosts",
            Series::AbsentVoter => "absent-voter",
        }
    }

    /// `step` and `lasts`, each at least and at most, in quarters of a heartbeat.
    pub fn beats(self) -> [(u64, u64); 2] {
        match self {
            Series::LeaseTrap => [(1, 24), (40, 160)],
            Series::LeaderChurn => [(12, 80), (80, 400)],
            Series::DeafLeader => [(1, 2), (8, 60)],
            Series::PowerStorm => [(1, 60), (80, 300)],
            Series::LateAnswers => [(4, 8), (24, 38)],
            Series::Grace => [(44, 80), (12, 40)],
            Series::DeafHandOver => [(1, 8), (12, 40)],
            Series::StaleVouch => [(8, 16), (88, 112)],
            Series::Laggard => [(60, 200), (160, 320)],
            Series::SnapshotCut => [(80, 200), (40, 120)],
            Series::VotersOnTheMove => [(2, 40), (8, 60)],
            Series::LearnerTrap => [(12, 40), (40, 80)],
            Series::Ghosts => [(1, 16), (60, 120)],
            Series::AbsentVoter => [(100, 240), (40, 120)],
        }
    }
}

/// One thing that goes wrong. Those with a time end by themselves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Ends one life; the next begins after this time, and ends at once if `again` says so: a crash
    /// during recovery.
    Kill { node: NodeIndex, death: Death, down: Duration, again: Option<Duration> },
    /// Whoever leads the first shard.
    KillLeader { death: Death, down: Duration },
    /// All at once.
    KillAll { tearing: Tearing, down: Duration },
    /// Stands still, as under SIGSTOP; its clocks go on.
    Pause { node: NodeIndex, lasts: Duration },
    /// Whoever leads the first shard stands still.
    PauseLeader { lasts: Duration },
    /// Is asked to end, politely, and starts again.
    Terminate { node: NodeIndex, down: Duration },
    /// Whoever leads the first shard is asked to end.
    TerminateLeader { down: Duration },
    /// What takes several steps, in an order that chance alone hardly ever finds.
    Series { series: Series, step: Duration, lasts: Duration },
    /// Loses its disk, and comes back with an empty one.
    Wipe { node: NodeIndex, down: Duration },
    /// The network falls apart.
    Partition { cut: Cut, lasts: Duration },
    /// Nodes are cut off from all others one by one, in this order, and come back one by one.
    Swizzle { order: Vec<NodeIndex>, lasts: Duration },
    /// One direction between two nodes takes so much longer.
    SlowLink { from: NodeIndex, to: NodeIndex, latency: Duration, lasts: Duration },
    /// The leader of the first shard is cut off from its peers, not from its clients.
    IsolateLeader { lasts: Duration },
    /// Every link gets worse.
    Network { weather: LinkWeather, lasts: Duration },
    /// Every connection between two nodes is reset.
    Reset { left: NodeIndex, right: NodeIndex },
    /// The wall clock moves, in milliseconds.
    ClockJump { node: NodeIndex, by_ms: i64 },
    /// The oscillator runs fast or slow.
    ClockDrift { node: NodeIndex, ppm: i32 },
    /// The wall clock stands.
    ClockFreeze { node: NodeIndex, lasts: Duration },
    /// The disk takes so many times as long.
    DiskSlow { node: NodeIndex, times: u32, lasts: Duration },
    /// The disk answers after this only.
    DiskStall { node: NodeIndex, stall: Duration, lasts: Duration },
    /// Reads, writes, flushes fail, each so many times out of a million; a node then ends itself.
    DiskErrors { node: NodeIndex, read_ppm: u32, write_ppm: u32, flush_ppm: u32, lasts: Duration },
    /// Reads show a bit turned over, or another block, each so many times out of a million; what is on
    /// the disk is right.
    DiskLies { node: NodeIndex, flips_ppm: u32, astray_ppm: u32, lasts: Duration },
    /// No new areas.
    DiskFull { node: NodeIndex, lasts: Duration },
    /// The operator wants another leader for the first shard: this node, or any.
    TransferLeader { to: Option<NodeIndex> },
    /// The operator gives the first shard these voters.
    MoveShard { voters: Vec<NodeIndex> },
    /// The operator takes every vote from a node, and later spreads votes evenly again.
    Drain { node: NodeIndex, lasts: Duration },
    /// The operator drains a node, removes it, empties its disk, and lets it in again later.
    Readmit { node: NodeIndex, away: Duration },
    /// The operator ends the connections of all clients of a node, whatever they wait for.
    CutClients,
    /// The operator takes a backup, at leisure; what is in it must be what the clients know.
    Backup,
    /// Sectors go bad at rest.
    Rot { node: NodeIndex, rot: Rot, sectors: u32 },
}

impl Fault {
    /// The kinds of trouble that it asks for, in a world with such plain links. What is left of a power
    /// cut is counted where power is cut.
    pub fn kinds(&self, plain: &LinkWeather) -> Vec<Kind> {
        match self {
            Fault::Kill { death, again, .. } => {
                let recovery = again.map(|_| Kind::CrashInRecovery);
                let kill = (*death == Death::Process).then_some(Kind::Kill);
                kill.into_iter().chain(recovery).collect()
            }
            Fault::KillLeader { .. } => vec![Kind::KillLeader],
            Fault::KillAll { .. } => vec![Kind::KillAll],
            Fault::Pause { .. } => vec![Kind::Pause],
            Fault::PauseLeader { .. } => vec![Kind::PauseLeader],
            Fault::Terminate { .. } => vec![Kind::Terminate],
            Fault::TerminateLeader { .. } => vec![Kind::TerminateLeader],
            Fault::Series { series, .. } => vec![series.kind()],
            Fault::Wipe { .. } => vec![Kind::Wipe],
            Fault::Partition { cut, .. } => vec![cut.kind()],
            Fault::Swizzle { .. } => vec![Kind::Swizzle],
            Fault::SlowLink { .. } => vec![Kind::SlowLink],
            Fault::IsolateLeader { .. } => vec![Kind::IsolateLeader],
            Fault::Network { weather, .. } => weather.kinds(plain),
            Fault::Reset { .. } => vec![Kind::Reset],
            Fault::TransferLeader { .. } => vec![Kind::TransferLeader],
            Fault::MoveShard { .. } => vec![Kind::MoveVoters],
            Fault::Drain { .. } => vec![Kind::Drain],
            Fault::CutClients => vec![Kind::CutClients],
            Fault::Readmit { .. } => vec![Kind::Readmit],
            Fault::Backup => vec![Kind::Backup],
            other => other.local_kinds(),
        }
    }

    /// Of clocks and disks.
    fn local_kinds(&self) -> Vec<Kind> {
        let some = |asked: &[(Kind, bool)]| {
            asked.iter().filter(|(_, is_asked)| *is_asked).map(|(kind, _)| *kind).collect()
        };
        match *self {
            Fault::ClockJump { by_ms, .. } => {
                some(&[(Kind::ClockForward, by_ms > 0), (Kind::ClockBack, by_ms < 0)])
            }
            Fault::ClockDrift { ppm, .. } => {
                some(&[(Kind::ClockFast, ppm > 0), (Kind::ClockSlow, ppm < 0)])
            }
            Fault::ClockFreeze { .. } => vec![Kind::ClockFreeze],
            Fault::DiskSlow { .. } => vec![Kind::DiskSlow],
            Fault::DiskStall { stall, .. } => {
                some(&[(Kind::DiskStall, stall < HUNG), (Kind::DiskHung, stall >= HUNG)])
            }
            Fault::DiskErrors { read_ppm, write_ppm, flush_ppm, .. } => some(&[
                (Kind::ReadError, read_ppm > 0),
                (Kind::WriteError, write_ppm > 0),
                (Kind::FlushError, flush_ppm > 0),
            ]),
            Fault::DiskLies { flips_ppm, astray_ppm, .. } => {
                some(&[(Kind::ReadFlip, flips_ppm > 0), (Kind::ReadMisdirected, astray_ppm > 0)])
            }
            Fault::DiskFull { .. } => vec![Kind::DiskFull],
            Fault::Rot { rot, .. } => vec![rot.kind()],
            _ => Vec::new(),
        }
    }

    /// Which family it belongs to, for counting.
    pub fn family(&self) -> &'static str {
        match self {
            Fault::Kill { death: Death::Process, again: None, .. } => "kill",
            Fault::Kill { death: Death::Power(_), again: None, .. } => "power-cut",
            Fault::Kill { again: Some(_), .. } => "crash-in-recovery",
            Fault::KillLeader { .. } => "kill-leader",
            Fault::KillAll { .. } => "kill-all",
            Fault::Pause { .. } => "pause",
            Fault::PauseLeader { .. } => "pause-leader",
            Fault::Terminate { .. } => "terminate",
            Fault::TerminateLeader { .. } => "terminate-leader",
            Fault::Series { series, .. } => series.name(),
            Fault::Wipe { .. } => "wipe",
            Fault::Partition { cut: Cut::Halves(_), .. } => "partition",
            Fault::Partition { cut: Cut::Mute(_) | Cut::Deaf(_), .. } => "one-way",
            Fault::Partition { cut: Cut::Bridge(_), .. } => "bridge",
            Fault::Partition { cut: Cut::Pair(..), .. } => "pair",
            Fault::Partition { cut: Cut::Ring, .. } => "ring",
            Fault::Swizzle { .. } => "swizzle",
            Fault::SlowLink { .. } => "slow-link",
            Fault::IsolateLeader { .. } => "isolate-leader",
            Fault::Network { .. } => "network",
            Fault::Reset { .. } => "reset",
            Fault::ClockJump { .. } => "clock-jump",
            Fault::ClockDrift { .. } => "clock-drift",
            Fault::ClockFreeze { .. } => "clock-freeze",
            Fault::DiskSlow { .. } => "disk-slow",
            Fault::DiskStall { .. } => "disk-stall",
            Fault::DiskErrors { .. } => "disk-errors",
            Fault::DiskLies { .. } => "disk-lies",
            Fault::DiskFull { .. } => "disk-full",
            Fault::TransferLeader { .. } => "transfer-leader",
            Fault::MoveShard { .. } => "move-voters",
            Fault::Drain { .. } => "drain",
            Fault::CutClients => "cut-clients",
            Fault::Readmit { .. } => "readmit",
            Fault::Backup => "backup",
            Fault::Rot { .. } => "rot",
        }
    }
}

/// The name people read.
pub fn node_name(node: NodeIndex) -> String {
    format!("node-{}", node + 1)
}

impl fmt::Display for Death {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Death::Process => write!(formatter, "kill -9"),
            Death::Power(tearing) => write!(formatter, "power cut ({tearing:?})"),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Halves(side) => {
                let names: Vec<String> = side.iter().map(|&node| node_name(node)).collect();
                write!(formatter, "cut {} off", names.join(", "))
            }
            Cut::Mute(node) => write!(formatter, "lose what {} sends", node_name(*node)),
            Cut::Deaf(node) => write!(formatter, "lose what is sent to {}", node_name(*node)),
            Cut::Bridge(node) => write!(formatter, "only {} hears and is heard", node_name(*node)),
            Cut::Ring => write!(formatter, "each hears its two neighbours only"),
            Cut::Pair(left, right) => {
                write!(formatter, "cut between {} and {}", node_name(*left), node_name(*right))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill { node, death, down, again } => {
                write!(formatter, "{death} of {}, down for {down:?}", node_name(*node))?;
                again.map_or(Ok(()), |after| write!(formatter, ", again {after:?} after its start"))
            }
            Fault::KillLeader { death, down } => {
                write!(formatter, "{death} of the leader, down for {down:?}")
            }
            Fault::KillAll { tearing, down } => {
                write!(formatter, "power cut of all nodes ({tearing:?}), down for {down:?}")
            }
            Fault::Pause { node, lasts } => {
                write!(formatter, "pause {} for {lasts:?}", node_name(*node))
            }
            Fault::PauseLeader { lasts } => write!(formatter, "pause the leader for {lasts:?}"),
            Fault::Terminate { node, down } => {
                write!(formatter, "SIGTERM to {}, down for {down:?}", node_name(*node))
            }
            Fault::Wipe { node, down } => {
                write!(formatter, "new, empty disk for {}, down for {down:?}", node_name(*node))
            }
            Fault::Partition { cut, lasts } => write!(formatter, "{cut} for {lasts:?}"),
            Fault::IsolateLeader { lasts } => {
                write!(formatter, "cut the leader off from its peers for {lasts:?}")
            }
            Fault::Network { weather, lasts } => write!(formatter, "{weather:?} for {lasts:?}"),
            Fault::Reset { left, right } => {
                let (left, right) = (node_name(*left), node_name(*right));
                write!(formatter, "reset all connections between {left} and {right}")
            }
            other => other.write_local(formatter),
        }
    }
}

impl Fault {
    /// Those that come in series, and those of clocks and disks.
    fn write_local(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::TerminateLeader { down } => {
                write!(formatter, "SIGTERM to the leader, down for {down:?}")
            }
            Fault::Series { series, step, lasts } => {
                write!(formatter, "{} with steps of {step:?}, for {lasts:?}", series.name())
            }
            Fault::ClockJump { node, by_ms } => {
                write!(formatter, "wall clock of {} jumps by {by_ms} ms", node_name(*node))
            }
            Fault::ClockDrift { node, ppm } => {
                write!(formatter, "clock of {} drifts by {ppm} ppm", node_name(*node))
            }
            Fault::ClockFreeze { node, lasts } => {
                write!(formatter, "wall clock of {} stands for {lasts:?}", node_name(*node))
            }
            Fault::DiskSlow { node, times, lasts } => {
                write!(formatter, "disk of {} {times} times slower for {lasts:?}", node_name(*node))
            }
            Fault::DiskStall { node, stall, lasts } => {
                write!(formatter, "disk of {} stalls by {stall:?} for {lasts:?}", node_name(*node))
            }
            Fault::DiskErrors { node, read_ppm, write_ppm, flush_ppm, lasts } => write!(
                formatter,
                "disk of {} fails for {lasts:?} (of a million: {read_ppm} reads, {write_ppm} \
                 writes, {flush_ppm} flushes)",
                node_name(*node)
            ),
            Fault::DiskLies { node, flips_ppm, astray_ppm, lasts } => write!(
                formatter,
                "disk of {} lies for {lasts:?} (of a million reads: {flips_ppm} with a bit turned over, \
                 {astray_ppm} of another block)",
                node_name(*node)
            ),
            Fault::Swizzle { order, lasts } => {
                let names: Vec<String> = order.iter().map(|&node| node_name(node)).collect();
                write!(formatter, "cut off one by one for {lasts:?}: {}", names.join(", "))
            }
            Fault::SlowLink { from, to, latency, lasts } => {
                let (from, to) = (node_name(*from), node_name(*to));
                write!(formatter, "from {from} to {to} it takes {latency:?} for {lasts:?}")
            }
            Fault::DiskFull { node, lasts } => {
                write!(formatter, "disk of {} is full for {lasts:?}", node_name(*node))
            }
            Fault::TransferLeader { to: None } => write!(formatter, "another leader, please"),
            Fault::TransferLeader { to: Some(to) } => {
                write!(formatter, "{} shall lead", node_name(*to))
            }
            Fault::MoveShard { voters } => {
                let names: Vec<String> = voters.iter().map(|&node| node_name(node)).collect();
                write!(formatter, "the first shard moves to {}", names.join(", "))
            }
            Fault::Drain { node, lasts } => {
                write!(formatter, "{} is drained; balance after {lasts:?}", node_name(*node))
            }
            Fault::Readmit { node, away } => {
                write!(
                    formatter,
                    "{} is removed, and let in again after {away:?}",
                    node_name(*node)
                )
            }
            Fault::CutClients => write!(formatter, "a node ends its clients' connections"),
            Fault::Backup => write!(formatter, "a backup is taken"),
            Fault::Rot { node, rot, sectors } => {
                write!(formatter, "{sectors} sectors of {} go bad ({rot:?})", node_name(*node))
            }
            _ => unreachable!("the others are written by their own arms"),
        }
    }
}
