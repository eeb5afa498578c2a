//! Who listens where, and the handshake.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::connection::Load;
use super::{End, Network, wake};
use crate::simulated::NodeId;
use crate::simulated::nodes::Node;
use crate::simulated::world::World;

/// Connections that are kept until they are accepted; further ones are not answered.
const BACKLOG_COUNT_MAX: usize = 1024;

/// Linux' default range of ports for those who do not care.
const EPHEMERAL_PORT_MIN: u16 = 32_768;
const EPHEMERAL_PORT_MAX: u16 = 60_999;

#[derive(Default)]
pub(super) struct Listeners {
    open: BTreeMap<(NodeId, u16), Listener>,
    port_last: BTreeMap<NodeId, u16>,
}

struct Listener {
    incarnation: u64,
    /// Complete connections, with the address each comes from.
    queue: VecDeque<(End, SocketAddr)>,
    waker: Option<Waker>,
}

/// What became of a connection request at its destination.
pub(crate) enum Request {
    /// No answer.
    Lost,
    /// Nobody listens; the refusal takes this long to get back.
    Refused { answer_ns: u64 },
    /// The connecting end; established once the answer has arrived.
    Accepted(End),
}

impl Listeners {
    pub(super) fn close_all(&mut self, node: NodeId) {
        self.open.retain(|(owner, _), _| *owner != node);
    }

    fn ephemeral_port(&mut self, node: NodeId) -> u16 {
        let last = self.port_last.entry(node).or_insert(EPHEMERAL_PORT_MAX);
        loop {
            *last = if *last == EPHEMERAL_PORT_MAX { EPHEMERAL_PORT_MIN } else { *last + 1 };
            if !self.open.contains_key(&(node, *last)) {
                return *last;
            }
        }
    }
}

impl Network {
    /// Returns the port.
    pub(crate) fn listen(&mut self, node: &Node, address: SocketAddr) -> io::Result<u16> {
        let ip = address.ip();
        if !ip.is_unspecified() && !ip.is_loopback() && ip != node.address.get() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = match address.port() {
            0 => self.listeners.ephemeral_port(node.id),
            port => port,
        };
        if self.listeners.open.contains_key(&(node.id, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let incarnation = node.incarnation.get();
        let listener = Listener { incarnation, queue: VecDeque::new(), waker: None };
        self.listeners.open.insert((node.id, port), listener);
        Ok(port)
    }

    pub(crate) fn poll_accept(
        &mut self,
        (node, port): (NodeId, u16),
        context: &mut Context<'_>,
    ) -> Poll<(End, SocketAddr)> {
        // A listener outlives its process by no more than the drop of its tasks.
        let Some(listener) = self.listeners.open.get_mut(&(node, port)) else {
            return Poll::Pending;
        };
        if let Some(accepted) = listener.queue.pop_front() {
            return Poll::Ready(accepted);
        }
        listener.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whoever was not accepted yet is reset.
    pub(crate) fn unlisten(&mut self, world: &World, (node, port): (NodeId, u16), life: u64) {
        let key = (node, port);
        if self.listeners.open.get(&key).is_none_or(|listener| listener.incarnation != life) {
            return;
        }
        let queue = self.listeners.open.remove(&key).map(|listener| listener.queue);
        for (end, _) in queue.unwrap_or_default() {
            self.abandon(world, end);
        }
    }

    /// A connection request from `client` arrives where `address` is, now.
    pub(crate) fn request(
        &mut self,
        world: &World,
        client: &Node,
        port: u16,
        address: SocketAddr,
    ) -> Request {
        let Some(server) = destination(world, client, address.ip()) else { return Request::Lost };
        let blocked = self.routes.meets_block(client.id, server.id)
            || self.routes.meets_block(server.id, client.id);
        if blocked || !server.host_answers() {
            self.routes.tally.unanswered += 1;
            return Request::Lost;
        }
        let (link, route) = self.routes.route(client.id, server.id);
        if route.random.chance(link.loss_ppm) {
            self.routes.tally.losses += 1;
            return Request::Lost;
        }
        let Some(listener) = self.listeners.open.get(&(server.id, address.port())) else {
            return Request::Refused { answer_ns: self.routes.latency_ns(server.id, client.id) };
        };
        if listener.queue.len() == BACKLOG_COUNT_MAX {
            return Request::Lost;
        }
        let from = SocketAddr::new(client.address.get(), port);
        let connection = self.open(client.id, server.id, address.port());
        let accepting = End { connection, side: 1 };
        if let Some(established) = self.connections.get_mut(&connection) {
            established.sides[1].established = true;
        }
        self.ship_load(world, accepting, Load::Accepted);
        if let Some(listener) = self.listeners.open.get_mut(&(server.id, address.port())) {
            listener.queue.push_back((accepting, from));
            wake(&mut listener.waker);
        }
        Request::Accepted(End { connection, side: 0 })
    }

    /// How long a connection request takes to `address`, losses apart; `None` if there is no host.
    pub(crate) fn request_ns(
        &mut self,
        world: &World,
        client: &Node,
        address: SocketAddr,
    ) -> Option<u64> {
        let server = destination(world, client, address.ip())?;
        Some(self.routes.latency_ns(client.id, server.id))
    }

    pub(crate) fn local_port(&mut self, node: NodeId) -> u16 {
        self.listeners.ephemeral_port(node)
    }
}

fn destination(world: &World, client: &Node, ip: IpAddr) -> Option<Rc<Node>> {
    if ip.is_loopback() || ip.is_unspecified() {
        return Some(world.node(client.id));
    }
    world.node_at(ip)
}
