//! How connections end: closed, reset, or with the death of a node.

use std::io;

use super::connection::{Load, Socket};
use super::delivery::ends;
use super::{End, Network};
use crate::simulated::NodeId;
use crate::simulated::nodes::{Kill, Node};
use crate::simulated::world::World;

impl Network {
    /// No more bytes from `end`: the other side reads what is on its way, then the end.
    pub(crate) fn finish(&mut self, world: &World, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        let side = &mut connection.sides[end.side];
        if side.socket != Socket::Open || side.finished {
            return;
        }
        side.finished = true;
        if side.error.is_none() {
            self.ship_load(world, end, Load::End);
        }
        self.close_if_unused(world, end);
    }

    /// The reading half of `end` is gone.
    pub(crate) fn drop_reader(&mut self, world: &World, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        connection.sides[end.side].reader_dropped = true;
        self.close_if_unused(world, end);
    }

    /// The writing half of `end` is gone.
    pub(crate) fn drop_writer(&mut self, world: &World, end: End) {
        self.finish(world, end);
        if let Some(connection) = self.connections.get_mut(&end.connection) {
            connection.sides[end.side].writer = None;
        }
    }

    /// A socket that nobody ever held is closed with a reset.
    pub(super) fn abandon(&mut self, world: &World, end: End) {
        if self.close(end) {
            self.ship_reset(world, end);
        }
        self.forget_if_over(end.connection);
    }

    /// When both halves are dropped the kernel closes. Bytes that nobody has read make it a reset.
    fn close_if_unused(&mut self, world: &World, end: End) {
        let Some(connection) = self.connections.get(&end.connection) else { return };
        let side = &connection.sides[end.side];
        if side.socket != Socket::Open || !side.finished || !side.reader_dropped {
            return;
        }
        let unread = !side.inbox.is_empty() && side.error.is_none();
        if unread {
            self.abandon(world, end);
        } else if let Some(connection) = self.connections.get_mut(&end.connection) {
            connection.sides[end.side].socket = Socket::Closed;
            self.forget_if_over(end.connection);
        }
    }

    fn close(&mut self, end: End) -> bool {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return false };
        let side = &mut connection.sides[end.side];
        side.socket = Socket::Closed;
        side.inbox.clear();
        side.outbound.queue.clear();
        side.error.is_none()
    }

    /// Everything of `node` that is open ends with it. What its peers learn depends on how it died
    /// and on whether they can be reached.
    pub(crate) fn node_died(&mut self, world: &World, node: &Node, how: Kill) {
        self.listeners.close_all(node.id);
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for connection in ids {
            for side in [0, 1] {
                self.end_died(world, node.id, End { connection, side }, how);
            }
            self.forget_if_over(connection);
        }
    }

    fn end_died(&mut self, world: &World, node: NodeId, end: End, how: Kill) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        let [from, to] = ends(end.side).map(|side| connection.sides[side].node);
        let side = &mut connection.sides[end.side];
        // What the process had closed before, its host still delivers; if there is a host.
        if from != node || (side.socket != Socket::Open && how == Kill::Process) {
            return;
        }
        let was_open = side.socket == Socket::Open && side.error.is_none();
        let is_silent = how == Kill::Power || self.routes.is_blocked(from, to);
        side.socket = Socket::Dead;
        side.inbox.clear();
        side.reader = None;
        side.writer = None;
        if is_silent {
            side.outbound.queue.clear();
            let other = &connection.sides[1 - end.side];
            let is_half_open = was_open && other.node != node && other.socket == Socket::Open;
            self.routes.tally.half_open += u64::from(is_half_open);
            return;
        }
        if was_open {
            // The kernel may have sent what was written, or throw it away with the process.
            if self.routes.route(from, to).1.random.chance(500_000) {
                side.outbound.queue.clear();
            }
            self.ship_reset(world, end);
        }
    }

    /// Breaks all connections between two nodes at both ends; returns how many.
    pub(super) fn reset_between(&mut self, world: &World, left: NodeId, right: NodeId) -> usize {
        let between = |nodes: [NodeId; 2]| nodes == [left, right] || nodes == [right, left];
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| between([0, 1].map(|side| connection.sides[side].node)))
            .map(|(id, _)| *id)
            .collect();
        ids.iter().for_each(|id| self.reset(world, *id));
        ids.len()
    }

    /// Breaks one connection at both ends, now.
    pub(super) fn reset(&mut self, world: &World, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let from = connection.sides[0].node;
        for side in &mut connection.sides {
            side.fail(io::ErrorKind::ConnectionReset);
        }
        world.record("reset", &world.node(from), &id);
        self.forget_if_over(id);
    }
}
