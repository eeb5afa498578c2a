//! Commands about all keys of a keyspace, one group at a time.
//!
//! `SCAN` walks hash slots: its cursor is the next slot, and a call answers whole slots. A key that is
//! there for the whole of an iteration is therefore returned, whatever happens to other keys meanwhile.

use std::ops::Range;

use bytes::Bytes;
use evenkeel_engine::store::Store;
use evenkeel_wire::command::Command;
use evenkeel_wire::glob;
use evenkeel_wire::reply::Reply;

use crate::command::scan::{self, Filter, Place};
use crate::config::ClusterMode;
use crate::node::Node;
use crate::views::{Write, is_over};

/// How many keys one log entry of a flush deletes at most.
const FLUSHED_COUNT_MAX: usize = 2048;
/// And how many bytes their names may have.
const FLUSHED_BYTES_MAX: usize = 512 * 1024;
/// The most slots that one call of `SCAN` looks at: an empty keyspace must not take a second.
const SCANNED_SLOTS_MAX: u16 = 1024;
/// So many keys of one slot come together, even if `COUNT` asks for fewer: each part of a slot looks at
/// all of its keys, and a `{tag}` may gather a million.
const SCANNED_TOGETHER: usize = 4_096;

impl Node {
    /// The groups that a command about all keys is about: every shard, or, where clients follow the
    /// leaders themselves and ask each of them, the shards led here.
    pub(crate) fn swept_groups(&self) -> Vec<u32> {
        (1..=self.config.cluster.shard_count).filter(|group| self.sweeps(*group)).collect()
    }

    /// The group in which a scan goes on that has come to a slot; `None`: there is nothing behind it.
    pub(crate) fn scanned_group(&self, slot: u16) -> Option<u32> {
        (self.group_of(slot)..=self.config.cluster.shard_count).find(|group| self.sweeps(*group))
    }

    fn sweeps(&self, group: u32) -> bool {
        self.config.mode == ClusterMode::Proxy || self.groups[group as usize].borrow().is_leader()
    }
}

/// Whether `evaluate` is the one to ask.
pub(crate) fn is_sweep(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Scan { .. }
            | Command::Keys { .. }
            | Command::RandomKey
            | Command::DbSize
            | Command::FlushDb
            | Command::FlushAll
    )
}

/// The reply for the keys in `slots`, and what it writes. A flush replies with how many keys it
/// deleted: it is done when that is 0.
pub(crate) fn evaluate(
    command: &Command<'_>,
    store: &Store,
    slots: Range<u16>,
    now_ms: u64,
) -> (Reply, Vec<Write>) {
    match *command {
        Command::Scan { cursor, pattern, count, kind } => {
            let filter = Filter::new(pattern, kind);
            (walk(store, slots, cursor, filter, count, now_ms), Vec::new())
        }
        Command::Keys { pattern } => {
            let keys = slots.flat_map(|slot| live(store, slot, now_ms));
            let keys = keys.filter(|key| glob::matches(pattern, key));
            (Reply::Array(keys.map(Reply::bulk).collect()), Vec::new())
        }
        Command::RandomKey => {
            let key = slots.flat_map(|slot| live(store, slot, now_ms)).next();
            (key.map_or(Reply::Null, Reply::bulk), Vec::new())
        }
        Command::DbSize => {
            let count = slots.map(|slot| live(store, slot, now_ms).count()).sum::<usize>();
            (Reply::Integer(count as i64), Vec::new())
        }
        Command::FlushDb | Command::FlushAll => {
            let writes = flush(store, slots);
            (Reply::Integer(writes.len() as i64), writes)
        }
        _ => (Reply::error("ERR not a command about all keys"), Vec::new()),
    }
}

fn walk(
    store: &Store,
    slots: Range<u16>,
    cursor: u64,
    filter: Filter<'_>,
    count: u64,
    now_ms: u64,
) -> Reply {
    let Some(start) = Place::of(cursor) else { return scan::reply(0, Vec::new()) };
    let mut place = start.max(Place::start(slots.start)); // It may have skipped other nodes' shards.
    let end = slots.end.min(place.slot.saturating_add(SCANNED_SLOTS_MAX));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (mut keys, mut looked_at) = (Vec::new(), 0);
    while place.slot < end && looked_at < count {
        let room = (count - looked_at).max(SCANNED_TOGETHER);
        let (part, last) = scan::next_part(live(store, place.slot, now_ms), place.hash, room);
        looked_at += part.len();
        keys.extend(part.into_iter().filter(|key| filter.shows(key)).map(Bytes::copy_from_slice));
        place = match last {
            Some(hash) => Place::behind(place.slot, hash),
            None => Place::start(place.slot + 1),
        };
    }
    scan::reply(place.cursor(), keys)
}

fn flush(store: &Store, slots: Range<u16>) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut bytes = 0;
    for slot in slots {
        for (key, _) in store.keys_in(slot) {
            if FLUSHED_COUNT_MAX == writes.len() || FLUSHED_BYTES_MAX < bytes + key.len() {
                return writes;
            }
            bytes += key.len();
            writes.push(Write::Delete { key: Bytes::copy_from_slice(key) });
        }
    }
    writes
}

fn live(store: &Store, slot: u16, now_ms: u64) -> impl Iterator<Item = &[u8]> {
    let there = store.keys_in(slot).filter(move |(_, found)| !is_over(found.expires_at_ms, now_ms));
    there.map(|(key, _)| key)
}
