//! The way of a command: which groups own its keys, who leads them, and what to do when nobody answers.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use evenkeel_core::placement::slots;
use evenkeel_engine::limits;
use evenkeel_runtime as runtime;
use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command::{Command, OwnedCommand};
use evenkeel_wire::reply::Reply;

use crate::api::{Execution, KEYSPACE_CACHE, KEYSPACE_DEFAULT, KEYSPACE_NAMES, Order, Watched};
use crate::command::scan;
use crate::command::scatter::{self, Plan, Split};
use crate::errand::Errand;
use crate::group::group_of;
use crate::lead::is_write;
use crate::node::Node;
use crate::order::{Entry, Kind, Turn};
use crate::request::{Request, Task};
use crate::sweep;

/// A request that is ready to run, in one or several groups.
enum Job {
    One(Request),
    /// One request per group, and how their replies become one.
    Many(Vec<Request>, Plan),
    /// The same sweep in every group.
    Sweep(OwnedCommand, Sweep),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sweep {
    Sum,
    Concatenate,
    FirstKey,
    Flush,
}

impl Node {
    /// Starts a data command. The reply is there at once if nothing has to be waited for.
    ///
    /// `order` belongs to the connection. What is not a data command gets a clear error.
    pub fn execute(
        self: &Rc<Node>,
        keyspace: u8,
        arguments: &Arguments<'_>,
        command: &Command<'_>,
        order: &Order,
    ) -> Execution {
        match keyspace {
            KEYSPACE_CACHE => Execution::Done(self.execute_cache(command)),
            KEYSPACE_DEFAULT => {
                let kind = if is_write(command) && !sweep::is_sweep(command) {
                    Kind::Write
                } else {
                    Kind::Read
                };
                match self.job(arguments, command) {
                    Ok(job) => self.begin(job, kind, order),
                    Err(refusal) => Execution::Done(refusal),
                }
            }
            _ => Execution::Done(unknown_keyspace(i64::from(keyspace))),
        }
    }

    /// Starts a transaction: all of the commands or none. The reply is an array, or the null array if
    /// a watched key has changed. In the `default` keyspace all keys must be of one hash slot.
    pub fn transaction(
        self: &Rc<Node>,
        keyspace: u8,
        commands: Vec<OwnedCommand>,
        watches: &[Watched],
        order: &Order,
    ) -> Execution {
        let watched = |of: u8| {
            let here = watches.iter().filter(move |watch| watch.keyspace == of);
            here.map(|watch| (watch.key.clone(), watch.version)).collect::<Vec<_>>()
        };
        if watches.iter().any(|watch| watch.keyspace != keyspace) {
            return Execution::Done(Reply::error(
                "ERR WATCH and EXEC must be in the same keyspace: SELECT it before WATCH",
            ));
        }
        if keyspace == KEYSPACE_CACHE {
            return Execution::Done(self.transaction_cache(&commands, &watched(keyspace)));
        }
        let watches = watched(keyspace);
        match self.transaction_slot(&commands, &watches) {
            Err(refusal) => Execution::Done(refusal),
            Ok(None) => {
                // No key at all: nothing to decide.
                let nothing = commands.iter().map(|_| Reply::Null).collect();
                Execution::Done(Reply::Array(nothing))
            }
            Ok(Some(slot)) => {
                let task = Task::Transaction { commands, watches };
                let request = Request { group: self.group_of(slot), task, stamp: None };
                self.begin(Job::One(request), Kind::Write, order)
            }
        }
    }

    /// The versions of keys, for `WATCH`: one entry a key, or the error to answer with.
    pub async fn watch(
        self: Rc<Node>,
        keyspace: u8,
        keys: Vec<Bytes>,
        order: Order,
    ) -> Result<Vec<Watched>, Reply> {
        let mut watched = Vec::with_capacity(keys.len());
        for key in keys {
            let version = if keyspace == KEYSPACE_CACHE {
                self.token_cache(&key)
            } else {
                let group = self.group_of(slots::slot(&key));
                let task = Task::Versions(vec![key.clone()]);
                let request = Request { group, task, stamp: None };
                let reply = match self.begin(Job::One(request), Kind::Read, &order) {
                    Execution::Done(reply) => reply,
                    Execution::Pending(reply) => reply.await,
                };
                match reply {
                    Reply::Array(versions) => match versions.first() {
                        Some(Reply::Integer(version)) => *version as u64,
                        _ => return Err(Reply::error("ERR another node sent a strange version")),
                    },
                    error => return Err(error),
                }
            };
            watched.push(Watched { keyspace, key, version });
        }
        Ok(watched)
    }

