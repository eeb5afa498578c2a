//! The world of one seed: hosts that run the real node and gateway, clients that ask, faults that
//! strike, and oracles that watch every step.
//!
//! ```text
//! live ─▶ hosts (process main: Node::start, Gateway::start)   keeper: restarts what is down
//!      ─▶ clients (real client over simulated TCP) ─▶ ledger
//!      ─▶ injector (the plan's faults, at their times)
//!      ─▶ finale: heal, converge, serve, read all back, judge
//! ```
//!
//! **Invariant.** The first claim that breaks ends the run, at that very moment of virtual time.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::Duration;

use evenkeel_node::node::Node;
use evenkeel_node::observe::{Fact, Observation, set_observer};
use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated::record::record;
use evenkeel_runtime::simulated::{self, NodeId};

use crate::capsule::Asked;
use crate::coverage::{Coverage, Kind};
use crate::disk::Drive;
use crate::fault::{NodeIndex, node_name};
use crate::invariants::Invariants;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::random::Random;
use crate::story::{Failure, Summary};
use crate::workload::Request;

mod backup;
mod clients;
pub mod costs;
mod facts;
mod felt;
mod finale;
mod hosts;
mod injector;
mod operator;
mod planted;
mod readmission;
mod scrub;
mod series;
mod signal;

use self::signal::Signal;
pub use planted::{names as planted_names, plant};

/// A machine of the cluster, over all lives of its node.
pub(crate) struct Host {
    /// madsim's name for it.
    id: OnceCell<NodeId>,
    /// What it keeps its data on.
    drive: Drive,
    /// It must not be started before this moment of virtual time, in nanoseconds.
    down_until_ns: Cell<u64>,
    /// Its disk may hold less than was flushed: rot.
    is_damaged: Cell<bool>,
    /// Whatever was wrong with its disk, it has noticed, and can do without.
    is_scrubbed: Cell<bool>,
    /// Reads that had failed when its last life began.
    read_errors_at_start: Cell<u64>,
    /// The node, while it runs.
    node: RefCell<Weak<Node>>,
    /// How often it came up.
    starts: Cell<u32>,
    /// How often it came up since its disk was empty.
    starts_on_this_disk: Cell<u32>,
    /// It has ended itself because it was removed from the cluster.
    is_outcast: Cell<bool>,
}

/// Everything there is in a run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) hosts: Vec<Host>,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) invariants: RefCell<Invariants>,
    /// What happened, with times, for people.
    notes: RefCell<Vec<String>>,
    fault_count: Cell<usize>,
    /// What the weather asked for, and what of it was felt.
    coverage: RefCell<Coverage>,
    /// How often the operator has asked for something.
    operations: Cell<u32>,
    /// Those of them that were done.
    obeyed: RefCell<BTreeSet<u32>>,
    /// The machines from which it was asked.
    operators: RefCell<Vec<NodeId>>,
    breach: RefCell<Option<Failure>>,
    is_broken: Signal,
    /// Clients ask while this holds.
    pub(crate) asks: Cell<bool>,
    /// While this holds they only read.
    pub(crate) only_reads: Cell<bool>,
    /// Whether the weather is over.
    pub(crate) is_healed: Signal,
    /// What clients ask, if not what they draw.
    pub(crate) script: Option<Vec<Asked>>,
    /// What clients asked of whom.
    pub(crate) asked: RefCell<Vec<Decision>>,
    /// See `Summary`.
    pub(crate) silence: Cell<Option<Duration>>,
    canary: bool,
    story: bool,
}

/// What a client asked of whom: time, client, node, object, request.
type Decision = (u64, u32, NodeIndex, usize, Request);

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The world of this thread.
pub(crate) fn world() -> Rc<World> {
    WORLD.with(|slot| slot.borrow().clone()).expect("a world has begun")
}

/// The port that peers use.
const PEER_PORT: u16 = 7_100;
/// The port that clients use.
const CLIENT_PORT: u16 = 7_001;

