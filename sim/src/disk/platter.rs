//! What a disk remembers, and what a power cut leaves of it. No time, no waiting: plain state.
//!
//! ```text
//! begin(write) ──▶ in flight ──end──▶ in the drive's cache ──begin(flush)..end──▶ durable
//!                      │                        │
//!                      └──────── power_cut ─────┴──▶ of each 512-byte sector: there, or not
//! ```
//!
//! **Invariant.** What a completed flush covered survives everything but `rot`; what no flush covered
//! may survive in any part. Reads see the cache, like a page cache or a drive's own would show it.

use std::collections::BTreeMap;
use std::io;

use evenkeel_engine::disk::{Area, BLOCK_SIZE};

use crate::random::Random;

/// What a power cut tears apart, in bytes; a sector is written whole or not at all.
pub const SECTOR_SIZE: usize = 512;

/// A change on its way to the platter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// As `Operation::Create`.
    Create {
        /// The new area.
        area: Area,
        /// Bytes.
        size: u64,
    },
    /// As `Operation::Rename`.
    Rename {
        /// The area.
        area: Area,
        /// Its new name.
        to: Area,
    },
    /// As `Operation::Remove`.
    Remove {
        /// The area.
        area: Area,
    },
    /// As `Operation::Write`.
    Write {
        /// Where to.
        area: Area,
        /// First byte.
        offset: u64,
        /// Whole blocks.
        bytes: Vec<u8>,
    },
    /// As `Operation::Flush`.
    Flush {
        /// What to flush.
        area: Area,
    },
}

/// Names a change between `begin` and `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeId(u64);

/// How unkind a power cut is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tearing {
    /// What was not flushed is lost, whole.
    LoseAll,
    /// What had completed is there, even unflushed; what was in flight is lost.
    KeepAll,
    /// Each write keeps some sectors from its beginning.
    Prefix,
    /// Each write keeps any subset of its sectors; whole writes are lost while later ones survive.
    Shuffled,
}

impl Tearing {
    /// All there are.
    pub const ALL: &[Tearing] =
        &[Tearing::LoseAll, Tearing::KeepAll, Tearing::Prefix, Tearing::Shuffled];
}

/// What a power cut did, in counts of writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Writes of which nothing is left.
    pub lost: u32,
    /// Writes of which a part is left.
    pub torn: u32,
    /// Writes that survived although nobody had promised it.
    pub kept: u32,
    /// Writes that survived although an earlier one did not.
    pub reordered: u32,
}

/// How a block goes bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rot {
    /// One bit is turned over.
    Flip,
    /// One sector reads as zeros.
    Zero,
    /// A whole block holds what belongs to another one of the same area: a write went astray.
    Misdirect,
    /// A whole block is as it was before it was written last: a write was reported, flushed, and lost.
    Stale,
}

impl Rot {
    /// All there are.
    pub const ALL: &[Rot] = &[Rot::Flip, Rot::Zero, Rot::Misdirect, Rot::Stale];
}

type Block = [u8; BLOCK_SIZE];

#[derive(Debug, Clone, Default)]
struct Ground {
    size: u64,
    /// Blocks that were written.
    durable: BTreeMap<u64, Box<Block>>,
    /// What was there before, of those that were written more than once.
    previous: BTreeMap<u64, Box<Block>>,
    /// The flush that made each durable, by its number.
    settled: BTreeMap<u64, u64>,
    /// Those that went bad and were not written since.
    bad: BTreeMap<u64, Rot>,
}

impl Ground {
    fn new(size: u64) -> Ground {
        Ground { size, ..Ground::default() }
    }
}

/// Only what so many later flushes were built upon goes bad: the log says of its earlier parts how far
/// they reach, so that damage there is noticed. At its very end damage looks like a torn write, no log can
/// tell the two apart, and what a replica had promised there would be forgotten: an alarm, and no bug.
const FLUSHES_BEHIND_MIN: u64 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    InFlight,
    /// Visible to reads; the number orders completions.
    Cached(u64),
    /// Visible to reads, but no flush will ever make it durable: an earlier flush has failed on it.
    Doomed(u64),
    /// Reported as failed: anything may have become of it.
    Failed,
}

#[derive(Debug, Clone)]
struct Pending {
    change: Change,
    stage: Stage,
    /// Of a flush: the writes that it will make durable.
    covers: Vec<ChangeId>,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Platter {
    areas: BTreeMap<Area, Ground>,
    pending: BTreeMap<ChangeId, Pending>,
    next: u64,
    /// Flushes that made something durable.
    flush_count: u64,
}

impl Platter {
    /// An empty disk.
    pub fn new() -> Platter {
        Platter::default()
    }

