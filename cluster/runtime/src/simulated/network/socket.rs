//! What a process does with its end of a connection.
//!
//! The fence: whoever polls is alive, because a dead node's tasks are never polled again, but
//! destructors do run. They come through `finish` and `drop_reader`, which do nothing for a socket
//! that died with its process.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

use super::connection::{Load, Socket};
use super::delivery::ends;
use super::{End, Network, wake};
use crate::simulated::NodeId;
use crate::simulated::timers::Action;
use crate::simulated::world::World;

impl Network {
    /// Ready when the handshake is complete.
    pub(crate) fn poll_established(
        &mut self,
        end: End,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let side = &mut connection.sides[end.side];
        if let Some(kind) = side.error {
            return Poll::Ready(Err(kind.into()));
        }
        if side.established {
            return Poll::Ready(Ok(()));
        }
        side.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Moves what has arrived to `buffer`, at most its spare capacity.
    pub(crate) fn poll_read(
        &mut self,
        world: &World,
        end: End,
        buffer: &mut BytesMut,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let [here, there] = ends(end.side).map(|side| connection.sides[side].node);
        let side = &mut connection.sides[end.side];
        if side.inbox.is_empty() {
            if let Some(kind) = side.error {
                return Poll::Ready(Err(kind.into()));
            }
            if side.ended {
                return Poll::Ready(Ok(0));
            }
            side.reader = Some(context.waker().clone());
            return Poll::Pending;
        }

        let spare = buffer.capacity() - buffer.len();
        let mut room = spare;
        let (link, route) = self.routes.route(there, here);
        if route.random.chance(link.fragment_ppm) {
            room = 1 + route.random.below(room as u64) as usize;
        }
        let mut size = 0;
        while size < room
            && let Some(first) = side.inbox.front_mut()
        {
            let part = first.len().min(room - size);
            buffer.extend_from_slice(&first[..part]);
            first.advance(part);
            size += part;
            if first.is_empty() {
                side.inbox.pop_front();
            }
        }
        let is_short = size < spare && !side.inbox.is_empty();
        self.routes.tally.short_reads += u64::from(is_short);
        self.acknowledge(world, end, size);
        Poll::Ready(Ok(size))
    }

    /// Sends as much of `bytes` as the window has room for; returns how much.
    pub(crate) fn poll_write(
        &mut self,
        world: &World,
        end: End,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let [from, to] = ends(end.side).map(|side| connection.sides[side].node);
        let (link, route) = self.routes.route(from, to);
        let side = &mut connection.sides[end.side];
        if let Some(kind) = side.error {
            return Poll::Ready(Err(kind.into()));
        }
        if side.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = link.window_bytes.max(1).saturating_sub(side.outbound.outstanding);
        if room == 0 {
            side.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if route.random.chance(link.reset_ppm) {
            self.routes.tally.resets += 1;
            self.reset(world, end.connection);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let size = bytes.len().min(room);
        side.outbound.outstanding += size;
        let mut data = BytesMut::from(&bytes[..size]);
        let mut corruptions = 0;
        if connection.framed && route.random.chance(link.corrupt_ppm) {
            let bit = route.random.below(size as u64 * 8);
            data[(bit / 8) as usize] ^= 1 << (bit % 8);
            corruptions = 1;
            world.record("corrupt", &world.node(from), &end);
        }
        let mut data = data.freeze();
        let splits = 1 < size && route.random.chance(link.fragment_ppm);
        let first = splits.then(|| 1 + route.random.below(size as u64 - 1) as usize);
        self.routes.tally.corruptions += corruptions;
        self.routes.tally.short_writes += u64::from(size < bytes.len());
        self.routes.tally.fragments += u64::from(splits);
        if let Some(first) = first {
            self.ship_load(world, end, Load::Data(data.split_to(first)));
        }
        self.ship_load(world, end, Load::Data(data));
        Poll::Ready(Ok(size))
    }

    /// `bytes`, a whole write, have been sent from `end`: they may be sent again.
    pub(crate) fn written(&mut self, world: &World, end: End, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        if !connection.framed || bytes.is_empty() {
            return;
        }
        let [from, to] = ends(end.side).map(|side| connection.sides[side].node);
        let (link, route) = self.routes.route(from, to);
        let outbound = &mut connection.sides[end.side].outbound;
        let mut again = outbound.held.take();
        if route.random.chance(link.duplicate_ppm) {
            let copy = Bytes::copy_from_slice(bytes);
            if again.is_none() && route.random.chance(500_000) {
                again = Some(copy);
            } else {
                outbound.held = Some(copy);
            }
        }
        if let Some(copy) = again {
            outbound.outstanding += copy.len();
            world.record("duplicate", &world.node(from), &end);
            self.routes.tally.duplicates += 1;
            self.ship_load(world, end, Load::Data(copy));
        }
    }

    /// `end` has read `size` bytes; the other side may write as many, once it knows.
    fn acknowledge(&mut self, world: &World, end: End, size: usize) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        let [reader, writer] = ends(end.side).map(|side| connection.sides[side].node);
        let sender = &mut connection.sides[1 - end.side];
        if self.routes.is_blocked(reader, writer) {
            sender.outbound.unacknowledged += size;
            return;
        }
        let known = size + std::mem::take(&mut sender.outbound.unacknowledged);
        sender.outbound.outstanding -= known;
        if let Some(waker) = sender.writer.take() {
            let at_ns = world.now_ns() + self.routes.latency_ns(reader, writer);
            world.timers.borrow_mut().add(at_ns, Action::Wake(waker));
        }
    }

    /// The link is open again, and what was read meanwhile becomes known to the writers.
    pub(super) fn unblock(&mut self, from: NodeId, to: NodeId) {
        self.routes.set_blocked(from, to, false);
        for connection in self.connections.values_mut() {
            for writer in [0, 1] {
                let nodes = ends(1 - writer).map(|side| connection.sides[side].node);
                let side = &mut connection.sides[writer];
                if nodes == [from, to] && side.socket == Socket::Open {
                    let known = std::mem::take(&mut side.outbound.unacknowledged);
                    side.outbound.outstanding -= known;
                    wake(&mut side.writer);
                }
            }
        }
    }
}