/// How a run is to be told.
#[derive(Debug, Clone, Default)]
pub struct Telling {
    /// What clients ask; `None`: what they draw from the seed.
    pub script: Option<Vec<Asked>>,
    /// One answer is falsified at the end.
    pub canary: bool,
    /// Print what happens as it happens.
    pub story: bool,
    /// End the run at this moment, in milliseconds of virtual time.
    pub until_ms: Option<u64>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// For the one line.
    pub summary: Summary,
    /// What broke, if something did.
    pub failure: Option<Failure>,
    /// Virtual milliseconds, events so far and their hash, at regular moments.
    pub checkpoints: Vec<String>,
    /// What clients asked, if something broke: the decision log.
    pub asked: Vec<Asked>,
    /// Which kinds of trouble there were.
    pub coverage: Coverage,
}

/// Lives through a plan, as the supervisor of `simulated::run`.
pub async fn live(plan: Plan, telling: Telling) -> Report {
    let until_ms = telling.until_ms;
    let world = begin(plan, telling);
    felt::begin(&world);
    hosts::start_all(&world);
    // Kept whether anybody reads them or not: looking must not change the run.
    let checkpoints = Rc::new(RefCell::new(Vec::new()));
    drop(runtime::spawn(keep_checkpoints(Rc::clone(&checkpoints))));
    let course = async {
        match until_ms {
            None => course(&world).await,
            Some(until_ms) => {
                let limit = simulated::sleep_true(Duration::from_millis(until_ms));
                runtime::either(course(&world), limit).await;
            }
        }
    };
    // Whatever breaks first ends it.
    runtime::either(broken(&world), course).await;
    set_observer(None);
    let report = world.report(&checkpoints.take());
    WORLD.with(|slot| slot.borrow_mut().take());
    report
}

async fn course(world: &Rc<World>) {
    clients::start_all(world);
    injector::start(world);
    simulated::sleep_true(world.plan.duration).await;
    finale::finish(world).await;
}

fn begin(plan: Plan, telling: Telling) -> Rc<World> {
    let random = Random::new(plan.seed, "world");
    let hosts = (0..plan.node_count)
        .map(|index| Host {
            id: OnceCell::new(),
            drive: Drive::new(&random.child(&format!("disk {index}"))),
            down_until_ns: Cell::new(0),
            is_damaged: Cell::new(false),
            is_scrubbed: Cell::new(false),
            read_errors_at_start: Cell::new(0),
            node: RefCell::default(),
            starts: Cell::new(0),
            starts_on_this_disk: Cell::new(0),
            is_outcast: Cell::new(false),
        })
        .collect();
    let world = Rc::new(World {
        plan,
        hosts,
        ledger: RefCell::default(),
        invariants: RefCell::default(),
        notes: RefCell::default(),
        fault_count: Cell::new(0),
        coverage: RefCell::default(),
        operations: Cell::new(0),
        obeyed: RefCell::default(),
        operators: RefCell::default(),
        breach: RefCell::default(),
        is_broken: Signal::default(),
        asks: Cell::new(true),
        only_reads: Cell::new(false),
        is_healed: Signal::default(),
        script: telling.script,
        asked: RefCell::default(),
        silence: Cell::new(None),
        canary: telling.canary,
        story: telling.story,
    });
    WORLD.with(|slot| *slot.borrow_mut() = Some(Rc::clone(&world)));
    set_observer(Some(Box::new(observe)));
    world
}

/// Every fact goes into the record of the run and past the invariants.
fn observe(observation: Observation) {
    let world = world();
    let id = simulated::this_node();
    let node = world.hosts.iter().position(|host| host.id.get() == Some(&id));
    let Some(node) = node else { return };
    record(facts::kind(&observation.fact), id, || facts::Words(&observation));
    let host = &world.hosts[node];
    let is_fair = !host.drive.was_always_right() && !host.is_scrubbed.get();
    if observation.fact == Fact::ValueDamaged && !is_fair {
        let why = match host.is_scrubbed.get() {
            true => "it has read all of its disk since that went bad",
            false => "its disk has never been wrong",
        };
        let claim = format!(
            "{} calls a value of group {} damaged, and {why}",
            host_name(node),
            observation.shard
        );
        world.fail("damage", claim, Vec::new());
    }
    let result = world.invariants.borrow_mut().note(node, &observation);
    if let Err(broken) = result {
        world.fail(broken.invariant, broken.claim, Vec::new());
    }
}

