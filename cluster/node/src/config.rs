//! Everything a node must be told. A `NodeConfig` that exists is valid.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_engine::store::Eviction;

/// How many shards a cluster has unless told otherwise.
pub const SHARD_COUNT_DEFAULT: u32 = 64;
/// The most shards a cluster may have: each owns at least one hash slot.
pub const SHARD_COUNT_MAX: u32 = 4096;
/// The most nodes in one cluster, for now: each shard lives on up to three of them.
pub const NODE_COUNT_MAX: usize = 7;

/// One node's view of the world at start.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This node's name; one of `cluster.members`.
    pub name: String,
    /// Who is in the cluster, the same on every node.
    pub cluster: ClusterConfig,
    /// Where peers connect to this node.
    pub listen_peer: SocketAddr,
    /// What a node does with a key that another node leads.
    pub mode: ClusterMode,
    /// Memory for the `default` keyspace's values and index, in bytes.
    pub default_memory_bytes: u64,
    /// Whose values leave memory when that is full.
    pub default_eviction: Eviction,
    /// Times to live in `default` are shorter than asked for by up to so many percent.
    pub default_ttl_jitter_percent: u8,
    /// Memory for the `cache` keyspace, in bytes.
    pub cache_memory_bytes: u64,
    /// Who has to go when that is full.
    pub cache_eviction: Eviction,
    /// The same in `cache`.
    pub cache_ttl_jitter_percent: u8,
    /// How the consensus groups tell time.
    pub timing: evenkeel_core::paxos::timing::Timing,
    /// The engine's options.
    pub engine: evenkeel_engine::Options,
    /// How long one look at everything on the disk takes, and how often there is one; zero: only when an
    /// operator asks.
    pub scrub_interval: Duration,
    /// How long a request may take before its client hears that the outcome is unknown.
    pub request_timeout: Duration,
}

/// The cluster as its operator wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Tells clusters apart: a node of another one is refused.
    pub id: u64,
    /// The members, by name.
    pub members: Vec<Member>,
    /// How many shards the key space is cut into; fixed for the cluster's life.
    pub shard_count: u32,
}

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_address: SocketAddr,
    /// Where its clients reach it.
    pub client_address: SocketAddr,
}

/// What a node does with a key that another node leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterMode {
    /// Ask the leader on the client's behalf: a plain client works against any node.
    Proxy,
    /// Answer `MOVED`: a cluster client follows.
    Redirect,
}

impl ClusterConfig {
    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}
