//! The second phase: the weather is over, and now the cluster must converge *and serve*; then
//! everything is read back and the ledger is judged.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_core::consensus::Configuration;
use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated;

use super::{Host, World, injector, operator, readmission, scrub, world};
use crate::clients;
use crate::workload::KEY_COUNT;

/// A healed cluster serves every object through every node within this.
pub(super) const SERVES_WITHIN: Duration = Duration::from_secs(30);
/// And all replicas have applied the same within this.
pub(super) const CONVERGES_WITHIN: Duration = Duration::from_secs(30);
/// Everything that clients who have gone had asked for is over within this; snapshots that nobody
/// fetches are held for 30 seconds, by the nodes' clocks.
const NOTICES_WITHIN: Duration = Duration::from_secs(40);
/// A seed in which less was answered has shown nothing.
const ANSWERS_MIN: u64 = 10;

/// From the end of the weather to the verdict.
pub(super) async fn finish(world: &Rc<World>) {
    injector::heal(world);
    keep_promises(world);
    let answered = world.ledger.borrow().answered();
    if !is_done_within(SERVES_WITHIN, readmission::finish(world)).await {
        let claim = format!(
            "{} is not in the healed cluster after {SERVES_WITHIN:?}",
            super::host_name(world.plan.victim)
        );
        world.fail("service", claim, Vec::new());
        return;
    }
    if !is_done_within(SERVES_WITHIN, serve(world)).await {
        let missing = missing(world);
        let claim =
            format!("the healed cluster does not serve within {SERVES_WITHIN:?}: {missing}");
        world.fail("service", claim, Vec::new());
        return;
    }
    world.note("the cluster serves");
    world.asks.set(false);
    operator::are_done(world).await;
    if !is_done_within(CONVERGES_WITHIN, converge(world)).await {
        let lag = lag(world).err().unwrap_or_default();
        let claim =
            format!("the healed cluster does not converge within {CONVERGES_WITHIN:?}: {lag}");
        world.fail("convergence", claim, Vec::new());
        return;
    }
    world.note("the cluster has converged");
    if world.plan.node_count > 1 {
        rejoin_quietly(world).await;
        scrub::check(world).await;
    }
    if answered < ANSWERS_MIN && world.plan.faults.is_empty() {
        let claim = format!("{answered} answers without any fault: no useful work was done");
        world.fail("work", claim, Vec::new());
        return;
    }
    check_bounds(world).await;
    judge(world);
}

pub(super) async fn is_done_within(limit: Duration, work: impl Future<Output = ()>) -> bool {
    let clock = simulated::sleep_true(limit);
    matches!(runtime::either(work, clock).await, runtime::Either::Left(()))
}

/// What the scenario's file promises, beside everything else.
fn keep_promises(world: &World) {
    let Some(written) = &world.plan.written else { return };
    let silence = world.ledger.borrow().longest_silence(simulated::now_ns());
    world.silence.set(silence.map(|(silence, _)| silence));
    if let Err(claim) = written.promises.check(silence) {
        world.fail("promises", claim, Vec::new());
    }
}

/// One visitor per node writes to every object through it, and reads everything back.
async fn serve(world: &Rc<World>) {
    world.ledger.borrow_mut().begin_final_reads();
    let visitors: Vec<_> = (0..world.hosts.len())
        .map(|node| {
            let number = 100 + node as u32;
            let address = IpAddr::from([10, 0, 2, node as u8 + 1]);
            let name = format!("visitor-{node}");
            simulated::create_node(&name, address, move || visit(node, number))
        })
        .collect();
    for visitor in visitors {
        while simulated::is_running(visitor) {
            simulated::sleep_true(Duration::from_millis(5)).await;
        }
    }
}

pub(super) async fn visit(node: usize, number: u32) {
    let world = world();
    clients::visit(&*world, node, number, &world.objects()).await;
}

