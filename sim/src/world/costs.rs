//! What an operation costs when nothing goes wrong: round trips between the nodes, and flushes.
//!
//! A world with one shard, links of exactly one latency and no weather. How long an answer takes then
//! says how often it had to go back and forth; the disks count their flushes themselves.
//!
//! **Invariant.** Only virtual time and counters are looked at: the costs are the same on every machine.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evenkeel_runtime::simulated::{self, NodeId, network};
use evenkeel_wire::reply::Reply;

use super::{Telling, WORLD, World, begin, hosts, set_observer};
use crate::clients::Session;
use crate::fault::NodeIndex;
use crate::plan::{Scenario, plan};
use crate::workload::Command;

/// Between two nodes, one way; a disk takes a twentieth of it for a flush.
const LATENCY: Duration = Duration::from_millis(10);
/// Between two questions: what an operation leaves behind is done by then.
const PAUSE: Duration = Duration::from_millis(300);
/// For everything: an idle cluster of three elects a leader within a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// One operation, what it may cost and what it did.
#[derive(Debug, Clone)]
pub struct Cost {
    /// In words.
    pub operation: &'static str,
    /// From one node to another and back, one after the other.
    pub round_trips: u64,
    /// How many there may be.
    pub round_trips_max: u64,
    /// Of all three logs.
    pub flushes: u64,
    /// How many there may be.
    pub flushes_max: u64,
}

impl Cost {
    /// Whether it is within what it may cost.
    pub fn is_fair(&self) -> bool {
        self.round_trips <= self.round_trips_max && self.flushes <= self.flushes_max
    }
}

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Leader,
    Other,
}

