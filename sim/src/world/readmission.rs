//! A node goes for good and comes back as another: drained, removed, its disk emptied, let in again.
//!
//! The operator does as the manual says: he takes the disk away when the cluster has said that the node
//! is gone, or when the node itself has ended because of it.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_node::node::Node;
use evenkeel_runtime::simulated;

use super::hosts::replace_disk;
use super::{World, host_name, injector, operator};
use crate::coverage::Kind;
use crate::disk::platter::Tearing;
use crate::fault::{Death, Fault, NodeIndex};

/// How often the operator tries to remove a node that still votes, and how long he waits in between.
const REMOVAL_ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn readmit(world: &Rc<World>, node: NodeIndex, away: Duration) {
    operator::drain(world, node).await;
    let mut is_removed = false;
    for _ in 0..REMOVAL_ATTEMPTS {
        if world.is_healed.get() {
            break;
        }
        is_removed = operator::remove(world, node).await;
        if is_removed {
            break;
        }
        injector::wait(world, PAUSE).await;
    }
    if is_removed {
        // Every other time it goes on for a while, and has to notice by itself that it is none of them.
        if away.as_millis().is_multiple_of(2) {
            take_disk(world, node);
        }
        injector::wait(world, away).await;
        if !world.is_healed.get() && world.hosts[node].is_outcast.get() {
            take_disk(world, node);
        }
        if operator::join(world, node).await {
            world.feel(Kind::Readmit, 1);
        }
    }
    if !world.is_healed.get() {
        operator::balance(world).await;
    }
}

/// To be called when the weather is over: whatever came of it, the node is let in.
pub(super) async fn finish(world: &Rc<World>) {
    let mut planned = world.plan.faults.iter().map(|planned| &planned.fault);
    if !planned.any(|fault| matches!(fault, Fault::Readmit { .. })) {
        return;
    }
    operator::are_done(world).await;
    let node = world.plan.victim;
    while !is_in(world, node) {
        if !operator::join(world, node).await {
            world.note("the operator asks again");
        }
        // One that was removed ends itself, and says why.
        if world.hosts[node].is_outcast.get() {
            take_disk(world, node);
        }
        simulated::sleep_true(PAUSE).await;
    }
    world.note("everybody is in the cluster");
}

fn take_disk(world: &World, node: NodeIndex) {
    injector::kill(world, node, Death::Power(Tearing::LoseAll), Duration::from_millis(100));
    replace_disk(world, node);
}

/// Whether the newest map has the node that runs there.
fn is_in(world: &World, node: NodeIndex) -> bool {
    let name = host_name(node);
    let life_of = |seen_by: &Node| {
        let states = seen_by.node_states().into_iter();
        let place = states.filter(|state| state.name == name).find_map(|state| state.place);
        place.map(|place| place.replica)
    };
    let running = world.hosts.iter().filter_map(|host| host.node.borrow().upgrade());
    let newest = running.max_by_key(|running| running.placement().0);
    let this = world.hosts[node].node.borrow().upgrade();
    newest.zip(this).is_some_and(|(newest, this)| {
        !this.is_removed() && life_of(&this).is_some() && life_of(&this) == life_of(&newest)
    })
}
