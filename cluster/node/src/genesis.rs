//! Who am I? Answered once, when a node finds an empty directory.
//!
//! A founder has an identity that every member can work out from the cluster's id and the node's name,
//! so that a cluster can form without anybody in charge. It may be claimed only by a node that never
//! was: a life that has voted and lost its disk must not vote again. So every member remembers,
//! durably and before it listens to it, each life of each other member; and an empty node claims to be
//! a founder only when *all* others have answered that they never met it. Otherwise it takes a new
//! identity and asks to replace the old one.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use evenkeel_core::consensus::{Configuration, ReplicaId};
use evenkeel_core::placement::{NodeInfo, PlacementMap};
use evenkeel_runtime as runtime;
use evenkeel_runtime::net::TcpStream;
use evenkeel_wire::peer::Message as Frame;
use evenkeel_wire::peer::messages::{Join, JoinReply, MetLife};

use crate::bugs::{Bug, planted};
use crate::config::{ClusterConfig, NodeConfig};
use crate::error::NodeError;
use crate::inbound::next_frame;
use crate::peers::{Introduction, encode};

/// How long one member may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to wait before asking everybody again.
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// A map that nothing has changed yet has this epoch.
const FOUNDING_EPOCH: u64 = 1;
/// What `JoinReply::refused` says of a member whose life is known.
pub(crate) const MET: &str = "met";

/// The life with which an empty node begins.
pub(crate) struct Birth {
    pub(crate) replica: ReplicaId,
    pub(crate) founder: bool,
    pub(crate) map: PlacementMap,
    /// Lives that others have met, and told of: who comes later must not know less than who goes.
    pub(crate) met: Vec<(String, ReplicaId)>,
}

/// What the others said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Everybody answered, nobody has met this node.
    Founder,
    /// Somebody has met an earlier life, or expects this name.
    Newcomer,
    /// A running cluster has no such node, and expects none.
    Stranger,
    /// A member that begins as well has another list of members, or of shards.
    AtOdds,
    /// Not everybody answered.
    Unknown,
}

/// A founder's identity; never zero.
pub(crate) fn founder_id(cluster: u64, name: &str) -> ReplicaId {
    // FNV-1a, 64 bits. It must never change: members work out each other's identities with it.
    let bytes = cluster.to_le_bytes().into_iter().chain(name.bytes());
    let mixed = bytes.fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ReplicaId(mixed.max(1))
}

/// The map that every founder begins with.
pub(crate) fn founding_map(cluster: &ClusterConfig) -> Result<PlacementMap, NodeError> {
    let nodes = cluster.members.iter().map(|member| NodeInfo {
        replica: founder_id(cluster.id, &member.name),
        name: member.name.clone(),
        peer_address: member.peer_address,
        client_address: member.client_address,
    });
    let shard_count = u16::try_from(cluster.shard_count).map_err(|_| NodeError::Config {
        problem: format!("{} shards are more than there are hash slots", cluster.shard_count),
    })?;
    PlacementMap::initial(nodes.collect(), shard_count)
        .map_err(|error| NodeError::Config { problem: error.to_string() })
}

/// The voters of the placement group: every node of the map.
pub(crate) fn placement_voters(map: &PlacementMap) -> Configuration {
    Configuration { voters: map.nodes().iter().map(|node| node.replica).collect() }
}

/// Finds out, by asking the others, who this empty node is. Takes as long as it takes.
pub(crate) async fn be_born(config: &NodeConfig) -> Result<Birth, NodeError> {
    let cluster = &config.cluster;
    let others: Vec<SocketAddr> = cluster
        .members
        .iter()
        .filter(|member| member.name != config.name)
        .map(|member| member.peer_address)
        .collect();
    let mut told = None;
    loop {
        let verdict = match ask_all(config, &others).await {
            Verdict::Newcomer if planted(Bug::OldIdentityReused) => Verdict::Founder,
            verdict => verdict,
        };
        match verdict {
            Verdict::Founder => {
                let replica = founder_id(cluster.id, &config.name);
                let (map, met) = (founding_map(cluster)?, Vec::new());
                return Ok(Birth { replica, founder: true, map, met });
            }
            Verdict::Newcomer => break,
            Verdict::AtOdds => {
                return Err(NodeError::Config {
                    problem: "another member of `cluster.nodes` begins with other nodes in its own \
                              `cluster.nodes`, or another number of shards: make them the same on all"
                        .to_string(),
                });
            }
            Verdict::Unknown | Verdict::Stranger => {
                tell_once(&mut told, verdict, &config.name);
                runtime::sleep(ASK_PAUSE).await;
            }
        }
    }
    join(config, &others).await
}

