//! TCP between simulated nodes: byte streams in memory over links that can be bad in many ways.
//!
//! A link is directed, from one node to another. What TCP promises holds (order within a stream, no
//! gaps), what it does not promise is taken away: a loss is a delay, a partition is silence, a peer
//! that died out of reach is never heard of, a connect to a dark host hangs for two minutes.
//! Beyond TCP, streams to *framed* ports (`set_framed`) may carry a whole write twice or with a bit
//! flipped: what peers send must survive a resend, and their checksums must catch the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use self::connection::{Connection, Shipment, Side};
use self::listener::Listeners;
use self::routes::Routes;
use super::NodeId;
use super::record::record;
use super::timers::Action;
use super::world::{World, world};

pub(crate) use self::listener::Request;
pub use self::routes::Link;
pub use self::tally::Tally;

mod connection;
mod delivery;
mod endings;
mod listener;
mod routes;
mod socket;
mod tally;

/// What every link does that has no settings of its own.
pub fn set_default_link(link: Link) {
    record("link", world().supervisor, || format!("default {link:?}"));
    world().network.borrow_mut().routes.set_default(link);
}

/// What the link from `from` to `to` does from now on; `None` makes it a default one again.
pub fn set_link(from: NodeId, to: NodeId, link: Option<Link>) {
    record("link", from, || format!("to {to} {link:?}"));
    world().network.borrow_mut().routes.set(from, to, link);
}

/// What the link from `from` to `to` does now.
pub fn link(from: NodeId, to: NodeId) -> Link {
    world().network.borrow_mut().routes.link(from, to)
}

/// Lets nothing through from `from` to `to`; the other direction stays as it is.
pub fn block(from: NodeId, to: NodeId) {
    record("block", from, || format!("to {to}"));
    world().network.borrow_mut().routes.set_blocked(from, to, true);
}

/// Ends a `block`. What was held up arrives when TCP next tries.
pub fn unblock(from: NodeId, to: NodeId) {
    record("unblock", from, || format!("to {to}"));
    let world = world();
    world.network.borrow_mut().unblock(from, to);
}

/// Blocks every link between a node of `left` and a node of `right`, in both directions.
pub fn partition(left: &[NodeId], right: &[NodeId]) {
    for &near in left {
        for &far in right {
            block(near, far);
            block(far, near);
        }
    }
}

/// Unblocks every link. Their settings stay.
pub fn heal() {
    let blocked = world().network.borrow().routes.blocked();
    for (from, to) in blocked {
        unblock(from, to);
    }
}

/// Whether the link from `from` to `to` lets nothing through.
pub fn is_blocked(from: NodeId, to: NodeId) -> bool {
    world().network.borrow().routes.is_blocked(from, to)
}

/// Resets every connection between two nodes, at both ends at once, as a broken firewall does.
/// Returns how many there were.
pub fn reset(left: NodeId, right: NodeId) -> usize {
    let world = world();
    world.network.borrow_mut().reset_between(&world, left, right)
}

/// Declares that whoever talks over connections to this port writes whole frames, each safe to
/// arrive twice and with a checksum over every bit.
pub fn set_framed(port: u16) {
    record("framed", world().supervisor, || port);
    world().network.borrow_mut().framed_ports.insert(port);
}

/// What the links' weather has done so far.
pub fn tally() -> Tally {
    world().network.borrow().routes.tally
}

/// How often something was sent from `from` to `to` and met a block.
pub fn held_up(from: NodeId, to: NodeId) -> u64 {
    world().network.borrow().routes.held_up(from, to)
}

/// How many writes were sent from `from` to `to`.
pub fn sent(from: NodeId, to: NodeId) -> u64 {
    world().network.borrow().routes.sent(from, to)
}

/// Connections of which at least one end is open.
pub fn connection_count() -> usize {
    world().network.borrow().connections.len()
}

/// One end of one connection; `side` 0 is the one that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) connection: u64,
    pub(crate) side: usize,
}

/// All connections and links. Methods take the world for its time, timers and record, which are
/// borrowed apart from this.
pub(crate) struct Network {
    connections: BTreeMap<u64, Connection>,
    connection_next: u64,
    listeners: Listeners,
    routes: Routes,
    framed_ports: BTreeSet<u16>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Network {
        Network {
            connections: BTreeMap::new(),
            connection_next: 1,
            listeners: Listeners::default(),
            routes: Routes::new(seed),
            framed_ports: BTreeSet::new(),
        }
    }

    fn open(&mut self, client: NodeId, server: NodeId, port: u16) -> u64 {
        let id = self.connection_next;
        self.connection_next += 1;
        let framed = self.framed_ports.contains(&port);
        let sides = [Side::new(client), Side::new(server)];
        self.connections.insert(id, Connection { framed, sides });
        id
    }

    /// Queues `shipment` on the way from `end` and makes sure that it is seen to.
    fn ship(&mut self, world: &World, end: End, shipment: Shipment) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        let outbound = &mut connection.sides[end.side].outbound;
        let arrival_ns = shipment.arrival_ns.max(outbound.arrival_last_ns);
        outbound.arrival_last_ns = arrival_ns;
        outbound.queue.push_back(Shipment { arrival_ns, ..shipment });
        if !outbound.scheduled {
            outbound.scheduled = true;
            schedule_delivery(world, end, arrival_ns);
        }
    }

    /// Forgets a connection once nothing can come of it any more.
    fn forget_if_over(&mut self, id: u64) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }
}

/// A queued shipment's time has come. Called by the timers' driver.
pub(crate) fn deliver(connection: u64, side: usize) {
    let world = world();
    world.network.borrow_mut().deliver(&world, End { connection, side });
}

fn schedule_delivery(world: &World, end: End, at_ns: u64) {
    let End { connection, side } = end;
    world.timers.borrow_mut().add(at_ns, Action::Deliver { connection, side });
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
