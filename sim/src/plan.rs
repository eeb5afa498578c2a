//! What a seed makes of a world, decided before it begins: topology, knobs, workload, and every fault
//! with its time. Pure, so that it can be printed, tested, and run without some of its faults.
//!
//! **Recoverable by construction.** Only *one* node, the victim, ever loses what it had flushed (a
//! wiped disk, rot, a failed flush); all others keep one good copy of everything between them. So
//! every loss that an oracle reports is real.

use std::time::Duration;

use crate::disk::platter::{Rot, Tearing};
use crate::fault::{Cut, Death, Fault, LinkWeather, NodeIndex};
use crate::random::Random;

#[cfg(test)]
mod tests;

/// A kind of weather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Scenario {
    /// All there are.
    pub const ALL: &[Scenario] = &[
        Scenario::Swarm,
        Scenario::Quiet,
        Scenario::Partition,
        Scenario::LeaderKill,
        Scenario::PowerCutAll,
        Scenario::ClockJump,
        Scenario::DiskSlow,
        Scenario::WipeAndRejoin,
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
        }
    }
}

/// How a group of keys is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// Two keys that are set, deleted, compared, and changed together.
    Register,
    /// A number that counts.
    Counter,
    /// A value that grows.
    Text,
}

/// Sizes and times that the product leaves open, at ordinary or extreme values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knobs {
    /// Shards of the cluster.
    pub shard_count: u32,
    /// Heartbeats of the consensus groups, in microseconds; other times are multiples of it.
    pub heartbeat_us: u64,
    /// What leases allow clocks to drift; they do drift, up to this.
    pub drift_ppm: u32,
    /// Bytes of one segment of the log.
    pub segment_size: u64,
    /// Memory for values; little of it means reads from the log.
    pub memory_bytes: u64,
    /// Clients give up after this.
    pub client_timeout: Duration,
    /// Nodes give up after this, and say that the outcome is unknown.
    pub request_timeout: Duration,
    /// Bytes added to values; large ones fill the log, so that whoever was away needs a snapshot.
    pub padding: usize,
    /// All disks take so many times as long.
    pub disk_slowness: u32,
    /// The plain kind of link.
    pub link: LinkWeather,
}

/// A fault and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Since the workload began.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// A world before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// The kind of weather.
    pub scenario: Scenario,
    /// How many nodes: 1, 3 or 5.
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
}