    /// What exists, with sizes in bytes.
    pub fn areas(&self) -> Vec<(Area, u64)> {
        self.areas.iter().map(|(&area, ground)| (area, ground.size)).collect()
    }

    /// Bytes of all areas.
    pub fn size(&self) -> u64 {
        self.areas.values().map(|ground| ground.size).sum()
    }

    /// A change leaves for the platter.
    ///
    /// # Errors
    /// It names an area that does not exist (or, to create, that does), or goes beyond its end.
    pub fn begin(&mut self, change: Change) -> io::Result<ChangeId> {
        let covers = self.admit(&change)?;
        let id = ChangeId(self.next);
        self.next += 1;
        self.pending.insert(id, Pending { change, stage: Stage::InFlight, covers });
        Ok(id)
    }

    fn admit(&self, change: &Change) -> io::Result<Vec<ChangeId>> {
        match *change {
            Change::Create { area, size } => {
                assert!(size.is_multiple_of(BLOCK_SIZE as u64), "areas are whole blocks");
                let is_creating = |pending: &Pending| matches!(pending.change, Change::Create { area: other, .. } if other == area);
                if self.areas.contains_key(&area) || self.pending.values().any(is_creating) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                Ok(Vec::new())
            }
            Change::Rename { area, to } => {
                self.bounds(area, 0, 0)?;
                if self.areas.contains_key(&to) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                Ok(Vec::new())
            }
            Change::Remove { area } => {
                self.bounds(area, 0, 0)?;
                Ok(Vec::new())
            }
            Change::Write { area, offset, ref bytes } => {
                self.bounds(area, offset, bytes.len())?;
                Ok(Vec::new())
            }
            Change::Flush { area } => {
                self.bounds(area, 0, 0)?;
                let is_covered = |pending: &Pending| {
                    matches!(pending.stage, Stage::Cached(_))
                        && matches!(pending.change, Change::Write { area: other, .. } if other == area)
                };
                let covered = self.pending.iter().filter(|(_, pending)| is_covered(pending));
                Ok(covered.map(|(&id, _)| id).collect())
            }
        }
    }

    fn bounds(&self, area: Area, offset: u64, size: usize) -> io::Result<()> {
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64), "offsets are whole blocks");
        assert!(size.is_multiple_of(BLOCK_SIZE), "sizes are whole blocks");
        let ground = self.areas.get(&area).ok_or(io::ErrorKind::NotFound)?;
        if offset + size as u64 > ground.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The change is reported as done.
    pub fn end(&mut self, id: ChangeId) {
        let pending = self.pending.remove(&id).expect("it was begun, and not ended before");
        assert_eq!(pending.stage, Stage::InFlight, "a change ends once");
        match pending.change {
            Change::Create { area, size } => {
                let previous = self.areas.insert(area, Ground::new(size));
                assert!(previous.is_none(), "begin refuses an area that exists");
            }
            Change::Rename { area, to } => self.rename(area, to),
            Change::Remove { area } => self.remove(area),
            Change::Write { .. } => {
                let stage = Stage::Cached(self.next);
                self.next += 1;
                self.pending.insert(id, Pending { stage, ..pending });
            }
            Change::Flush { .. } => self.settle(pending.covers),
        }
    }

    /// Writes that no flush has covered go with the area.
    fn rename(&mut self, area: Area, to: Area) {
        let ground = self.areas.remove(&area).expect("begin refuses an area that is not there");
        let previous = self.areas.insert(to, ground);
        assert!(previous.is_none(), "begin refuses a name that is taken");
        for pending in self.pending.values_mut() {
            if let Change::Write { area: target, .. } = &mut pending.change
                && *target == area
            {
                *target = to;
            }
        }
    }

    fn remove(&mut self, area: Area) {
        self.areas.remove(&area).expect("begin refuses an area that is not there");
        let gone = |change: &Change| matches!(change, Change::Write { area: target, .. } if *target == area);
        self.pending.retain(|_, pending| !gone(&pending.change));
    }

    /// What a flush covered becomes durable, in the order in which it had completed.
    fn settle(&mut self, covers: Vec<ChangeId>) {
        let mut settled: Vec<(u64, Change)> = Vec::new();
        for id in covers {
            // Another flush may have settled it, or failed on it, in the meantime.
            if let Some(Pending { stage: Stage::Cached(completed), .. }) = self.pending.get(&id) {
                let completed = *completed;
                let pending = self.pending.remove(&id).expect("it was just there");
                settled.push((completed, pending.change));
            }
        }
        settled.sort_by_key(|(completed, _)| *completed);
        self.flush_count += u64::from(!settled.is_empty());
        for (_, change) in settled {
            let Change::Write { area, offset, bytes } = change else {
                unreachable!("a flush covers writes only");
            };
            self.put(area, offset, &bytes, |_| true);
        }
    }

