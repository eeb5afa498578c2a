//! What one run consists of, kept per host thread because a run never leaves its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use madsim::time::TimeHandle;

use super::NodeId;
use super::clocks::Clock;
use super::network::Network;
use super::nodes::{Failures, Node};
use super::record::{Place, Recorder};
use super::streams::{Purpose, Stream};
use super::timers::{self, Timers};

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// Where the supervisor's own connections come from (TEST-NET-1, RFC 5737).
const SUPERVISOR_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

pub(crate) struct World {
    pub(crate) seed: u64,
    /// What every perfect wall clock showed when the run began, in Unix milliseconds.
    pub(crate) wall_base_ms: u64,
    pub(crate) supervisor: NodeId,
    time: TimeHandle,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) nodes: RefCell<BTreeMap<NodeId, Rc<Node>>>,
    pub(crate) network: RefCell<Network>,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) failures: RefCell<Failures>,
}

impl World {
    /// True time, in nanoseconds since the run began.
    pub(crate) fn now_ns(&self) -> u64 {
        self.time.elapsed().as_nanos() as u64
    }

    pub(crate) fn node(&self, id: NodeId) -> Rc<Node> {
        let nodes = self.nodes.borrow();
        Rc::clone(nodes.get(&id).expect("every madsim node is made by simulated::create_node"))
    }

    pub(crate) fn this_node(&self) -> Rc<Node> {
        self.node(madsim::plugin::node())
    }

    pub(crate) fn node_at(&self, address: IpAddr) -> Option<Rc<Node>> {
        self.nodes.borrow().values().find(|node| node.address.get() == address).cloned()
    }

    pub(crate) fn record(&self, kind: &'static str, node: &Node, detail: &dyn std::fmt::Display) {
        let place = Place { at_ns: self.now_ns(), node: node.id, number: node.number };
        self.recorder.borrow_mut().add(place, kind, detail);
    }
}

/// Makes this thread's world. Called once, from the supervisor.
pub(crate) fn begin(seed: u64) {
    let supervisor = madsim::plugin::node();
    let time = TimeHandle::current();
    let world = Rc::new(World {
        seed,
        wall_base_ms: wall_base_ms(seed),
        supervisor,
        timers: RefCell::new(Timers::new(time.clone())),
        time,
        nodes: RefCell::default(),
        network: RefCell::new(Network::new(seed)),
        recorder: RefCell::default(),
        failures: RefCell::default(),
    });
    let node = Node::new(seed, supervisor, "world", SUPERVISOR_ADDRESS, Clock::default());
    world.nodes.borrow_mut().insert(supervisor, Rc::new(node));
    WORLD.with(|slot| {
        let previous = slot.borrow_mut().replace(world);
        assert!(previous.is_none(), "a thread holds one world: start the next one in a new thread");
    });
    madsim::task::spawn_local(timers::drive());
}

/// Takes the world away from this thread.
pub(crate) fn end() -> Option<Rc<World>> {
    WORLD.with(|slot| slot.borrow_mut().take())
}

pub(crate) fn world() -> Rc<World> {
    try_world().expect("a simulated world exists: the code runs inside simulated::run")
}

/// For destructors, which may run after the world is gone.
pub(crate) fn try_world() -> Option<Rc<World>> {
    WORLD.try_with(|slot| slot.borrow().clone()).ok().flatten()
}

/// Some moment of 2026, so that neither 1970 nor "now" hides a bug.
fn wall_base_ms(seed: u64) -> u64 {
    const YEAR_2026_MS: u64 = 1_767_225_600_000;
    const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;
    YEAR_2026_MS + Stream::new(seed, Purpose::Clocks, u64::MAX).below(YEAR_MS)
}
