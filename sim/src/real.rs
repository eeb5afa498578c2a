//! The real world: the finished binary, each node a process in a network namespace of its own, on a real
//! disk. What drives it, and what is promised, is the same as in the simulated one: scenario files,
//! clients, ledger.
//!
//! ```text
//! hub: the namespace of this process, with the clients     node-1, node-2, ..: a namespace each
//!      bridge 10.97.0.254 ─────────────── veth ─────────── 10.97.0.1, 10.97.0.2, ..
//! ```
//!
//! Faults that only a simulator can make (power cuts, clocks, disks that lie) are left out, and named.
//! A run here does not replay: times are the kernel's. What it shows is that the simulator's network,
//! processes and disks are not a world that only our code believes in.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;

use self::machine::Machine;
use crate::clients::{self, Surroundings};
use crate::fault::{Fault, NodeIndex, node_name};
use crate::ledger::{Ledger, Outcome};
use crate::model::Step;
use crate::plan::Plan;
use crate::story::{self, Failure};
use crate::workload::{KEY_COUNT, Request};

mod injector;
mod machine;
mod network;
mod operator;

pub use injector::can_make;

/// A healed cluster serves every object through every node within this, and agrees within as much.
const HEALS_WITHIN: Duration = Duration::from_secs(30);
/// The first start: until every node answers.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// A flush of a disk that is shared with others takes so long at times, and everybody waits: measured, on
/// virtual machines, with nothing else going on in the cluster. Silence is not held against it for that.
const STALL_MAX: Duration = Duration::from_secs(1);
/// How often is looked after processes.
const KEEPER_INTERVAL: Duration = Duration::from_millis(10);

/// Where things are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The product.
    pub binary: PathBuf,
    /// What nodes begin with, if not with that: whoever starts again is upgraded.
    pub older: Option<PathBuf>,
    /// For data and logs; empty.
    pub folder: PathBuf,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// What broke, if something did.
    pub failure: Option<Failure>,
    /// What this world cannot make.
    pub left_out: Vec<String>,
    /// What happened, with times.
    pub notes: Vec<String>,
    /// Operations answered, and those that nobody knows the end of.
    pub operations: (u64, u64),
    /// The longest time without any answer while faults lasted.
    pub silence: Option<Duration>,
}

/// Everything there is in a run.
struct Real {
    plan: Plan,
    ledger: RefCell<Ledger>,
    machines: Vec<RefCell<Machine>>,
    /// Ways that are cut, and how many faults want each of them so.
    cuts: RefCell<BTreeMap<(NodeIndex, NodeIndex), u32>>,
    asks: Cell<bool>,
    /// The faults are over.
    healed: Cell<bool>,
    /// Clients that still wait for something.
    clients: Cell<usize>,
    notes: RefCell<Vec<String>>,
    breach: RefCell<Option<(String, String, Vec<String>)>>,
    begun_us: u64,
    /// What nodes began with.
    older: Option<PathBuf>,
}

/// Lives through a plan. To be called in a network namespace made for it, where nothing else is.
///
/// # Errors
/// The machine does not allow what this needs, or a node does not start.
pub async fn live(plan: Plan, place: &Place) -> Result<Report, String> {
    network::make(plan.node_count)?;
    let machines = (0..plan.node_count).map(|index| Machine::new(index, &plan, place));
    let machines = machines.map(RefCell::new).collect();
    let world = Rc::new(Real {
        plan,
        ledger: RefCell::default(),
        machines,
        cuts: RefCell::default(),
        asks: Cell::new(true),
        healed: Cell::new(false),
        clients: Cell::new(0),
        notes: RefCell::default(),
        breach: RefCell::default(),
        begun_us: runtime::clock::monotonic_us(),
        older: place.older.clone(),
    });
    world.machines.iter().try_for_each(|machine| machine.borrow_mut().start())?;
    drop(runtime::spawn(keep(Rc::clone(&world))));
    if runtime::timeout(STARTS_WITHIN, operator::are_whole(&world)).await.is_err() {
        return Err(format!("the cluster does not form within {STARTS_WITHIN:?}"));
    }
    world.note("the cluster has formed");
    let (report, _) = (course(&world).await, world.end().await);
    Ok(report)
}

async fn course(world: &Rc<Real>) -> Report {
    for client in 0..world.plan.client_count as u32 {
        world.clients.set(world.clients.get() + 1);
        let world = Rc::clone(world);
        drop(runtime::spawn(async move {
            clients::live(&*world, client).await;
            world.clients.set(world.clients.get() - 1);
        }));
    }
    let mut left_out = injector::start(world);
    left_out.extend(machine::knobs_left_out(&world.plan));
    runtime::sleep(world.plan.duration).await;
    let silence = world.ledger.borrow().longest_silence(world.now_ns());
    if let Some(written) = &world.plan.written
        && let Err(claim) = written.promises.with_stalls(STALL_MAX).check(silence)
    {
        world.fail("promises", claim, Vec::new());
    }
    finish(world).await;
    let ledger = world.ledger.borrow();
    let breach = world.breach.borrow_mut().take();
    let failure = breach.map(|(oracle, claim, lines)| Failure {
        oracle,
        claim,
        at_s: world.now_ns() as f64 / 1e9,
        ledger: if lines.is_empty() { ledger.tail(6) } else { lines },
        faults: world.notes.borrow().clone(),
        seed: world.plan.seed,
        commit: story::commit(),
        command: format!(
            "cargo sim --real --scenario {} --from {}{}",
            world.plan.scenario_name(),
            world.plan.seed,
            world
                .older
                .as_ref()
                .map_or(String::new(), |older| format!(" --older {}", older.display()))
        ),
        ..Failure::default()
    });
    Report {
        failure,
        left_out,
        notes: world.notes.borrow().clone(),
        operations: (ledger.answered(), ledger.unknown()),
        silence: silence.map(|(silence, _)| silence),
    }
}

