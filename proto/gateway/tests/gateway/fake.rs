//! A service in memory that answers when it is told to.
//!
//! Keyspace 1 answers at once. Keyspace 0 answers at once too, except for keys that begin with `slow`:
//! their effect is immediate, their reply comes after `SLOW`, or, if the key is `slow:gate`, when the
//! test opens the gate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_gateway::service::{PendingOperation, PendingWatch, ReplyWriter, Service};
use evenkeel_node::api::{
    Decided, Execution, Hint, KeyspaceStatus, NodePlace, NodeState, NodeStatus, Operated,
    Operation, Order, ScrubStatus, ShardState, SnapshotBegun, Topology, TopologyMember,
    TopologyShard, Watched,
};
use evenkeel_runtime::sleep;
use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command::{self, Command, OwnedCommand};
use evenkeel_wire::reply::{Reply, write_bulk};

pub(crate) const SLOW: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(crate) struct Fake {
    data: RefCell<[BTreeMap<Bytes, (Bytes, u64)>; 2]>,
    version: Cell<u64>,
    pub(crate) gate_open: Rc<Cell<bool>>,
    /// Slow commands under way, and the most there were at a time.
    pub(crate) running: Rc<Cell<usize>>,
    pub(crate) running_max: Cell<usize>,
    pub(crate) topology_count: Cell<usize>,
    /// How many keys were fetched ahead of their commands, each time.
    pub(crate) warmed: RefCell<Vec<usize>>,
}

impl Fake {
    fn evaluate(&self, keyspace: u8, command: &Command<'_>) -> Reply {
        let data = &mut self.data.borrow_mut()[usize::from(keyspace)];
        let mut put = |key: &[u8], value: Bytes| {
            self.version.set(self.version.get() + 1);
            data.insert(Bytes::copy_from_slice(key), (value, self.version.get()));
        };
        match command {
            Command::Get { key } => match data.get(*key) {
                Some((value, _)) => Reply::Bulk(value.clone()),
                None => Reply::Null,
            },
            Command::Set { key, value, .. } => {
                put(key, Bytes::copy_from_slice(value));
                Reply::OK
            }
            Command::IncrBy { key, delta } => {
                let old = data.get(*key).map_or(Some(0), |(value, _)| {
                    std::str::from_utf8(value).ok()?.parse::<i64>().ok()
                });
                let Some(old) = old else {
                    return Reply::error("ERR value is not an integer or out of range");
                };
                self.version.set(self.version.get() + 1);
                let value = Bytes::from((old + delta).to_string());
                data.insert(Bytes::copy_from_slice(key), (value, self.version.get()));
                Reply::Integer(old + delta)
            }
            Command::Del { keys } => {
                let removed = keys.iter().filter(|key| data.remove(*key).is_some()).count();
                Reply::Integer(removed as i64)
            }
            Command::DbSize => Reply::Integer(data.len() as i64),
            _ => Reply::error("ERR the fake does not know this command"),
        }
    }

