//! What the door needs of the house behind it.
//!
//! The gateway is generic over this trait, for two reasons. A node with its disk, peers and elections
//! is too much to ask of a test about pipelining or `CLIENT KILL`; and the hot path is compiled into
//! the connection's loop, without a virtual call a command. The trait speaks of keyspaces, commands
//! and replies in the node's own types, and adds none: what it leaves out of `Node` is what the door
//! has no business with.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use evenkeel_node::api::{
    Execution, Hint, NodeStatus, Operated, Operation, Order, Topology, Watched,
};
use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command::{Command, OwnedCommand};
use evenkeel_wire::reply::{Protocol, Reply};

/// What `WATCH` saw of each key, once it is known. The error is the reply.
pub type PendingWatch = Pin<Box<dyn Future<Output = Result<Vec<Watched>, Reply>>>>;

/// What comes of an operator's request, once it is known. The error is the reply's text.
pub type PendingOperation = Pin<Box<dyn Future<Output = Result<Operated, String>>>>;

/// Where a reply may be written without making a `Reply` first.
#[derive(Debug)]
pub struct ReplyWriter<'a> {
    /// Append here, in wire format.
    pub output: &'a mut BytesMut,
    /// The protocol of the connection.
    pub protocol: Protocol,
}

/// See the module's text.
pub trait Service: 'static {
    /// Starts a data command, or carries it out at once. Never waits. `command` was parsed from
    /// `arguments`.
    fn execute(
        self: &Rc<Self>,
        keyspace: u8,
        arguments: &Arguments<'_>,
        command: &Command<'_>,
        order: &Order,
    ) -> Execution;

    /// Carries out a data command and writes its one reply, if that needs no waiting and is worth
    /// sparing a `Reply`; otherwise does nothing and returns false. The hot path tries this first.
    fn execute_into(
        self: &Rc<Self>,
        keyspace: u8,
        arguments: &Arguments<'_>,
        command: &Command<'_>,
        order: &Order,
        writer: ReplyWriter<'_>,
    ) -> bool {
        let _declined = (keyspace, arguments, command, order, writer);
        false
    }

    /// What `warm` needs to know of a key that a command is about to name; `None` if it is not worth
    /// knowing. Cheap, and touches nothing but the key.
    fn hint(&self, keyspace: u8, key: &[u8]) -> Option<Hint> {
        let _declined = (keyspace, key);
        None
    }

    /// Commands about these keys are about to come: fetches what they will read, all at once.
    fn warm(&self, hints: &[Hint]) {
        let _declined = hints;
    }

    /// Starts a transaction: all commands or none, none if a watched key has changed (the reply is
    /// then `NullArray`). Every command was parsed once already, and all are data commands.
    fn transaction(
        self: &Rc<Self>,
        keyspace: u8,
        commands: Vec<OwnedCommand>,
        watches: &[Watched],
        order: &Order,
    ) -> Execution;

    /// Looks at keys for `WATCH`.
    fn watch(self: &Rc<Self>, keyspace: u8, keys: Vec<Bytes>, order: &Order) -> PendingWatch;

    /// Does what an operator asks for.
    fn operate(self: &Rc<Self>, operation: Operation) -> PendingOperation;

    /// The keys of one slot that this node holds, in a stable order, at most `count_max`.
    fn keys_in_slot(&self, keyspace: u8, slot: u16, count_max: usize) -> Vec<Bytes>;

    /// How many keys of one slot this node holds.
    fn count_keys_in_slot(&self, keyspace: u8, slot: u16) -> usize;

    /// How many other members hold everything that this node's shards of the keyspace committed.
    fn replicas_in_sync(&self, keyspace: u8) -> usize;

    /// `Topology::generation`, without making the rest.
    fn topology_generation(&self) -> u64;

    /// Who owns which slots.
    fn topology(&self) -> Topology;

    /// What `INFO` tells about the house.
    fn status(&self) -> NodeStatus;
}
