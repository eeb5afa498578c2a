//! Which faults a seed gets, and when: families that are in or out as a whole.

use std::time::Duration;

use super::{Plan, Planned, Scenario, any_drift};
use crate::disk::platter::{Rot, Tearing};
use crate::fault::{Cut, Death, Fault, LinkWeather, NodeIndex, Series};
use crate::random::Random;

/// Faults that come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Kills,
    PowerCuts,
    CrashInRecovery,
    LeaderKills,
    KillAll,
    Pauses,
    LeaderPauses,
    Terminations,
    LeaderTerminations,
    Series(Series),
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
    Transfers,
    Moves,
    Drains,
    CutClients,
    FullDisks,
    Readmissions,
    Backups,
    Rings,
    Swizzles,
    SlowLinks,
    DiskLies,
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
    Family::Series(Series::LeaseTrap),
    Family::Series(Series::LeaderChurn),
    Family::Series(Series::DeafLeader),
    Family::Series(Series::PowerStorm),
    Family::Series(Series::LateAnswers),
    Family::Series(Series::Grace),
    Family::Series(Series::DeafHandOver),
    Family::Series(Series::StaleVouch),
    Family::Series(Series::Laggard),
    Family::Series(Series::SnapshotCut),
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
    Family::Transfers,
    Family::Moves,
    Family::Drains,
    Family::Series(Series::VotersOnTheMove),
    Family::Series(Series::LearnerTrap),
    Family::Series(Series::Ghosts),
    Family::Rings,
    Family::Swizzles,
    Family::SlowLinks,
    Family::DiskLies,
    Family::Series(Series::AbsentVoter),
];

/// Which families this seed gets. In the swarm each of them is in or out, so that none hides another;
/// one seed in sixteen has none at all.
pub(super) fn families(plan: &Plan, random: &mut Random) -> Vec<Family> {
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
            Family::Swizzles,
            Family::SlowLinks,
            Family::LeaderIsolation,
            Family::Series(Series::LeaseTrap),
            Family::Series(Series::DeafLeader),
        ],
        Scenario::LeaderKill => vec![
            Family::LeaderKills,
            Family::LeaderPauses,
            Family::LeaderTerminations,
            Family::Series(Series::LeaderChurn),
        ],
        Scenario::PowerCutAll => vec![Family::KillAll, Family::Series(Series::PowerStorm)],
        Scenario::ClockJump => {
            vec![Family::ClockJumps, Family::ClockDrifts, Family::ClockFreezes, Family::Pauses]
        }
        Scenario::DiskSlow => {
            vec![Family::SlowDisks, Family::DiskStalls, Family::DiskErrors, Family::DiskLies]
        }
        Scenario::WipeAndRejoin => vec![Family::Wipes],
        Scenario::SmallLog => vec![
            Family::Kills,
            Family::PowerCuts,
            Family::KillAll,
            Family::LeaderIsolation,
            Family::Series(Series::SnapshotCut),
            Family::Series(Series::Laggard),
        ],
        Scenario::DiskFull => {
            vec![Family::FullDisks, Family::Kills, Family::PowerCuts, Family::LeaderKills]
        }
        Scenario::Rot => vec![Family::Rots, Family::Kills, Family::LeaderKills, Family::Pauses],
        Scenario::Readmit => vec![Family::Readmissions, Family::Kills, Family::LeaderIsolation],
        Scenario::Series(series) => vec![Family::Series(series)],
        Scenario::Written => Vec::new(),
    };
    let is_windy = plan.scenario == Scenario::Swarm && !chosen.is_empty();
    // From streams of their own: every seed keeps the families that it had.
    let also = |name: &str| is_windy && random.child(name).chance_ppm(200_000);
    let cut_off = also("cut-clients").then_some(Family::CutClients);
    let full = also("full-disks").then_some(Family::FullDisks);
    let readmitted = also("readmissions").then_some(Family::Readmissions);
    let is_usual = match plan.scenario {
        Scenario::SmallLog | Scenario::Partition | Scenario::LeaderKill => {
            random.child("backups").coin()
        }
        _ => also("backups"),
    };
    let backed_up = is_usual.then_some(Family::Backups);
    let chosen = chosen.into_iter().chain(cut_off).chain(full).chain(readmitted).chain(backed_up);
    chosen.filter(|family| is_survivable(plan, *family)).collect()
}

/// What would need a second node's copy needs a second node.
fn is_survivable(plan: &Plan, family: Family) -> bool {
    let needs_copies =
        matches!(family, Family::Wipes | Family::Rots | Family::DiskErrors | Family::DiskLies);
    let needs_peers = matches!(
        family,
        Family::Halves
            | Family::OneWay
            | Family::Bridges
            | Family::Pairs
            | Family::LeaderIsolation
            | Family::Swizzles
            | Family::SlowLinks
            | Family::Series(_)
            | Family::Transfers
            | Family::Drains
    );
    let of_voters = |series: &Series| family == Family::Series(*series);
    // Three nodes are neighbours all.
    let needs_a_spare = matches!(family, Family::Moves | Family::Rings | Family::Readmissions)
        || Series::OF_VOTERS.iter().any(of_voters);
    if needs_a_spare && plan.node_count < 4 {
        return false;
    }
    plan.node_count > 1 || !(needs_copies || needs_peers)
}

