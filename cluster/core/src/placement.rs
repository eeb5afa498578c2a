//! Which node holds what: the map from a key to the replicas that vote on it.
//!
//! ```text
//!   key ──CRC16, {tag}──▶ hash slot (16,384) ──even ranges──▶ shard ──▶ voters ──▶ addresses
//! ```
//!
//! The map is plain data. It lives in a consensus group of its own; every change is a `MapCommand` in
//! that group's log and raises the epoch by one, so that two maps of one cluster can always be told
//! apart, and the older one refused. The map says who *should* vote on a shard; who does is in the
//! shard's own log, and its leader brings the two together one voter at a time.
//!
//! ```text
//!   Expect: a name ──the node starts, and says who it is──▶ Admit: a node ──votes, as any other──▶
//!   ──drained: no votes──▶ Remove: nobody's
//! ```
//!
//! **Invariant.** A `PlacementMap` that exists is sound: see `MapError` for what that means.

mod codec;
pub mod plan;
pub mod slots;
#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;

use self::slots::SLOT_COUNT;
use crate::consensus::{Configuration, ReplicaId};

/// Nodes of one cluster.
pub const NODE_COUNT_MAX: usize = 1_024;
/// A node's or a keyspace's name, in bytes of UTF-8.
pub const NAME_SIZE_MAX: usize = 64;
/// Voters of one shard.
pub const VOTER_COUNT_MAX: usize = 9;
/// Keyspaces of one cluster: one digit's worth of `SELECT`.
pub const KEYSPACE_COUNT_MAX: usize = 16;
/// How many voters a shard gets, where there are so many nodes.
pub const VOTER_COUNT_WANTED: usize = 3;

const _: () = assert!(VOTER_COUNT_WANTED <= VOTER_COUNT_MAX);
const _: () = assert!(NAME_SIZE_MAX <= u8::MAX as usize);

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeInfo {
    /// Its identity; a node that lost its disk comes back with a new one.
    pub replica: ReplicaId,
    /// What people call it. It stays when the identity changes.
    pub name: String,
    /// Where its peers reach it.
    pub peer_address: SocketAddr,
    /// Where clients reach it.
    pub client_address: SocketAddr,
}

/// Who votes on one shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShardPlacement {
    /// Sorted, without duplicates, all of them nodes of the map.
    pub voters: Configuration,
}

/// How a keyspace keeps its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replication {
    /// Not at all: each node has its own.
    None,
    /// Through the shard's log: linearizable.
    Consensus,
}

/// When a write of a keyspace is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// When it is in memory.
    None,
    /// When a flush, shared by all writes that wait for one, has it on disk.
    Group,
}

/// A keyspace and its promises.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keyspace {
    /// `SELECT` takes this.
    pub number: u8,
    /// Configuration files and messages say this.
    pub name: String,
    /// See `Replication`.
    pub replication: Replication,
    /// See `Durability`.
    pub durability: Durability,
}

/// The whole map of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlacementMap {
    epoch: u64,
    nodes: Vec<NodeInfo>,
    shards: Vec<ShardPlacement>,
    keyspaces: Vec<Keyspace>,
    /// Names of nodes that may join, sorted.
    expected: Vec<String>,
}

/// A change of the map, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MapCommand {
    /// The node of this name comes back without its disk, as another replica: it takes the old one's
    /// place everywhere.
    ReplaceNode {
        /// Its name.
        name: String,
        /// Who it was.
        old: ReplicaId,
        /// Who it is now.
        new: ReplicaId,
        /// Where its peers reach it now.
        peer_address: SocketAddr,
        /// Where clients reach it now.
        client_address: SocketAddr,
    },
    /// The same node is now reached elsewhere.
    SetAddresses {
        /// As with `SetVoters`; 0 in logs of earlier releases: whatever the map is.
        at_epoch: u64,
        /// Which node.
        node: ReplicaId,
        /// Where its peers reach it now.
        peer_address: SocketAddr,
        /// Where clients reach it now.
        client_address: SocketAddr,
    },
    /// Other voters for some shards: all of them or, if one is refused, none.
    SetVoters {
        /// The map for which this was thought out: any other refuses it. So whoever does not know
        /// whether it was decided may ask again, and two operators do not undo each other's work.
        at_epoch: u64,
        /// Each shard with who should vote on it, by shard.
        shards: Vec<(u16, Configuration)>,
    },
    /// A node of this name may join.
    Expect {
        /// As with `SetVoters`.
        at_epoch: u64,
        /// Its name.
        name: String,
    },
    /// The node that was expected is there. It votes on no shard yet.
    Admit {
        /// As with `SetVoters`. (A node may have this from others before its own log comes to it.)
        at_epoch: u64,
        /// Its name.
        name: String,
        /// Who it is.
        replica: ReplicaId,
        /// Where its peers reach it.
        peer_address: SocketAddr,
        /// Where clients reach it.
        client_address: SocketAddr,
    },
    /// A node that votes on no shard goes for good, or is not expected any more.
    Remove {
        /// As with `SetVoters`.
        at_epoch: u64,
        /// Its name.
        name: String,
    },
}

