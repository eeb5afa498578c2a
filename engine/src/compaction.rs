//! Giving the log's space back: which segments are worth emptying, and how one record is moved.
//!
//! ```text
//! choose victims ─► scan each, copy aside what the index refers to ─► mark the log
//!   ─► checkpoint: pages of what changed, each shard's state and open entries ─► commit
//!   ─► what was before the mark is found by its place only, and the victims are free
//! ```
//!
//! Invariant: a segment is given up only when a restart would come to an index that does not refer to
//! it. The checkpoint behind the moves is what makes that so: it needs no older record, so neither does
//! it need tombstones for what older records say. Whoever drives this owes it two things: between the
//! mark and the commit no entry that lies in a victim may still be waiting to be applied, and what a
//! checkpoint says of a shard is its state at one moment.
//!
//! All in here is pure but for the store and the log that it is handed.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::batch::{Batch, BatchBuilder, Operation};
use crate::bugs::{Bug, planted};
use crate::error::EngineError;
use crate::store::Store;
use crate::{Engine, Location, Record, RecordKind};

#[cfg(test)]
mod tests;

/// Below so many segments of room, space is made.
pub const ROOM_LOW_SEGMENTS: u64 = 5;
/// Below so many, clients may not put anything.
pub const ROOM_PUT_SEGMENTS: u64 = 4;
/// Below so many, they may not even delete: the rest is for moving values and for what the node itself
/// must write.
pub const ROOM_DELETE_SEGMENTS: u64 = 3;
/// Below so many, no more values are moved, so that the checkpoint behind them fits: it may need a new
/// segment in the log and one aside.
pub const ROOM_MOVE_SEGMENTS: u64 = 2;
/// The least segments that a log with a limit can work with.
pub const SEGMENT_COUNT_MIN: u64 = 12;
/// Replay of more than this, in segments, is worth a checkpoint.
const REPLAY_SEGMENTS_MAX: u64 = 16;
/// Changed keys that are kept in memory until the next checkpoint.
const CHANGED_COUNT_MAX: usize = 100_000;
/// A log without a limit is left alone until it has so many segments.
const SEGMENT_COUNT_IDLE: u64 = 8;
/// A segment fuller than this is not worth moving, in percent.
const VICTIM_LIVE_PERCENT_MAX: u64 = 95;

/// A segment that is no longer written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub segment: u32,
    /// Bytes.
    pub size: u64,
    /// Bytes that would have to be moved.
    pub live: u64,
    /// How long ago it was written: segments claimed since.
    pub age: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A checkpoint, so that a restart is quick and few changes are held in memory.
    Checkpoint,
    /// So many bytes of room more than there are.
    Space(u64),
}

/// The log as a planner sees it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// A new segment.
    pub segment_size: u64,
    /// All segments with records.
    pub used: u64,
    /// What the index refers to.
    pub live: u64,
    /// What can still be appended; `u64::MAX` if nothing limits it.
    pub room: u64,
    /// What a restart would replay.
    pub replay: u64,
    /// Changes of keys since the last checkpoint, about.
    pub changed: usize,
}

/// Decides whether anything is to be done.
pub fn need(situation: &Situation) -> Need {
    let Situation { segment_size, used, live, room, replay, changed } = *situation;
    let garbage = used.saturating_sub(live);
    let segments = |count: u64| count * segment_size;
    if room < segments(ROOM_LOW_SEGMENTS) && segment_size <= garbage {
        // More at once on larger logs, so that there are fewer checkpoints.
        let more = (used / segment_size / 32).max(1);
        return Need::Space(segments(ROOM_LOW_SEGMENTS + more) - room);
    }
    if segments(SEGMENT_COUNT_IDLE) <= used && used / 4 < garbage {
        return Need::Space((garbage - used / 5).min(segments(ROOM_LOW_SEGMENTS)));
    }
    if segments(REPLAY_SEGMENTS_MAX) < replay || CHANGED_COUNT_MAX < changed {
        return Need::Checkpoint;
    }
    Need::Nothing
}

/// Picks victims, best first, until `wanted` bytes would be gained: those that give the most space for
/// the least copying, and of these the oldest, since what is young may yet die by itself (Rosenblum
/// and Ousterhout, "The Design and Implementation of a Log-Structured File System", 1992, §3.5). Of the
/// age, the root: values that were moved are older than the segment that they are in, and less likely to
/// die than its age says. (Counted by `economy`: 3.93 times the bytes without the age, 3.22 with the age
/// itself, 2.99 with its root.) At most `moves_max` bytes are to be copied.
pub fn choose(candidates: &[Candidate], wanted: u64, moves_max: u64) -> Vec<u32> {
    let benefit = |candidate: &Candidate| {
        let Candidate { size, live, age, .. } = *candidate;
        let root = (u128::from(age + 1) << 20).isqrt();
        u128::from(size.saturating_sub(live)) * root / u128::from(size + live)
    };
    let worth =
        |candidate: &&Candidate| candidate.live * 100 <= candidate.size * VICTIM_LIVE_PERCENT_MAX;
    let mut sorted: Vec<&Candidate> = candidates.iter().filter(worth).collect();
    sorted.sort_by_key(|candidate| {
        // What costs nothing comes first.
        (candidate.live != 0, u128::MAX - benefit(candidate), candidate.segment)
    });
    let (mut gained, mut moved) = (0, 0);
    let mut victims = Vec::new();
    for candidate in sorted {
        let enough = wanted <= gained && candidate.live != 0;
        if enough || moves_max < moved + candidate.live {
            continue;
        }
        gained += candidate.size.saturating_sub(candidate.live);
        moved += candidate.live;
        victims.push(candidate.segment);
    }
    victims
}

