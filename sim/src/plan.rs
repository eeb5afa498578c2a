//! What a seed makes of a world, decided before it begins: topology, knobs, workload, and every fault
//! with its time. Pure, so that it can be printed, tested, and run without some of its faults.
//!
//! **Recoverable by construction.** Only *one* node, the victim, ever loses what it had flushed (a
//! wiped disk, rot, a failed flush); all others keep one good copy of everything between them. So
//! every loss that an oracle reports is real.

use std::time::Duration;

use crate::fault::{Fault, LinkWeather, NodeIndex, Series};
use crate::random::Random;
use crate::written::Written;

mod families;
#[cfg(test)]
mod tests;

/// A kind of weather.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Each seed draws its own faults; some have none.
    Swarm,
    /// Nothing goes wrong: latency and failures here are the product's own.
    Quiet,
    /// The network falls apart, in every way there is.
    Partition,
    /// The leader dies, again and again.
    LeaderKill,
    /// Everybody loses power at once.
    PowerCutAll,
    /// Clocks jump, drift, and stand still.
    ClockJump,
    /// Disks are slow, stall, fail.
    DiskSlow,
    /// A node loses its disk and rejoins.
    WipeAndRejoin,
    /// Little room: values move and segments are given back all the time, and nodes die meanwhile.
    SmallLog,
    /// Disks fill up without notice, and nodes die meanwhile.
    DiskFull,
    /// A disk goes bad bit by bit, under values that are in no memory.
    Rot,
    /// A node is removed and comes back as a new one.
    Readmit,
    /// One series, again and again, and nothing else.
    Series(Series),
    /// What a file says: see `written`.
    Written,
}

impl Scenario {
    /// All there are, those first that find most of the planted bugs: a hunt goes through them in order.
    pub const ALL: &[Scenario] = &[
        Scenario::Swarm,
        Scenario::WipeAndRejoin,
        Scenario::PowerCutAll,
        Scenario::LeaderKill,
        Scenario::Partition,
        Scenario::Series(Series::PowerStorm),
        Scenario::SmallLog,
        Scenario::Series(Series::SnapshotCut),
        Scenario::Series(Series::Laggard),
        Scenario::Series(Series::StaleVouch),
        Scenario::Series(Series::LateAnswers),
        Scenario::Series(Series::DeafHandOver),
        Scenario::Series(Series::VotersOnTheMove),
        Scenario::Series(Series::Ghosts),
        Scenario::Series(Series::LeaderChurn),
        Scenario::Series(Series::AbsentVoter),
        Scenario::Series(Series::LearnerTrap),
        Scenario::Series(Series::LeaseTrap),
        Scenario::Series(Series::DeafLeader),
        Scenario::Series(Series::Grace),
        Scenario::DiskSlow,
        Scenario::DiskFull,
        Scenario::Readmit,
        Scenario::Rot,
        Scenario::ClockJump,
        Scenario::Quiet,
    ];

    /// For command lines.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Swarm => "swarm",
            Scenario::Quiet => "quiet",
            Scenario::Partition => "partition",
            Scenario::LeaderKill => "leader-kill",
            Scenario::PowerCutAll => "power-cut-all",
            Scenario::ClockJump => "clock-jump",
            Scenario::DiskSlow => "disk-slow",
            Scenario::WipeAndRejoin => "wipe-and-rejoin",
            Scenario::SmallLog => "small-log",
            Scenario::DiskFull => "disk-full",
            Scenario::Rot => "rot",
            Scenario::Readmit => "readmit",
            Scenario::Series(series) => series.name(),
            Scenario::Written => "written",
        }
    }
}

/// How a group of keys is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// Two keys that are set, deleted, compared, and changed together.
    Register,
    /// A number that counts.
    Counter,
    /// A value that grows.
    Text,
}

