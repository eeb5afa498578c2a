//! Who belongs to the cluster: names that are expected, nodes that come in, nodes that go.
//!
//! ```text
//!   operator: join NAME ─▶ expected ◀── asks ── a node with an empty disk and that name
//!                              │                      ▲
//!                              └─ admitted, as a new replica ─ the map that has it
//! ```
//!
//! Invariant: nobody becomes a node by asking alone. An operator expects its name, or an earlier life of
//! its name is in the map.

use std::rc::Rc;

use bytes::Bytes;
use evenkeel_core::consensus::{Consensus, ReplicaId};
use evenkeel_core::placement::{MapCommand, PlacementMap};
use evenkeel_runtime as runtime;
use evenkeel_wire::peer::Message as Frame;
use evenkeel_wire::peer::messages::{Join, JoinReply, MapReply};

use crate::api::{NodePlace, NodeState};
use crate::config::{Member, NODE_COUNT_MAX};
use crate::entry;
use crate::errand::Errand;
use crate::genesis::MET;
use crate::group::PLACEMENT_GROUP;
use crate::node::Node;
use crate::operate::order;
use crate::request::Task;

/// A node that is in the map no more goes on for so long: others may still count on its vote.
const REMOVED_GRACE_US: u64 = 5_000_000;

impl Node {
    /// Answers a node with an empty disk: is its name known, and if it asks for it, make room for it.
    pub(crate) fn answer_join(self: &Rc<Node>, join: &Join) -> JoinReply {
        let met = self.met.borrow().iter().any(|(name, _)| *name == join.name);
        if join.node != 0 {
            self.make_room(join);
        }
        let map = self.map.borrow();
        JoinReply {
            id: join.id,
            epoch: map.epoch(),
            placement: map.encode().into(),
            refused: if met { MET.to_string() } else { String::new() },
            leader: None,
        }
    }

    /// Has it decided that the newcomer takes its old life's place, or that of a name that is expected.
    fn make_room(self: &Rc<Node>, join: &Join) {
        let Some(command) = admission(&self.map.borrow(), join) else { return };
        if self.admits.replace(true) {
            return; // The newcomer asks again soon.
        }
        tracing::info!(name = join.name, replica = join.node, "a node with an empty disk joins");
        let node = Rc::clone(self);
        drop(runtime::spawn(async move {
            let task = Task::Place(Bytes::from(command.encode()));
            let _asks_again = Errand::new(&node, order(PLACEMENT_GROUP, task), false).run().await;
            node.admits.set(false);
        }));
    }

    /// Has the map say where members are, if the configuration (the same on every node) says that one
    /// has moved: it is by the map that clients are sent to it.
    pub(crate) fn note_moves(self: &Rc<Node>) {
        let Some(command) = moved_member(&self.map.borrow(), &self.config.cluster.members) else {
            return;
        };
        let mut group = self.groups[PLACEMENT_GROUP as usize].borrow_mut();
        let status = group.core.status();
        if group.is_leader() && status.last == status.commit {
            let payload = entry::placement(&command.encode());
            let _unattended = self.propose_unattended(&mut group, payload);
        }
    }

    /// Whether the map, as far as this node knows it, has this replica no more.
    pub fn is_removed(&self) -> bool {
        self.map.borrow().node(self.replica).is_none()
    }

    /// Ends the process some time after the map has this replica no more, so that nobody takes what it
    /// still holds for the cluster's.
    pub(crate) fn notice_removal(&self) {
        let now = runtime::clock::monotonic_us();
        let (is_there, epoch) = {
            let map = self.map.borrow();
            (map.node(self.replica).is_some(), map.epoch())
        };
        match self.removed_us.get() {
            _ if is_there => self.removed_us.set(None),
            None => {
                tracing::warn!(epoch, "this node is not in the placement map any more");
                self.removed_us.set(Some(now));
            }
            Some(since) if since + REMOVED_GRACE_US < now => {
                runtime::process::fail_now(format!(
                    "node `{}` was removed from the cluster (placement map of epoch {epoch}); to let \
                     it in again, empty its data directory and say `evenkeel cluster join {}`",
                    self.config.name, self.config.name
                ));
            }
            Some(_) => (),
        }
    }

    /// A replica that is in the map no more learns it from whomever it talks to.
    pub(crate) fn tell_removed(&self, from: ReplicaId, name: &str, epoch: u64) {
        let map = self.map.borrow();
        if epoch < map.epoch() && map.node(from).is_none() {
            let reply = MapReply { epoch: map.epoch(), placement: map.encode().into() };
            self.peers.ask(name, &Frame::MapReply(reply));
        }
    }

