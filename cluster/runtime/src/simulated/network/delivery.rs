//! Shipments arrive, or do not.

use std::fmt;
use std::io;

use bytes::Bytes;

use super::connection::{Load, Shipment, Socket};
use super::routes::backoff_ns;
use super::{End, Network, schedule_delivery, wake};
use crate::simulated::record::RollingHash;
use crate::simulated::world::World;

/// How long TCP keeps trying before it gives a connection up, in nanoseconds. (Linux:
/// `tcp_retries2` = 15, some 924 s.)
const GIVE_UP_NS: u64 = 924 * 1_000_000_000;

impl Network {
    /// Delivers what is due from `end`, in order, until something does not get through.
    pub(crate) fn deliver(&mut self, world: &World, end: End) {
        let now_ns = world.now_ns();
        while let Some(connection) = self.connections.get_mut(&end.connection) {
            let [from, to] = ends(end.side).map(|side| connection.sides[side].node);
            let outbound = &mut connection.sides[end.side].outbound;
            outbound.scheduled = false;
            let Some(head) = outbound.queue.front() else { break };
            if now_ns < head.arrival_ns {
                outbound.scheduled = true;
                schedule_delivery(world, end, head.arrival_ns);
                break;
            }
            let lost = self.routes.meets_block(from, to) || !world.node(to).host_answers();
            if lost || self.is_unanswerable(end) {
                self.stall(world, end);
                break;
            }
            self.arrive(world, end);
        }
        self.forget_if_over(end.connection);
    }

    /// The receiver's host has no such socket, and its reset cannot get back either: to the sender
    /// that is silence.
    fn is_unanswerable(&self, end: End) -> bool {
        let connection = &self.connections[&end.connection];
        let [sender, receiver] = ends(end.side).map(|side| &connection.sides[side]);
        receiver.socket != Socket::Open
            && sender.socket != Socket::Dead
            && self.routes.is_blocked(receiver.node, sender.node)
    }

    /// The first shipment did not get through. TCP tries again, ever more rarely; a dead process
    /// has nobody left to try.
    fn stall(&mut self, world: &World, end: End) {
        let now_ns = world.now_ns();
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        let [from, to] = ends(end.side).map(|side| connection.sides[side].node);
        let link = self.routes.link(from, to);
        let side = &mut connection.sides[end.side];
        let since_ns = *side.outbound.stalled_since_ns.get_or_insert(now_ns);
        if side.socket == Socket::Dead {
            side.outbound.queue.clear();
        } else if GIVE_UP_NS <= now_ns - since_ns {
            side.fail(io::ErrorKind::TimedOut);
            world.record("give-up", &world.node(from), &end);
        } else {
            let retry_ns = now_ns + backoff_ns(&link, side.outbound.attempts);
            side.outbound.attempts += 1;
            side.outbound.scheduled = true;
            schedule_delivery(world, end, retry_ns);
            world.record("stall", &world.node(from), &end);
        }
    }

    fn arrive(&mut self, world: &World, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        let outbound = &mut connection.sides[end.side].outbound;
        outbound.attempts = 0;
        outbound.stalled_since_ns = None;
        let Some(shipment) = outbound.queue.pop_front() else { return };
        let receiver = &mut connection.sides[1 - end.side];
        let node = world.node(receiver.node);
        world.record("deliver", &node, &Arrival { end, load: &shipment.load });
        if receiver.socket != Socket::Open {
            if matches!(shipment.load, Load::Accepted | Load::Data(_)) {
                self.answer_with_reset(world, end);
            }
            return;
        }
        match shipment.load {
            Load::Accepted => receiver.established = true,
            Load::Data(bytes) => receiver.inbox.push_back(bytes),
            Load::End => receiver.ended = true,
            Load::Reset => receiver.fail(io::ErrorKind::ConnectionReset),
        }
        wake(&mut receiver.reader);
    }

    /// A host that knows no such connection says so.
    fn answer_with_reset(&mut self, world: &World, end: End) {
        let back = End { side: 1 - end.side, ..end };
        self.ship_reset(world, back);
    }

    /// Sends a reset from `end`, behind whatever is still on the way from there.
    pub(super) fn ship_reset(&mut self, world: &World, end: End) {
        let Some(connection) = self.connections.get(&end.connection) else { return };
        let [from, to] = ends(end.side).map(|side| connection.sides[side].node);
        let queue = &connection.sides[end.side].outbound.queue;
        if queue.iter().any(|shipment| matches!(shipment.load, Load::Reset)) {
            return;
        }
        let arrival_ns = world.now_ns() + self.routes.latency_ns(from, to);
        self.ship(world, end, Shipment { arrival_ns, load: Load::Reset });
    }

    /// Sends what the stream carries from `end`: data or its end.
    pub(super) fn ship_load(&mut self, world: &World, end: End, load: Load) {
        let connection = &self.connections[&end.connection];
        let [from, to] = ends(end.side).map(|side| connection.sides[side].node);
        let size = if let Load::Data(bytes) = &load { bytes.len() } else { 0 };
        let now_ns = world.now_ns();
        let arrival_ns = now_ns + self.routes.transfer_ns(from, to, size, now_ns);
        world.record("send", &world.node(from), &Departure { end, load: &load, arrival_ns });
        self.ship(world, end, Shipment { arrival_ns, load });
    }
}

/// This side, then the other.
pub(super) fn ends(side: usize) -> [usize; 2] {
    [side, 1 - side]
}

struct Departure<'a> {
    end: End,
    load: &'a Load,
    arrival_ns: u64,
}

struct Arrival<'a> {
    end: End,
    load: &'a Load,
}

impl fmt::Display for Departure<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Departure { end, load, arrival_ns } = self;
        write!(formatter, "{end} {load} arrives {arrival_ns}")?;
        // So that the event hash covers every byte sent.
        match load {
            Load::Data(bytes) => write!(formatter, " digest {:016x}", digest(bytes)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Arrival<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arrival { end, load } = self;
        write!(formatter, "{end} {load}")
    }
}

/// "17>" is what the connecting side of connection 17 does, "17<" what the accepting one does.
impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.connection, if self.side == 0 { '>' } else { '<' })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Accepted => formatter.write_str("accepted"),
            Load::Data(bytes) => write!(formatter, "{} bytes", bytes.len()),
            Load::End => formatter.write_str("end"),
            Load::Reset => formatter.write_str("reset"),
        }
    }
}

fn digest(bytes: &Bytes) -> u64 {
    let mut hash = RollingHash::default();
    hash.add_bytes(bytes);
    hash.short_value()
}
