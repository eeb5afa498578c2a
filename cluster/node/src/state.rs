//! What a node must not forget beside its entries: the payloads of the log's `State` records.
//!
//! ```text
//! size  field
//!    1  kind        1 promised, 2 snapshot, 3 met, 4 genesis, 5 checkpoint, 6 part
//! kind 1:  8 round, 8 replica
//! kind 2:  8 snapshot id, 8 round, 8 replica, 4 + voters, 4 + machine, 4 + placement map (empty: none)
//! kind 3:  8 replica, 4 + name
//! kind 4:  1 founder, the placement map this node began with
//! kind 5:  4 index, 4 count, a part of these, put together in order of index:
//!          8 round, 8 replica, 4 + voters, 4 + machine, 4 + list of pages; in the placement group:
//!          4 + placement map, 4 + the map it began with, 1 founder, then 8 replica, 4 + name each
//! kind 6:  4 index, 4 count, a part of the bytes of a `State` that is too large for one record
//! ```
//!
//! Integers are little-endian. A snapshot's record makes its items (which stand before it in the log)
//! and its hard state valid in one stroke: a crash leaves either all of them or none.

use evenkeel_core::consensus::{Ballot, Configuration, ReplicaId};

use crate::entry::{ballot, put_ballot, put_bytes, put_voters, voters};
use crate::machine::Machine;
use crate::reader::Reader;

const KIND_PROMISED: u8 = 1;
const KIND_SNAPSHOT: u8 = 2;
const KIND_MET: u8 = 3;
const KIND_GENESIS: u8 = 4;
const KIND_CHECKPOINT: u8 = 5;
const KIND_PART: u8 = 6;
/// What a node says of a group is cut into parts of this size at most, in bytes: a record has a bound,
/// and what is remembered of clients has a larger one.
const PART_SIZE_MAX: usize = 512 * 1024;

/// One `State` record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// No ballot below this may be accepted in this group.
    Promised(Ballot),
    /// The group's state was replaced by a snapshot; its items stand before this record.
    Snapshot {
        id: u64,
        promised: Ballot,
        configuration: Configuration,
        machine: Machine,
        map: Option<Vec<u8>>,
    },
    /// This life of a member has been seen: it may have voted.
    Met { name: String, replica: ReplicaId },
    /// The placement map this node began with. A founder votes by it; who came later waits to be added.
    Genesis { founder: bool, map: Vec<u8> },
    /// A part of a `CheckpointState`; those of one group follow each other.
    Checkpoint { index: u32, count: u32, bytes: Vec<u8> },
    /// A part of another `State`; those of one group follow each other.
    Part { index: u32, count: u32, bytes: Vec<u8> },
}

/// How large a part may be in a log of such segments, in bytes.
pub(crate) fn part_size(segment_size: u64) -> usize {
    PART_SIZE_MAX.min(segment_size as usize / 4)
}

/// Parts of something, put together as they are read.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    bytes: Vec<u8>,
    count: u32,
}

impl Parts {
    /// The whole, with its last part; `None` if this part does not follow the one before.
    pub(crate) fn add(&mut self, index: u32, count: u32, part: &[u8]) -> Option<Option<Vec<u8>>> {
        if index == 0 {
            *self = Parts::default(); // What came before broke off.
        }
        if index != self.count || count <= index {
            return None;
        }
        self.bytes.extend_from_slice(part);
        self.count += 1;
        Some((self.count == count).then(|| std::mem::take(self).bytes))
    }
}

/// Everything that a restart must know of a group, but for its open entries, which follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckpointState {
    pub(crate) promised: Ballot,
    pub(crate) configuration: Configuration,
    pub(crate) machine: Machine,
    /// See `Store::page_list`.
    pub(crate) pages: Vec<u8>,
    /// These four in the placement group only.
    pub(crate) map: Vec<u8>,
    pub(crate) genesis: Vec<u8>,
    pub(crate) founder: bool,
    pub(crate) met: Vec<(String, ReplicaId)>,
}

