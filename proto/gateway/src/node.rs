//! The node as the door's service. Translates; decides nothing.

use std::rc::Rc;

use bytes::Bytes;
use evenkeel_node::api::{
    Execution, Hint, KEYSPACE_CACHE, KEYSPACE_DEFAULT, NodeStatus, Operation, Order, Topology,
    Watched,
};
use evenkeel_node::node::Node;
use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command::{Command, OwnedCommand};
use evenkeel_wire::reply::{write_bulk, write_null};

use crate::service::{PendingOperation, PendingWatch, ReplyWriter, Service};

/// `Reply::OK` in wire format.
const OK: &[u8] = b"+OK\r\n";

impl Service for Node {
    fn execute(
        self: &Rc<Self>,
        keyspace: u8,
        arguments: &Arguments<'_>,
        command: &Command<'_>,
        order: &Order,
    ) -> Execution {
        Node::execute(self, keyspace, arguments, command, order)
    }

    #[inline]
    fn execute_into(
        self: &Rc<Self>,
        keyspace: u8,
        _arguments: &Arguments<'_>,
        command: &Command<'_>,
        order: &Order,
        writer: ReplyWriter<'_>,
    ) -> bool {
        match command {
            Command::Get { key } if keyspace == KEYSPACE_CACHE => {
                self.cache_get(key, |value| match value {
                    Some(value) => write_bulk(value, writer.output),
                    None => write_null(writer.protocol, writer.output),
                });
                true
            }
            Command::Set { key, value, options } if keyspace == KEYSPACE_CACHE => {
                let set = self.cache_set(key, value, *options);
                if set {
                    writer.output.extend_from_slice(OK);
                }
                set
            }
            Command::Get { key } if keyspace == KEYSPACE_DEFAULT => self
                .get_now(key, order, |value| match value {
                    Some(value) => write_bulk(value, writer.output),
                    None => write_null(writer.protocol, writer.output),
                })
                .is_some(),
            _ => false,
        }
    }

    #[inline]
    fn hint(&self, keyspace: u8, key: &[u8]) -> Option<Hint> {
        Node::hint(self, keyspace, key)
    }

    fn warm(&self, hints: &[Hint]) {
        Node::warm(self, hints);
    }

    fn transaction(
        self: &Rc<Self>,
        keyspace: u8,
        commands: Vec<OwnedCommand>,
        watches: &[Watched],
        order: &Order,
    ) -> Execution {
        Node::transaction(self, keyspace, commands, watches, order)
    }

    fn watch(self: &Rc<Self>, keyspace: u8, keys: Vec<Bytes>, order: &Order) -> PendingWatch {
        Box::pin(Node::watch(Rc::clone(self), keyspace, keys, order.clone()))
    }

    fn operate(self: &Rc<Self>, operation: Operation) -> PendingOperation {
        Box::pin(Node::operate(Rc::clone(self), operation))
    }

    fn keys_in_slot(&self, keyspace: u8, slot: u16, count_max: usize) -> Vec<Bytes> {
        Node::keys_in_slot(self, keyspace, slot, count_max).1
    }

    fn count_keys_in_slot(&self, keyspace: u8, slot: u16) -> usize {
        Node::keys_in_slot(self, keyspace, slot, 0).0
    }

    /// A strong write has a majority before its client hears of it: half of the voters, rounded down,
    /// beside the leader. Without any lag it is everybody who is connected.
    fn replicas_in_sync(&self, keyspace: u8) -> usize {
        if keyspace != KEYSPACE_DEFAULT {
            return 0;
        }
        let topology = Node::topology(self);
        let voters = topology.shards.iter().map(|shard| shard.voters.len()).min().unwrap_or(0);
        let connected = topology.members.iter().filter(|member| member.connected).count();
        let others = connected.saturating_sub(1).min(voters.saturating_sub(1));
        if Node::status(self).lag_max == 0 { others } else { others.min(voters / 2) }
    }

    fn topology_generation(&self) -> u64 {
        Node::topology_generation(self)
    }

    fn topology(&self) -> Topology {
        Node::topology(self)
    }

    fn status(&self) -> NodeStatus {
        Node::status(self)
    }
}