/// Ends when something has broken, and not before the next millisecond: whoever broke it has said
/// all there is to say by then.
async fn broken(world: &Rc<World>) {
    world.is_broken.wait().await;
    simulated::sleep_true(Duration::from_millis(1)).await;
}

/// Milliseconds, events so far, their hash.
type Checkpoint = (u64, u64, simulated::record::EventHash);

async fn keep_checkpoints(checkpoints: Rc<RefCell<Vec<Checkpoint>>>) {
    const INTERVAL: Duration = Duration::from_millis(10);
    loop {
        simulated::sleep_true(INTERVAL).await;
        let now_ms = simulated::now_ns() / 1_000_000;
        let (count, hash) = (simulated::record::event_count(), simulated::record::hash());
        checkpoints.borrow_mut().push((now_ms, count, hash));
    }
}

impl World {
    /// Something happened that a reader of the story wants to know.
    pub(crate) fn note(&self, what: &str) {
        self.note_as("note", what);
    }

    fn note_as(&self, kind: &'static str, what: &str) {
        let line = format!("{:>9.3}s  {what}", now_s());
        record(kind, simulated::supervisor(), || what);
        if self.story {
            tell(&line);
        }
        self.notes.borrow_mut().push(line);
    }

    /// A fault strikes.
    pub(crate) fn note_fault(&self, what: &str) {
        self.fault_count.set(self.fault_count.get() + 1);
        self.note_as("fault", what);
    }

    /// The weather asks for this.
    pub(crate) fn reach(&self, kinds: &[Kind]) {
        kinds.iter().for_each(|kind| self.coverage.borrow_mut().reach(*kind));
    }

    /// So many effects of this were felt.
    pub(crate) fn feel(&self, kind: Kind, effects: u64) {
        if effects > 0 {
            self.coverage.borrow_mut().activate(kind, effects);
        }
    }

    /// A claim is broken: the first one is kept, with all there is to say about it.
    pub(crate) fn fail(&self, oracle: &str, claim: String, ledger: Vec<String>) {
        self.fail_with(oracle, claim, ledger, Vec::new());
    }

    pub(crate) fn fail_with(
        &self,
        oracle: &str,
        claim: String,
        ledger: Vec<String>,
        history: Vec<String>,
    ) {
        let Ok(mut breach) = self.breach.try_borrow_mut() else { return };
        if breach.is_some() {
            return;
        }
        let replicas = self.invariants.try_borrow().map(|invariants| invariants.table());
        let ledger = match (ledger.is_empty(), self.ledger.try_borrow()) {
            (true, Ok(ledger)) => ledger.tail(6),
            _ => ledger,
        };
        self.is_broken.set();
        *breach = Some(Failure {
            oracle: oracle.to_owned(),
            claim,
            at_s: now_s(),
            ledger,
            history,
            faults: self.notes.try_borrow().map(|notes| notes.clone()).unwrap_or_default(),
            events: self.last_events(),
            replicas: replicas.unwrap_or_default(),
            seed: self.plan.seed,
            ..Failure::default()
        });
    }

    /// The last dozen events of each of the cluster's nodes.
    fn last_events(&self) -> Vec<String> {
        const EVENT_COUNT: usize = 12;
        let recent = simulated::record::recent();
        let mut lines = Vec::new();
        for host in &self.hosts {
            let Some(id) = host.id.get() else { continue };
            let of_host: Vec<_> = recent.iter().filter(|event| event.node == *id).collect();
            let skipped = of_host.len().saturating_sub(EVENT_COUNT);
            lines.extend(of_host[skipped..].iter().map(|event| shortened(&event.to_string())));
        }
        lines
    }

