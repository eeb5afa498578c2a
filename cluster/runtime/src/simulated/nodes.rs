//! Simulated nodes: processes on hosts that live, pause, fail and are killed.
//!
//! **Invariant.** A killed node does nothing any more, its destructors included. Its tasks are
//! dropped some time *after* the kill, so everything a node owns outside of its memory carries the
//! incarnation it was made by, and looks at it before it acts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use madsim::runtime::Handle;

use super::NodeId;
use super::clocks::Clock;
use super::ground::contained;
use super::record::record;
use super::streams::{Purpose, Stream};
use super::world::{World, world};

/// How a node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kill {
    /// The process ends, its host lives on: peers that can be reached get resets, connects are
    /// refused.
    Process,
    /// The host goes dark, as in a power cut: nobody is told, connects hang until it restarts.
    Power,
}

/// A node gave up through `process::fail`. It is dead by the time anyone can read this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: u64,
    /// True time in nanoseconds since the run began.
    pub at_ns: u64,
    /// As it said.
    pub reason: String,
}

/// Makes a node at `address` and starts its first process, which runs `main`. When `main` returns,
/// the process has ended of its own will. `main` runs again after each `restart`.
///
/// # Panics
/// If another node has this address.
pub fn create_node<F: Future + 'static>(
    name: &str,
    address: IpAddr,
    main: impl Fn() -> F + Send + Sync + 'static,
) -> NodeId {
    let world = world();
    assert!(world.node_at(address).is_none(), "{address} is another node's address");
    let main = Arc::new(main);
    // madsim calls this with a lock held, so nothing of `main` may run before the first poll.
    let process = move || {
        let main = Arc::clone(&main);
        async move {
            contained(async move { main().await }).await;
            ended();
        }
    };
    let id = Handle::current().create_node().name(name).init(process).build().id();
    let mut clock = Clock::default();
    clock.restart(world.now_ns());
    let node = Node::new(world.seed, id, name, address, clock);
    world.nodes.borrow_mut().insert(id, Rc::new(node));
    record("create", id, || format!("{name} at {address}"));
    id
}

/// Ends a node's process at this very moment; unsynced disks are the caller's to lose. A node that
/// is already dead goes dark if `how` says so, and else stays as it is.
pub fn kill(node: NodeId, how: Kill) {
    record("kill", node, || match how {
        Kill::Process => "process",
        Kill::Power => "power",
    });
    end_process(&world(), node, how);
}

/// Starts a dead node again, at the same address unless `set_address` has moved it.
///
/// # Panics
/// If it is running or paused.
pub fn restart(id: NodeId) {
    let world = world();
    let node = world.node(id);
    let state = node.state.get();
    assert!(
        !matches!(state, State::Running | State::Paused),
        "node {id} is still alive: {state:?}"
    );
    if state == State::Exited {
        end_process(&world, id, Kill::Process);
    }
    node.clock.borrow_mut().restart(world.now_ns());
    node.terminating.set(false);
    node.state.set(State::Running);
    record("restart", id, || format!("incarnation {}", node.incarnation.get()));
    Handle::current().restart(id);
}

/// Stops a running node as if its host were suspended: its tasks stand still, nothing reaches it,
/// its clocks go on.
pub fn pause(id: NodeId) {
    if replace_state(id, State::Running, State::Paused) {
        record("pause", id, || "");
        Handle::current().pause(id);
    }
}

/// Lets a paused node go on.
pub fn resume(id: NodeId) {
    if replace_state(id, State::Paused, State::Running) {
        record("resume", id, || "");
        Handle::current().resume(id);
    }
}

/// Asks a node to end, as SIGTERM would: `process::terminated` is ready there from now on.
pub fn terminate(id: NodeId) {
    record("terminate", id, || "");
    let node = world().node(id);
    node.terminating.set(true);
    node.terminate_wakers.take().into_iter().for_each(Waker::wake);
}

/// Moves a dead node to another address, for its next life.
///
/// # Panics
/// If the node is alive, or another node has this address.
pub fn set_address(id: NodeId, address: IpAddr) {
    let world = world();
    assert!(!is_running(id), "node {id} is alive: an address changes between two lives");
    assert!(world.node_at(address).is_none(), "{address} is another node's address");
    record("address", id, || address);
    world.node(id).address.set(address);
}

/// Every `process::fail` so far, oldest first.
pub fn failures() -> Vec<Failure> {
    world().failures.borrow().all.clone()
}

/// Waits for the next `process::fail` that nobody has waited for yet.
pub async fn next_failure() -> Failure {
    poll_fn(|context| {
        let world = world();
        let mut failures = world.failures.borrow_mut();
        if let Some(failure) = failures.unseen.pop_front() {
            return Poll::Ready(failure);
        }
        failures.wakers.push(context.waker().clone());
        Poll::Pending
    })
    .await
}

/// Which life the node is in, or was last in, from 1. Rises at the moment of each kill, so that
/// what a dead process left behind can be told from what its successor does.
pub fn incarnation(node: NodeId) -> u64 {
    world().node(node).incarnation.get()
}

/// Whether the node's process exists; a paused one does.
pub fn is_running(node: NodeId) -> bool {
    matches!(world().node(node).state.get(), State::Running | State::Paused)
}

