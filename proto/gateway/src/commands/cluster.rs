//! `CLUSTER …`: the topology in the shapes that cluster clients parse.
//!
//! Every member leads some shards and follows in others, so every member is a primary here; the
//! replicas of a slot range are the other voters of its shard; `CLUSTER SLOTS` leaves them out. While a
//! shard has no leader, one of its voters stands in: whoever asks it is sent on, or answered.

use std::fmt::Write;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use evenkeel_node::api::slots::SLOT_COUNT;
use evenkeel_node::api::{Topology, TopologyMember, TopologyShard};
use evenkeel_wire::reply::{Protocol, Reply};

/// Neighbouring shards with the same members are one range to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    slots: Range<u16>,
    primary: usize,
    replicas: Vec<usize>,
}

/// `CLUSTER SLOTS`, without replicas: only the leader serves a range, and a client that finds a member
/// among the replicas of one range takes it for no primary of another (redis-py does), and then leaves
/// it out of what it asks of all primaries, such as `SCAN`.
pub(crate) fn slots(topology: &Topology) -> Reply {
    let address = |place: usize| {
        let member = &topology.members[place];
        Reply::Array(vec![
            Reply::bulk(member.client_address.ip().to_string()),
            Reply::Integer(i64::from(member.client_address.port())),
            Reply::bulk(&member.id),
            Reply::Array(Vec::new()),
        ])
    };
    let row = |range: Owned| {
        Reply::Array(vec![
            Reply::Integer(i64::from(range.slots.start)),
            Reply::Integer(i64::from(range.slots.end) - 1),
            address(range.primary),
        ])
    };
    Reply::Array(owned(topology).into_iter().map(row).collect())
}

/// `CLUSTER SHARDS`: one shard a primary and its replicas, with all their ranges.
pub(crate) fn shards(topology: &Topology) -> Reply {
    let mut groups: Vec<(usize, Vec<usize>, Vec<Reply>)> = Vec::new();
    for Owned { slots, primary, replicas } in owned(topology) {
        let bounds =
            [i64::from(slots.start), i64::from(slots.end) - 1].map(Reply::Integer).into_iter();
        match groups.iter_mut().find(|group| group.0 == primary && group.1 == replicas) {
            Some(group) => group.2.extend(bounds),
            None => groups.push((primary, replicas, bounds.collect())),
        }
    }
    let shard = |(primary, replicas, slots): (usize, Vec<usize>, Vec<Reply>)| {
        let mut nodes = vec![shard_node(&topology.members[primary], "master")];
        nodes.extend(
            replicas.into_iter().map(|place| shard_node(&topology.members[place], "replica")),
        );
        Reply::Map(vec![
            (Reply::text("slots"), Reply::Array(slots)),
            (Reply::text("nodes"), Reply::Array(nodes)),
        ])
    };
    Reply::Array(groups.into_iter().map(shard).collect())
}

fn shard_node(member: &TopologyMember, role: &'static str) -> Reply {
    let host = member.client_address.ip().to_string();
    let health = if member.connected { "online" } else { "fail" };
    Reply::Map(vec![
        (Reply::text("id"), Reply::bulk(&member.id)),
        (Reply::text("port"), Reply::Integer(i64::from(member.client_address.port()))),
        (Reply::text("ip"), Reply::bulk(&host)),
        (Reply::text("endpoint"), Reply::bulk(&host)),
        (Reply::text("hostname"), Reply::text("")),
        (Reply::text("role"), Reply::text(role)),
        (Reply::text("replication-offset"), Reply::Integer(0)),
        (Reply::text("health"), Reply::text(health)),
    ])
}

/// `CLUSTER NODES`: one line a member.
pub(crate) fn nodes(topology: &Topology) -> String {
    let ranges = owned(topology);
    let mut text = String::new();
    for place in 0..topology.members.len() {
        text.push_str(&node_line(topology, &ranges, place));
        text.push('\n');
    }
    text
}

fn node_line(topology: &Topology, ranges: &[Owned], place: usize) -> String {
    let member = &topology.members[place];
    let mut line = format!(
        "{} {}@{} {}{} - 0 0 {} {}",
        member.id,
        member.client_address,
        member.peer_address.port(),
        if place == topology.me { "myself," } else { "" },
        if member.connected { "master" } else { "master,fail?" },
        topology.epoch,
        if member.connected { "connected" } else { "disconnected" },
    );
    for range in ranges.iter().filter(|range| range.primary == place) {
        let (first, last) = (range.slots.start, range.slots.end - 1);
        let _infallible =
            if first == last { write!(line, " {first}") } else { write!(line, " {first}-{last}") };
    }
    line
}

/// `CLUSTER REPLICAS`: the lines of the members that hold copies of what this one leads; `None` if the
/// id is nobody's.
pub(crate) fn replicas(topology: &Topology, id: &[u8]) -> Option<Reply> {
    let place = topology.members.iter().position(|member| member.id.as_bytes() == id)?;
    let ranges = owned(topology);
    let follows = |other: &usize| {
        ranges.iter().any(|range| range.primary == place && range.replicas.contains(other))
    };
    let lines = (0..topology.members.len())
        .filter(follows)
        .map(|other| Reply::bulk(node_line(topology, &ranges, other)))
        .collect();
    Some(Reply::Array(lines))
}

