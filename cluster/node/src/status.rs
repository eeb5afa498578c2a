//! What there is to tell about this node and its cluster.

use std::net::SocketAddr;
use std::rc::Rc;

use evenkeel_core::consensus::{Configuration, Consensus, ReplicaId};
use evenkeel_engine::store::Store;
use evenkeel_runtime as runtime;

use crate::api::{
    KEYSPACE_NAMES, KeyspaceStatus, NodeStatus, Topology, TopologyMember, TopologyShard,
};
use crate::config::ClusterMode;
use crate::genesis::{founder_id, placement_voters};
use crate::node::Node;
use crate::origin::Origin;

impl Node {
    /// Who serves what, as far as this node knows. Costs a walk over all shards.
    pub fn topology(&self) -> Topology {
        let map = self.map.borrow();
        let members: Vec<TopologyMember> = map
            .nodes()
            .iter()
            .map(|node| TopologyMember {
                name: node.name.clone(),
                id: self.member_id(&node.name),
                client_address: node.client_address,
                peer_address: node.peer_address,
                connected: node.replica == self.replica || self.peers.is_connected(&node.name),
            })
            .collect();
        let place =
            |replica: ReplicaId| map.nodes().iter().position(|node| node.replica == replica);
        let shards = map.shards().iter().enumerate().map(|(shard, placement)| TopologyShard {
            slots: self.slots_of(shard as u32 + 1),
            leader: self.leader_of(shard as u32 + 1).and_then(place),
            voters: placement.voters.voters.iter().filter_map(|voter| place(*voter)).collect(),
        });
        Topology {
            epoch: map.epoch(),
            generation: map.epoch() << 32 | self.metrics.role_changes.get(),
            me: place(self.replica).unwrap_or(0),
            shards: shards.collect(),
            members,
            redirect: self.config.mode == ClusterMode::Redirect,
        }
    }

    /// The map's epoch, and who should vote on each group: the placement group first, then the shards.
    pub fn placement(&self) -> (u64, Vec<Configuration>) {
        let map = self.map.borrow();
        let shards = map.shards().iter().map(|shard| shard.voters.clone());
        (map.epoch(), std::iter::once(placement_voters(&map)).chain(shards).collect())
    }

    /// Changes whenever `topology` would.
    pub fn topology_generation(&self) -> u64 {
        self.peers.map_epoch.get() << 32 | self.metrics.role_changes.get()
    }

    /// Everything that a person or a metric may ask for.
    pub fn status(&self) -> NodeStatus {
        let engine = self.engine.borrow().status();
        let shards = self.groups.iter().skip(1);
        let mut status = NodeStatus {
            name: self.config.name.clone(),
            id: self.member_id(&self.config.name),
            uptime_us: runtime::clock::monotonic_us() - self.started_us,
            shard_count: self.groups.len() - 1,
            leader_changes: self.metrics.leader_changes.get(),
            keyspaces: vec![
                keyspace_status(0, &self.store.borrow()),
                keyspace_status(1, &self.cache.borrow()),
            ],
            log_bytes: engine.segment_bytes,
            log_segments: engine.segments,
            log_segments_free: engine.segments_free,
            log_live_bytes: self.store.borrow().live_bytes().values().sum(),
            log_room_bytes: engine.room_bytes,
            compaction_bytes: self.metrics.moved_bytes.get(),
            checkpoints: engine.checkpoints,
            checkpoint_bytes: self.metrics.page_bytes.get(),
            full_refusals: self.metrics.full_refusals.get(),
            flushes: engine.flushes,
            device_reads: engine.device_reads,
            log_payload_bytes: engine.payload_bytes,
            log_stored_bytes: engine.stored_bytes,
            log_compressed: engine.compressed,
            log_compressed_in_vain: engine.compressed_in_vain,
            log_encryption_key: engine.key.map(|key| key.to_string()).unwrap_or_default(),
            disk_backend: engine.disk.to_string(),
            proposals: self.metrics.proposals.get(),
            forwarded: self.metrics.forwarded.get(),
            writes_awaited: self.origins.borrow().iter().map(Origin::awaited).sum(),
            snapshots_held: self.backups.borrow().len(),
            damaged_reads: self.metrics.damaged_reads.get(),
            scrub: self.scrub.status(),
            ..NodeStatus::default()
        };
        for group in shards {
            let group = group.borrow();
            let core = group.core.status();
            status.shards_led += usize::from(group.is_leader());
            let led = group.is_leader() || group.leader().is_some();
            status.shards_with_leader += usize::from(led);
            for (_, vouched) in &core.progress {
                status.lag_max = status.lag_max.max(core.last.0.saturating_sub(vouched.0));
            }
        }
        status
    }