/// A node that was cut off for a while comes back, and deposes nobody: those who led without it
/// still lead, in the same ballots. (It cannot win; without a pre-vote it would raise its ballot.)
async fn rejoin_quietly(world: &Rc<World>) {
    let beats = |count: u64| Duration::from_micros(world.plan.knobs.heartbeat_us * count);
    simulated::sleep_true(beats(30)).await;
    let away = world.plan.victim;
    let before = world.invariants.borrow().leaderships();
    world.note(&format!("{} is cut off once more", super::host_name(away)));
    injector::cut_off(world, away, beats(60)).await;
    simulated::sleep_true(beats(60) + Duration::from_secs(2)).await;
    let after = world.invariants.borrow().leaderships();
    for (shard, (leader, ballot)) in before {
        if leader != away && after.get(&shard) != Some(&(leader, ballot)) {
            let claim = format!(
                "group {shard}: {} led in {ballot:?} and was deposed by {}, which had been cut off",
                super::host_name(leader),
                super::host_name(away),
            );
            world.fail("disruption", claim, Vec::new());
            return;
        }
    }
}

fn missing(world: &World) -> String {
    let ledger = world.ledger.borrow();
    let wanted = 3 * world.objects().len() as u64;
    let count = |node: usize| ledger.answered_by(100 + node as u32);
    let late = (0..world.hosts.len()).filter(|&node| count(node) < wanted);
    let late: Vec<String> = late
        .map(|node| format!("{} answered {} of {wanted}", super::host_name(node), count(node)))
        .collect();
    late.join(", ")
}

pub(super) async fn converge(world: &World) {
    while lag(world).is_err() {
        simulated::sleep_true(Duration::from_millis(20)).await;
    }
}

/// All nodes have one map; the voters of each shard are those of the map, and have applied the same.
fn lag(world: &World) -> Result<(), String> {
    world.invariants.borrow().converged()?;
    let mut newest: Option<(u64, Vec<Configuration>)> = None;
    for (index, host) in world.hosts.iter().enumerate() {
        let Some(node) = host.node.borrow().upgrade() else {
            return Err(format!("{} is down", super::host_name(index)));
        };
        let (epoch, voters) = node.placement();
        let here = (epoch, voters);
        if newest.as_ref().is_some_and(|known| *known != here) {
            return Err(format!("{} has another map, of epoch {epoch}", super::host_name(index)));
        }
        newest = Some(here);
    }
    let (_, voters) = newest.unwrap_or_default();
    for (number, wanted) in (0..).zip(&voters) {
        world.invariants.borrow().settled(number, wanted)?;
    }
    Ok(())
}

/// No node holds more than it was told that it may, or waits for clients that are gone.
async fn check_bounds(world: &World) {
    if !is_done_within(NOTICES_WITHIN, forget_clients(world)).await {
        let mut nodes = world.hosts.iter().map(kept_for_clients).zip(0..);
        let (kept, index) = nodes.find(|(kept, _)| *kept != (0, 0)).unwrap_or_default();
        let claim = format!(
            "{} awaits answers to {} writes and holds {} snapshots {NOTICES_WITHIN:?} after its last \
             client has gone",
            super::host_name(index),
            kept.0,
            kept.1,
        );
        world.fail("bounds", claim, Vec::new());
    }
    for (index, host) in world.hosts.iter().enumerate() {
        let Some(node) = host.node.borrow().upgrade() else { continue };
        for keyspace in node.status().keyspaces {
            if keyspace.bytes_used > keyspace.bytes_max {
                let claim = format!(
                    "{} uses {} bytes for keyspace {}, {} are allowed",
                    super::host_name(index),
                    keyspace.bytes_used,
                    keyspace.name,
                    keyspace.bytes_max
                );
                world.fail("bounds", claim, Vec::new());
            }
        }
    }
}

async fn forget_clients(world: &World) {
    while world.hosts.iter().any(|host| kept_for_clients(host) != (0, 0)) {
        simulated::sleep_true(Duration::from_millis(20)).await;
    }
}

/// Writes that a node has numbered and not answered, and snapshots that it holds for backups.
fn kept_for_clients(host: &Host) -> (usize, usize) {
    let status = host.node.borrow().upgrade().map(|node| node.status());
    status.map_or((0, 0), |status| (status.writes_awaited, status.snapshots_held))
}

fn judge(world: &World) {
    if world.canary {
        world.ledger.borrow_mut().falsify();
    }
    let verdict = world.ledger.borrow().judge(world.plan.objects.len(), KEY_COUNT);
    if let Err(breach) = verdict {
        let object = breach.claim;
        world.fail_with(breach.oracle, object, breach.lines, breach.history);
    }
}