/// Operation, whom it asks, how many clients at once, what each sends, round trips and flushes at most.
type Case = (&'static str, At, usize, fn(usize) -> Vec<Command>, u64, u64);

/// A write is on three disks, and waits for two of them; a read of a leader with a lease waits for nobody.
/// Whoever asks another node than the leader waits once more. A node that writes to a shard for the first
/// time opens its session there, with a write of its own.
const CASES: &[Case] = &[
    (
        "the first SET that the leader is asked",
        At::Leader,
        1,
        |_| vec![words(&["SET", "a", "0"])],
        2,
        6,
    ),
    (
        "the first SET that another node is asked",
        At::Other,
        1,
        |_| vec![words(&["SET", "a", "0"])],
        4,
        6,
    ),
    ("SET, asked of the leader", At::Leader, 1, |_| vec![words(&["SET", "a", "1"])], 1, 3),
    ("SET, asked of another node", At::Other, 1, |_| vec![words(&["SET", "a", "2"])], 2, 3),
    ("GET, asked of the leader", At::Leader, 1, |_| vec![words(&["GET", "a"])], 0, 0),
    ("GET, asked of another node", At::Other, 1, |_| vec![words(&["GET", "a"])], 1, 0),
    ("INCR, asked of the leader", At::Leader, 1, |_| vec![words(&["INCR", "n"])], 1, 3),
    ("MULTI, SET, GET, EXEC, asked of the leader", At::Leader, 1, |_| transaction(), 1, 3),
    ("100 SETs in one pipeline, asked of the leader", At::Leader, 1, |_| pipeline(100), 1, 3),
    ("30 clients that SET at once, asked of the leader", At::Leader, 30, one_each, 1, 6),
];

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn transaction() -> Vec<Command> {
    [&["MULTI"][..], &["SET", "a", "3"], &["GET", "a"], &["EXEC"]].into_iter().map(words).collect()
}

fn pipeline(count: usize) -> Vec<Command> {
    (0..count).map(|number| words(&["SET", &format!("p{number}"), "x"])).collect()
}

fn one_each(client: usize) -> Vec<Command> {
    vec![words(&["SET", &format!("c{client}"), "x"])]
}

/// Lives through it, as the supervisor of `simulated::run`.
///
/// # Errors
/// Somebody was not answered, or wrongly.
pub async fn measure() -> Result<Vec<Cost>, String> {
    let mut plan = plan(1, Scenario::Quiet);
    plan.node_count = 3;
    plan.clocks = vec![(0, 0); 3];
    plan.knobs.shard_count = 1;
    plan.knobs.heartbeat_us = 50_000;
    plan.knobs.disk_slowness = 1;
    let world = begin(plan, Telling::default());
    hosts::start_all(&world);
    let latency_us = LATENCY.as_micros() as u64;
    let link = network::Link { latency_us, jitter_us: 0, ..network::Link::default() };
    network::set_default_link(link);
    let result = measure_all(&world).await;
    set_observer(None);
    WORLD.with(|slot| slot.borrow_mut().take());
    result
}

async fn measure_all(world: &Rc<World>) -> Result<Vec<Cost>, String> {
    simulated::sleep_true(Duration::from_secs(3)).await;
    let mut costs = Vec::new();
    for &(operation, at, clients, commands, round_trips_max, flushes_max) in CASES {
        simulated::sleep_true(PAUSE).await;
        let leader = world.leader();
        let node = if at == At::Leader { leader } else { (leader + 1) % world.hosts.len() };
        let before = flushes(world);
        let asked = (0..clients).map(|client| Client::start(world, node, commands(client)));
        let mut took = Duration::ZERO;
        for client in asked.collect::<Vec<_>>() {
            took = took.max(client.answered(operation).await?);
        }
        simulated::sleep_true(LATENCY / 2).await; // The third disk, which nobody waits for.
        let there_and_back = 2 * LATENCY.as_micros();
        let round_trips = (took.as_micros() + there_and_back / 2) / there_and_back;
        costs.push(Cost {
            operation,
            round_trips: round_trips as u64,
            round_trips_max,
            flushes: flushes(world) - before,
            flushes_max,
        });
    }
    Ok(costs)
}

/// Somebody who asks once, from next door.
struct Client {
    machine: NodeId,
    /// How long it took; or what came instead of an answer.
    result: Arc<OnceLock<Result<Duration, String>>>,
}

impl Client {
    fn start(world: &Rc<World>, node: NodeIndex, commands: Vec<Command>) -> Client {
        let number = world.operations.get();
        world.operations.set(number + 1);
        let address = IpAddr::from([10, 0, 4, number as u8 + 1]);
        let result = Arc::new(OnceLock::new());
        let machine = simulated::create_node(&format!("client-{number}"), address, {
            let result = Arc::clone(&result);
            move || {
                let (commands, result) = (commands.clone(), Arc::clone(&result));
                async move {
                    let answer = converse(node, &commands).await;
                    result.get_or_init(|| answer);
                }
            }
        });
        let near = network::Link { latency_us: 1, jitter_us: 0, ..network::Link::default() };
        network::set_link(machine, world.id(node), Some(near));
        network::set_link(world.id(node), machine, Some(near));
        Client { machine, result }
    }

    async fn answered(self, operation: &str) -> Result<Duration, String> {
        while simulated::is_running(self.machine) {
            simulated::sleep_true(Duration::from_millis(1)).await;
        }
        let result = self.result.get().cloned();
        let result = result.unwrap_or_else(|| Err("it ended early".to_owned()));
        result.map_err(|error| format!("{operation}: {error}"))
    }
}

async fn converse(node: NodeIndex, commands: &[Command]) -> Result<Duration, String> {
    let address = World::client_address(node);
    let session = Session::connect(address, PATIENCE).await;
    let mut session = session.ok_or("no connection")?;
    let start_ns = simulated::now_ns();
    let replies = session.exchange(commands).await.map_err(|outcome| format!("{outcome:?}"))?;
    match replies.iter().find(|reply| matches!(reply, Reply::Error(_))) {
        Some(error) => Err(format!("{error:?}")),
        None => Ok(Duration::from_nanos(simulated::now_ns() - start_ns)),
    }
}

/// Of the three logs. (A log that is idle also notes in its superblock how far it is durable: no answer
/// waits for that flush, and it is one for many operations.)
fn flushes(world: &World) -> u64 {
    let nodes = world.hosts.iter().filter_map(|host| host.node.borrow().upgrade());
    nodes.map(|node| node.status().flushes).sum()
}
