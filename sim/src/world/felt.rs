//! What of the weather was felt: tallies of links, clocks and disks, before and after.
//!
//! **Invariant.** Looking changes nothing: no draw, no timer that the nodes could notice.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime::simulated::{NodeId, clocks, network};

use super::World;
use super::injector::wait;
use crate::coverage::Kind;
use crate::fault::{LinkWeather, NodeIndex};

/// A node looks at its clocks all the time; if not within this, nobody noticed.
const LOOKS_WITHIN: Duration = Duration::from_secs(1);

/// What the plan asks for from the very beginning.
pub(super) fn begin(world: &World) {
    let plain = LinkWeather { latency_us: u64::MAX, ..LinkWeather::default() };
    world.reach(&world.plan.knobs.link.kinds(&plain));
    for &(offset_ms, drift_ppm) in &world.plan.clocks {
        world.reach(&offset_and_drift(offset_ms, drift_ppm));
    }
}

fn offset_and_drift(offset_ms: i64, drift_ppm: i32) -> Vec<Kind> {
    let offset = (offset_ms != 0).then_some(Kind::ClockOffset);
    offset.into_iter().chain(drift(drift_ppm)).collect()
}

fn drift(ppm: i32) -> Option<Kind> {
    match ppm {
        0 => None,
        1.. => Some(Kind::ClockFast),
        _ => Some(Kind::ClockSlow),
    }
}

/// At the end of a run: what links and disks have counted, and the clocks that were off from the start.
pub(super) fn sum_up(world: &World) {
    let tally = network::tally();
    for (kind, count) in [
        (Kind::Tail, tally.tails),
        (Kind::Loss, tally.losses),
        (Kind::Duplicate, tally.duplicates),
        (Kind::Corrupt, tally.corruptions),
        (Kind::ResetOnWrite, tally.resets),
        (Kind::Fragment, tally.fragments),
        (Kind::ShortRead, tally.short_reads),
        (Kind::Bandwidth, tally.queued),
        (Kind::HalfOpen, tally.half_open),
    ] {
        world.feel(kind, count);
    }
    for (host, &(offset_ms, drift_ppm)) in world.hosts.iter().zip(&world.plan.clocks) {
        let felt: BTreeMap<Kind, u64> = host.drive.felt();
        felt.into_iter().for_each(|(kind, count)| world.feel(kind, count));
        let Some(&id) = host.id.get() else { continue };
        let reads = clocks::reads(id);
        if offset_ms != 0 {
            world.feel(Kind::ClockOffset, reads.wall);
        }
        if let Some(kind) = drift(drift_ppm) {
            world.feel(kind, reads.monotonic);
        }
    }
}

/// How often something met a block on one of these links.
pub(super) fn held_up(links: &[(NodeId, NodeId)]) -> u64 {
    links.iter().map(|&(from, to)| network::held_up(from, to)).sum()
}

/// Notes a change of a wall clock that a node then looks at.
pub(super) async fn wall_clock(world: &Rc<World>, node: NodeIndex, kind: Kind) {
    let reads = || clocks::reads(world.id(node)).wall;
    let before = reads();
    wait(world, LOOKS_WITHIN).await;
    world.feel(kind, reads() - before);
}

/// Notes another speed of a clock that a node then looks at.
pub(super) async fn speed(world: &Rc<World>, node: NodeIndex, ppm: i32) {
    let reads = || clocks::reads(world.id(node)).monotonic;
    let before = reads();
    wait(world, LOOKS_WITHIN).await;
    if let Some(kind) = drift(ppm) {
        world.feel(kind, reads() - before);
    }
}