    fn job(&self, arguments: &Arguments<'_>, command: &Command<'_>) -> Result<Job, Reply> {
        check_limits(arguments)?;
        let owned = || OwnedCommand::new(arguments);
        let one = |group| Job::One(Request { group, task: Task::Command(owned()), stamp: None });
        match command {
            Command::Scan { cursor, .. } => {
                let place = scan::Place::of(*cursor);
                let place = place.ok_or_else(|| Reply::error("ERR invalid cursor"))?;
                match self.scanned_group(place.slot) {
                    Some(group) => Ok(one(group)),
                    None => Err(scan::reply(0, Vec::new())),
                }
            }
            Command::DbSize => Ok(Job::Sweep(owned(), Sweep::Sum)),
            Command::Keys { .. } => Ok(Job::Sweep(owned(), Sweep::Concatenate)),
            Command::RandomKey => Ok(Job::Sweep(owned(), Sweep::FirstKey)),
            Command::FlushDb | Command::FlushAll => Ok(Job::Sweep(owned(), Sweep::Flush)),
            _ => match scatter::split(command, |key| self.group_of(slots::slot(key))) {
                Split::NoKeys => Err(Reply::error("ERR this command is not about keys")),
                Split::One { shard } => Ok(one(shard)),
                Split::Refused(refusal) => Err(refusal),
                Split::Many { parts, plan } => {
                    let requests = parts.into_iter().map(|part| Request {
                        group: part.shard,
                        task: Task::Command(part.command),
                        stamp: None,
                    });
                    Ok(Job::Many(requests.collect(), plan))
                }
            },
        }
    }

    /// The one hash slot of a transaction's keys.
    pub(crate) fn transaction_slot(
        &self,
        commands: &[OwnedCommand],
        watches: &[(Bytes, u64)],
    ) -> Result<Option<u16>, Reply> {
        let mut slots: BTreeSet<u16> = watches.iter().map(|(key, _)| slots::slot(key)).collect();
        for owned in commands {
            let arguments = owned.arguments();
            let command = evenkeel_wire::command::parse(&arguments)
                .map_err(|error| Reply::error(error.to_string()))?;
            if sweep::is_sweep(&command) {
                return Err(Reply::error(
                    "ERR a command about all keys cannot be part of a transaction in the keyspace \
                     `default`",
                ));
            }
            check_limits(&arguments)?;
            slots.extend(slots_named(&command));
        }
        if slots.len() <= 1 {
            Ok(slots.first().copied())
        } else {
            Err(Reply::error("CROSSSLOT Keys in request don't hash to the same slot"))
        }
    }

    fn begin(self: &Rc<Node>, job: Job, kind: Kind, order: &Order) -> Execution {
        match order.enter(kind) {
            Entry::Now(turn) => match job {
                Job::One(request) => self.start_one(request, kind, turn),
                job => {
                    let node = Rc::clone(self);
                    Execution::Pending(Box::pin(async move {
                        let _turn = turn;
                        node.perform(job).await
                    }))
                }
            },
            Entry::Later(receiver) => {
                let node = Rc::clone(self);
                Execution::Pending(Box::pin(async move {
                    let _turn = receiver.await;
                    node.perform(job).await
                }))
            }
        }
    }

    /// The common case: the first try happens at once, and a lease read is answered by it.
    fn start_one(self: &Rc<Node>, request: Request, kind: Kind, turn: Turn) -> Execution {
        let mut errand = Errand::new(self, request, kind == Kind::Write);
        if let Some(reply) = errand.try_now() {
            return Execution::Done(reply);
        }
        errand.turn = Some(turn);
        Execution::Pending(Box::pin(errand.run()))
    }

