//! Commands on keys of several shards: taken apart, and their replies put together.
//!
//! The parts run on their own: `MGET`, `MSET`, `DEL`, `EXISTS` and `TOUCH` are atomic within a shard
//! and not across shards. What promises more (`MSETNX`, `RENAME`, `COPY`) is refused across shards.

use std::collections::BTreeMap;
use std::iter;

use evenkeel_wire::arguments::List;
use evenkeel_wire::command::{Command, OwnedCommand};
use evenkeel_wire::reply::Reply;

/// How the parts' replies become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Arrays become one array: for each part, where its elements go.
    Gather(Vec<Vec<u32>>),
    /// Integers are added up.
    Sum,
    /// All must be `OK`.
    AllOk,
}

/// Takes a command apart that names keys of several shards: what each shard gets, in the order in
/// which the command first names their keys, and how to `merge` the replies.
///
/// # Errors
/// The command promises to be atomic, or has nothing to take apart. The reply is for the client.
pub fn split(
    command: &Command<'_>,
    shard_of: impl Fn(&[u8]) -> u32,
) -> Result<(Vec<(u32, OwnedCommand)>, Plan), Reply> {
    let (name, drafts) = match *command {
        Command::MGet { keys } => ("MGET", scatter_keys(keys, &shard_of)),
        Command::Del { keys } => ("DEL", scatter_keys(keys, &shard_of)),
        Command::Exists { keys } => ("EXISTS", scatter_keys(keys, &shard_of)),
        Command::Touch { keys } => ("TOUCH", scatter_keys(keys, &shard_of)),
        Command::MSet { pairs } => {
            let items = pairs.iter().map(|(key, value)| (key, Some(value)));
            ("MSET", scatter(items, &shard_of))
        }
        Command::MSetNx { .. }
        | Command::Rename { .. }
        | Command::RenameNx { .. }
        | Command::Copy { .. } => {
            return Err(Reply::error("CROSSSLOT Keys in request don't hash to the same slot"));
        }
        _ => return Err(Reply::error("ERR this command does not name several keys")),
    };
    let part = |draft: &Draft<'_>| {
        let arguments: Vec<&[u8]> =
            iter::once(name.as_bytes()).chain(draft.arguments.iter().copied()).collect();
        (draft.shard, OwnedCommand::of(&arguments))
    };
    let parts = drafts.iter().map(part).collect();
    let plan = match command {
        Command::MGet { .. } => {
            Plan::Gather(drafts.into_iter().map(|draft| draft.positions).collect())
        }
        Command::MSet { .. } => Plan::AllOk,
        _ => Plan::Sum,
    };
    Ok((parts, plan))
}

/// Puts the replies of the parts together, in the parts' order. The first error
/// among them is the reply; the other parts may have had their effect.
///
/// # Panics
/// The count of replies is not that of the parts.
pub fn merge(plan: &Plan, replies: Vec<Reply>) -> Reply {
    if let Some(error) = replies.iter().find(|reply| reply.is_error()) {
        return error.clone();
    }
    let merged = match plan {
        Plan::Gather(positions) => gathered(positions, replies),
        Plan::Sum => replies.iter().map(as_integer).sum::<Option<i64>>().map(Reply::Integer),
        Plan::AllOk => replies.iter().all(|reply| *reply == Reply::OK).then_some(Reply::OK),
    };
    merged.unwrap_or_else(|| Reply::error("ERR a shard gave a reply of another command"))
}

/// What one shard gets, while it is being put together.
struct Draft<'a> {
    shard: u32,
    arguments: Vec<&'a [u8]>,
    /// Where in the command its keys stand.
    positions: Vec<u32>,
}

fn scatter_keys<'a>(keys: List<'a>, shard_of: impl Fn(&[u8]) -> u32) -> Vec<Draft<'a>> {
    scatter(keys.iter().map(|key| (key, None)), shard_of)
}

/// Deals keys, with the values that go with them, out to their shards.
fn scatter<'a>(
    items: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    shard_of: impl Fn(&[u8]) -> u32,
) -> Vec<Draft<'a>> {
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    let mut index_of: BTreeMap<u32, usize> = BTreeMap::new();
    for (position, (key, value)) in items.enumerate() {
        let shard = shard_of(key);
        let index = *index_of.entry(shard).or_insert(drafts.len());
        if index == drafts.len() {
            drafts.push(Draft { shard, arguments: Vec::new(), positions: Vec::new() });
        }
        let draft = &mut drafts[index];
        draft.arguments.push(key);
        draft.arguments.extend(value);
        draft.positions.push(position as u32);
    }
    drafts
}

/// `None` if the replies do not have the shape that the parts ask for.
fn gathered(positions: &[Vec<u32>], replies: Vec<Reply>) -> Option<Reply> {
    assert!(positions.len() == replies.len(), "one reply a part");
    let mut merged = vec![Reply::Null; positions.iter().map(Vec::len).sum()];
    for (positions, reply) in positions.iter().zip(replies) {
        let Reply::Array(values) = reply else { return None };
        if values.len() != positions.len() {
            return None;
        }
        for (&position, value) in positions.iter().zip(values) {
            merged[position as usize] = value;
        }
    }
    Some(Reply::Array(merged))
}

fn as_integer(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Integer(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