    /// The change is reported as failed. A write may be there or not; what a flush covered is never
    /// safe again, though reads still show it: Linux marks the pages clean.
    pub fn fail(&mut self, id: ChangeId) {
        let mut pending = self.pending.remove(&id).expect("it was begun, and not ended before");
        for covered in std::mem::take(&mut pending.covers) {
            if let Some(covered) = self.pending.get_mut(&covered)
                && let Stage::Cached(completed) = covered.stage
            {
                covered.stage = Stage::Doomed(completed);
            }
        }
        if matches!(pending.change, Change::Write { .. }) {
            self.pending.insert(id, Pending { stage: Stage::Failed, ..pending });
        }
    }

    /// Whoever asked for this flush is gone: it promises nothing.
    pub fn abandon(&mut self, id: ChangeId) {
        let pending = self.pending.remove(&id).expect("it was begun, and not ended before");
        assert!(matches!(pending.change, Change::Flush { .. }), "only a flush can be abandoned");
    }

    /// Fills `buffer` with what a read shows now.
    ///
    /// # Errors
    /// As `begin`.
    pub fn read(&self, area: Area, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.bounds(area, offset, buffer.len())?;
        let ground = &self.areas[&area];
        for (block, out) in (offset / BLOCK_SIZE as u64..).zip(buffer.chunks_mut(BLOCK_SIZE)) {
            match ground.durable.get(&block) {
                Some(bytes) => out.copy_from_slice(&bytes[..]),
                None => out.fill(0),
            }
        }
        let mut cached: Vec<(u64, u64, &[u8])> = Vec::new();
        for pending in self.pending.values() {
            if let Stage::Cached(completed) | Stage::Doomed(completed) = pending.stage
                && let Change::Write { area: other, offset, bytes } = &pending.change
                && *other == area
            {
                cached.push((completed, *offset, bytes));
            }
        }
        cached.sort_unstable_by_key(|(completed, ..)| *completed);
        for (_, start, bytes) in cached {
            overlay(buffer, offset, bytes, start);
        }
        Ok(())
    }

    /// What is wrong with the blocks of a read, each with its kind.
    pub fn bad(&self, area: Area, offset: u64, size: usize) -> impl Iterator<Item = Rot> + '_ {
        let first = offset / BLOCK_SIZE as u64;
        let blocks = first..first + (size / BLOCK_SIZE) as u64;
        let bad = self.areas.get(&area).map(|ground| ground.bad.range(blocks));
        bad.into_iter().flatten().map(|(_, rot)| *rot)
    }

    /// A block of an area that holds something, for reads that go astray.
    pub fn any_block(&self, area: Area, random: &mut Random) -> Option<&[u8; BLOCK_SIZE]> {
        let durable = &self.areas.get(&area)?.durable;
        let blocks: Vec<u64> = durable.keys().copied().collect();
        (!blocks.is_empty()).then(|| &*durable[random.pick(&blocks)])
    }

    /// The machine loses power. Everything in flight or unflushed is decided, for good.
    pub fn power_cut(&mut self, tearing: Tearing, random: &mut Random) -> Cut {
        let mut cut = Cut::default();
        for pending in std::mem::take(&mut self.pending).into_values() {
            match pending.change {
                Change::Create { area, size } => self.cut_create(area, size, random),
                Change::Rename { area, to } => {
                    if random.coin() {
                        self.rename(area, to);
                    }
                }
                Change::Remove { area } => {
                    if random.coin() {
                        self.remove(area);
                    }
                }
                Change::Write { area, offset, bytes } => {
                    let sectors = bytes.len() / SECTOR_SIZE;
                    let kept = surviving(sectors, pending.stage, tearing, random);
                    let count = kept.iter().filter(|kept| **kept).count();
                    cut.reordered += u32::from(count > 0 && cut.lost > 0);
                    *(match count {
                        0 => &mut cut.lost,
                        count if count == sectors => &mut cut.kept,
                        _ => &mut cut.torn,
                    }) += 1;
                    self.put(area, offset, &bytes, |sector| kept[sector]);
                }
                Change::Flush { .. } => (),
            }
        }
        cut
    }

    /// An area that was being made: absent, complete, or too short.
    fn cut_create(&mut self, area: Area, size: u64, random: &mut Random) {
        let blocks = size / BLOCK_SIZE as u64;
        let size = match random.below(3) {
            0 => return,
            1 => size,
            _ => random.below(blocks) * BLOCK_SIZE as u64,
        };
        self.areas.insert(area, Ground::new(size));
    }

    /// One durable block goes bad that later flushes were built upon; tells where, if there is any, and
    /// if it is another one now.
    pub fn rot(&mut self, rot: Rot, random: &mut Random) -> Option<(Area, u64)> {
        let old = self.flush_count.saturating_sub(FLUSHES_BEHIND_MIN);
        let is_witnessed = |area: Area, block: &u64| {
            // Nothing says that a superblock was written again.
            let is_silent = rot == Rot::Stale && area == Area::Super;
            !is_silent && self.areas[&area].settled.get(block).is_some_and(|flush| *flush < old)
        };
        let written: Vec<(Area, u64)> = self
            .areas
            .iter()
            .flat_map(|(area, ground)| ground.durable.keys().map(|block| (*area, *block)))
            .filter(|(area, block)| is_witnessed(*area, block))
            .collect();
        if written.is_empty() {
            return None;
        }
        let (area, block) = *random.pick(&written);
        let ground = self.areas.get_mut(&area).expect("it was just listed");
        let before = ground.durable[&block].clone();
        let offset = ground.spoil(block, rot, random);
        if before == ground.durable[&block] {
            return None;
        }
        ground.bad.insert(block, rot);
        Some((area, block * BLOCK_SIZE as u64 + offset))
    }

    fn put(&mut self, area: Area, offset: u64, bytes: &[u8], keeps: impl Fn(usize) -> bool) {
        let flush = self.flush_count;
        let Some(ground) = self.areas.get_mut(&area) else { return };
        for (index, sector) in bytes.chunks(SECTOR_SIZE).enumerate() {
            if keeps(index) {
                let at = offset + (index * SECTOR_SIZE) as u64;
                let (block, within) = (at / BLOCK_SIZE as u64, at as usize % BLOCK_SIZE);
                if within == 0
                    && let Some(before) = ground.durable.get(&block)
                {
                    ground.previous.insert(block, before.clone());
                }
                let target = ground.durable.entry(block);
                let target = target.or_insert_with(|| Box::new([0; BLOCK_SIZE]));
                target[within..][..SECTOR_SIZE].copy_from_slice(sector);
                ground.settled.insert(block, flush);
                ground.bad.remove(&block);
            }
        }
    }
}

