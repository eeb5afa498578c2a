//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.
//!
//! ```text
//!            MULTI                    EXEC / DISCARD
//!   plain ──────────► queueing ───────────────────────► plain
//!                     │      ▲
//!                     └──────┘ a command: QUEUED, or refused, and then EXEC aborts
//! ```
//!
//! Data commands of one transaction go to the service together. What the door answers itself (`PING`,
//! `TIME`, `CLIENT ID`, …) is answered when `EXEC` comes and put in its place among the replies.

use std::rc::Rc;

use bytes::Bytes;
use evenkeel_node::api::Execution;
use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command::{self, ClientCommand, Command, OwnedCommand};
use evenkeel_wire::reply::Reply;

use super::{Outcome, Scene};
use crate::limits::{BUFFER_SIZE_KEPT, Limits};
use crate::service::Service;
use crate::session::{Queued, Session, Transaction, Watches};

const NOT_INSIDE: &str = "ERR Command not allowed inside a transaction";

pub(super) fn multi(session: &mut Session) -> Outcome {
    if session.transaction.is_some() {
        return Outcome::error("ERR MULTI calls can not be nested");
    }
    session.transaction = Some(Transaction::default());
    Outcome::Reply(Reply::OK)
}

pub(super) fn discard(session: &mut Session) -> Outcome {
    if session.transaction.take().is_none() {
        return Outcome::error("ERR DISCARD without MULTI");
    }
    session.watches = Watches::default();
    Outcome::Reply(Reply::OK)
}

pub(super) fn unwatch(session: &mut Session) -> Outcome {
    session.watches = Watches::default();
    Outcome::Reply(Reply::OK)
}

/// Looks at the keys; the reply comes once all have been seen.
pub(super) fn watch<S: Service>(scene: &mut Scene<'_, S>, keys: Vec<Bytes>) -> Outcome {
    let session = &mut *scene.session;
    if session.transaction.is_some() {
        return Outcome::error("ERR WATCH inside MULTI is not allowed");
    }
    let count_max = scene.door.limits().transaction_count_max;
    if count_max < session.watches.count + keys.len() {
        return Outcome::error(format!(
            "ERR more than {count_max} keys watched (`transaction_count_max`)"
        ));
    }
    session.watches.count += keys.len();
    let seen = Rc::clone(&session.watches.seen);
    let looking = scene.door.service.watch(session.keyspace, keys, &session.order);
    Outcome::Later(Box::pin(async move {
        match looking.await {
            Ok(watched) => {
                seen.borrow_mut().extend(watched);
                Reply::OK
            }
            Err(reply) => reply,
        }
    }))
}

/// Whether this command must go on the queue instead of being carried out.
#[inline]
pub(crate) fn is_queueing(session: &Session, command: &Command<'_>) -> bool {
    session.transaction.is_some()
        && !matches!(
            command,
            Command::Multi
                | Command::Exec
                | Command::Discard
                | Command::Watch { .. }
                | Command::Quit
                | Command::Reset
        )
}

/// Whether the next command has to wait for those in flight: a `WATCH` among them has not seen its
/// keys yet, and must see them as they were before whatever comes next.
#[inline]
pub(crate) fn must_wait(session: &Session) -> bool {
    session.watches.count != 0 && session.watches.seen.borrow().len() < session.watches.count
}

/// Puts a command on the queue; `size` is what it took on the wire, in bytes. The total is what all
/// clients have in large buffers and queues, in bytes.
pub(crate) fn queue(
    session: &mut Session,
    command: &Command<'_>,
    arguments: &Arguments<'_>,
    size: usize,
    (limits, total): (&Limits, u64),
) -> Outcome {
    let transaction = session.transaction.as_mut().expect("asked `is_queueing`");
    let all = transaction.size.max(total as usize) + size;
    let check = check_allowed(command).and_then(|()| check_room(transaction, size, all, limits));
    if let Err(text) = check {
        transaction.refused = true;
        return Outcome::error(text);
    }
    if !transaction.refused {
        let kept = OwnedCommand::new(arguments);
        transaction.size += size;
        transaction.commands.push(if super::is_data(command) {
            Queued::Data(kept)
        } else {
            Queued::Local(kept)
        });
    }
    Outcome::Reply(Reply::QUEUED)
}

