//! Makes the plan's faults happen, each at its time, and ends those that end.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated::{self, Kill, NodeId, clocks, network};

use super::hosts::{hold, link, plain_disk, plain_link, replace_disk};
use super::{World, backup, felt, operator, readmission, series};
use crate::coverage::Kind;
use crate::disk::Weather;
use crate::disk::platter::{self, Tearing};
use crate::fault::{Cut, Death, Fault, LinkWeather, NodeIndex};

/// However many slow episodes meet, a disk takes at most so many times as long as it should.
const SLOWNESS_MAX: u32 = 1_000;

/// Starts a task for each fault.
pub(super) fn start(world: &Rc<World>) {
    for planned in world.plan.faults.clone() {
        let world = Rc::clone(world);
        drop(runtime::spawn(async move {
            simulated::sleep_true(planned.at).await;
            if !world.is_healed.get() {
                strike(&world, planned.fault).await;
            }
        }));
    }
}

async fn strike(world: &Rc<World>, fault: Fault) {
    world.note_fault(&fault.to_string());
    world.reach(&fault.kinds(&world.plan.knobs.link));
    match fault {
        Fault::Kill { node, death, down, again } => {
            let lived = kill(world, node, death, down);
            if death == Death::Process {
                world.feel(Kind::Kill, u64::from(lived));
            }
            if let Some(after) = again {
                crash_in_recovery(world, node, after).await;
            }
        }
        Fault::KillLeader { death, down } => {
            let lived = kill(world, world.leader(), death, down);
            world.feel(Kind::KillLeader, u64::from(lived));
        }
        Fault::KillAll { tearing, down } => {
            let death = Death::Power(tearing);
            let nodes = 0..world.hosts.len();
            let lived = nodes.filter(|&node| kill(world, node, death, down)).count();
            world.feel(Kind::KillAll, u64::from(lived > 1));
        }
        Fault::Pause { node, lasts } => pause(world, node, lasts, Kind::Pause).await,
        Fault::PauseLeader { lasts } => {
            pause(world, world.leader(), lasts, Kind::PauseLeader).await;
        }
        Fault::Terminate { node, down } => terminate(world, node, down, Kind::Terminate).await,
        Fault::TerminateLeader { down } => {
            terminate(world, world.leader(), down, Kind::TerminateLeader).await;
        }
        Fault::Wipe { node, down } => {
            kill(world, node, Death::Power(Tearing::LoseAll), down);
            let size = world.hosts[node].drive.platter().size();
            world.feel(Kind::Wipe, u64::from(size > 0));
            replace_disk(world, node);
        }
        Fault::Series { series, step, lasts } => {
            let came_off = series::play(world, series, step, lasts).await;
            world.feel(series.kind(), u64::from(came_off));
        }
        other => strike_links(world, other).await,
    }
}

/// The network.
async fn strike_links(world: &Rc<World>, fault: Fault) {
    match fault {
        Fault::Partition { cut, lasts } => {
            let held_up = block_for(world, blocked(world, &cut), lasts).await;
            world.feel(cut.kind(), held_up);
        }
        Fault::IsolateLeader { lasts } => {
            let blocked = blocked(world, &Cut::Halves(vec![world.leader()]));
            let held_up = block_for(world, blocked, lasts).await;
            world.feel(Kind::IsolateLeader, held_up);
        }
        Fault::Swizzle { order, lasts } => swizzle(world, order, lasts).await,
        Fault::SlowLink { from, to, latency, lasts } => {
            let (from, to) = (world.id(from), world.id(to));
            let plain = network::link(from, to);
            let latency_us = plain.latency_us + latency.as_micros() as u64;
            let before = network::sent(from, to);
            network::set_link(from, to, Some(network::Link { latency_us, ..plain }));
            wait(world, lasts).await;
            network::set_link(from, to, None);
            world.feel(Kind::SlowLink, network::sent(from, to) - before);
        }
        Fault::Network { weather, lasts } => bad_network(world, &weather, lasts).await,
        Fault::Reset { left, right } => {
            let count = network::reset(world.id(left), world.id(right));
            world.feel(Kind::Reset, count as u64);
        }
        other => strike_locally(world, other).await,
    }
}