/// `CLUSTER INFO`.
pub(crate) fn info(topology: &Topology) -> String {
    let covered = |shard: &&TopologyShard| shard.leader.is_some();
    let slot_count = |shards: &mut dyn Iterator<Item = &TopologyShard>| -> u32 {
        shards.map(|shard| u32::from(shard.slots.end - shard.slots.start)).sum()
    };
    let assigned = slot_count(&mut topology.shards.iter());
    let served = slot_count(&mut topology.shards.iter().filter(covered));
    let state = if served == u32::from(SLOT_COUNT) { "ok" } else { "fail" };
    let mut leaders: Vec<usize> = topology.shards.iter().filter_map(|shard| shard.leader).collect();
    leaders.sort_unstable();
    leaders.dedup();
    let fields = [
        ("cluster_enabled", "1".to_owned()),
        ("cluster_state", state.to_owned()),
        ("cluster_slots_assigned", assigned.to_string()),
        ("cluster_slots_ok", served.to_string()),
        ("cluster_slots_pfail", "0".to_owned()),
        ("cluster_slots_fail", (assigned - served).to_string()),
        ("cluster_known_nodes", topology.members.len().to_string()),
        ("cluster_size", leaders.len().to_string()),
        ("cluster_current_epoch", topology.epoch.to_string()),
        ("cluster_my_epoch", topology.epoch.to_string()),
        ("cluster_stats_messages_sent", "0".to_owned()),
        ("cluster_stats_messages_received", "0".to_owned()),
        ("total_cluster_links_buffer_limit_exceeded", "0".to_owned()),
    ];
    fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()
}

/// `CLUSTER LINKS`: one in each direction to every member that is connected.
pub(crate) fn links(topology: &Topology) -> Reply {
    let link = |direction: &'static str, member: &TopologyMember| {
        Reply::Map(vec![
            (Reply::text("direction"), Reply::text(direction)),
            (Reply::text("node"), Reply::bulk(&member.id)),
            (Reply::text("create-time"), Reply::Integer(0)),
            (Reply::text("events"), Reply::text("rw")),
            (Reply::text("send-buffer-allocated"), Reply::Integer(0)),
            (Reply::text("send-buffer-used"), Reply::Integer(0)),
        ])
    };
    let others = topology
        .members
        .iter()
        .enumerate()
        .filter(|(place, member)| *place != topology.me && member.connected);
    Reply::Array(
        others.flat_map(|(_, member)| [link("to", member), link("from", member)]).collect(),
    )
}

/// The slot ranges as clients should see them, neighbours with the same members merged.
fn owned(topology: &Topology) -> Vec<Owned> {
    let mut ranges: Vec<Owned> = Vec::new();
    for shard in topology.shards.iter().filter(|shard| !shard.slots.is_empty()) {
        let Some(primary) = shard.leader.or_else(|| stand_in(topology, shard)) else { continue };
        let replicas: Vec<usize> =
            shard.voters.iter().copied().filter(|&voter| voter != primary).collect();
        match ranges.last_mut() {
            Some(last)
                if last.slots.end == shard.slots.start
                    && last.primary == primary
                    && last.replicas == replicas =>
            {
                last.slots.end = shard.slots.end;
            }
            _ => ranges.push(Owned { slots: shard.slots.clone(), primary, replicas }),
        }
    }
    ranges
}

/// Whom to name for a shard without a leader: this node if it is a voter, else one it can reach.
fn stand_in(topology: &Topology, shard: &TopologyShard) -> Option<usize> {
    let voters = &shard.voters;
    voters
        .iter()
        .find(|&&voter| voter == topology.me)
        .or_else(|| voters.iter().find(|&&voter| topology.members[voter].connected))
        .or_else(|| voters.first())
        .copied()
}

/// Replies about the topology, encoded once a generation: clients storm them after a failover.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    generation: u64,
    entries: Vec<(View, Protocol, Bytes)>,
}

/// What is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Slots,
    Shards,
    Nodes,
    Info,
}

impl Cache {
    /// The encoded reply; makes it if the topology has changed since, or nobody has asked yet.
    pub(crate) fn encoded(
        &mut self,
        view: View,
        protocol: Protocol,
        generation: u64,
        topology: impl FnOnce() -> Topology,
    ) -> Bytes {
        if self.generation != generation {
            self.entries.clear();
            self.generation = generation;
        }
        let known = self.entries.iter().find(|entry| (entry.0, entry.1) == (view, protocol));
        if let Some((_, _, encoded)) = known {
            return encoded.clone();
        }
        let topology = topology();
        let reply = match view {
            View::Slots => slots(&topology),
            View::Shards => shards(&topology),
            View::Nodes => text(nodes(&topology)),
            View::Info => text(info(&topology)),
        };
        let mut encoded = BytesMut::new();
        reply.encode(protocol, &mut encoded);
        let encoded = encoded.freeze();
        self.entries.push((view, protocol, encoded.clone()));
        encoded
    }
}

/// Text for people and parsers: verbatim in RESP3, a bulk string in RESP2.
pub(crate) fn text(text: String) -> Reply {
    Reply::Verbatim { format: *b"txt", text: Bytes::from(text) }
}

#[cfg(test)]
mod tests;