impl Ground {
    /// Makes a block bad; tells the first byte of it that may have changed.
    fn spoil(&mut self, block: u64, rot: Rot, random: &mut Random) -> u64 {
        let sector = random.below((BLOCK_SIZE / SECTOR_SIZE) as u64) as usize * SECTOR_SIZE;
        let other = match rot {
            Rot::Flip | Rot::Zero => {
                let bytes = self.durable.get_mut(&block).expect("it was just listed");
                let target = &mut bytes[sector..][..SECTOR_SIZE];
                if rot == Rot::Zero {
                    target.fill(0);
                } else {
                    target[random.below(SECTOR_SIZE as u64) as usize] ^= 1 << random.below(8);
                }
                return sector as u64;
            }
            Rot::Misdirect => {
                let blocks: Vec<u64> = self.durable.keys().copied().collect();
                self.durable[random.pick(&blocks)].clone()
            }
            Rot::Stale => {
                self.previous.get(&block).cloned().unwrap_or_else(|| Box::new([0; BLOCK_SIZE]))
            }
        };
        self.durable.insert(block, other);
        0
    }
}

/// Copies the part of `bytes` (which begin at `start`) that lies within `buffer` (at `offset`).
fn overlay(buffer: &mut [u8], offset: u64, bytes: &[u8], start: u64) {
    let (end, buffer_end) = (start + bytes.len() as u64, offset + buffer.len() as u64);
    let (from, to) = (start.max(offset), end.min(buffer_end));
    if from < to {
        buffer[(from - offset) as usize..(to - offset) as usize]
            .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
    }
}

fn surviving(sectors: usize, stage: Stage, tearing: Tearing, random: &mut Random) -> Vec<bool> {
    if matches!(stage, Stage::Doomed(_)) {
        return vec![false; sectors];
    }
    match tearing {
        Tearing::LoseAll => vec![false; sectors],
        Tearing::KeepAll => vec![matches!(stage, Stage::Cached(_)); sectors],
        Tearing::Prefix => {
            let kept = random.below(sectors as u64 + 1) as usize;
            (0..sectors).map(|sector| sector < kept).collect()
        }
        Tearing::Shuffled => match random.below(4) {
            0 => vec![false; sectors],
            1 => vec![true; sectors],
            _ => (0..sectors).map(|_| random.coin()).collect(),
        },
    }
}
