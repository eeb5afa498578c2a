//! Commands on keys of several shards: taken apart, and their replies put together.
//!
//! The parts run on their own: `MGET`, `MSET`, `DEL`, `EXISTS` and `TOUCH` are atomic within a shard
//! and not across shards. What promises more (`MSETNX`, `RENAME`, `COPY`) is refused across shards.

use std::collections::BTreeMap;

use evenkeel_wire::arguments::List;
use evenkeel_wire::command::{Command, OwnedCommand};
use evenkeel_wire::reply::Reply;

/// Where a command goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Split {
    /// It names no keys: it is about a whole keyspace, the connection or the server.
    NoKeys,
    /// To one shard, as it is.
    One {
        /// The shard.
        shard: u32,
    },
    /// To several shards, in parts.
    Many {
        /// At least two, in the order in which the command first names their keys.
        parts: Vec<Part>,
        /// For `merge`.
        plan: Plan,
    },
    /// It would have to be atomic across shards. The error for the client.
    Refused(Reply),
}

/// What one shard gets of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The shard.
    pub shard: u32,
    /// The same command with the shard's keys only, in their order.
    pub command: OwnedCommand,
}

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

/// Says where a command goes. `shard_of` a key must not change meanwhile.
pub fn split<'a>(command: &Command<'a>, shard_of: impl Fn(&[u8]) -> u32) -> Split {
    use Command as C;
    match *command {
        C::MGet { keys } => scatter(b"MGET", items_of_keys(keys), &shard_of, Plan::Gather),
        C::Del { keys } => scatter(b"DEL", items_of_keys(keys), &shard_of, |_| Plan::Sum),
        C::Exists { keys } => scatter(b"EXISTS", items_of_keys(keys), &shard_of, |_| Plan::Sum),
        C::Touch { keys } => scatter(b"TOUCH", items_of_keys(keys), &shard_of, |_| Plan::Sum),
        C::MSet { pairs } => {
            let items = pairs.iter().map(|(key, value)| Item { key, value: Some(value) });
            scatter(b"MSET", items, &shard_of, |_| Plan::AllOk)
        }
        C::MSetNx { pairs } => together(pairs.iter().map(|(key, _)| key), &shard_of),
        C::Rename { from, to } | C::RenameNx { from, to } | C::Copy { from, to, .. } => {
            together([from, to].into_iter(), &shard_of)
        }
        C::Get { key }
        | C::Set { key, .. }
        | C::SetNx { key, .. }
        | C::GetDel { key }
        | C::GetEx { key, .. }
        | C::Append { key, .. }
        | C::StrLen { key }
        | C::GetRange { key, .. }
        | C::SetRange { key, .. }
        | C::IncrBy { key, .. }
        | C::IncrByFloat { key, .. }
        | C::Expire { key, .. }
        | C::Ttl { key }
        | C::PTtl { key }
        | C::ExpireTime { key }
        | C::PExpireTime { key }
        | C::Persist { key }
        | C::Type { key }
        | C::Object { key, .. }
        | C::MemoryUsage { key } => Split::One { shard: shard_of(key) },
        _ => Split::NoKeys,
    }
}

/// Puts the replies of `Split::Many` together; `replies` in the order of the parts. The first error
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

/// A key as the command names it, with the value that goes with it.
struct Item<'a> {
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

fn items_of_keys<'a>(keys: List<'a>) -> impl Iterator<Item = Item<'a>> {
    keys.iter().map(|key| Item { key, value: None })
}

/// What one shard gets, while it is being put together.
struct Draft<'a> {
    shard: u32,
    arguments: Vec<&'a [u8]>,
    /// Where in the command its keys stand.
    positions: Vec<u32>,
}

fn scatter<'a>(
    name: &'static [u8],
    items: impl Iterator<Item = Item<'a>>,
    shard_of: &impl Fn(&[u8]) -> u32,
    plan: impl Fn(Vec<Vec<u32>>) -> Plan,
) -> Split {
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    let mut index_of: BTreeMap<u32, usize> = BTreeMap::new();
    for (position, item) in items.enumerate() {
        let shard = shard_of(item.key);
        let index = *index_of.entry(shard).or_insert(drafts.len());
        if index == drafts.len() {
            drafts.push(Draft { shard, arguments: vec![name], positions: Vec::new() });
        }
        let draft = &mut drafts[index];
        draft.arguments.push(item.key);
        draft.arguments.extend(item.value);
        draft.positions.push(position as u32);
    }
    match &drafts[..] {
        [] => Split::NoKeys,
        [only] => Split::One { shard: only.shard },
        _ => {
            let parts = drafts.iter().map(Draft::part).collect();
            Split::Many { parts, plan: plan(drafts.into_iter().map(|it| it.positions).collect()) }
        }
    }
}

impl Draft<'_> {
    fn part(&self) -> Part {
        Part { shard: self.shard, command: OwnedCommand::of(&self.arguments) }
    }
}

fn together<'a>(
    mut keys: impl Iterator<Item = &'a [u8]>,
    shard_of: &impl Fn(&[u8]) -> u32,
) -> Split {
    let Some(shard) = keys.next().map(shard_of) else { return Split::NoKeys };
    if keys.all(|key| shard_of(key) == shard) {
        Split::One { shard }
    } else {
        Split::Refused(Reply::error("CROSSSLOT Keys in request don't hash to the same slot"))
    }
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