/// Why a map, a change or a row of bytes is refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapError {
    /// The map has no node like that.
    UnknownNode(ReplicaId),
    /// The node of this name is another replica by now: somebody else was faster.
    NotTheNode {
        /// The node's name.
        name: String,
        /// The replica that was to be replaced.
        old: ReplicaId,
    },
    /// The map has changed since the change was thought out.
    StaleEpoch {
        /// Then.
        at: u64,
        /// Now.
        now: u64,
    },
    /// The map has no node of this name, and expects none.
    UnknownName(String),
    /// Nobody expects a node of this name.
    NotExpected(String),
    /// What nobody else has cannot begin anew.
    OnlyCopy {
        /// The node's name.
        name: String,
        /// On how many shards it votes alone.
        shards: usize,
    },
    /// A node that votes cannot be removed.
    HasVotes {
        /// The node's name.
        name: String,
        /// On so many shards.
        shards: usize,
    },
    /// The map has no such shard.
    UnknownShard(u16),
    /// Something would be there twice: a node's identity or name, a keyspace's number or name.
    Duplicate(String),
    /// There would be too many or too few of something.
    Count {
        /// Of what.
        what: &'static str,
        /// How many there would be.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// So few voters survive no failure that more nodes could.
    TooFewVoters {
        /// How many there would be.
        count: usize,
        /// How many a shard of this cluster needs.
        least: usize,
    },
    /// A name is empty or longer than `NAME_SIZE_MAX` bytes.
    Name(String),
    /// The bytes are no map: what was expected, and where it was missing.
    Malformed {
        /// What should have been there.
        expected: &'static str,
        /// At which byte.
        offset: usize,
    },
}

impl PlacementMap {
    /// The first map of a cluster: epoch 1, `shard_count` shards (1 to 16,384), each on all of the
    /// nodes if they are three or fewer, else on three of them by rendezvous hashing of their names.
    /// The keyspaces are `default` (0) and `cache` (1).
    pub fn initial(mut nodes: Vec<NodeInfo>, shard_count: u16) -> Result<PlacementMap, MapError> {
        nodes.sort_unstable_by_key(|node| node.replica);
        if nodes.is_empty() {
            return Err(MapError::Count { what: "nodes", count: 0, max: NODE_COUNT_MAX });
        }
        let shards = (0..shard_count).map(|shard| ShardPlacement { voters: rank(&nodes, shard) });
        let shards = shards.collect();
        let keyspaces = Vec::from([
            Keyspace {
                number: 0,
                name: "default".to_owned(),
                replication: Replication::Consensus,
                durability: Durability::Group,
            },
            Keyspace {
                number: 1,
                name: "cache".to_owned(),
                replication: Replication::None,
                durability: Durability::None,
            },
        ]);
        PlacementMap { epoch: 1, nodes, shards, keyspaces, expected: Vec::new() }.checked()
    }

    /// Grows by one with every change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every node, by identity.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// Every shard, in the order of their slots.
    pub fn shards(&self) -> &[ShardPlacement] {
        &self.shards
    }

    /// Every keyspace, by number.
    pub fn keyspaces(&self) -> &[Keyspace] {
        &self.keyspaces
    }

    /// The names of nodes that may join, and have not, in order.
    pub fn expected(&self) -> &[String] {
        &self.expected
    }

    /// Whether a node of this name may join.
    pub fn expects(&self, name: &str) -> bool {
        self.expected.iter().any(|expected| expected == name)
    }

    /// The node with this identity.
    pub fn node(&self, replica: ReplicaId) -> Option<&NodeInfo> {
        let index = self.nodes.binary_search_by_key(&replica, |node| node.replica).ok()?;
        Some(&self.nodes[index])
    }