/// Clocks and disks, and what an operator does.
async fn strike_locally(world: &Rc<World>, fault: Fault) {
    match fault {
        Fault::ClockJump { node, by_ms } => {
            clocks::jump_ms(world.id(node), by_ms);
            let kind = if by_ms < 0 { Kind::ClockBack } else { Kind::ClockForward };
            felt::wall_clock(world, node, kind).await;
        }
        Fault::ClockDrift { node, ppm } => {
            clocks::set_drift_ppm(world.id(node), ppm);
            felt::speed(world, node, ppm).await;
        }
        Fault::ClockFreeze { node, lasts } => {
            clocks::freeze(world.id(node));
            let before = clocks::reads(world.id(node)).wall;
            wait(world, lasts).await;
            world.feel(Kind::ClockFreeze, clocks::reads(world.id(node)).wall - before);
            clocks::thaw(world.id(node));
        }
        Fault::CutClients => operator::cut_clients(world).await,
        Fault::Readmit { node, away } => readmission::readmit(world, node, away).await,
        Fault::Backup => backup::start(world),
        Fault::TransferLeader { to } => operator::transfer(world, to).await,
        Fault::MoveShard { voters } => operator::move_first_shard(world, &voters).await,
        Fault::Drain { node, lasts } => {
            operator::drain(world, node).await;
            wait(world, lasts).await;
            operator::balance(world).await;
        }
        other => strike_disk(world, other).await,
    }
}

async fn strike_disk(world: &Rc<World>, fault: Fault) {
    match fault {
        Fault::DiskSlow { node, times, lasts } => {
            let ended = || world.hosts[node].drive.operation_count();
            let before = ended();
            with_disk(world, node, lasts, |weather| {
                weather.slowness = (weather.slowness * times).min(SLOWNESS_MAX);
            })
            .await;
            world.feel(Kind::DiskSlow, ended() - before);
        }
        Fault::DiskLies { node, flips_ppm, astray_ppm, lasts } => {
            with_disk(world, node, lasts, |weather| {
                weather.read_flips_ppm = flips_ppm;
                weather.reads_astray_ppm = astray_ppm;
            })
            .await;
        }
        Fault::DiskStall { node, stall, lasts } => {
            with_disk(world, node, lasts, |weather| weather.stall = stall).await;
        }
        Fault::DiskErrors { node, read_ppm, write_ppm, flush_ppm, lasts } => {
            with_disk(world, node, lasts, |weather| {
                weather.read_errors_ppm = read_ppm;
                weather.write_errors_ppm = write_ppm;
                weather.flush_errors_ppm = flush_ppm;
            })
            .await;
        }
        Fault::DiskFull { node, lasts } => {
            with_disk(world, node, lasts, |weather| weather.size_max = 0).await;
        }
        Fault::Rot { node, rot, sectors } => {
            let host = &world.hosts[node];
            for _ in 0..sectors {
                if let Some((area, offset)) = host.drive.rot(rot) {
                    host.is_damaged.set(true);
                    world.note(&format!("a sector goes bad: {area:?} at {offset}"));
                }
            }
        }
        _ => unreachable!("`strike` has arms for the others"),
    }
}

/// The order matters: the drive decides what is left before the node's destructors run.
/// Tells whether there was a life to end.
pub(super) fn kill(world: &World, node: NodeIndex, death: Death, down: Duration) -> bool {
    let lived = simulated::is_running(world.id(node));
    world.reach(&[Kind::HalfOpen]);
    let how = match death {
        Death::Process => Kill::Process,
        Death::Power(tearing) => {
            let cut = world.hosts[node].drive.power_cut(tearing);
            note_cut(world, tearing, cut);
            Kill::Power
        }
    };
    simulated::kill(world.id(node), how);
    hold(world, node, down);
    lived
}

/// What a power cut was to leave, and what it left.
fn note_cut(world: &World, tearing: Tearing, cut: platter::Cut) {
    let (kind, writes) = match tearing {
        Tearing::LoseAll => (Kind::PowerLoseAll, cut.lost),
        Tearing::KeepAll => (Kind::PowerKeepAll, cut.kept),
        Tearing::Prefix => (Kind::PowerPrefix, cut.torn),
        Tearing::Shuffled => (Kind::PowerShuffled, cut.torn + cut.reordered),
    };
    world.reach(&[kind]);
    world.feel(kind, u64::from(writes));
}

/// Waits for the next life to begin, and ends it a little later.
async fn crash_in_recovery(world: &Rc<World>, node: NodeIndex, after: Duration) {
    let id = world.id(node);
    while !simulated::is_running(id) {
        simulated::sleep_true(Duration::from_millis(1)).await;
    }
    let starts = world.hosts[node].starts.get();
    simulated::sleep_true(after).await;
    if !world.is_healed.get() {
        world.note_fault(&format!("power cut of {} during recovery", super::host_name(node)));
        let lived = kill(world, node, Death::Power(Tearing::Shuffled), Duration::from_millis(20));
        let was_recovering = lived && world.hosts[node].starts.get() == starts;
        world.feel(Kind::CrashInRecovery, u64::from(was_recovering));
    }
}