/// Draws the plan of a seed.
pub fn plan(seed: u64, scenario: Scenario) -> Plan {
    let random = Random::new(seed, "plan");
    let mut shape = random.child("shape");
    let node_count = match (scenario, shape.below(10)) {
        (Scenario::Swarm | Scenario::Quiet, 0) => 1,
        (Scenario::Swarm, 1 | 2) => 5,
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
    };
    if matches!(scenario, Scenario::Swarm | Scenario::ClockJump) {
        set_clocks(&mut plan, &mut random.child("clocks"));
    }
    let mut faults = Vec::new();
    for family in families(&plan, &mut random.child("families")) {
        schedule(&plan, family, &random, &mut faults);
    }
    faults.sort_by_key(|planned| planned.at);
    plan.faults = faults;
    plan
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
    let ms = 1_000;
    let tail = random.chance_ppm(300_000);
    let client_timeout = Duration::from_millis(*random.pick(&[500, 2_000, 5_000]));
    Knobs {
        shard_count: *random.pick(&[1, 2, 4, 8]),
        heartbeat_us: *random.pick(&[20 * ms, 50 * ms, 50 * ms, 100 * ms]),
        drift_ppm: *random.pick(&[500, 500, 10_000, 50_000]),
        segment_size: *random.pick(&[1 << 20, 1 << 20, 4 << 20]),
        memory_bytes: *random.pick(&[4 << 10, 64 << 10, 16 << 20]),
        client_timeout,
        request_timeout: client_timeout.mul_f64(*random.pick(&[0.2, 0.5, 1.0])),
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

/// Faults that come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Kills,
    PowerCuts,
    CrashInRecovery,
    LeaderKills,
    KillAll,
    Pauses,
    LeaderPauses,
    Terminations,
    LeaderTerminations,
    LeaseTraps,
    LeaderChurn,
    DeafLeaders,
    PowerStorms,
    Wipes,
    Halves,
    OneWay,
    Bridges,
    Pairs,
    LeaderIsolation,
    BadNetwork,
    Resets,
    ClockJumps,
    ClockDrifts,
    ClockFreezes,
    SlowDisks,
    DiskStalls,
    DiskErrors,
    Rots,
}

const SWARM: &[Family] = &[
    Family::Kills,
    Family::PowerCuts,
    Family::CrashInRecovery,
    Family::LeaderKills,
    Family::KillAll,
    Family::Pauses,
    Family::LeaderPauses,
    Family::Terminations,
    Family::LeaderTerminations,
    Family::LeaseTraps,
    Family::LeaderChurn,
    Family::DeafLeaders,
    Family::PowerStorms,
    Family::Wipes,
    Family::Halves,
    Family::OneWay,
    Family::Bridges,
    Family::Pairs,
    Family::LeaderIsolation,
    Family::BadNetwork,
    Family::Resets,
    Family::ClockJumps,
    Family::ClockDrifts,
    Family::ClockFreezes,
    Family::SlowDisks,
    Family::DiskStalls,
    Family::DiskErrors,
    Family::Rots,
];

/// Which families this seed gets. In the swarm each of them is in or out, so that none hides another;
/// one seed in sixteen has none at all.
fn families(plan: &Plan, random: &mut Random) -> Vec<Family> {
    let chosen: Vec<Family> = match plan.scenario {
        Scenario::Quiet => Vec::new(),
        Scenario::Swarm if random.below(16) == 0 => Vec::new(),
        Scenario::Swarm => {
            let chance_ppm = *random.pick(&[80_000, 200_000, 400_000]);
            let chosen = SWARM.iter().filter(|_| random.chance_ppm(chance_ppm));
            let chosen: Vec<Family> = chosen.copied().collect();
            if chosen.is_empty() { vec![*random.pick(SWARM)] } else { chosen }
        }
        Scenario::Partition => vec![
            Family::Halves,
            Family::OneWay,
            Family::Bridges,
            Family::Pairs,
            Family::LeaderIsolation,
            Family::LeaseTraps,
            Family::DeafLeaders,
        ],
        Scenario::LeaderKill => vec![
            Family::LeaderKills,
            Family::LeaderPauses,
            Family::LeaderTerminations,
            Family::LeaderChurn,
        ],
        Scenario::PowerCutAll => vec![Family::KillAll, Family::PowerStorms],
        Scenario::ClockJump => {
            vec![Family::ClockJumps, Family::ClockDrifts, Family::ClockFreezes, Family::Pauses]
        }
        Scenario::DiskSlow => vec![Family::SlowDisks, Family::DiskStalls, Family::DiskErrors],
        Scenario::WipeAndRejoin => vec![Family::Wipes],
    };
    chosen.into_iter().filter(|family| is_survivable(plan, *family)).collect()
}

/// What would need a second node's copy needs a second node.
fn is_survivable(plan: &Plan, family: Family) -> bool {
    let needs_copies = matches!(family, Family::Wipes | Family::Rots | Family::DiskErrors);
    let needs_peers = matches!(
        family,
        Family::Halves
            | Family::OneWay
            | Family::Bridges
            | Family::Pairs
            | Family::LeaderIsolation
            | Family::LeaseTraps
            | Family::LeaderChurn
            | Family::DeafLeaders
    );
    plan.node_count > 1 || !(needs_copies || needs_peers)
}

fn schedule(plan: &Plan, family: Family, random: &Random, faults: &mut Vec<Planned>) {
    let mut random = random.child(&format!("{family:?}"));
    let count = match family {
        Family::Wipes | Family::KillAll => random.between(1, 2),
        Family::LeaderChurn | Family::LeaseTraps | Family::PowerStorms => random.between(1, 3),
        // Some seeds are stormy in one way, others just windy.
        _ => match random.below(4) {
            0 => random.between(6, 20),
            _ => random.between(1, 6),
        },
    };
    for _ in 0..count {
        let at = Duration::from_millis(random.below(plan.duration.as_millis() as u64));
        faults.push(Planned { at, fault: draw(plan, family, &mut random) });
    }
}

fn draw(plan: &Plan, family: Family, random: &mut Random) -> Fault {
    let node = random.below(plan.node_count as u64) as usize;
    let down = millis(random, 10, 3_000);
    let lasts = millis(random, 50, 4_000);
    let tearing = *random.pick(Tearing::ALL);
    let power = Death::Power(tearing);
    match family {
        Family::Kills => Fault::Kill { node, death: Death::Process, down, again: None },
        Family::PowerCuts => Fault::Kill { node, death: power, down, again: None },
        Family::CrashInRecovery => {
            let again = Some(Duration::from_micros(random.between(100, 60_000)));
            Fault::Kill { node, death: power, down, again }
        }
        Family::LeaderKills => {
            let death = if random.coin() { Death::Process } else { power };
            Fault::KillLeader { death, down }
        }
        Family::KillAll => Fault::KillAll { tearing, down },
        Family::Pauses => Fault::Pause { node, lasts },
        Family::LeaderPauses => Fault::PauseLeader { lasts: millis(random, 50, 1_500) },
        Family::Terminations => Fault::Terminate { node, down },
        Family::LeaderTerminations => Fault::TerminateLeader { down },
        Family::Wipes => Fault::Wipe { node: plan.victim, down },
        Family::Halves => {
            let mut order: Vec<NodeIndex> = (0..plan.node_count).collect();
            random.shuffle(&mut order);
            let size = random.between(1, plan.node_count as u64 - 1) as usize;
            Fault::Partition { cut: Cut::Halves(order[..size].to_vec()), lasts }
        }
        Family::OneWay => {
            let cut = if random.coin() { Cut::Mute(node) } else { Cut::Deaf(node) };
            Fault::Partition { cut, lasts }
        }
        Family::Bridges => Fault::Partition { cut: Cut::Bridge(node), lasts },
        Family::Pairs => {
            let step = random.between(1, plan.node_count as u64 - 1) as usize;
            let cut = Cut::Pair(node, (node + step) % plan.node_count);
            Fault::Partition { cut, lasts }
        }
        Family::LeaderIsolation => Fault::IsolateLeader { lasts },
        Family::BadNetwork => Fault::Network { weather: bad_network(random), lasts },
        Family::Resets => {
            let right = random.below(plan.node_count as u64) as usize;
            Fault::Reset { left: node, right }
        }
        other => draw_series(plan, other, node, random)
            .unwrap_or_else(|| draw_local(plan, other, node, lasts, random)),
    }
}

/// What only a series of faults brings about, in times that suit the heartbeat.
fn draw_series(plan: &Plan, family: Family, node: NodeIndex, random: &mut Random) -> Option<Fault> {
    let mut beats = |least: u64, most: u64| {
        Duration::from_micros(plan.knobs.heartbeat_us * random.between(least, most) / 4)
    };
    let fault = match family {
        Family::LeaseTraps => {
            Fault::LeaseTrap { restart_every: beats(1, 24), lasts: beats(40, 160) }
        }
        Family::LeaderChurn => Fault::LeaderChurn { each: beats(12, 80), lasts: beats(80, 400) },
        Family::DeafLeaders => Fault::DeafLeader { lasts: beats(8, 60) },
        Family::PowerStorms => {
            Fault::PowerStorm { node, every: beats(1, 60), lasts: beats(80, 300) }
        }
        _ => return None,
    };
    Some(fault)
}

/// Clocks and disks.
fn draw_local(
    plan: &Plan,
    family: Family,
    node: NodeIndex,
    lasts: Duration,
    random: &mut Random,
) -> Fault {
    match family {
        Family::ClockJumps => {
            let by_ms = *random.pick(&[20, 500, 10_000, 3_600_000]);
            Fault::ClockJump { node, by_ms: if random.coin() { by_ms } else { -by_ms } }
        }
        Family::ClockDrifts => {
            Fault::ClockDrift { node, ppm: any_drift(random, plan.knobs.drift_ppm) }
        }
        Family::ClockFreezes => Fault::ClockFreeze { node, lasts },
        Family::SlowDisks => Fault::DiskSlow { node, times: *random.pick(&[3, 20, 200]), lasts },
        Family::DiskStalls => {
            let stall = Duration::from_millis(*random.pick(&[100, 1_000, 3_600_000]));
            Fault::DiskStall { node, stall, lasts }
        }
        Family::DiskErrors => {
            let mut ppm = || *random.pick(&[0, 0, 2_000, 100_000]);
            let (read_ppm, write_ppm, flush_ppm) = (ppm(), ppm(), ppm());
            // A failed flush loses what the node may have vouched for before: the victim's part.
            Fault::DiskErrors { node: plan.victim, read_ppm, write_ppm, flush_ppm, lasts }
        }
        Family::Rots => {
            let (rot, sectors) = (*random.pick(Rot::ALL), random.between(1, 4) as u32);
            Fault::Rot { node: plan.victim, rot, sectors }
        }
        _ => unreachable!("`draw` has arms for the others"),
    }
}

fn bad_network(random: &mut Random) -> LinkWeather {
    let mut some = |values: &[u32]| if random.coin() { 0 } else { *random.pick(values) };
    LinkWeather {
        loss_ppm: some(&[1_000, 20_000, 200_000]),
        duplicate_ppm: some(&[10_000, 300_000]),
        corrupt_ppm: some(&[1_000, 20_000]),
        reset_ppm: some(&[1_000, 20_000]),
        fragment_ppm: some(&[100_000, 800_000]),
        tail_ppm: some(&[10_000, 200_000]),
        tail_us: 50_000,
        latency_us: u64::from(some(&[2_000, 20_000, 100_000])),
        bytes_per_second: u64::from(some(&[200_000, 2_000_000])),
    }
}

fn millis(random: &mut Random, least: u64, most: u64) -> Duration {
    // Evenly over orders of magnitude: short faults find other bugs than long ones.
    let span = (most as f64 / least as f64).ln();
    let exponent = random.below(1 << 20) as f64 / f64::from(1 << 20) * span;
    Duration::from_millis((least as f64 * exponent.exp()) as u64)
}
