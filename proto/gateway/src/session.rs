//! What one connection remembers between its commands.

use std::cell::RefCell;
use std::rc::Rc;

use evenkeel_node::api::{KEYSPACE_DEFAULT, Order, Watched};
use evenkeel_wire::command::OwnedCommand;
use evenkeel_wire::reply::Protocol;

/// Whether the client wants to be answered (`CLIENT REPLY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mute {
    /// Yes.
    #[default]
    Off,
    /// Not until it says so.
    On,
    /// Not to the next command.
    Next,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The keyspace that `SELECT` chose.
    pub(crate) keyspace: u8,
    pub(crate) protocol: Protocol,
    pub(crate) order: Order,
    pub(crate) mute: Mute,
    /// Commands since `MULTI`.
    pub(crate) transaction: Option<Transaction>,
    /// What `WATCH` saw; filled in as the answers come.
    pub(crate) watches: Watches,
    /// The connection closes once everything before this moment is answered.
    pub(crate) ended: bool,
}

/// Keys being watched. Shared with the `WATCH` commands in flight: `UNWATCH` and `EXEC` take a new
/// list, so that a late answer cannot slip into the next transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watches {
    pub(crate) seen: Rc<RefCell<Vec<Watched>>>,
    /// Keys asked about, answered or not.
    pub(crate) count: usize,
}

/// Commands queued since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) commands: Vec<Queued>,
    /// Their bytes.
    pub(crate) size: usize,
    /// A command was refused: `EXEC` will refuse them all.
    pub(crate) refused: bool,
}

/// One queued command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// For the service, all of them at once.
    Data(OwnedCommand),
    /// For the door: answered when `EXEC` comes.
    Local(OwnedCommand),
}

impl Session {
    /// As a connection starts; `RESET` returns here. Commands in flight keep their order.
    pub(crate) fn reset(&mut self) {
        self.keyspace = KEYSPACE_DEFAULT;
        self.protocol = Protocol::Resp2;
        self.mute = Mute::Off;
        self.transaction = None;
        self.watches = Watches::default();
    }

    /// Notes that a command was refused; inside `MULTI`, that refuses the transaction.
    pub(crate) fn note_refusal(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.refused = true;
        }
    }
}
