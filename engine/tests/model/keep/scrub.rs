//! A log whose disk rots while it runs, and that looks for it.

use evenkeel_engine::disk::memory::{MemoryDisk, SECTOR_SIZE};
use evenkeel_engine::disk::{Area, BLOCK_SIZE};
use evenkeel_engine::scrub::{Look, Lost, Pass};
use evenkeel_engine::{Event, Piece, compaction};

use super::{Journal, Keeper, SEGMENT_SIZE, SHARDS, Work, expected, shard_of, slot_of};
use crate::model::{Dress, Random};

const LIVES: u64 = 6;

/// Goal: after one pass with somebody who has the lost values, a restart finds everything, whatever was
/// damaged before. Method: a log that is compacted all the time, some damage in what is durable, a
/// pass that gets the values from the journal, a power cut that takes all that was not flushed.
/// Returns how many values were lost.
pub(crate) fn check_scrub(dress: Dress, seed: u64) -> Result<u64, String> {
    let mut random = Random::new(seed);
    let mut disk = MemoryDisk::new();
    let mut journal = Journal::default();
    let mut lost = 0;
    for life in 0..LIVES {
        let fail = |error: String| format!("{dress:?}, seed {seed}, life {life}: {error}");
        let mut keeper = Keeper::open(dress, &disk, journal).map_err(fail)?.ok_or("no power")?;
        for _ in 0..random.below(12) {
            keeper.live(&mut random, 20).map_err(fail)?;
        }
        keeper.write_anyway(&mut random).map_err(fail)?;
        keeper.settle().map_err(fail)?;
        let mut story = Vec::new();
        for _ in 0..random.below(4) {
            story.extend(rot(&disk, &keeper, &mut random));
        }
        lost += keeper.scrub(&mut random).map_err(fail)?;
        let fail = |error: String| fail(format!("{story:?}: {error}"));
        let again = keeper.scrub(&mut random).map_err(fail)?;
        if again != 0 {
            return Err(fail(format!("{again} values are lost once more")));
        }
        journal = keeper.journal;
        disk = disk.power_cut(|_, _| false);
    }
    let fail = |error: String| format!("{dress:?}, seed {seed}, at last: {error}");
    Keeper::open(dress, &disk, journal).map_err(fail)?;
    Ok(lost)
}

/// Goal: nobody goes through the keys of a log that is sound, and torn tails are not taken for losses.
/// Returns how many segments were looked at.
pub(crate) fn check_sound(dress: Dress, seed: u64) -> Result<Work, String> {
    let (mut random, mut disk) = (Random::new(seed), MemoryDisk::new());
    let (mut journal, mut work) = (Journal::default(), Work::default());
    for life in 0..8 {
        let fail = |error: String| format!("{dress:?}, seed {seed}, life {life}: {error}");
        let mut keeper = Keeper::open(dress, &disk, journal).map_err(fail)?.ok_or("no power")?;
        for _ in 0..4 {
            keeper.live(&mut random, 20).map_err(fail)?;
            let mut pass = Pass::begin(&keeper.engine, &keeper.store);
            while let Some(mut look) = pass.next(&keeper.engine, &keeper.store) {
                keeper.look(&mut look).map_err(fail)?;
                let is_gap = pass.took(&keeper.engine, &look);
                let lost = keeper.find_lost(&look);
                let is_torn = life != 0; // Lives before may have left half a chunk.
                if is_gap || !lost.is_empty() || (look.is_suspect(&keeper.store) && !is_torn) {
                    return Err(fail(format!("{look:?} is suspect, {lost:?}")));
                }
                work.cuts += 1;
            }
        }
        keeper.write_anyway(&mut random).map_err(fail)?;
        work.add(&keeper.engine);
        journal = keeper.journal;
        disk = disk.power_cut(|_, _| random.one_in(2));
    }
    Ok(work)
}