    /// The node with this name.
    pub fn node_named(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// How many shards only the node of this name votes on.
    pub fn only_copies(&self, name: &str) -> usize {
        let Some(node) = self.node_named(name) else { return 0 };
        let alone = |shard: &&ShardPlacement| shard.voters.voters == [node.replica];
        self.shards.iter().filter(alone).count()
    }

    /// The keyspace with this number.
    pub fn keyspace(&self, number: u8) -> Option<&Keyspace> {
        self.keyspaces.iter().find(|keyspace| keyspace.number == number)
    }

    /// The shard that holds a hash slot. `slot` is below `SLOT_COUNT`.
    pub fn shard_of(&self, slot: u16) -> u16 {
        assert!(slot < SLOT_COUNT, "slot {slot} is beyond the last");
        let shard = usize::from(slot) * self.shards.len() / usize::from(SLOT_COUNT);
        shard as u16 // Less than `shards.len()`, which is at most `SLOT_COUNT`.
    }

    /// The hash slots of a shard. `shard` is below `shards().len()`.
    pub fn slots_of(&self, shard: u16) -> Range<u16> {
        assert!(usize::from(shard) < self.shards.len(), "shard {shard} is beyond the last");
        let first =
            |shard: usize| (shard * usize::from(SLOT_COUNT)).div_ceil(self.shards.len()) as u16;
        first(usize::from(shard))..first(usize::from(shard) + 1)
    }

    /// Changes the map and raises its epoch, or refuses and changes nothing.
    pub fn apply(&mut self, command: &MapCommand) -> Result<(), MapError> {
        let mut next = self.clone();
        match command {
            MapCommand::ReplaceNode { name, old, new, peer_address, client_address } => {
                let node = next.nodes.iter_mut().find(|node| node.name == *name);
                let Some(node) = node.filter(|node| node.replica == *old) else {
                    return Err(MapError::NotTheNode { name: name.clone(), old: *old });
                };
                let shards = self.only_copies(name);
                if shards != 0 {
                    return Err(MapError::OnlyCopy { name: name.clone(), shards });
                }
                node.replica = *new;
                node.peer_address = *peer_address;
                node.client_address = *client_address;
                next.nodes.sort_unstable_by_key(|node| node.replica);
                next.shards.iter_mut().for_each(|shard| shard.replace(*old, *new));
            }
            MapCommand::SetAddresses { at_epoch, node, peer_address, client_address } => {
                if *at_epoch != 0 {
                    self.check_epoch(*at_epoch)?;
                }
                let found = next.nodes.iter_mut().find(|known| known.replica == *node);
                let found = found.ok_or(MapError::UnknownNode(*node))?;
                found.peer_address = *peer_address;
                found.client_address = *client_address;
            }
            MapCommand::SetVoters { at_epoch, shards } => {
                self.check_epoch(*at_epoch)?;
                for (shard, voters) in shards {
                    let found = next.shards.get_mut(usize::from(*shard));
                    found.ok_or(MapError::UnknownShard(*shard))?.voters = voters.clone();
                }
            }
            MapCommand::Expect { at_epoch, name } => {
                self.check_epoch(*at_epoch)?;
                next.expected.push(name.clone());
                next.expected.sort_unstable();
            }
            MapCommand::Admit { at_epoch, name, replica, peer_address, client_address } => {
                self.check_epoch(*at_epoch)?;
                next.forget_expected(name).ok_or(MapError::NotExpected(name.clone()))?;
                next.nodes.push(NodeInfo {
                    replica: *replica,
                    name: name.clone(),
                    peer_address: *peer_address,
                    client_address: *client_address,
                });
                next.nodes.sort_unstable_by_key(|node| node.replica);
            }
            MapCommand::Remove { at_epoch, name } => {
                self.check_epoch(*at_epoch)?;
                if next.forget_expected(name).is_none() {
                    next.remove(name)?;
                }
            }
        }
        next.epoch = next.epoch.saturating_add(1);
        *self = next.checked()?;
        Ok(())
    }

    fn check_epoch(&self, at: u64) -> Result<(), MapError> {
        let now = self.epoch;
        if at == now { Ok(()) } else { Err(MapError::StaleEpoch { at, now }) }
    }

    fn forget_expected(&mut self, name: &str) -> Option<String> {
        let index = self.expected.iter().position(|expected| expected == name)?;
        Some(self.expected.remove(index))
    }

    fn remove(&mut self, name: &str) -> Result<(), MapError> {
        let node = self.node_named(name).ok_or(MapError::UnknownName(name.to_owned()))?;
        let replica = node.replica;
        let votes = self.shards.iter().filter(|shard| shard.voters.contains(replica)).count();
        if votes != 0 {
            return Err(MapError::HasVotes { name: name.to_owned(), shards: votes });
        }
        self.nodes.retain(|node| node.replica != replica);
        Ok(())
    }

    /// What every map must be, wherever it comes from.
    fn checked(self) -> Result<PlacementMap, MapError> {
        within(
            "nodes",
            self.nodes.len(),
            NODE_COUNT_MAX - self.expected.len().min(NODE_COUNT_MAX),
        )?;
        within("shards", self.shards.len(), usize::from(SLOT_COUNT))?;
        within("keyspaces", self.keyspaces.len(), KEYSPACE_COUNT_MAX)?;
        for (index, node) in self.nodes.iter().enumerate() {
            check_name(&node.name)?;
            let others = &self.nodes[..index];
            if others.iter().any(|other| other.name == node.name || node.replica <= other.replica) {
                return Err(MapError::Duplicate(node.name.clone()));
            }
        }
        for (index, name) in self.expected.iter().enumerate() {
            check_name(name)?;
            let is_twice = self.expected[..index].last().is_some_and(|before| name <= before);
            if is_twice || self.node_named(name).is_some() {
                return Err(MapError::Duplicate(name.clone()));
            }
        }
        for (index, keyspace) in self.keyspaces.iter().enumerate() {
            check_name(&keyspace.name)?;
            let mut others = self.keyspaces[..index].iter();
            if others.any(|other| other.name == keyspace.name || keyspace.number <= other.number) {
                return Err(MapError::Duplicate(keyspace.name.clone()));
            }
        }
        for shard in &self.shards {
            let voters = &shard.voters.voters;
            within("voters of a shard", voters.len(), VOTER_COUNT_MAX)?;
            if let Some(&unknown) = voters.iter().find(|&&voter| self.node(voter).is_none()) {
                return Err(MapError::UnknownNode(unknown));
            }
            if !voters.is_sorted_by(|left, right| left < right) {
                return Err(MapError::Duplicate("a voter of a shard".to_owned()));
            }
        }
        Ok(self)
    }
}

impl ShardPlacement {
    fn replace(&mut self, old: ReplicaId, new: ReplicaId) {
        if self.voters.contains(old) {
            let voters = self.voters.voters.iter();
            let voters = voters.map(|&voter| if voter == old { new } else { voter });
            self.voters = Configuration::new(voters.collect());
        }
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::UnknownNode(node) => write!(f, "the map has no node {:016x}", node.0),
            MapError::NotTheNode { name, old } => {
                write!(f, "no node `{name}` with identity {:016x} is in the map", old.0)
            }
            MapError::StaleEpoch { at, now } => {
                write!(f, "the change was made for epoch {at}, the map is at {now}: look again")
            }
            MapError::UnknownName(name) => write!(f, "the map has no node `{name}`"),
            MapError::NotExpected(name) => write!(f, "no node `{name}` is expected"),
            MapError::OnlyCopy { name, shards } => {
                write!(f, "{shards} shards have no other copy than that of `{name}`")
            }
            MapError::HasVotes { name, shards } => {
                write!(f, "`{name}` votes on {shards} shards: drain it first")
            }
            MapError::UnknownShard(shard) => write!(f, "the map has no shard {shard}"),
            MapError::Duplicate(what) => write!(f, "`{what}` would be in the map twice"),
            MapError::Count { what, count, max } => {
                write!(f, "the map would have {count} {what}; it takes 1 to {max}")
            }
            MapError::TooFewVoters { count, least } => {
                write!(
                    f,
                    "{count} voters are too few for a shard of this cluster: name {least} or more"
                )
            }
            MapError::Name(name) => {
                write!(f, "`{name}` is no name: a name has 1 to {NAME_SIZE_MAX} bytes")
            }
            MapError::Malformed { expected, offset } => {
                write!(f, "not a placement map: expected {expected} at byte {offset}")
            }
        }
    }
}

