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
use evenkeel_core::consensus::ReplicaId;
use evenkeel_core::placement::{MapCommand, PlacementMap};
use evenkeel_runtime as runtime;
use evenkeel_wire::peer::Message as Frame;
use evenkeel_wire::peer::messages::{Join, JoinReply, MapReply, MetLife};

use crate::api::{NodePlace, NodeState};
use crate::bugs::{Bug, planted};
use crate::config::{Member, NODE_COUNT_MAX};
use crate::errand::Errand;
use crate::genesis::MET;
use crate::group::PLACEMENT_GROUP;
use crate::node::Node;
use crate::operate::{PATIENCE, Placed, order};
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
        let refused = match map.only_copies(&join.name) {
            _ if join.node == 0 && met => MET.to_string(),
            count if join.node != 0 && count != 0 => {
                format!(
                    "{count} shards had no other copy than the one that `{}` has lost",
                    join.name
                )
            }
            _ => String::new(),
        };
        JoinReply {
            id: join.id,
            epoch: map.epoch(),
            placement: map.encode().into(),
            refused,
            leader: None,
            met: self.met_lives(),
        }
    }

    fn met_lives(&self) -> Vec<MetLife> {
        let me = (self.config.name.clone(), self.replica);
        let met = self.met.borrow();
        let lives = met.iter().chain([&me]);
        lives.map(|(name, replica)| MetLife { name: name.clone(), replica: replica.0 }).collect()
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

    /// Has the map say where this node is, if its configuration says that it has moved: it is by the map
    /// that clients are sent to it. Where others are is theirs to say.
    pub(crate) fn note_moves(self: &Rc<Node>) {
        let own = self.config.cluster.member(&self.config.name);
        let command = own.and_then(|own| moved(&self.map.borrow(), self.replica, own));
        let Some(command) = command else { return };
        if self.admits.replace(true) {
            return;
        }
        let node = Rc::clone(self);
        drop(runtime::spawn(async move {
            let task = Task::Place(Bytes::from(command.encode()));
            let _looks_again = Errand::new(&node, order(PLACEMENT_GROUP, task), false).run().await;
            node.admits.set(false);
        }));
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
            Some(since) if since + REMOVED_GRACE_US < now && !planted(Bug::RemovedLivesOn) => {
                runtime::process::give_up(format!(
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
            if is_there || map.expects(name) {
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
        if !self.map.borrow().expects(name) {
            self.replica_named(name)?;
        }
        let end = runtime::clock::monotonic_us() + PATIENCE.as_micros() as u64;
        loop {
            // For the map of before the looking: what changes meanwhile makes it stale.
            let at_epoch = self.map.borrow().epoch();
            if !self.map.borrow().expects(name) {
                self.check_removal(name).await?;
            }
            let command = MapCommand::Remove { at_epoch, name: name.to_owned() };
            if let Placed::At(epoch) = self.place(&command, end).await? {
                return Ok(epoch);
            }
            let map = self.map.borrow();
            if map.node_named(name).is_none() && !map.expects(name) {
                return Ok(map.epoch()); // It was done, and the answer was lost.
            }
        }
    }

    /// Whether a node can be spared.
    async fn check_removal(self: &Rc<Node>, name: &str) -> Result<(), String> {
        self.check_majority_without(name)?;
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
        Ok(())
    }

    /// The map itself is kept by a majority of all nodes: of those that stay, so many must be there.
    fn check_majority_without(&self, name: &str) -> Result<(), String> {
        let map = self.map.borrow();
        let others = map.nodes().iter().filter(|node| node.name != name);
        let there = others
            .clone()
            .filter(|node| node.replica == self.replica || self.peers.is_connected(&node.name));
        let (count, there) = (others.count(), there.count());
        if count == 0 {
            return Err(format!("ERR `{name}` is the cluster's last node"));
        }
        if there <= count / 2 {
            return Err(format!(
                "ERR of the {count} nodes that would stay, {there} can be reached from here: bring one \
                 back first, without a majority of them nothing could be changed any more"
            ));
        }
        Ok(())
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
        Some(node) if node.replica == replica || map.only_copies(&name) != 0 => None,
        Some(node) => {
            let (old, new) = (node.replica, replica);
            Some(MapCommand::ReplaceNode { name, old, new, peer_address, client_address })
        }
        None if map.expects(&name) => {
            let at_epoch = map.epoch();
            Some(MapCommand::Admit { at_epoch, name, replica, peer_address, client_address })
        }
        None => None,
    }
}

/// What tells the map where this replica is now, if that is elsewhere than the map says.
fn moved(map: &PlacementMap, replica: ReplicaId, own: &Member) -> Option<MapCommand> {
    let node = map.node(replica)?;
    let Member { peer_address, client_address, .. } = *own;
    let moved = (node.peer_address, node.client_address) != (peer_address, client_address);
    let (at_epoch, node) = (map.epoch(), replica);
    moved.then_some(MapCommand::SetAddresses { at_epoch, node, peer_address, client_address })
}