    /// Whether every shard has a leader that this node knows of.
    pub fn is_serving(&self) -> bool {
        let led = |number| self.leader_of(number).is_some();
        (0..self.groups.len() as u32).all(led)
    }

    /// Keys of `default` on this node in one hash slot, at most `limit` of them, and how many there are.
    pub fn keys_in_slot(
        &self,
        keyspace: u8,
        slot: u16,
        limit: usize,
    ) -> (usize, Vec<bytes::Bytes>) {
        let store = if keyspace == 0 { self.store.borrow() } else { self.cache.borrow() };
        let keys = store.keys_in(slot).take(limit);
        let keys = keys.map(|(key, _)| bytes::Bytes::copy_from_slice(key)).collect();
        (store.len_in(slot), keys)
    }

    /// Changes the memory budget of a keyspace, in bytes; takes effect with the next write.
    pub fn set_memory_budget(&self, keyspace: u8, bytes: u64) {
        let store = if keyspace == 0 { &self.store } else { &self.cache };
        store.borrow_mut().set_memory_bytes_max(bytes);
    }

    pub(crate) fn leader_of(&self, number: u32) -> Option<ReplicaId> {
        let group = self.groups[number as usize].borrow();
        if group.is_leader() { Some(self.replica) } else { group.leader() }
    }

    /// Where clients reach a member.
    pub(crate) fn client_address(&self, replica: ReplicaId) -> Option<SocketAddr> {
        self.map.borrow().node(replica).map(|node| node.client_address)
    }

    /// Whether this node has a vote in a group.
    pub(crate) fn is_voter(&self, number: u32) -> bool {
        let map = self.map.borrow();
        let shard = map.shards().get((number as usize).wrapping_sub(1));
        shard.is_none_or(|shard| shard.voters.voters.contains(&self.replica))
    }

    /// Some voter of a group that may know its leader; another one each time.
    pub(crate) fn somebody_of(self: &Rc<Node>, number: u32, tries: usize) -> Option<ReplicaId> {
        let map = self.map.borrow();
        let everybody = placement_voters(&map);
        let shard = (number as usize).checked_sub(1).map(|shard| map.shards().get(shard));
        let voters = match shard {
            Some(shard) => &shard?.voters.voters,
            None => &everybody.voters,
        };
        let mut others: Vec<ReplicaId> =
            voters.iter().filter(|voter| !self.is_self(**voter)).copied().collect();
        let silent = |voter: &ReplicaId| {
            map.node(*voter).is_none_or(|node| !self.peers.is_connected(&node.name))
        };
        if !others.iter().all(silent) {
            others.retain(|voter| !silent(voter));
        }
        others.get(tries % others.len().max(1)).copied()
    }

    /// A member's forty digits: of its name, so that they stay when it comes back without its disk.
    fn member_id(&self, name: &str) -> String {
        let cluster = self.config.cluster.id;
        let id = founder_id(cluster, name).0;
        let more = founder_id(id, name).0;
        format!("{id:016x}{more:016x}{:08x}", cluster as u32)
    }
}

fn keyspace_status(number: usize, store: &Store) -> KeyspaceStatus {
    let (stats, lag) = (store.stats(), store.expiry_lag());
    KeyspaceStatus {
        name: KEYSPACE_NAMES[number].to_string(),
        keys: store.len() as u64,
        volatile_keys: store.volatile_len() as u64,
        bytes_used: store.bytes_used(),
        bytes_max: store.memory_bytes_max(),
        eviction: store.eviction().name(),
        hits: stats.hits,
        misses: stats.misses,
        evicted: stats.evicted,
        expired: stats.expired,
        expiry_lag_ms: [lag.quantile_ms(500), lag.quantile_ms(990), lag.max_ms()],
    }
}