impl core::error::Error for MapError {}

fn within(what: &'static str, count: usize, max: usize) -> Result<(), MapError> {
    let fits = 0 < count && count <= max;
    if fits { Ok(()) } else { Err(MapError::Count { what, count, max }) }
}

fn check_name(name: &str) -> Result<(), MapError> {
    let fits = !name.is_empty() && name.len() <= NAME_SIZE_MAX;
    if fits { Ok(()) } else { Err(MapError::Name(name.to_owned())) }
}

/// The nodes that score highest for a shard (Thaler & Ravishankar 1998). By name, not by identity: a
/// node that comes back without its disk has its old place.
fn rank(nodes: &[NodeInfo], shard: u16) -> Configuration {
    assert!(!nodes.is_empty(), "without a node there is no map");
    let mut ranked: Vec<(u64, ReplicaId)> =
        nodes.iter().map(|node| (score(&node.name, shard), node.replica)).collect();
    ranked.sort_unstable_by(|left, right| right.cmp(left));
    let voters = ranked.into_iter().take(VOTER_COUNT_WANTED).map(|(_, replica)| replica);
    Configuration::new(voters.collect())
}

/// FNV-1a over the name, then mixed with the shard.
fn score(name: &str, shard: u16) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    crate::scramble::scramble(hash ^ (u64::from(shard) << 48))
}