/// Sizes and times that the product leaves open, at ordinary or extreme values.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Knobs {
    /// Shards of the cluster.
    pub shard_count: u32,
    /// Heartbeats of the consensus groups, in microseconds; other times are multiples of it.
    pub heartbeat_us: u64,
    /// What leases allow clocks to drift; they do drift, up to this.
    pub drift_ppm: u32,
    /// Bytes of one segment of the log.
    pub segment_size: u64,
    /// The most bytes of all of them, 0 for no limit; little means that compaction never rests.
    pub log_size_max: u64,
    /// A chunk of the log is closed at this many bytes: small ones make many writes of one flush.
    pub chunk_size: usize,
    /// What is written to disks is compressed where that saves enough.
    pub compress: bool,
    /// It is encrypted.
    pub encrypt: bool,
    /// Memory for values; little of it means reads from the log.
    pub memory_bytes: u64,
    /// Clients give up after this.
    pub client_timeout: Duration,
    /// Nodes give up after this, and say that the outcome is unknown.
    pub request_timeout: Duration,
    /// How long one look at everything on the disk takes, and how often there is one; 0 for never.
    pub scrub_interval: Duration,
    /// Bytes added to values; large ones fill the log, so that whoever was away needs a snapshot.
    pub padding: usize,
    /// All disks take so many times as long.
    pub disk_slowness: u32,
    /// The plain kind of link.
    pub link: LinkWeather,
}