/// Damages a sector of what is durable, or every header of a segment.
fn rot(disk: &MemoryDisk, keeper: &Keeper, random: &mut Random) -> Option<String> {
    let segments: Vec<u32> = keeper.engine.segments().map(|(segment, _)| segment).collect();
    let segment = *segments.get(random.below(segments.len().max(1) as u64) as usize)?;
    let sectors = keeper.engine.durable_end(segment) / SECTOR_SIZE as u64;
    let at = random.below(sectors.max(1)) as usize * SECTOR_SIZE;
    let area = Area::Segment(segment);
    let sector = disk.bytes(area).get(at..at + SECTOR_SIZE)?.to_vec();
    // What was written is changed; where nothing is, nothing can be lost.
    let is_blank = sectors == 0 || sector.iter().all(|&byte| byte == 0);
    if is_blank {
        return None;
    }
    match random.below(4) {
        0 => disk.overwrite(area, at + 17, &[sector[17] ^ 4]),
        1 => disk.overwrite(area, at, &[0; SECTOR_SIZE]),
        2 => {
            let garbage: Vec<u8> = (0..SECTOR_SIZE).map(|_| random.next() as u8).collect();
            disk.overwrite(area, at, &garbage);
        }
        _ => {
            // All headers: nothing is known of the segment after a restart.
            for block in (0..keeper.engine.durable_end(segment) as usize).step_by(BLOCK_SIZE) {
                disk.overwrite(area, block, &[0x55; SECTOR_SIZE]);
            }
        }
    }
    Some(format!("segment {segment} at {at}"))
}

impl Keeper {
    /// One pass; what is lost comes from the journal. Returns how many values were.
    fn scrub(&mut self, random: &mut Random) -> Result<u64, String> {
        let (mut count, mut pages, mut is_broken) = (0, 0, false);
        let mut pass = Pass::begin(&self.engine, &self.store);
        while let Some(mut look) = pass.next(&self.engine, &self.store) {
            self.look(&mut look)?;
            is_broken |= pass.took(&self.engine, &look) || look.is_broken(&self.engine);
            if look.is_suspect(&self.store) {
                self.engine.pass_by(look.segment());
                pages += self.store.replace_pages(look.segment(), |page| look.has(page));
                for lost in self.find_lost(&look) {
                    self.mend(&lost)?;
                    count += 1;
                }
            }
        }
        if is_broken || pass.is_short(&self.engine) || pages != 0 || count != 0 {
            // As far as one may write, there may be more to do.
            self.checkpoint(Vec::new(), random)?;
            self.settle()?;
            while self.store.has_spoiled_pages() {
                self.checkpoint(Vec::new(), random)?;
                self.settle()?;
            }
        }
        Ok(count)
    }

    fn look(&mut self, look: &mut Look) -> Result<(), String> {
        while let Some(offset) = look.next() {
            let piece = self.piece(look.segment(), offset)?;
            look.take(&piece, &self.store, |stream| SHARDS[stream as usize].clone(), slot_of);
        }
        Ok(())
    }

    fn piece(&mut self, segment: u32, offset: u64) -> Result<Piece, String> {
        self.engine.scan(segment, offset);
        let scanned = self.settle()?.into_iter().find_map(|event| match event {
            Event::Scanned { piece, .. } => Some(piece),
            _ => None,
        });
        scanned.ok_or_else(|| "there is power".to_owned())
    }

    fn find_lost(&self, look: &Look) -> Vec<Lost> {
        (0..100).flat_map(|slot| look.lost_in(&self.store, slot)).collect()
    }

    /// Gets a value from the journal.
    fn mend(&mut self, lost: &Lost) -> Result<(), String> {
        let number = shard_of(&lost.key);
        let applied = &self.journal.writes[number][..lost.version as usize];
        let (version, value, _) =
            expected(applied).remove(&lost.key[..]).ok_or("the journal has no such value")?;
        assert_eq!(version, lost.version, "{lost:?}");
        if self.engine.room() < compaction::ROOM_MOVE_SEGMENTS * SEGMENT_SIZE {
            return Err("there is no room to mend anything".to_owned());
        }
        let (engine, store, entry) =
            (&mut self.engine, &mut self.store, (&lost.key[..], &value[..]));
        compaction::copy_aside(engine, store, number as u32, lost.slot, entry, lost.home)
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