impl CheckpointState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut target = Vec::new();
        put_ballot(&mut target, self.promised);
        put_voters(&mut target, &self.configuration);
        put_bytes(&mut target, &self.machine.encode());
        put_bytes(&mut target, &self.pages);
        put_bytes(&mut target, &self.map);
        put_bytes(&mut target, &self.genesis);
        target.push(u8::from(self.founder));
        for (name, replica) in &self.met {
            target.extend_from_slice(&replica.0.to_le_bytes());
            put_bytes(&mut target, name.as_bytes());
        }
        target
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<CheckpointState> {
        let mut reader = Reader::new(bytes);
        let promised = ballot(&mut reader)?;
        let configuration = voters(&mut reader)?;
        let machine = Machine::decode(&mut Reader::new(reader.sized()?))?;
        let pages = reader.sized()?.to_vec();
        let (map, genesis) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
        let founder = reader.u8()? != 0;
        let mut rest = reader.rest();
        let mut met = Vec::new();
        while !rest.is_empty() {
            let mut reader = Reader::new(rest);
            let replica = ReplicaId(reader.u64()?);
            met.push((String::from_utf8(reader.sized()?.to_vec()).ok()?, replica));
            rest = reader.rest();
        }
        Some(CheckpointState {
            promised,
            configuration,
            machine,
            pages,
            map,
            genesis,
            founder,
            met,
        })
    }
}

impl State {
    /// The payloads of the records that say this: one, or parts of at most `size` bytes.
    pub(crate) fn payloads(&self, size: usize) -> Vec<Vec<u8>> {
        let bytes = self.encode();
        if bytes.len() <= size {
            return vec![bytes];
        }
        let parts = bytes.chunks(size);
        let count = parts.len() as u32;
        let part = |(index, part): (u32, &[u8])| {
            State::Part { index, count, bytes: part.to_vec() }.encode()
        };
        (0..).zip(parts).map(part).collect()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut target = Vec::new();
        match self {
            State::Promised(ballot) => {
                target.push(KIND_PROMISED);
                put_ballot(&mut target, *ballot);
            }
            State::Snapshot { id, promised, configuration, machine, map } => {
                target.push(KIND_SNAPSHOT);
                target.extend_from_slice(&id.to_le_bytes());
                put_ballot(&mut target, *promised);
                put_voters(&mut target, configuration);
                put_bytes(&mut target, &machine.encode());
                put_bytes(&mut target, map.as_deref().unwrap_or_default());
            }
            State::Met { name, replica } => {
                target.push(KIND_MET);
                target.extend_from_slice(&replica.0.to_le_bytes());
                put_bytes(&mut target, name.as_bytes());
            }
            State::Genesis { founder, map } => {
                target.push(KIND_GENESIS);
                target.push(u8::from(*founder));
                target.extend_from_slice(map);
            }
            State::Checkpoint { index, count, bytes } => {
                target.push(KIND_CHECKPOINT);
                put_part(&mut target, *index, *count, bytes);
            }
            State::Part { index, count, bytes } => {
                target.push(KIND_PART);
                put_part(&mut target, *index, *count, bytes);
            }
        }
        target
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<State> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            KIND_PROMISED => Some(State::Promised(ballot(&mut reader)?)),
            KIND_SNAPSHOT => {
                let id = reader.u64()?;
                let promised = ballot(&mut reader)?;
                let configuration = voters(&mut reader)?;
                let machine = Machine::decode(&mut Reader::new(reader.sized()?))?;
                let map = Some(reader.sized()?.to_vec()).filter(|map| !map.is_empty());
                Some(State::Snapshot { id, promised, configuration, machine, map })
            }
            KIND_MET => {
                let replica = ReplicaId(reader.u64()?);
                let name = String::from_utf8(reader.sized()?.to_vec()).ok()?;
                Some(State::Met { name, replica })
            }
            KIND_GENESIS => {
                let founder = reader.u8()? != 0;
                Some(State::Genesis { founder, map: reader.rest().to_vec() })
            }
            KIND_CHECKPOINT => {
                let (index, count) = (reader.u32()?, reader.u32()?);
                Some(State::Checkpoint { index, count, bytes: reader.rest().to_vec() })
            }
            KIND_PART => {
                let (index, count) = (reader.u32()?, reader.u32()?);
                Some(State::Part { index, count, bytes: reader.rest().to_vec() })
            }
            _ => None,
        }
    }
}

fn put_part(target: &mut Vec<u8>, index: u32, count: u32, bytes: &[u8]) {
    target.extend_from_slice(&index.to_le_bytes());
    target.extend_from_slice(&count.to_le_bytes());
    target.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
