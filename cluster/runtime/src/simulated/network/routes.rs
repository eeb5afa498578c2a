//! The links between nodes: settings, partitions, and each link's own random stream.

use std::collections::BTreeMap;

use super::tally::Tally;
use crate::simulated::NodeId;
use crate::simulated::nodes::number;
use crate::simulated::streams::{Purpose, Stream};

/// What one directed link does to what is sent over it. Chances are per write, in parts per
/// million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Every write takes at least this long, in microseconds.
    pub latency_us: u64,
    /// And up to this much longer, evenly, in microseconds.
    pub jitter_us: u64,
    /// How often the long tail strikes.
    pub tail_ppm: u32,
    /// How long the tail is, in microseconds: evenly up to this, with chance 1/2 up to twice this,
    /// and so on to 16 times.
    pub tail_us: u64,
    /// How often a packet is lost: a delay of `retransmit_us`, doubling with each further loss.
    pub loss_ppm: u32,
    /// TCP's first retransmission timeout in microseconds, also after a partition.
    pub retransmit_us: u64,
    /// Where its doubling stops, in microseconds.
    pub retransmit_max_us: u64,
    /// How often a write reaches the reader in two pieces, or a read gets only a part.
    pub fragment_ppm: u32,
    /// How often a write resets its connection instead.
    pub reset_ppm: u32,
    /// How often a whole write arrives again, at once or after the next one (framed ports only).
    pub duplicate_ppm: u32,
    /// How often a write arrives with one bit flipped (framed ports only).
    pub corrupt_ppm: u32,
    /// Shared by all connections on this link; 0 for no limit.
    pub bytes_per_second: u64,
    /// Written and not yet read bytes of one connection at which its writer has to wait.
    pub window_bytes: usize,
}

impl Default for Link {
    /// A good local network: a quarter of a millisecond, no faults.
    fn default() -> Link {
        Link {
            latency_us: 200,
            jitter_us: 100,
            tail_ppm: 0,
            tail_us: 0,
            loss_ppm: 0,
            retransmit_us: 200_000,
            retransmit_max_us: 5_000_000,
            fragment_ppm: 0,
            reset_ppm: 0,
            duplicate_ppm: 0,
            corrupt_ppm: 0,
            bytes_per_second: 0,
            window_bytes: 256 * 1024,
        }
    }
}

impl Link {
    /// A node's way to itself.
    fn loopback() -> Link {
        Link { latency_us: 15, jitter_us: 10, ..Link::default() }
    }
}

pub(super) struct Routes {
    seed: u64,
    default: Link,
    states: BTreeMap<(NodeId, NodeId), Route>,
    pub(super) tally: Tally,
}

/// One directed link.
pub(super) struct Route {
    settings: Option<Link>,
    pub(super) blocked: bool,
    /// How often something was sent and met a block.
    held_up: u64,
    /// Writes sent.
    sent: u64,
    /// When the last bit of everything sent so far has left.
    free_at_ns: u64,
    pub(super) random: Stream,
}

impl Routes {
    pub(super) fn new(seed: u64) -> Routes {
        let (default, tally) = (Link::default(), Tally::default());
        Routes { seed, default, states: BTreeMap::new(), tally }
    }

    pub(super) fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    pub(super) fn set(&mut self, from: NodeId, to: NodeId, link: Option<Link>) {
        self.route(from, to).1.settings = link;
    }

    pub(super) fn link(&mut self, from: NodeId, to: NodeId) -> Link {
        self.route(from, to).0
    }

    pub(super) fn set_blocked(&mut self, from: NodeId, to: NodeId, blocked: bool) {
        self.route(from, to).1.blocked = blocked;
    }

    pub(super) fn is_blocked(&self, from: NodeId, to: NodeId) -> bool {
        self.states.get(&(from, to)).is_some_and(|route| route.blocked)
    }

    /// Something is sent from `from` to `to`: whether a block holds it up.
    pub(super) fn meets_block(&mut self, from: NodeId, to: NodeId) -> bool {
        let Some(route) = self.states.get_mut(&(from, to)) else { return false };
        route.held_up += u64::from(route.blocked);
        route.blocked
    }

    pub(super) fn held_up(&self, from: NodeId, to: NodeId) -> u64 {
        self.states.get(&(from, to)).map_or(0, |route| route.held_up)
    }

    pub(super) fn sent(&self, from: NodeId, to: NodeId) -> u64 {
        self.states.get(&(from, to)).map_or(0, |route| route.sent)
    }

    pub(super) fn blocked(&self) -> Vec<(NodeId, NodeId)> {
        self.states.iter().filter(|(_, route)| route.blocked).map(|(ends, _)| *ends).collect()
    }

    /// How long a packet of a few bytes takes, in nanoseconds.
    pub(super) fn latency_ns(&mut self, from: NodeId, to: NodeId) -> u64 {
        let (link, route) = self.route(from, to);
        let mut latency_us = link.latency_us + route.random.below(link.jitter_us + 1);
        let mut tail_us = 0;
        if route.random.chance(link.tail_ppm) {
            let doublings = route.random.next_u64().trailing_zeros().min(4);
            tail_us = route.random.below(link.tail_us + 1) << doublings;
            latency_us += tail_us;
        }
        let latency_ns = latency_us * 1000 + route.random.below(1000);
        self.tally.tails += u64::from(tail_us > 0);
        latency_ns
    }

    /// How long `size` bytes of a stream take, losses and the wait for the wire included.
    pub(super) fn transfer_ns(
        &mut self,
        from: NodeId,
        to: NodeId,
        size: usize,
        now_ns: u64,
    ) -> u64 {
        let mut transfer_ns = self.latency_ns(from, to);
        let (link, route) = self.route(from, to);
        let queues = link.bytes_per_second > 0 && now_ns < route.free_at_ns;
        if let Some(wire_ns) = (size as u64 * 1_000_000_000).checked_div(link.bytes_per_second) {
            route.free_at_ns = route.free_at_ns.max(now_ns) + wire_ns;
            transfer_ns += route.free_at_ns - now_ns;
        }
        let mut attempt = 0;
        route.sent += 1;
        while attempt < 8 && route.random.chance(link.loss_ppm) {
            transfer_ns += backoff_ns(&link, attempt);
            attempt += 1;
        }
        self.tally.sent += u64::from(from != to);
        self.tally.queued += u64::from(queues);
        self.tally.losses += u64::from(attempt > 0);
        transfer_ns
    }

    pub(super) fn route(&mut self, from: NodeId, to: NodeId) -> (Link, &mut Route) {
        let seed = self.seed;
        let route = self.states.entry((from, to)).or_insert_with(|| Route {
            settings: None,
            blocked: false,
            held_up: 0,
            sent: 0,
            free_at_ns: 0,
            random: Stream::new(seed, Purpose::Network, number(from) << 32 | number(to)),
        });
        let ordinary = if from == to { Link::loopback() } else { self.default };
        (route.settings.unwrap_or(ordinary), route)
    }
}

/// How long TCP waits after `attempt` failed tries before it tries again.
pub(super) fn backoff_ns(link: &Link, attempt: u32) -> u64 {
    let doubled_us = link.retransmit_us.saturating_mul(1 << attempt.min(20));
    doubled_us.min(link.retransmit_max_us).max(1) * 1000
}
