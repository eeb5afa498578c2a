//! Maps and their changes as bytes: in the map's log, in its snapshots, between peers.
//!
//! Integers are little-endian.
//!
//! | map | bytes |
//! | --- | --- |
//! | version, 1, or 2 if any names are expected | 1 |
//! | epoch | 8 |
//! | nodes | 2, then each: identity 8, name, peer address, client address |
//! | shards | 2, then each: voters |
//! | keyspaces | 1, then each: number 1, name, replication 1, durability 1 |
//! | version 2: expected | 2, at least one, then names |
//!
//! | part | bytes |
//! | --- | --- |
//! | name | size 1, then UTF-8 |
//! | address | 4 or 6 in 1, then 4 or 16 of IP, then port 2 |
//! | voters | count 1, then identity 8 each |
//!
//! | change | bytes |
//! | --- | --- |
//! | version, 1 | 1 |
//! | `ReplaceNode` | 1 in 1, name, old 8, new 8, peer address, client address |
//! | `SetAddresses` of earlier releases | 2 in 1, node 8, peer address, client address |
//! | `SetVoters` | 3 in 1, epoch 8, shards 2, then each: shard 2, voters |
//! | `Expect` | 4 in 1, epoch 8, name |
//! | `Admit` | 5 in 1, epoch 8, name, identity 8, peer address, client address |
//! | `Remove` | 6 in 1, epoch 8, name |
//! | `SetAddresses` | 7 in 1, epoch 8, node 8, peer address, client address |

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    Durability, Keyspace, MapCommand, MapError, NodeInfo, PlacementMap, Replication,
    ShardPlacement, VOTER_COUNT_MAX,
};
use crate::consensus::{Configuration, ReplicaId};

const VERSION: u8 = 1;
const VERSION_WITH_EXPECTED: u8 = 2;
const REPLACE_NODE: u8 = 1;
const SET_ADDRESSES: u8 = 2;
const SET_VOTERS: u8 = 3;
const EXPECT: u8 = 4;
const ADMIT: u8 = 5;
const REMOVE: u8 = 6;
const SET_ADDRESSES_AT: u8 = 7;

impl PlacementMap {
    /// The map as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let version = if self.expected.is_empty() { VERSION } else { VERSION_WITH_EXPECTED };
        let mut out = Vec::from([version]);
        out.extend(self.epoch.to_le_bytes());
        out.extend((self.nodes.len() as u16).to_le_bytes());
        for node in &self.nodes {
            out.extend(node.replica.0.to_le_bytes());
            put_name(&mut out, &node.name);
            put_address(&mut out, node.peer_address);
            put_address(&mut out, node.client_address);
        }
        out.extend((self.shards.len() as u16).to_le_bytes());
        for shard in &self.shards {
            put_voters(&mut out, &shard.voters);
        }
        out.push(self.keyspaces.len() as u8);
        for keyspace in &self.keyspaces {
            out.push(keyspace.number);
            put_name(&mut out, &keyspace.name);
            out.push(match keyspace.replication {
                Replication::None => 0,
                Replication::Consensus => 1,
            });
            out.push(match keyspace.durability {
                Durability::None => 0,
                Durability::Group => 1,
            });
        }
        if !self.expected.is_empty() {
            out.extend((self.expected.len() as u16).to_le_bytes());
            self.expected.iter().for_each(|name| put_name(&mut out, name));
        }
        out
    }

    /// The map in these bytes, all of them; whatever they are, this neither panics nor takes more
    /// memory than a map may.
    pub fn decode(bytes: &[u8]) -> Result<PlacementMap, MapError> {
        let mut reader = Reader { bytes, offset: 0 };
        let version = reader.version(VERSION_WITH_EXPECTED)?;
        let epoch = reader.u64("the epoch")?;
        let mut nodes = Vec::new();
        for _ in 0..reader.u16("the number of nodes")? {
            nodes.push(NodeInfo {
                replica: ReplicaId(reader.u64("a node's identity")?),
                name: reader.name()?,
                peer_address: reader.address()?,
                client_address: reader.address()?,
            });
        }
        let mut shards = Vec::new();
        for _ in 0..reader.u16("the number of shards")? {
            shards.push(ShardPlacement { voters: reader.voters()? });
        }
        let mut keyspaces = Vec::new();
        for _ in 0..reader.u8("the number of keyspaces")? {
            keyspaces.push(reader.keyspace()?);
        }
        let mut expected = Vec::new();
        if version == VERSION_WITH_EXPECTED {
            for _ in 0..reader.u16("the number of expected names")? {
                expected.push(reader.name()?);
            }
            if expected.is_empty() {
                return Err(reader.expected("an expected name"));
            }
        }
        reader.end()?;
        PlacementMap { epoch, nodes, shards, keyspaces, expected }.checked()
    }
}