    /// Lets a node of this name join. Returns the epoch at which it is expected or there.
    ///
    /// # Errors
    /// As `operate`.
    pub async fn expect_node(self: &Rc<Node>, name: &str) -> Result<u64, String> {
        let command = |map: &PlacementMap| {
            let is_there = map.node_named(name).is_some();
            if is_there || map.expected().iter().any(|expected| expected == name) {
                return Ok(None);
            }
            let count = map.nodes().len() + map.expected().len() + 1;
            if NODE_COUNT_MAX < count {
                return Err(format!(
                    "ERR `{name}` would be node {count} of at most {NODE_COUNT_MAX}"
                ));
            }
            Ok(Some(MapCommand::Expect { at_epoch: map.epoch(), name: name.to_owned() }))
        };
        self.change_map(command).await
    }

    /// Removes a node that votes on no shard, or a name that is expected. Returns the epoch at which it
    /// is gone.
    ///
    /// # Errors
    /// As `operate`.
    pub async fn remove_node(self: &Rc<Node>, name: &str) -> Result<u64, String> {
        if !self.map.borrow().expected().iter().any(|expected| expected == name) {
            self.replica_named(name)?;
        }
        for state in self.shard_states().await {
            let is_on_the_way = state.learner.as_deref() == Some(name);
            if state.voters.iter().any(|voter| voter == name) || is_on_the_way {
                let shard = state.shard;
                return Err(format!(
                    "ERR `{name}` still votes on shard {shard}: drain it, and wait until it has no votes"
                ));
            }
            if state.leader.is_none() {
                let shard = state.shard;
                return Err(format!(
                    "ERR shard {shard} has no leader: nobody knows whether `{name}` votes on it"
                ));
            }
        }
        let command = |map: &PlacementMap| {
            let is_expected = map.expected().iter().any(|expected| expected == name);
            if !is_expected && map.node_named(name).is_none() {
                return Ok(None);
            }
            if !is_expected && map.nodes().len() == 1 {
                return Err(format!("ERR `{name}` is the cluster's last node"));
            }
            Ok(Some(MapCommand::Remove { at_epoch: map.epoch(), name: name.to_owned() }))
        };
        self.change_map(command).await
    }

    /// Every node of the map, and every name that is expected, by name.
    pub fn node_states(&self) -> Vec<NodeState> {
        let map = self.map.borrow();
        let votes = |replica: ReplicaId| {
            map.shards().iter().filter(|shard| shard.voters.contains(replica)).count()
        };
        let nodes = map.nodes().iter().map(|node| NodeState {
            name: node.name.clone(),
            place: Some(NodePlace {
                replica: node.replica.0,
                peer_address: node.peer_address,
                client_address: node.client_address,
            }),
            is_connected: node.replica == self.replica || self.peers.is_connected(&node.name),
            votes: votes(node.replica),
        });
        let expected = map.expected().iter().map(|name| NodeState {
            name: name.clone(),
            place: None,
            is_connected: false,
            votes: 0,
        });
        let mut states: Vec<NodeState> = nodes.chain(expected).collect();
        states.sort_by(|left, right| left.name.cmp(&right.name));
        states
    }
}

/// What puts a newcomer into the map, if it may come.
fn admission(map: &PlacementMap, join: &Join) -> Option<MapCommand> {
    let (name, replica) = (join.name.clone(), ReplicaId(join.node));
    let peer_address = join.peer_address.parse().ok()?;
    let client_address = join.client_address.parse().ok()?;
    match map.node_named(&name) {
        Some(node) if node.replica == replica => None,
        Some(node) => {
            let (old, new) = (node.replica, replica);
            Some(MapCommand::ReplaceNode { name, old, new, peer_address, client_address })
        }
        None if map.expected().contains(&name) => {
            Some(MapCommand::Admit { name, replica, peer_address, client_address })
        }
        None => None,
    }
}

/// What tells the map where the first member is now that is elsewhere than the map says.
fn moved_member(map: &PlacementMap, members: &[Member]) -> Option<MapCommand> {
    map.nodes().iter().find_map(|node| {
        let member = members.iter().find(|member| member.name == node.name)?;
        let Member { peer_address, client_address, .. } = *member;
        let moved = (node.peer_address, node.client_address) != (peer_address, client_address);
        let node = node.replica;
        moved.then_some(MapCommand::SetAddresses { node, peer_address, client_address })
    })
}