    fn report(&self, checkpoints: &[Checkpoint]) -> Report {
        let line = |(now_ms, count, hash): &Checkpoint| format!("{now_ms} {count} {hash}");
        let checkpoints = checkpoints.iter().map(line).collect();
        let failure = self.breach.borrow_mut().take();
        let (ledger, invariants) = (self.ledger.borrow(), self.invariants.borrow());
        let summary = Summary {
            seed: self.plan.seed,
            scenario: self.plan.scenario_name().to_owned(),
            nodes: self.plan.node_count,
            simulated_s: now_s(),
            operations: ledger.answered(),
            unknown: ledger.unknown(),
            faults: self.fault_count.get(),
            elections: invariants.elections(),
            facts: invariants.observations(),
            oracle: failure.as_ref().map(|failure| failure.oracle.clone()),
            silence: self.silence.get(),
            ..Summary::default()
        };
        felt::sum_up(self);
        let coverage = self.coverage.borrow().clone();
        let asked = match failure {
            None => Vec::new(),
            Some(_) => self.decisions(),
        };
        Report { summary, failure, checkpoints, asked, coverage }
    }

    /// The decision log so far.
    fn decisions(&self) -> Vec<Asked> {
        let asked = self.asked.borrow();
        let entry = |(at_ns, client, node, object, request): &Decision| {
            Asked::new(*at_ns, *client, *node, *object, request)
        };
        asked.iter().map(entry).collect()
    }

    /// The objects that somebody has to do with: all, unless a script names fewer.
    pub(crate) fn objects(&self) -> Vec<usize> {
        match &self.script {
            None => (0..self.plan.objects.len()).collect(),
            Some(script) => {
                let mut objects: Vec<usize> = script.iter().map(|asked| asked.object).collect();
                objects.push(objects.first().copied().unwrap_or(0));
                objects.sort_unstable();
                objects.dedup();
                objects
            }
        }
    }

    /// Where peers reach a node.
    pub(crate) fn peer_address(node: NodeIndex) -> SocketAddr {
        SocketAddr::new(address(node), PEER_PORT)
    }

    /// Where clients reach a node.
    pub(crate) fn client_address(node: NodeIndex) -> SocketAddr {
        SocketAddr::new(address(node), CLIENT_PORT)
    }

    /// madsim's name for a node.
    pub(crate) fn id(&self, node: NodeIndex) -> NodeId {
        *self.hosts[node].id.get().expect("hosts are made before anything happens to them")
    }

    /// The nodes that vote on the first shard.
    pub(crate) fn voters(&self) -> Vec<NodeIndex> {
        const FIRST_SHARD: u32 = 1;
        self.invariants.borrow().voters(FIRST_SHARD)
    }

    /// How often the operator has asked for something, for scripts that take turns.
    pub(crate) fn turn(&self) -> u32 {
        self.operations.get()
    }

    /// The node that leads the first shard, or any.
    pub(crate) fn leader(&self) -> NodeIndex {
        const FIRST_SHARD: u32 = 1;
        self.invariants.borrow().leader(FIRST_SHARD).unwrap_or(0)
    }
}

/// What to say about a panic of this thread, if it is the simulation's, and the decision log.
pub fn evidence(claim: String) -> Option<(Failure, Vec<Asked>)> {
    let world = WORLD.try_with(|slot| slot.try_borrow().ok()?.clone()).ok()??;
    world.fail("panic", claim, Vec::new());
    let asked = if world.asked.try_borrow().is_ok() { world.decisions() } else { Vec::new() };
    Some((world.breach.try_borrow().ok()?.clone()?, asked))
}

fn address(node: NodeIndex) -> IpAddr {
    IpAddr::from([10, 0, 0, node as u8 + 1])
}

fn now_s() -> f64 {
    simulated::now_ns() as f64 / 1e9
}

fn shortened(line: &str) -> String {
    const CHARACTER_COUNT_MAX: usize = 160;
    line.chars().take(CHARACTER_COUNT_MAX).collect()
}

#[expect(clippy::print_stdout, reason = "a story is told as it happens")]
fn tell(line: &str) {
    println!("{line}");
}

/// The name of a simulated node's host, for stories.
pub(crate) fn host_name(node: NodeIndex) -> String {
    node_name(node)
}