/// Ordinary values: what a capsule means that is older than a knob.
impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            shard_count: 1,
            heartbeat_us: 50_000,
            drift_ppm: 500,
            segment_size: 1 << 20,
            log_size_max: 0,
            chunk_size: 2 << 20,
            compress: false,
            encrypt: false,
            memory_bytes: 16 << 20,
            client_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(1),
            scrub_interval: Duration::ZERO,
            padding: 0,
            disk_slowness: 1,
            link: LinkWeather { latency_us: 200, ..LinkWeather::default() },
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Planned {
    /// Since the workload began.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// A world before it begins.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// The kind of weather.
    pub scenario: Scenario,
    /// How many nodes: 1, 3, 4 or 5.
    pub node_count: usize,
    /// The only one that may lose what it had flushed.
    pub victim: NodeIndex,
    /// How many clients.
    pub client_count: usize,
    /// A client waits up to this long between two requests.
    pub think: Duration,
    /// The objects there are.
    pub objects: Vec<ObjectKind>,
    /// How long the faults and the workload last.
    pub duration: Duration,
    /// See `Knobs`.
    pub knobs: Knobs,
    /// How each node's clocks begin: wall clock ahead by so many milliseconds, drift in ppm.
    pub clocks: Vec<(i64, i32)>,
    /// In order of time.
    pub faults: Vec<Planned>,
    /// What else its file says, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

impl Plan {
    /// The kind of weather, or the name of the file.
    pub fn scenario_name(&self) -> &str {
        self.written.as_ref().map_or(self.scenario.name(), |written| &written.name)
    }
}

/// Draws the plan of a seed.
pub fn plan(seed: u64, scenario: Scenario) -> Plan {
    let random = Random::new(seed, "plan");
    let mut shape = random.child("shape");
    let theme = theme(scenario, &mut random.child("theme"));
    let node_count = match (scenario, shape.below(10)) {
        _ if theme.is_some_and(|series| Series::OF_VOTERS.contains(&series)) => {
            4 + shape.below(2) as usize
        }
        _ if theme.is_some() => 3,
        (Scenario::Readmit, draw) => 4 + draw as usize % 2,
        (Scenario::Swarm | Scenario::Quiet, 0) => 1,
        (Scenario::Swarm, 1 | 2) => 5,
        (Scenario::Swarm, 3 | 4) => 4,
        _ => 3,
    };
    let duration = Duration::from_millis(shape.between(6_000, 20_000));
    let object_count = shape.between(3, 8) as usize;
    let kinds = [ObjectKind::Register, ObjectKind::Counter, ObjectKind::Text, ObjectKind::Register];
    let objects = (0..object_count).map(|index| kinds[index % kinds.len()]).collect();
    let mut plan = Plan {
        seed,
        scenario,
        node_count,
        victim: shape.below(node_count as u64) as usize,
        client_count: shape.between(2, 8) as usize,
        think: Duration::from_millis(*shape.pick(&[2, 10, 40, 100])),
        objects,
        duration,
        knobs: knobs(&mut random.child("knobs")),
        clocks: vec![(0, 0); node_count],
        faults: Vec::new(),
        written: None,
    };
    furnish(&mut plan, &random);
    let mut faults = Vec::new();
    if let Some(series) = theme {
        suit(&mut plan, series, &mut random.child("suit"));
        families::rehearse(&plan, series, &mut random.child("rehearse"), &mut faults);
    } else {
        for family in families::families(&plan, &mut random.child("families")) {
            families::schedule(&plan, family, &random, &mut faults);
        }
    }
    if scenario == Scenario::Rot {
        families::rot_at_last(&plan, &mut random.child("rot"), &mut faults);
    }
    if faults.iter().any(|planned| matches!(planned.fault, Fault::DiskLies { .. })) {
        // A disk that lies is felt by those who read from it: values must not fit into memory.
        plan.knobs.memory_bytes = 4 << 10;
        plan.knobs.padding = plan.knobs.padding.max(6_000);
    }
    faults.sort_by_key(|planned| planned.at);
    plan.faults = faults;
    plan
}

/// What a scenario asks of a world, beside its faults.
fn furnish(plan: &mut Plan, random: &Random) {
    let mut cramping = random.child("cramp");
    match plan.scenario {
        Scenario::Swarm | Scenario::ClockJump => set_clocks(plan, &mut random.child("clocks")),
        Scenario::SmallLog => {
            cramp(plan, &mut cramping);
            if random.child("crowd").chance_ppm(300_000) {
                crowd(plan);
            }
        }
        Scenario::DiskFull => {
            cramp(plan, &mut cramping);
            plan.knobs.log_size_max = 0; // What has a limit of its own asks for little.
        }
        Scenario::Rot => {
            cramp(plan, &mut cramping);
            plan.knobs.disk_slowness = 1;
            // Many values, and most of them old: what goes bad is what nobody writes anew.
            plan.objects = vec![ObjectKind::Register; 40];
            (plan.client_count, plan.think) = (4, Duration::from_millis(40));
            plan.knobs.scrub_interval =
                Duration::from_millis(*cramping.pick(&[0, 0, 1_000, 4_000]));
        }
        _ => (),
    }
}

/// Every third seed of the swarm plays one series again and again, and nothing else befalls it: what
/// needs one exact order of events drowns in other weather.
fn theme(scenario: Scenario, random: &mut Random) -> Option<Series> {
    match scenario {
        Scenario::Series(series) => Some(series),
        Scenario::Swarm if random.below(3) == 0 => Some(*random.pick(Series::ALL)),
        Scenario::Swarm => (random.below(10) == 0).then(|| *random.pick(Series::OF_VOTERS)),
        _ => None,
    }
}

/// A world in which a series comes out as it was meant: three nodes, busy clients, quick disks.
fn suit(plan: &mut Plan, series: Series, random: &mut Random) {
    let knobs = &mut plan.knobs;
    knobs.shard_count = 1;
    // Whoever restarts must be dialled before the lease is over that it had granted.
    let beats: &[u64] = if series == Series::Grace { &[100_000] } else { &[50_000, 100_000] };
    knobs.heartbeat_us = *random.pick(beats);
    // A disk that is hardly ever idle loses power in the middle of a large write.
    let is_slow = matches!(series, Series::PowerStorm | Series::SnapshotCut);
    knobs.disk_slowness = if is_slow { 20 } else { 1 };
    knobs.link = LinkWeather { latency_us: 200, ..LinkWeather::default() };
    knobs.padding = match series {
        // The leader's log must outgrow what it keeps for laggards.
        Series::Laggard | Series::SnapshotCut | Series::AbsentVoter => 20_000,
        // Several sectors and several records a write, so that it is torn between and within them.
        Series::PowerStorm => 1_000,
        Series::VotersOnTheMove => *random.pick(&[0, 0, 20_000]),
        _ => 0,
    };
    if series == Series::PowerStorm {
        // Or hardly a record a write, and many writes a flush.
        knobs.chunk_size = *random.pick(&[4 << 10, 2 << 20]);
    }
    if series == Series::Ghosts {
        // What a ghost does to a value shows where everybody adds to the same ones.
        plan.objects = vec![ObjectKind::Text; 2];
    }
    let is_crowded = matches!(series, Series::PowerStorm | Series::Ghosts);
    plan.client_count = if is_crowded { 8 } else { 5 };
    plan.think = Duration::from_millis(4);
    plan.duration = Duration::from_secs(16);
}

/// Large values in a log of small segments, none of which stay in memory; many keys, so that some of them
/// are old when their segment has to go, and two of them in many a record.
fn cramp(plan: &mut Plan, random: &mut Random) {
    let knobs = &mut plan.knobs;
    knobs.shard_count = *random.pick(&[1, 2]);
    knobs.segment_size = 256 << 10;
    knobs.log_size_max = *random.pick(&[0, 5 << 20]);
    knobs.memory_bytes = 4 << 10;
    knobs.padding = 6_000;
    // What is free and what is not yet: a slow disk makes that moment long.
    knobs.disk_slowness = *random.pick(&[1, 40]);
    plan.client_count = 8;
    plan.think = Duration::from_millis(4);
    plan.objects = vec![ObjectKind::Register; 12];
}

/// More at once than there is room for: what is in flight, and must be written again by a checkpoint, is a
/// good part of the log.
fn crowd(plan: &mut Plan) {
    plan.knobs.log_size_max = 5 << 20;
    plan.knobs.padding = 20_000;
    plan.client_count = 60;
    plan.think = Duration::from_millis(2);
}

/// In every other seed no two clocks agree.
fn set_clocks(plan: &mut Plan, random: &mut Random) {
    if random.coin() {
        return;
    }
    let drift_ppm = plan.knobs.drift_ppm;
    for (offset_ms, ppm) in &mut plan.clocks {
        *offset_ms = *random.pick(&[0, 3, -40, 700, -9_000, 3_600_000]);
        *ppm = any_drift(random, drift_ppm);
    }
}

/// Anywhere within what leases allow for, and often at its ends.
fn any_drift(random: &mut Random, bound_ppm: u32) -> i32 {
    let bound = i64::from(bound_ppm);
    let ppm = match random.below(4) {
        0 => bound,
        1 => -bound,
        _ => random.below(2 * bound as u64 + 1) as i64 - bound,
    };
    ppm as i32
}

fn knobs(random: &mut Random) -> Knobs {
    // A stream of its own, of a name for which the seeds that once found a bug draw what they had then.
    let at_rest = random.child("at rest 97").below(8);
    let ms = 1_000;
    let tail = random.chance_ppm(300_000);
    // A stream of its own: other knobs stay what they were for every seed.
    let mut log = random.child("log");
    let (segment_size, log_size_max) = *log.pick(&[(0, 0), (256 << 10, 0), (256 << 10, 5 << 20)]);
    let client_timeout = Duration::from_millis(*random.pick(&[500, 2_000, 5_000]));
    let scrub_ms = *random.child("scrub 372").pick(&[0, 0, 0, 0, 0, 0, 500, 3_000]);
    Knobs {
        shard_count: *random.pick(&[1, 2, 4, 8]),
        heartbeat_us: *random.pick(&[20 * ms, 50 * ms, 50 * ms, 100 * ms]),
        drift_ppm: *random.pick(&[500, 500, 10_000, 50_000]),
        segment_size: match (segment_size, *random.pick(&[1 << 20, 1 << 20, 4 << 20])) {
            (0, usual_size) => usual_size,
            (small_size, _) => small_size,
        },
        log_size_max,
        chunk_size: *random.pick(&[4 << 10, 32 << 10, 2 << 20]),
        compress: matches!(at_rest, 5 | 7),
        encrypt: matches!(at_rest, 6 | 7),
        memory_bytes: *random.pick(&[4 << 10, 64 << 10, 16 << 20]),
        client_timeout,
        request_timeout: client_timeout.mul_f64(*random.pick(&[0.2, 0.5, 1.0])),
        scrub_interval: Duration::from_millis(scrub_ms),
        padding: *random.pick(&[0, 0, 0, 6_000, 20_000]),
        disk_slowness: *random.pick(&[1, 1, 1, 8, 40]),
        link: LinkWeather {
            latency_us: *random.pick(&[50, 200, 200, 1_000, 5_000, 15_000]),
            tail_ppm: if tail { 20_000 } else { 0 },
            tail_us: if tail { 20_000 } else { 0 },
            fragment_ppm: *random.pick(&[0, 10_000, 200_000]),
            ..LinkWeather::default()
        },
    }
}