/// What the planner has to know, read off an engine and its store. What is `spoiled` gives nothing back;
/// of the room, `owed` bytes are the next checkpoint's.
pub fn situation(engine: &Engine, store: &Store, spoiled: &BTreeSet<u32>, owed: u64) -> Situation {
    let start = engine.start_segment();
    let (mut used, mut replay) = (0, 0);
    for (segment, size) in engine.segments() {
        used += if spoiled.contains(&segment) { 0 } else { size };
        if start <= segment {
            replay += size;
        }
    }
    let live = store.live_bytes().iter().filter(|(segment, _)| !spoiled.contains(segment));
    Situation {
        segment_size: engine.segment_size(),
        used,
        live: live.map(|(_, live)| live).sum(),
        room: engine.room().saturating_sub(engine.room_granted()).saturating_sub(owed),
        replay,
        changed: store.change_count(),
    }
}

/// The victims to empty now, so that there are `wanted` bytes of room more; none of `spoiled`, which hold
/// what cannot be copied. `owed` as for `situation`.
pub fn victims(
    engine: &Engine,
    store: &Store,
    spoiled: &BTreeSet<u32>,
    owed: u64,
    wanted: u64,
) -> Vec<u32> {
    let current = [engine.log_segment(), engine.aside_segment()];
    let live = store.live_bytes();
    let newest = engine.segments().last().map_or(0, |(segment, _)| segment);
    let candidates: Vec<Candidate> = engine
        .segments()
        .filter(|(segment, _)| !current.contains(segment) && *segment < engine.log_segment())
        .filter(|(segment, _)| !spoiled.contains(segment))
        .map(|(segment, size)| {
            let live = live.get(&segment).copied().unwrap_or(0);
            Candidate { segment, size, live, age: u64::from(newest - segment) }
        })
        .collect();
    let reserve = ROOM_MOVE_SEGMENTS * engine.segment_size() + owed;
    choose(&candidates, wanted, engine.room().saturating_sub(reserve))
}

/// Copies aside what the index still refers to of a record that lies at `location`, and lets the index
/// refer to the copy. Doing it again does nothing. Returns the bytes copied.
///
/// `slots` are those of the record's stream.
///
/// # Errors
/// `Busy`, `Full`, `Failed`: what was not copied is where it was.
pub fn relocate(
    engine: &mut Engine,
    store: &mut Store,
    record: &Record<'_>,
    location: Location,
    slots: &Range<u16>,
    slot_of: fn(&[u8]) -> u16,
) -> Result<u64, EngineError> {
    match record.kind {
        RecordKind::State => return Ok(0), // What it says, a checkpoint says anew.
        RecordKind::Page => {
            if !store.has_page(slots, location) {
                return Ok(0);
            }
            let (_, to) = engine.append_aside(record)?;
            assert!(store.move_page(slots, location, to), "found just now");
            return Ok(u64::from(to.size));
        }
        RecordKind::Entry | RecordKind::Item | RecordKind::Moved => (),
    }
    let Ok(batch) = Batch::decode(record.payload) else { return Ok(0) };
    let mut bytes = 0;
    for (index, operation) in (0..).zip(batch.operations()) {
        let Operation::Put { key, value, .. } = operation else { continue };
        let (slot, from) = (slot_of(key), (location, index));
        if !slots.contains(&slot) || store.home(slot, key) != Some(from) {
            continue;
        }
        bytes += copy_aside(engine, store, record.stream, slot, (key, value), from)?;
    }
    Ok(bytes)
}

/// Writes the value of a key aside, and lets the index refer to that place in place of `from`. Returns the
/// bytes copied.
///
/// # Errors
/// `Busy`, `Full`, `Failed`: nothing has changed.
///
/// # Panics
/// The key's place is not `from`.
pub fn copy_aside(
    engine: &mut Engine,
    store: &mut Store,
    stream: u32,
    slot: u16,
    (key, value): (&[u8], &[u8]),
    from: (Location, u32),
) -> Result<u64, EngineError> {
    let found = store.peek(slot, key).expect("it has a home");
    let mut copy = BatchBuilder::new(&[]);
    copy.put(key, value, found.expires_at_ms);
    let payload = copy.finish();
    let moved = Record {
        kind: RecordKind::Moved,
        stream,
        position: found.version,
        stamp: [0, 0],
        commit: 0,
        payload: &payload,
    };
    let (_, to) = engine.append_aside(&moved)?;
    // With the bug, all values of a record are taken to be where its first one went.
    let to_index = if planted(Bug::CompactionDropsLive) { from.1 } else { 0 };
    assert!(store.move_home(slot, key, from, (to, to_index)), "found just now");
    Ok(u64::from(to.size))
}