    async fn perform(self: Rc<Node>, job: Job) -> Reply {
        match job {
            Job::One(request) => {
                let writes = request.needs_session();
                Errand::new(&self, request, writes).run().await
            }
            Job::Many(requests, plan) => {
                let writes = requests.first().is_some_and(Request::needs_session);
                let parts: Vec<_> = requests
                    .into_iter()
                    .map(|request| {
                        let errand = Errand::new(&self, request, writes);
                        runtime::spawn(errand.run())
                    })
                    .collect();
                let mut replies = Vec::with_capacity(parts.len());
                for part in parts {
                    replies.push(part.await.unwrap_or_else(gone));
                }
                scatter::merge(&plan, replies)
            }
            Job::Sweep(command, sweep) => self.sweep(command, sweep).await,
        }
    }

    async fn sweep(self: Rc<Node>, command: OwnedCommand, sweep: Sweep) -> Reply {
        let mut groups = self.swept_groups();
        let start = runtime::random_u64() as usize % groups.len().max(1);
        groups.rotate_left(start);
        let (mut sum, mut keys) = (0, Vec::new());
        for group in groups {
            loop {
                let task = Task::Command(command.clone());
                let request = Request { group, task, stamp: None };
                let reply = Errand::new(&self, request, sweep == Sweep::Flush).run().await;
                match (sweep, reply) {
                    (_, error @ Reply::Error(_)) => return error,
                    (Sweep::Flush, Reply::Integer(0)) => break,
                    (Sweep::Flush, _) => continue,
                    (Sweep::Sum, Reply::Integer(count)) => sum += count,
                    (Sweep::Concatenate, Reply::Array(more)) => keys.extend(more),
                    (Sweep::FirstKey, key @ Reply::Bulk(_)) => return key,
                    _ => (),
                }
                break;
            }
        }
        if sweep == Sweep::Flush && self.flushes_everything(&command) {
            self.flush_cache();
        }
        match sweep {
            Sweep::Sum => Reply::Integer(sum),
            Sweep::Concatenate => Reply::Array(keys),
            Sweep::FirstKey => Reply::Null,
            Sweep::Flush => Reply::OK,
        }
    }

    fn flushes_everything(&self, command: &OwnedCommand) -> bool {
        let arguments = command.arguments();
        matches!(evenkeel_wire::command::parse(&arguments), Ok(Command::FlushAll))
    }

    pub(crate) fn group_of(&self, slot: u16) -> u32 {
        group_of(slot, self.config.cluster.shard_count)
    }
}

impl Request {
    pub(crate) fn needs_session(&self) -> bool {
        match &self.task {
            Task::Command(owned) => {
                let arguments = owned.arguments();
                evenkeel_wire::command::parse(&arguments).is_ok_and(|command| is_write(&command))
            }
            Task::Transaction { .. } => true,
            Task::Versions(_)
            | Task::OpenSession { .. }
            | Task::Place(_)
            | Task::Transfer(_)
            | Task::Describe
            | Task::BackupBegin { .. }
            | Task::BackupNext { .. }
            | Task::BackupEnd { .. }
            | Task::Value { .. } => false,
        }
    }
}

/// The hash slots of a command's keys.
pub(crate) fn slots_named(command: &Command<'_>) -> BTreeSet<u16> {
    let slots = RefCell::new(BTreeSet::new());
    let _where = scatter::split(command, |key| {
        slots.borrow_mut().insert(slots::slot(key));
        0
    });
    slots.into_inner()
}

/// An argument larger than any value can be is refused before it costs anything.
fn check_limits(arguments: &Arguments<'_>) -> Result<(), Reply> {
    let (max, count) = (limits::VALUE_SIZE_MAX, arguments.count());
    for argument in arguments.list(1).iter() {
        if max < argument.len() {
            return Err(Reply::error(format!(
                "ERR value is {} bytes, the keyspace `default` allows {max} (`value_size_max`)",
                argument.len()
            )));
        }
    }
    let key = arguments.get(1).filter(|key| count > 1 && limits::KEY_SIZE_MAX < key.len());
    match key {
        Some(key) => Err(Reply::error(format!(
            "ERR key is {} bytes, at most {} are possible (`key_size_max`)",
            key.len(),
            limits::KEY_SIZE_MAX
        ))),
        None => Ok(()),
    }
}

/// Names the keyspaces there are.
pub fn unknown_keyspace(number: i64) -> Reply {
    Reply::error(format!(
        "ERR DB index is out of range: there is no keyspace {number}; 0 is `{}`, 1 is `{}`",
        KEYSPACE_NAMES[0], KEYSPACE_NAMES[1]
    ))
}

fn gone() -> Reply {
    Reply::error("ERR the node is stopping")
}