fn check_room(
    transaction: &Transaction,
    size: usize,
    all_size: usize,
    limits: &Limits,
) -> Result<(), String> {
    if limits.transaction_count_max <= transaction.commands.len() {
        let max = limits.transaction_count_max;
        Err(format!("ERR more than {max} commands in a transaction (`transaction_count_max`)"))
    } else if limits.transaction_size_max < transaction.size + size {
        let max = limits.transaction_size_max;
        Err(format!("ERR a transaction is larger than {max} bytes (`transaction_size_max`)"))
    } else if BUFFER_SIZE_KEPT < transaction.size + size && limits.query_size_total_max < all_size {
        let max = limits.query_size_total_max;
        Err(format!(
            "OOM all clients' transactions and unfinished commands together exceed {max} bytes \
             (`query_size_total_max`), try again later"
        ))
    } else {
        Ok(())
    }
}

fn check_allowed(command: &Command<'_>) -> Result<(), String> {
    match command {
        Command::Scan { .. }
        | Command::Keys { .. }
        | Command::RandomKey
        | Command::DbSize
        | Command::FlushDb
        | Command::FlushAll => Err(format!(
            "{NOT_INSIDE}: it reaches every shard, and a transaction stays within one hash slot"
        )),
        Command::Hello(_)
        | Command::Auth { .. }
        | Command::Select { .. }
        | Command::Client(ClientCommand::Reply(_))
        | Command::DebugSleep { .. } => Err(NOT_INSIDE.to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn exec<S: Service>(scene: &mut Scene<'_, S>) -> Outcome {
    let Some(transaction) = scene.session.transaction.take() else {
        return Outcome::error("ERR EXEC without MULTI");
    };
    let watches = std::mem::take(&mut scene.session.watches);
    if transaction.refused {
        return Outcome::error("EXECABORT Transaction discarded because of previous errors.");
    }
    let mut data = Vec::new();
    let mut local = Vec::new();
    for (place, queued) in transaction.commands.into_iter().enumerate() {
        match queued {
            Queued::Data(command) => data.push(command),
            Queued::Local(command) => local.push((place, answer_local(scene, &command))),
        }
    }
    let watched = watches.seen.take();
    if data.is_empty() && watched.is_empty() {
        return Outcome::Reply(merge(Reply::Array(Vec::new()), local));
    }
    let session = &mut *scene.session;
    let execution =
        scene.door.service.transaction(session.keyspace, data, &watched, &session.order);
    match execution {
        Execution::Done(reply) => Outcome::Reply(merge(reply, local)),
        Execution::Pending(pending) if local.is_empty() => Outcome::Later(pending),
        Execution::Pending(pending) => {
            Outcome::Later(Box::pin(async move { merge(pending.await, local) }))
        }
    }
}

fn answer_local<S: Service>(scene: &mut Scene<'_, S>, kept: &OwnedCommand) -> Reply {
    let arguments = kept.arguments();
    let command = match command::parse(&arguments) {
        Ok(command) => command,
        Err(error) => return Reply::error(error.to_string()),
    };
    let mut scene = Scene {
        door: scene.door,
        client: scene.client,
        session: &mut *scene.session,
        arguments: &arguments,
    };
    match super::answer(&mut scene, &command) {
        Outcome::Reply(reply) => reply,
        Outcome::Encoded(encoded) => decoded(&encoded),
        Outcome::Later(_) | Outcome::Nothing => unreachable!("refused when it was queued"),
    }
}

/// A cached reply as a value again: rare enough that one more pass over it does not matter.
fn decoded(encoded: &[u8]) -> Reply {
    let limits = evenkeel_wire::reply::Limits::default();
    match evenkeel_wire::reply::decode(encoded, &limits) {
        Ok(Some((reply, _))) => reply,
        Ok(None) | Err(_) => unreachable!("we encoded it"),
    }
}

/// Puts the door's replies in their places. A transaction that did not happen stays as it is.
fn merge(reply: Reply, local: Vec<(usize, Reply)>) -> Reply {
    let Reply::Array(mut replies) = reply else { return reply };
    for (place, reply) in local {
        replies.insert(place.min(replies.len()), reply);
    }
    Reply::Array(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doors_replies_stand_where_their_commands_stood() {
        let data = Reply::Array(vec![Reply::Integer(1), Reply::Integer(3)]);
        let local = vec![(0, Reply::Integer(0)), (2, Reply::Integer(2))];
        let expected = Reply::Array((0..4).map(Reply::Integer).collect());
        assert_eq!(merge(data, local.clone()), expected);
        assert_eq!(merge(Reply::NullArray, local), Reply::NullArray);
    }
}
