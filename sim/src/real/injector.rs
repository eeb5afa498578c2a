//! Makes the plan's faults happen, as far as signals and a network of our own can.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;

use super::{Real, network, operator};
use crate::fault::{Cut, Death, Fault, NodeIndex, node_name};

/// Whether this world can.
pub fn can_make(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Kill { death: Death::Process, again: None, .. }
            | Fault::KillLeader { death: Death::Process, .. }
            | Fault::Pause { .. }
            | Fault::PauseLeader { .. }
            | Fault::Terminate { .. }
            | Fault::TerminateLeader { .. }
            | Fault::Wipe { .. }
            | Fault::Partition { .. }
            | Fault::Swizzle { .. }
            | Fault::IsolateLeader { .. }
            | Fault::TransferLeader { .. }
            | Fault::MoveShard { .. }
            | Fault::Drain { .. }
            | Fault::CutClients
    )
}

/// Starts a task for each fault; returns those that are left out.
pub(super) fn start(world: &Rc<Real>) -> Vec<String> {
    let (made, left_out): (Vec<_>, Vec<_>) =
        world.plan.faults.iter().cloned().partition(|planned| can_make(&planned.fault));
    for planned in made {
        let world = Rc::clone(world);
        drop(runtime::spawn(async move {
            runtime::sleep(planned.at).await;
            if !world.healed.get() {
                strike(&world, planned.fault).await;
            }
        }));
    }
    left_out.iter().map(|planned| planned.fault.to_string()).collect()
}

async fn strike(world: &Rc<Real>, fault: Fault) {
    world.note(&fault.to_string());
    match fault {
        Fault::Kill { node, down, .. } => world.machines[node].borrow_mut().kill(down),
        Fault::KillLeader { down, .. } => {
            if let Some(leader) = leader(world).await {
                world.machines[leader].borrow_mut().kill(down);
            }
        }
        Fault::Pause { node, lasts } => pause(world, node, lasts).await,
        Fault::PauseLeader { lasts } => {
            if let Some(leader) = leader(world).await {
                pause(world, leader, lasts).await;
            }
        }
        Fault::Terminate { node, down } => world.machines[node].borrow_mut().terminate(down),
        Fault::TerminateLeader { down } => {
            if let Some(leader) = leader(world).await {
                world.machines[leader].borrow_mut().terminate(down);
            }
        }
        Fault::Wipe { node, down } => {
            let mut machine = world.machines[node].borrow_mut();
            machine.kill(down);
            if let Err(error) = machine.wipe() {
                world.fail("machine", error, Vec::new());
            }
        }
        other => strike_links(world, other).await,
    }
}

async fn leader(world: &Real) -> Option<NodeIndex> {
    let leader = operator::leader(world).await;
    let name = leader.map_or("not known".to_owned(), node_name);
    world.note(&format!("the leader is {name}"));
    leader
}

/// The network, and what operators do.
async fn strike_links(world: &Rc<Real>, fault: Fault) {
    match fault {
        Fault::Partition { cut, lasts } => cut_for(world, &cut, lasts).await,
        Fault::IsolateLeader { lasts } => {
            if let Some(leader) = leader(world).await {
                cut_for(world, &Cut::Halves(vec![leader]), lasts).await;
            }
        }
        Fault::Swizzle { mut order, lasts } => {
            let step = lasts / (2 * order.len().max(1) as u32);
            for &node in &order {
                block(world, &Cut::Halves(vec![node]));
                runtime::sleep(step).await;
            }
            order.sort_unstable();
            for node in order {
                runtime::sleep(step).await;
                unblock(world, &Cut::Halves(vec![node]));
            }
        }
        Fault::TransferLeader { to } => {
            let to = to.map_or(String::new(), |node| format!(" {}", node_name(node)));
            operator::ask(world, &format!("EVENKEEL TRANSFER 0{to}")).await;
        }
        Fault::MoveShard { voters } => {
            let voters: Vec<String> = voters.into_iter().map(node_name).collect();
            operator::ask(world, &format!("EVENKEEL MOVE 0 {}", voters.join(" "))).await;
        }
        Fault::Drain { node, lasts } => {
            operator::ask(world, &format!("EVENKEEL DRAIN {}", node_name(node))).await;
            runtime::sleep(lasts).await;
            operator::ask(world, "EVENKEEL BALANCE").await;
        }
        Fault::CutClients => operator::ask(world, "CLIENT KILL USER default").await,
        other => unreachable!("`can_make` leaves {other} out"),
    }
}

async fn pause(world: &Rc<Real>, node: NodeIndex, lasts: Duration) {
    world.machines[node].borrow_mut().pause();
    runtime::sleep(lasts).await;
    world.machines[node].borrow_mut().resume();
}

async fn cut_for(world: &Rc<Real>, cut: &Cut, lasts: Duration) {
    block(world, cut);
    runtime::sleep(lasts).await;
    unblock(world, cut);
}

fn block(world: &Real, cut: &Cut) {
    if world.healed.get() {
        return;
    }
    for way in cut.severed(world.plan.node_count) {
        let count =
            *world.cuts.borrow_mut().entry(way).and_modify(|count| *count += 1).or_insert(1);
        if count == 1 {
            tell(world, network::cut(way.0, way.1));
        }
    }
}

/// What several faults have cut is joined when the last of them is over.
fn unblock(world: &Real, cut: &Cut) {
    for way in cut.severed(world.plan.node_count) {
        let mut cuts = world.cuts.borrow_mut();
        let Some(count) = cuts.get_mut(&way) else { continue }; // Everything was healed meanwhile.
        *count -= 1;
        if *count == 0 {
            cuts.remove(&way);
            tell(world, network::join(way.0, way.1));
        }
    }
}

fn tell(world: &Real, result: Result<(), String>) {
    if let Err(error) = result {
        world.fail("machine", error, Vec::new());
    }
}

/// The end of all faults.
pub(super) fn heal(world: &Real) {
    world.healed.set(true);
    for (from, to) in std::mem::take(&mut *world.cuts.borrow_mut()).into_keys() {
        tell(world, network::join(from, to));
    }
    for machine in &world.machines {
        let mut machine = machine.borrow_mut();
        machine.resume();
        machine.release();
    }
    world.note("the weather is over");
}
