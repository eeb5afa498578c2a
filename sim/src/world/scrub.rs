//! A node whose disk went bad reads all of it, and gets back what it lost: from then on nothing may be
//! missing. So it loses power once more, with all that it had in memory, leads, and is asked for
//! everything.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_node::node::Node;
use evenkeel_runtime::simulated;

use super::finale::{CONVERGES_WITHIN, SERVES_WITHIN, converge, is_done_within, visit};
use super::{World, host_name, injector, operator};
use crate::coverage::Kind;
use crate::disk::platter::Tearing;
use crate::fault::{Death, NodeIndex};

/// A pass over a disk of this size is over within this.
const PASSES_WITHIN: Duration = Duration::from_secs(60);
/// The number of the visitor who asks it for everything.
const VISITOR: u32 = 120;

/// To be called in a cluster that has converged, of more than one node.
pub(super) async fn check(world: &Rc<World>) {
    let mut hosts = world.hosts.iter();
    let Some(index) = hosts.position(|host| host.is_damaged.get()) else { return };
    world.reach(&[Kind::Scrub]);
    if !is_done_within(PASSES_WITHIN, pass(world, index)).await {
        let claim = format!("{} has not read its disk after {PASSES_WITHIN:?}", host_name(index));
        return world.fail("scrub", claim, Vec::new());
    }
    let status = running(world, index).map(|node| node.status().scrub).unwrap_or_default();
    world.note(&format!("{} has read its disk: {status:?}", host_name(index)));
    if status.left != 0 {
        let claim = format!(
            "{} lacks {} values that the others have, after it has read its disk",
            host_name(index),
            status.left
        );
        return world.fail("scrub", claim, Vec::new());
    }
    world.feel(Kind::Scrub, status.mended + status.detours);
    world.hosts[index].is_damaged.set(false);
    world.hosts[index].is_scrubbed.set(true);
    injector::kill(world, index, Death::Power(Tearing::LoseAll), Duration::from_millis(100));
    if !is_done_within(CONVERGES_WITHIN, come_back(world, index)).await {
        let claim = format!(
            "{} has read its disk, lost power, and is not back after {CONVERGES_WITHIN:?}",
            host_name(index)
        );
        return world.fail("scrub", claim, Vec::new());
    }
    for shard in 0..world.plan.knobs.shard_count {
        operator::lead(world, shard, index).await;
    }
    operator::are_done(world).await;
    let address = IpAddr::from([10, 0, 2, 200]);
    let visitor = simulated::create_node("visitor-of-all", address, move || visit(index, VISITOR));
    let visited = async {
        while simulated::is_running(visitor) {
            simulated::sleep_true(Duration::from_millis(5)).await;
        }
    };
    if !is_done_within(SERVES_WITHIN, visited).await {
        let claim = format!("{} does not serve after it has read its disk", host_name(index));
        world.fail("service", claim, Vec::new());
    }
}

fn running(world: &World, index: NodeIndex) -> Option<Rc<Node>> {
    world.hosts[index].node.borrow().upgrade()
}

async fn come_back(world: &World, index: NodeIndex) {
    // The old life is gone, and the new one has come up.
    while !simulated::is_running(world.id(index)) || running(world, index).is_none() {
        simulated::sleep_true(Duration::from_millis(20)).await;
    }
    converge(world).await;
}

/// Ends when a pass that was asked for now is over; asks again of the next life if there is one.
async fn pass(world: &World, index: NodeIndex) {
    loop {
        let Some(node) = running(world, index) else {
            simulated::sleep_true(Duration::from_millis(20)).await;
            continue;
        };
        node.ask_for_scrub();
        let asked = node.status().scrub.asked;
        drop(node);
        loop {
            simulated::sleep_true(Duration::from_millis(20)).await;
            let Some(status) = running(world, index).map(|node| node.status().scrub) else { break };
            if status.asked < asked {
                break;
            }
            if asked <= status.answered {
                return;
            }
        }
    }
}