impl MapCommand {
    /// The change as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        match self {
            MapCommand::ReplaceNode { name, old, new, peer_address, client_address } => {
                out.push(REPLACE_NODE);
                put_name(&mut out, name);
                out.extend(old.0.to_le_bytes());
                out.extend(new.0.to_le_bytes());
                put_address(&mut out, *peer_address);
                put_address(&mut out, *client_address);
            }
            MapCommand::SetAddresses { at_epoch, node, peer_address, client_address } => {
                match at_epoch {
                    0 => out.push(SET_ADDRESSES),
                    _ => {
                        out.push(SET_ADDRESSES_AT);
                        out.extend(at_epoch.to_le_bytes());
                    }
                }
                out.extend(node.0.to_le_bytes());
                put_address(&mut out, *peer_address);
                put_address(&mut out, *client_address);
            }
            MapCommand::SetVoters { at_epoch, shards } => {
                let count = u16::try_from(shards.len()).unwrap_or(u16::MAX); // As with names.
                out.push(SET_VOTERS);
                out.extend(at_epoch.to_le_bytes());
                out.extend(count.to_le_bytes());
                for (shard, voters) in &shards[..usize::from(count)] {
                    out.extend(shard.to_le_bytes());
                    put_voters(&mut out, voters);
                }
            }
            MapCommand::Expect { at_epoch, name } => {
                out.push(EXPECT);
                out.extend(at_epoch.to_le_bytes());
                put_name(&mut out, name);
            }
            MapCommand::Admit { at_epoch, name, replica, peer_address, client_address } => {
                out.push(ADMIT);
                out.extend(at_epoch.to_le_bytes());
                put_name(&mut out, name);
                out.extend(replica.0.to_le_bytes());
                put_address(&mut out, *peer_address);
                put_address(&mut out, *client_address);
            }
            MapCommand::Remove { at_epoch, name } => {
                out.push(REMOVE);
                out.extend(at_epoch.to_le_bytes());
                put_name(&mut out, name);
            }
        }
        out
    }

    /// The change in these bytes, all of them.
    pub fn decode(bytes: &[u8]) -> Result<MapCommand, MapError> {
        let mut reader = Reader { bytes, offset: 0 };
        reader.version(VERSION)?;
        let command = match reader.u8("a kind of change")? {
            REPLACE_NODE => MapCommand::ReplaceNode {
                name: reader.name()?,
                old: ReplicaId(reader.u64("the old identity")?),
                new: ReplicaId(reader.u64("the new identity")?),
                peer_address: reader.address()?,
                client_address: reader.address()?,
            },
            SET_ADDRESSES => MapCommand::SetAddresses {
                at_epoch: 0,
                node: ReplicaId(reader.u64("a node's identity")?),
                peer_address: reader.address()?,
                client_address: reader.address()?,
            },
            SET_VOTERS => {
                let at_epoch = reader.u64("an epoch")?;
                let mut shards = Vec::new();
                for _ in 0..reader.u16("the number of shards")? {
                    shards.push((reader.u16("a shard")?, reader.voters()?));
                }
                MapCommand::SetVoters { at_epoch, shards }
            }
            EXPECT => {
                MapCommand::Expect { at_epoch: reader.u64("an epoch")?, name: reader.name()? }
            }
            SET_ADDRESSES_AT => MapCommand::SetAddresses {
                at_epoch: reader.epoch()?,
                node: ReplicaId(reader.u64("a node's identity")?),
                peer_address: reader.address()?,
                client_address: reader.address()?,
            },
            ADMIT => MapCommand::Admit {
                at_epoch: reader.u64("an epoch")?,
                name: reader.name()?,
                replica: ReplicaId(reader.u64("a node's identity")?),
                peer_address: reader.address()?,
                client_address: reader.address()?,
            },
            REMOVE => {
                MapCommand::Remove { at_epoch: reader.u64("an epoch")?, name: reader.name()? }
            }
            _ => return Err(reader.expected("a kind of change")),
        };
        reader.end()?;
        Ok(command)
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    let size = u8::try_from(name.len()).unwrap_or(u8::MAX); // Whoever takes it checks it.
    out.push(size);
    out.extend(&name.as_bytes()[..usize::from(size)]);
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(address.port().to_le_bytes());
}