/// Draws the times and particulars of a family's faults.
pub(super) fn schedule(plan: &Plan, family: Family, random: &Random, faults: &mut Vec<Planned>) {
    let mut random = random.child(&format!("{family:?}"));
    let count = match family {
        Family::Wipes | Family::KillAll | Family::Readmissions => random.between(1, 2),
        Family::Series(_) => random.between(1, 3),
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

/// Much of a disk goes bad when nobody is about to write anew what was on it.
pub(super) fn rot_at_last(plan: &Plan, random: &mut Random, faults: &mut Vec<Planned>) {
    for &rot in Rot::ALL {
        let at = plan.duration - Duration::from_millis(random.between(1, 200));
        let sectors = random.between(0, 40) as u32;
        faults.push(Planned { at, fault: Fault::Rot { node: plan.victim, rot, sectors } });
    }
}

/// One series again and again, each time after the last one is over.
pub(super) fn rehearse(
    plan: &Plan,
    series: Series,
    random: &mut Random,
    faults: &mut Vec<Planned>,
) {
    let mut at = millis(random, 500, 3_000);
    while at < plan.duration {
        let fault = draw_series(plan, series, random);
        let Fault::Series { step, lasts, .. } = fault else { unreachable!("it was drawn as one") };
        faults.push(Planned { at, fault });
        at += step + 3 * lasts / 2 + millis(random, 200, 1_500);
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
        Family::Rings => Fault::Partition { cut: Cut::Ring, lasts },
        Family::Swizzles => {
            let mut order: Vec<NodeIndex> = (0..plan.node_count).collect();
            random.shuffle(&mut order);
            order.truncate(random.between(1, plan.node_count as u64) as usize);
            Fault::Swizzle { order, lasts }
        }
        Family::SlowLinks => {
            let step = random.between(1, plan.node_count as u64 - 1) as usize;
            let to = (node + step) % plan.node_count;
            Fault::SlowLink { from: node, to, latency: millis(random, 5, 500), lasts }
        }
        Family::LeaderIsolation => Fault::IsolateLeader { lasts },
        Family::BadNetwork => Fault::Network { weather: bad_network(random), lasts },
        Family::Resets => {
            let right = random.below(plan.node_count as u64) as usize;
            Fault::Reset { left: node, right }
        }
        Family::Series(series) => draw_series(plan, series, random),
        Family::Transfers => {
            Fault::TransferLeader { to: if random.coin() { Some(node) } else { None } }
        }
        Family::Moves => Fault::MoveShard { voters: three_of(plan.node_count, random) },
        Family::Drains => Fault::Drain { node, lasts },
        Family::CutClients => Fault::CutClients,
        Family::Readmissions => {
            // What it had is gone with its disk: the victim's part.
            Fault::Readmit { node: plan.victim, away: millis(random, 50, 4_000) }
        }
        Family::Backups => Fault::Backup,
        other => draw_local(plan, other, node, lasts, random),
    }
}

/// Never fewer: two voters, one of them the victim with a new disk, could not go on.
fn three_of(node_count: usize, random: &mut Random) -> Vec<NodeIndex> {
    let mut order: Vec<NodeIndex> = (0..node_count).collect();
    random.shuffle(&mut order);
    order.truncate(3);
    order.sort_unstable();
    order
}

/// In times that suit the heartbeat.
fn draw_series(plan: &Plan, series: Series, random: &mut Random) -> Fault {
    let [step, lasts] = series.beats().map(|(least, most)| {
        Duration::from_micros(plan.knobs.heartbeat_us * random.between(least, most) / 4)
    });
    Fault::Series { series, step, lasts }
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
        Family::DiskLies => {
            // A node that serves reads little: what it needs is in memory, unless there is hardly any.
            let ppm = *random.pick(&[100_000, 1_000_000]);
            let (flips_ppm, astray_ppm) = *random.pick(&[(ppm, 0), (0, ppm), (ppm, ppm)]);
            let lasts = millis(random, 500, 10_000);
            // Nothing is lost by it, so it need not be the victim.
            Fault::DiskLies { node, flips_ppm, astray_ppm, lasts }
        }
        // The log must want another segment meanwhile.
        Family::FullDisks => Fault::DiskFull { node, lasts: millis(random, 500, 10_000) },
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
        window_bytes: u64::from(some(&[500, 5_000])),
    }
}

fn millis(random: &mut Random, least: u64, most: u64) -> Duration {
    // Evenly over orders of magnitude: short faults find other bugs than long ones.
    let span = (most as f64 / least as f64).ln();
    let exponent = random.below(1 << 20) as f64 / f64::from(1 << 20) * span;
    Duration::from_millis((least as f64 * exponent.exp()) as u64)
}