/// The name given at its creation.
pub fn name(node: NodeId) -> String {
    world().node(node).name.clone()
}

/// All nodes there have been, by their number: each with its name.
pub(crate) fn names() -> Vec<(String, String)> {
    let world = world();
    let nodes = world.nodes.borrow();
    nodes.values().map(|node| (node.id.to_string(), node.name.clone())).collect()
}

/// The node whose task runs at this moment.
pub fn this_node() -> NodeId {
    madsim::plugin::node()
}

/// The world itself. It has an address (192.0.2.1) and perfect clocks, and cannot be killed.
pub fn supervisor() -> NodeId {
    world().supervisor
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    /// `main` returned.
    Exited,
    /// The process is dead, the host answers.
    Killed,
    /// Nobody answers.
    Dark,
}

/// What the world knows of one node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// The id as a number, for hashing and for streams.
    pub(crate) number: u64,
    name: String,
    pub(crate) address: Cell<IpAddr>,
    pub(crate) incarnation: Cell<u64>,
    pub(crate) clock: RefCell<Clock>,
    /// How often its processes have looked at their monotonic clock, and at their wall clock.
    pub(crate) clock_reads: Cell<u64>,
    pub(crate) wall_reads: Cell<u64>,
    pub(crate) random: RefCell<Stream>,
    seed: u64,
    state: Cell<State>,
    terminating: Cell<bool>,
    terminate_wakers: RefCell<Vec<Waker>>,
}

impl Node {
    pub(crate) fn new(seed: u64, id: NodeId, name: &str, address: IpAddr, clock: Clock) -> Node {
        let number = number(id);
        Node {
            id,
            number,
            name: name.to_owned(),
            address: Cell::new(address),
            incarnation: Cell::new(1),
            clock: RefCell::new(clock),
            clock_reads: Cell::new(0),
            wall_reads: Cell::new(0),
            random: RefCell::new(random_stream(seed, number, 1)),
            seed,
            state: Cell::new(State::Running),
            terminating: Cell::new(false),
            terminate_wakers: RefCell::default(),
        }
    }

    /// Whether a packet that gets to this host is answered, be it with a reset.
    pub(crate) fn host_answers(&self) -> bool {
        !matches!(self.state.get(), State::Paused | State::Dark)
    }

    pub(crate) fn poll_terminated(&self, waker: &Waker) -> Poll<()> {
        if self.terminating.get() {
            return Poll::Ready(());
        }
        self.terminate_wakers.borrow_mut().push(waker.clone());
        Poll::Pending
    }
}

#[derive(Default)]
pub(crate) struct Failures {
    all: Vec<Failure>,
    unseen: VecDeque<Failure>,
    wakers: Vec<Waker>,
}

/// The payload that `process::fail_now` unwinds with.
pub(crate) struct ProcessFailed;

/// Kills the running node and tells the supervisor why.
pub(crate) fn fail(reason: &str) {
    let world = world();
    let node = world.this_node();
    assert_ne!(node.id, world.supervisor, "the world itself failed: {reason}");
    record("fail", node.id, || reason.to_owned());
    let failure = Failure {
        node: node.id,
        incarnation: node.incarnation.get(),
        at_ns: world.now_ns(),
        reason: reason.to_owned(),
    };
    end_process(&world, node.id, Kill::Process);
    let mut failures = world.failures.borrow_mut();
    failures.all.push(failure.clone());
    failures.unseen.push_back(failure);
    failures.wakers.drain(..).for_each(Waker::wake);
}

pub(crate) fn number(id: NodeId) -> u64 {
    id.to_string().parse().expect("madsim shows a node id as its number")
}

/// `main` of this node has returned. madsim drops its other tasks next, and their sockets close as
/// any process's do.
fn ended() {
    let node = world().this_node();
    record("exit", node.id, || "");
    node.state.set(State::Exited);
}

/// The order matters: first nothing of the node can act any more, then its tasks are dropped.
fn end_process(world: &World, id: NodeId, how: Kill) {
    assert_ne!(id, world.supervisor, "the supervisor cannot be killed");
    let node = world.node(id);
    let was_dead = matches!(node.state.get(), State::Killed | State::Dark);
    if how == Kill::Power {
        node.state.set(State::Dark);
    } else if !was_dead {
        node.state.set(State::Killed);
    }
    world.network.borrow_mut().node_died(world, &node, how);
    if was_dead {
        return;
    }
    let incarnation = node.incarnation.get() + 1;
    node.incarnation.set(incarnation);
    *node.random.borrow_mut() = random_stream(node.seed, node.number, incarnation);
    node.terminate_wakers.borrow_mut().clear();
    Handle::current().kill(id);
}

fn replace_state(id: NodeId, from: State, to: State) -> bool {
    let node = world().node(id);
    let fits = node.state.get() == from;
    if fits {
        node.state.set(to);
    }
    fits
}

fn random_stream(seed: u64, number: u64, incarnation: u64) -> Stream {
    Stream::new(seed, Purpose::Node, number << 32 | incarnation)
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "node {} ended itself: {}", self.node, self.reason)
    }
}