/// Becomes a node of a cluster that runs, as a replica that never was.
async fn join(config: &NodeConfig, others: &[SocketAddr]) -> Result<Birth, NodeError> {
    let replica = ReplicaId(runtime::random_u64().max(1));
    tracing::info!(replica = replica.0, "this disk is empty: joining the cluster as a new node");
    let (mut told, mut met) = (None, Vec::new());
    loop {
        for address in others {
            let Some(reply) = ask(config, *address, replica).await else { continue };
            for MetLife { name, replica } in reply.met {
                let life = (name, ReplicaId(replica));
                if !met.contains(&life) {
                    met.push(life);
                }
            }
            let Ok(map) = PlacementMap::decode(&reply.placement) else { continue };
            let (there, here) = (map.shards().len(), config.cluster.shard_count);
            if there != here as usize {
                let problem = format!(
                    "the cluster has {there} shards, the configuration says {here}: the number is fixed"
                );
                return Err(NodeError::Config { problem });
            }
            if !reply.refused.is_empty() && told.is_none() {
                tracing::error!(
                    reason = reply.refused,
                    "this node cannot begin with an empty disk"
                );
                told = Some(Verdict::Unknown);
            }
            if map.node(replica).is_some() {
                met.retain(|(name, _)| *name != config.name);
                return Ok(Birth { replica, founder: false, map, met });
            }
            if is_strange(&map, &config.name) {
                tell_once(&mut told, Verdict::Stranger, &config.name);
            }
        }
        runtime::sleep(ASK_PAUSE).await;
    }
}

/// Says what is waited for, when that changes.
fn tell_once(told: &mut Option<Verdict>, now: Verdict, name: &str) {
    if *told == Some(now) {
        return;
    }
    match now {
        Verdict::Stranger => tracing::warn!(
            "the cluster has no node `{name}` and expects none: let it in with `evenkeel cluster join \
             {name}`, sent to a node that is in it"
        ),
        _ => tracing::info!("waiting for the other members: a new node must hear from each once"),
    }
    *told = Some(now);
}

fn is_strange(map: &PlacementMap, name: &str) -> bool {
    map.node_named(name).is_none() && !map.expects(name)
}

/// Who a map is about.
fn members(map: &PlacementMap) -> (Vec<ReplicaId>, usize) {
    (map.nodes().iter().map(|node| node.replica).collect(), map.shards().len())
}

async fn ask_all(config: &NodeConfig, others: &[SocketAddr]) -> Verdict {
    let mut verdict = Verdict::Founder;
    for address in others {
        let said = ask(config, *address, ReplicaId(0)).await;
        match said.map_or(Verdict::Unknown, |reply| judge(config, &reply)) {
            Verdict::Newcomer => return Verdict::Newcomer,
            Verdict::AtOdds => return Verdict::AtOdds,
            // Whoever does not answer may have met it; a stranger is one in any case.
            Verdict::Stranger => verdict = Verdict::Stranger,
            Verdict::Unknown if verdict == Verdict::Founder => verdict = Verdict::Unknown,
            Verdict::Unknown | Verdict::Founder => (),
        }
    }
    verdict
}

/// What one member's answer means. Without a map it has just been set up itself, by an earlier release.
fn judge(config: &NodeConfig, reply: &JoinReply) -> Verdict {
    if reply.refused == MET {
        return Verdict::Newcomer;
    }
    if reply.placement.is_empty() {
        return Verdict::Founder;
    }
    let Ok(map) = PlacementMap::decode(&reply.placement) else { return Verdict::Unknown };
    match map.node_named(&config.name) {
        Some(node) if node.replica == founder_id(config.cluster.id, &config.name) => {
            let ours = founding_map(&config.cluster).ok();
            let is_first = map.epoch() == FOUNDING_EPOCH;
            // Addresses may differ: only who is meant counts, and how many shards.
            let agrees = ours.is_none_or(|ours| members(&ours) == members(&map));
            if is_first && !agrees { Verdict::AtOdds } else { Verdict::Founder }
        }
        // It was admitted, and never got so far as to write that down.
        Some(_) => Verdict::Newcomer,
        None if is_strange(&map, &config.name) => Verdict::Stranger,
        None => Verdict::Newcomer,
    }
}

/// Asks one member. `replica` zero: only what it knows; else to be put into the map.
async fn ask(config: &NodeConfig, address: SocketAddr, replica: ReplicaId) -> Option<JoinReply> {
    let conversation = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut reader, mut writer) = stream.into_split();
        let me = Introduction {
            cluster: config.cluster.id,
            replica: ReplicaId(0),
            name: config.name.clone(),
        };
        let own = config.cluster.member(&config.name)?;
        let join = Join {
            id: 1,
            node: replica.0,
            name: config.name.clone(),
            peer_address: own.peer_address.to_string(),
            client_address: own.client_address.to_string(),
        };
        let mut bytes = BytesMut::new();
        encode(&me.hello("", 0), &mut bytes);
        encode(&Frame::Join(join), &mut bytes);
        writer.write_all(&bytes).await.ok()?;
        let mut buffer = BytesMut::new();
        loop {
            match next_frame(&mut reader, &mut buffer).await.ok()?? {
                Frame::JoinReply(reply) => return Some(reply),
                _ => continue,
            }
        }
    };
    runtime::timeout(ASK_TIMEOUT, conversation).await.ok().flatten()
}