/// The faults are over: the cluster serves and agrees, and the ledger is judged.
async fn finish(world: &Rc<Real>) {
    injector::heal(world);
    world.ledger.borrow_mut().begin_final_reads();
    let objects: Vec<usize> = (0..world.plan.objects.len()).collect();
    for node in 0..world.plan.node_count {
        let visit = clients::visit(&**world, node, 100 + node as u32, &objects);
        if runtime::timeout(HEALS_WITHIN, visit).await.is_err() {
            let name = node_name(node);
            let claim =
                format!("the healed cluster does not serve through {name} in {HEALS_WITHIN:?}");
            return world.fail("service", claim, Vec::new());
        }
    }
    world.note("the cluster serves");
    world.asks.set(false);
    let are_gone = async {
        while world.clients.get() > 0 {
            runtime::sleep(KEEPER_INTERVAL).await;
        }
    };
    if runtime::timeout(HEALS_WITHIN, are_gone).await.is_err() {
        let claim = format!("{} clients do not end in {HEALS_WITHIN:?}", world.clients.get());
        return world.fail("service", claim, Vec::new());
    }
    if runtime::timeout(HEALS_WITHIN, operator::are_whole(world)).await.is_err() {
        let claim = format!("the healed cluster does not agree within {HEALS_WITHIN:?}");
        return world.fail("convergence", claim, Vec::new());
    }
    world.note("the cluster has converged");
    let verdict = world.ledger.borrow().judge(world.plan.objects.len(), KEY_COUNT);
    if let Err(breach) = verdict {
        world.fail(breach.oracle, breach.claim, breach.lines);
    }
}

/// Starts what is down and not meant to be, and notices what ends by itself.
async fn keep(world: Rc<Real>) {
    loop {
        for machine in &world.machines {
            let mut machine = machine.borrow_mut();
            if let Some(end) = machine.ended_by_itself() {
                let claim = format!("{} ended by itself: {end}", machine.name());
                world.fail("process", claim, machine.last_words());
            }
            match machine.start_if_due() {
                Ok(true) => world.note(&format!("{} starts", machine.name())),
                Ok(false) => (),
                Err(error) => world.fail("process", error, Vec::new()),
            }
        }
        runtime::sleep(KEEPER_INTERVAL).await;
    }
}

impl Real {
    fn note(&self, what: &str) {
        self.notes.borrow_mut().push(format!("{:>9.3}s  {what}", self.now_ns() as f64 / 1e9));
    }

    /// The first claim that breaks is kept.
    fn fail(&self, oracle: &str, claim: String, lines: Vec<String>) {
        self.note(&claim);
        self.breach.borrow_mut().get_or_insert((oracle.to_owned(), claim, lines));
    }

    /// Ends all processes, politely.
    async fn end(&self) {
        for machine in &self.machines {
            machine.borrow_mut().terminate(Duration::MAX);
        }
        let are_gone = async {
            while self.machines.iter().any(|machine| machine.borrow_mut().is_running()) {
                runtime::sleep(KEEPER_INTERVAL).await;
            }
        };
        if runtime::timeout(HEALS_WITHIN, are_gone).await.is_err() {
            self.machines.iter().for_each(|machine| machine.borrow_mut().kill(Duration::MAX));
        }
    }
}

impl Surroundings for Real {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn ledger(&self) -> &RefCell<Ledger> {
        &self.ledger
    }

    fn now_ns(&self) -> u64 {
        (runtime::clock::monotonic_us() - self.begun_us) * 1_000
    }

    fn client_address(&self, node: NodeIndex) -> SocketAddr {
        machine::client_address(node)
    }

    fn asks(&self) -> bool {
        self.asks.get()
    }

    fn only_reads(&self) -> bool {
        false
    }

    fn decided(&self, _: u32, _: NodeIndex, _: usize, _: &Request) {}

    fn asked(&self, _: usize, _: &[Step]) {}

    fn answered(&self, _: usize, _: &Outcome) {}

    fn protest(&self, claim: String) {
        self.fail("protocol", claim, Vec::new());
    }
}

/// Whether anything would befall this plan here.
pub fn is_worth_it(plan: &Plan) -> bool {
    let mut faults = plan.faults.iter().map(|planned| &planned.fault);
    plan.faults.is_empty() || faults.any(|fault: &Fault| can_make(fault))
}