fn put_voters(out: &mut Vec<u8>, voters: &Configuration) {
    let count = voters.voters.len().min(usize::from(u8::MAX));
    out.push(count as u8); // Whoever takes it checks it.
    for voter in &voters.voters[..count] {
        out.extend(voter.0.to_le_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Reader<'_> {
    fn take<const SIZE: usize>(&mut self, what: &'static str) -> Result<[u8; SIZE], MapError> {
        let taken = self.bytes.get(self.offset..).and_then(<[u8]>::first_chunk::<SIZE>);
        let taken = *taken.ok_or(self.expected(what))?;
        self.offset += SIZE;
        Ok(taken)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, MapError> {
        Ok(u8::from_le_bytes(self.take(what)?))
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, MapError> {
        Ok(u16::from_le_bytes(self.take(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, MapError> {
        Ok(u64::from_le_bytes(self.take(what)?))
    }

    /// Of which 0 means something else.
    fn epoch(&mut self) -> Result<u64, MapError> {
        let epoch = self.u64("an epoch")?;
        if epoch == 0 { Err(self.expected("an epoch from 1 on")) } else { Ok(epoch) }
    }

    /// A version that this release reads: `highest`, or an older one.
    fn version(&mut self, highest: u8) -> Result<u8, MapError> {
        let expected =
            if highest == VERSION { "format version 1" } else { "format version 1 or 2" };
        let version = self.u8(expected)?;
        let is_read = (VERSION..=highest).contains(&version);
        if is_read { Ok(version) } else { Err(self.expected(expected)) }
    }

    fn name(&mut self) -> Result<String, MapError> {
        let size = usize::from(self.u8("the size of a name")?);
        let end = self.offset + size;
        let bytes = self.bytes.get(self.offset..end).ok_or(self.expected("a name"))?;
        let name = core::str::from_utf8(bytes).map_err(|_| self.expected("a name in UTF-8"))?;
        self.offset = end;
        Ok(name.to_string())
    }

    fn address(&mut self) -> Result<SocketAddr, MapError> {
        let ip = match self.u8("a kind of address")? {
            4 => IpAddr::V4(Ipv4Addr::from(self.take::<4>("an IPv4 address")?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.take::<16>("an IPv6 address")?)),
            _ => return Err(self.expected("a kind of address")),
        };
        Ok(SocketAddr::new(ip, self.u16("a port")?))
    }

    fn voters(&mut self) -> Result<Configuration, MapError> {
        let count = usize::from(self.u8("the number of voters")?);
        super::within("voters of a shard", count, VOTER_COUNT_MAX)?;
        let mut voters = Vec::with_capacity(count);
        for _ in 0..count {
            voters.push(ReplicaId(self.u64("a voter")?));
        }
        if !voters.is_sorted_by(|left, right| left < right) {
            return Err(self.expected("voters in order"));
        }
        Ok(Configuration { voters })
    }

    fn keyspace(&mut self) -> Result<Keyspace, MapError> {
        Ok(Keyspace {
            number: self.u8("a keyspace's number")?,
            name: self.name()?,
            replication: match self.u8("a kind of replication")? {
                0 => Replication::None,
                1 => Replication::Consensus,
                _ => return Err(self.expected("a kind of replication")),
            },
            durability: match self.u8("a kind of durability")? {
                0 => Durability::None,
                1 => Durability::Group,
                _ => return Err(self.expected("a kind of durability")),
            },
        })
    }

    fn end(&self) -> Result<(), MapError> {
        if self.offset == self.bytes.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn expected(&self, expected: &'static str) -> MapError {
        MapError::Malformed { expected, offset: self.offset }
    }
}
