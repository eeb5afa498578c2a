//! Makes the plan's faults happen, each at its time, and ends those that end.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated::{self, Kill, NodeId, clocks, network};

use super::hosts::{hold, link, plain_disk, plain_link, replace_disk};
use super::{World, operator, series};
use crate::disk::Weather;
use crate::disk::platter::Tearing;
use crate::fault::{Cut, Death, Fault, NodeIndex};

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
    match fault {
        Fault::Kill { node, death, down, again } => {
            kill(world, node, death, down);
            if let Some(after) = again {
                crash_in_recovery(world, node, after).await;
            }
        }
        Fault::KillLeader { death, down } => kill(world, world.leader(), death, down),
        Fault::KillAll { tearing, down } => {
            for node in 0..world.hosts.len() {
                kill(world, node, Death::Power(tearing), down);
            }
        }
        Fault::Pause { node, lasts } => pause(world, node, lasts).await,
        Fault::PauseLeader { lasts } => pause(world, world.leader(), lasts).await,
        Fault::Terminate { node, down } => terminate(world, node, down).await,
        Fault::Wipe { node, down } => {
            kill(world, node, Death::Power(Tearing::LoseAll), down);
            replace_disk(world, node);
        }
        Fault::Partition { cut, lasts } => {
            let blocked = blocked(world, &cut);
            block_for(world, blocked, lasts).await;
        }
        Fault::IsolateLeader { lasts } => {
            let blocked = blocked(world, &Cut::Halves(vec![world.leader()]));
            block_for(world, blocked, lasts).await;
        }
        Fault::Network { weather, lasts } => {
            network::set_default_link(link(&weather));
            wait(world, lasts).await;
            network::set_default_link(plain_link(world));
        }
        Fault::Reset { left, right } => {
            network::reset(world.id(left), world.id(right));
        }
        Fault::TerminateLeader { down } => terminate(world, world.leader(), down).await,
        Fault::Series { series, step, lasts } => series::play(world, series, step, lasts).await,
        other => strike_locally(world, other).await,
    }
}

/// Clocks and disks, and what an operator does.
async fn strike_locally(world: &Rc<World>, fault: Fault) {
    match fault {
        Fault::ClockJump { node, by_ms } => clocks::jump_ms(world.id(node), by_ms),
        Fault::ClockDrift { node, ppm } => clocks::set_drift_ppm(world.id(node), ppm),
        Fault::ClockFreeze { node, lasts } => {
            clocks::freeze(world.id(node));
            wait(world, lasts).await;
            clocks::thaw(world.id(node));
        }
        Fault::DiskSlow { node, times, lasts } => {
            with_disk(world, node, lasts, |weather| {
                weather.slowness = (weather.slowness * times).min(SLOWNESS_MAX);
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
        Fault::TransferLeader { to } => operator::transfer(world, to).await,
        Fault::MoveShard { voters } => operator::move_first_shard(world, &voters).await,
        Fault::Drain { node, lasts } => {
            operator::drain(world, node).await;
            wait(world, lasts).await;
            operator::balance(world).await;
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
pub(super) fn kill(world: &World, node: NodeIndex, death: Death, down: Duration) {
    let how = match death {
        Death::Process => Kill::Process,
        Death::Power(tearing) => {
            world.hosts[node].drive.power_cut(tearing);
            Kill::Power
        }
    };
    simulated::kill(world.id(node), how);
    hold(world, node, down);
}

/// Waits for the next life to begin, and ends it a little later.
async fn crash_in_recovery(world: &Rc<World>, node: NodeIndex, after: Duration) {
    let id = world.id(node);
    while !simulated::is_running(id) {
        simulated::sleep_true(Duration::from_millis(1)).await;
    }
    simulated::sleep_true(after).await;
    if !world.is_healed.get() {
        world.note_fault(&format!("power cut of {} during recovery", super::host_name(node)));
        kill(world, node, Death::Power(Tearing::Shuffled), Duration::from_millis(20));
    }
}

async fn pause(world: &Rc<World>, node: NodeIndex, lasts: Duration) {
    simulated::pause(world.id(node));
    wait(world, lasts).await;
    simulated::resume(world.id(node));
}

/// Waits for the process to end in good order; should it hang, it is killed.
async fn terminate(world: &Rc<World>, node: NodeIndex, down: Duration) {
    const PATIENCE: Duration = Duration::from_secs(15);
    let id = world.id(node);
    if !simulated::is_running(id) {
        return;
    }
    let life = simulated::incarnation(id);
    hold(world, node, down);
    simulated::terminate(id);
    wait(world, PATIENCE).await;
    if simulated::is_running(id) && simulated::incarnation(id) == life {
        world.note(&format!("{} did not end as asked", super::host_name(node)));
        kill(world, node, Death::Process, down);
    }
}

pub(super) async fn block_for(world: &Rc<World>, blocked: Vec<(NodeId, NodeId)>, lasts: Duration) {
    for &(from, to) in &blocked {
        network::block(from, to);
    }
    wait(world, lasts).await;
    for &(from, to) in &blocked {
        network::unblock(from, to);
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
    let count = world.hosts.len();
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    let is_cut = |&(from, to): &(usize, usize)| match cut {
        _ if from == to => false,
        Cut::Halves(side) => side.contains(&from) != side.contains(&to),
        Cut::Mute(node) => from == *node,
        Cut::Deaf(node) => to == *node,
        Cut::Bridge(node) => from != *node && to != *node,
        Cut::Pair(left, right) => [(*left, *right), (*right, *left)].contains(&(from, to)),
    };
    pairs.filter(is_cut).map(|(from, to)| (world.id(from), world.id(to))).collect()
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