async fn pause(world: &Rc<World>, node: NodeIndex, lasts: Duration, kind: Kind) {
    world.feel(kind, u64::from(simulated::is_running(world.id(node))));
    simulated::pause(world.id(node));
    wait(world, lasts).await;
    simulated::resume(world.id(node));
}

/// Waits for the process to end in good order; should it hang, it is killed.
async fn terminate(world: &Rc<World>, node: NodeIndex, down: Duration, kind: Kind) {
    const PATIENCE: Duration = Duration::from_secs(15);
    let id = world.id(node);
    if !simulated::is_running(id) {
        return;
    }
    world.feel(kind, 1);
    let life = simulated::incarnation(id);
    hold(world, node, down);
    simulated::terminate(id);
    wait(world, PATIENCE).await;
    if simulated::is_running(id) && simulated::incarnation(id) == life {
        world.note(&format!("{} did not end as asked", super::host_name(node)));
        kill(world, node, Death::Process, down);
    }
}

/// Tells how often something was held up.
pub(super) async fn block_for(
    world: &Rc<World>,
    blocked: Vec<(NodeId, NodeId)>,
    lasts: Duration,
) -> u64 {
    let before = felt::held_up(&blocked);
    for &(from, to) in &blocked {
        network::block(from, to);
    }
    wait(world, lasts).await;
    for &(from, to) in &blocked {
        network::unblock(from, to);
    }
    felt::held_up(&blocked) - before
}

/// Nodes go one by one, in this order, and come back one by one, in the order of their numbers.
async fn swizzle(world: &Rc<World>, mut order: Vec<NodeIndex>, lasts: Duration) {
    let links = |node: NodeIndex| blocked(world, &Cut::Halves(vec![node]));
    let all: Vec<(NodeId, NodeId)> = order.iter().flat_map(|&node| links(node)).collect();
    let before = felt::held_up(&all);
    let step = lasts / (2 * order.len().max(1) as u32);
    for &node in &order {
        links(node).iter().for_each(|&(from, to)| network::block(from, to));
        wait(world, step).await;
    }
    order.sort_unstable();
    for node in order {
        wait(world, step).await;
        links(node).iter().for_each(|&(from, to)| network::unblock(from, to));
    }
    world.feel(Kind::Swizzle, felt::held_up(&all) - before);
}

/// Every link gets worse. What it does to each write is counted where it is done.
async fn bad_network(world: &Rc<World>, weather: &LinkWeather, lasts: Duration) {
    let before = network::tally();
    network::set_default_link(link(weather));
    wait(world, lasts).await;
    network::set_default_link(plain_link(world));
    let after = network::tally();
    if weather.latency_us > world.plan.knobs.link.latency_us {
        world.feel(Kind::Latency, after.sent - before.sent);
    }
    if weather.window_bytes > 0 {
        world.feel(Kind::ShortWrite, after.short_writes - before.short_writes);
    }
}

/// Cuts a node off from its peers in a world that is healed otherwise.
pub(super) async fn cut_off(world: &Rc<World>, node: NodeIndex, lasts: Duration) {
    let cut = blocked(world, &Cut::Halves(vec![node]));
    cut.iter().for_each(|&(from, to)| network::block(from, to));
    simulated::sleep_true(lasts).await;
    cut.iter().for_each(|&(from, to)| network::unblock(from, to));
}

/// The directed links that a cut takes away, between members of the cluster only.
pub(super) fn blocked(world: &World, cut: &Cut) -> Vec<(NodeId, NodeId)> {
    let severed = cut.severed(world.hosts.len());
    severed.into_iter().map(|(from, to)| (world.id(from), world.id(to))).collect()
}

async fn with_disk(
    world: &Rc<World>,
    node: NodeIndex,
    lasts: Duration,
    change: impl FnOnce(&mut Weather),
) {
    let drive = &world.hosts[node].drive;
    let mut weather = drive.weather();
    change(&mut weather);
    drive.set_weather(weather);
    wait(world, lasts).await;
    drive.set_weather(plain_disk(world));
}

/// Until the time is over, or the weather is.
pub(super) async fn wait(world: &Rc<World>, lasts: Duration) {
    runtime::either(world.is_healed.wait(), simulated::sleep_true(lasts)).await;
}

/// The end of all weather: what is cut is joined, what stands goes on, what is down may start.
pub(super) fn heal(world: &Rc<World>) {
    world.is_healed.set();
    network::set_default_link(plain_link(world));
    network::heal();
    for (node, host) in world.hosts.iter().enumerate() {
        let id = world.id(node);
        clocks::thaw(id);
        simulated::resume(id);
        host.drive.set_weather(plain_disk(world));
        host.down_until_ns.set(0);
    }
    world.note("the weather is over");
}