    fn later(&self, key: &[u8], reply: Reply) -> Execution {
        let gate = (key == b"slow:gate").then(|| Rc::clone(&self.gate_open));
        let running = Rc::clone(&self.running);
        running.set(running.get() + 1);
        self.running_max.set(self.running_max.get().max(running.get()));
        Execution::Pending(Box::pin(async move {
            match gate {
                None => sleep(SLOW).await,
                Some(gate) => {
                    while !gate.get() {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
            }
            running.set(running.get() - 1);
            reply
        }))
    }

    fn version_of(&self, keyspace: u8, key: &[u8]) -> u64 {
        let data = &self.data.borrow()[usize::from(keyspace)];
        data.get(key).map_or(0, |(_, version)| *version)
    }
}

impl Service for Fake {
    fn execute(
        self: &Rc<Self>,
        keyspace: u8,
        arguments: &Arguments<'_>,
        command: &Command<'_>,
        _order: &Order,
    ) -> Execution {
        let reply = self.evaluate(keyspace, command);
        let key = arguments.get(1).unwrap_or_default();
        if keyspace == 0 && key.starts_with(b"slow") {
            self.later(key, reply)
        } else {
            Execution::Done(reply)
        }
    }

    fn execute_into(
        self: &Rc<Self>,
        keyspace: u8,
        _arguments: &Arguments<'_>,
        command: &Command<'_>,
        _order: &Order,
        writer: ReplyWriter<'_>,
    ) -> bool {
        let Command::Get { key } = command else { return false };
        if keyspace != 1 {
            return false;
        }
        let data = &self.data.borrow()[1];
        match data.get(*key) {
            Some((value, _)) => write_bulk(value, writer.output),
            None => return false,
        }
        true
    }

    fn hint(&self, _keyspace: u8, key: &[u8]) -> Option<Hint> {
        (key != b"elsewhere").then(Hint::default)
    }

    fn warm(&self, hints: &[Hint]) {
        self.warmed.borrow_mut().push(hints.len());
    }

    fn transaction(
        self: &Rc<Self>,
        keyspace: u8,
        commands: Vec<OwnedCommand>,
        watches: &[Watched],
        _order: &Order,
    ) -> Execution {
        if watches.iter().any(|seen| self.version_of(seen.keyspace, &seen.key) != seen.version) {
            return Execution::Done(Reply::NullArray);
        }
        let replies = commands.iter().map(|kept| {
            let arguments = kept.arguments();
            let command = command::parse(&arguments).expect("parsed when it was queued");
            self.evaluate(keyspace, &command)
        });
        self.later(b"slow", Reply::Array(replies.collect()))
    }

    fn watch(self: &Rc<Self>, keyspace: u8, keys: Vec<Bytes>, _order: &Order) -> PendingWatch {
        let fake = Rc::clone(self);
        Box::pin(async move {
            sleep(SLOW).await;
            let look = |key: Bytes| {
                let version = fake.version_of(keyspace, &key);
                Watched { keyspace, key, version }
            };
            Ok(keys.into_iter().map(look).collect())
        })
    }

    fn operate(self: &Rc<Self>, operation: Operation) -> PendingOperation {
        Box::pin(async move {
            match operation {
                Operation::Transfer { shard: 0, .. } => Ok(Operated::Done),
                Operation::Transfer { shard, .. } => Err(format!("ERR there is no shard {shard}")),
                Operation::Move { shard, voters } => Ok(Operated::Decided(Decided {
                    epoch: 7,
                    shards: vec![(shard, voters)],
                    votes_moved: 1,
                    lower_bound: 1,
                    stuck: Vec::new(),
                })),
                Operation::Drain { node } => Ok(Operated::Decided(Decided {
                    epoch: node.len() as u64,
                    stuck: vec![3],
                    ..Decided::default()
                })),
                Operation::Balance { without } => Ok(Operated::Decided(Decided {
                    epoch: without.len() as u64,
                    ..Decided::default()
                })),
                Operation::Join { node } => Ok(Operated::Epoch(node.len() as u64)),
                Operation::Remove { node } => Err(format!("ERR `{node}` votes")),
                Operation::Nodes => Ok(Operated::Nodes(vec![
                    NodeState {
                        name: "a".to_string(),
                        place: Some(NodePlace {
                            replica: 10,
                            peer_address: "127.0.0.1:9".parse().expect("an address"),
                            client_address: "127.0.0.1:8".parse().expect("an address"),
                        }),
                        is_connected: true,
                        votes: 2,
                    },
                    NodeState { name: "b".to_string(), place: None, is_connected: false, votes: 0 },
                ])),
                Operation::Scrub { begin } => Ok(Operated::Scrub(ScrubStatus {
                    asked: u64::from(begin),
                    left: 3,
                    ..ScrubStatus::default()
                })),
                Operation::SnapshotBegin { shard } => Ok(Operated::Begun(SnapshotBegun {
                    token: "9.a.b".to_string(),
                    shard,
                    position: 8,
                    taken_ms: 7,
                    cluster: 6,
                    epoch: 5,
                    shard_count: 4,
                })),
                Operation::SnapshotNext { index: 2, .. } => Ok(Operated::Part(None)),
                Operation::SnapshotNext { token, index } => {
                    Ok(Operated::Part(Some(Bytes::from(format!("{token}/{index}")))))
                }
                Operation::SnapshotEnd { .. } => Err("NOSNAPSHOT it is gone".to_string()),
                Operation::Shards => Ok(Operated::Shards(vec![ShardState {
                    shard: 1,
                    leader: Some("a".to_string()),
                    voters_wanted: vec!["a".to_string()],
                    voters: vec!["a".to_string(), "b".to_string()],
                    learner: None,
                    lag_max: 4,
                }])),
            }
        })
    }

    fn keys_in_slot(&self, keyspace: u8, slot: u16, count_max: usize) -> Vec<Bytes> {
        let data = &self.data.borrow()[usize::from(keyspace)];
        // Who asks for a slot gets the keys of that length.
        data.keys().filter(|key| key.len() == usize::from(slot)).take(count_max).cloned().collect()
    }

    fn count_keys_in_slot(&self, keyspace: u8, slot: u16) -> usize {
        self.keys_in_slot(keyspace, slot, usize::MAX).len()
    }

    fn replicas_in_sync(&self, keyspace: u8) -> usize {
        if keyspace == 0 { 2 } else { 0 }
    }

    fn topology_generation(&self) -> u64 {
        1
    }

    fn topology(&self) -> Topology {
        self.topology_count.set(self.topology_count.get() + 1);
        let member = |number: u16| TopologyMember {
            name: format!("node-{number}"),
            id: format!("{number:040x}"),
            client_address: ([127, 0, 0, 1], 7000 + number).into(),
            peer_address: ([127, 0, 0, 1], 8000 + number).into(),
            connected: true,
        };
        Topology {
            epoch: 1,
            generation: 1,
            me: 0,
            members: (1..=3).map(member).collect(),
            shards: vec![TopologyShard { slots: 0..16384, leader: Some(0), voters: vec![0, 1, 2] }],
            redirect: false,
        }
    }

    fn status(&self) -> NodeStatus {
        let keyspace = |number: usize, name: &str| KeyspaceStatus {
            name: name.to_owned(),
            keys: self.data.borrow()[number].len() as u64,
            bytes_max: 1 << 20,
            ..KeyspaceStatus::default()
        };
        NodeStatus {
            name: "node-1".to_owned(),
            id: format!("{:040x}", 1),
            keyspaces: vec![keyspace(0, "default"), keyspace(1, "cache")],
            ..NodeStatus::default()
        }
    }
}
