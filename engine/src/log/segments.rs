//! Which segments there are, who wrote them, when the next one must be had, and from where.
//!
//! ```text
//! made anew ─┐
//!            ├─► spare ─► claimed: written, then only read ─► free: its file waits for a new number
//! renamed  ──┘                                                  │
//!    ▲──────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariant: numbers only grow, and a number is claimed once. So a place in the log never means two
//! things, and what is written into a file's next life has another number in its checksums. Before that
//! it begins with a block of zeros: what the file held before may have rotted, and would not be told from
//! a first chunk that has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::bugs::{Bug, planted};
use crate::compaction::{ROOM_DELETE_SEGMENTS, ROOM_LOW_SEGMENTS, SEGMENT_COUNT_MIN};
use crate::disk::{Area, BLOCK_SIZE, Buffer, Operation};
use crate::error::EngineError;

/// Files kept for reuse where nothing limits the log, beyond the eighth part of it; more are removed.
const FREE_COUNT_MIN: usize = 4;
/// Where nothing limits the log the disk may fill up without notice: segments kept in reserve, one for
/// two that are in use, until there are so many. It is with these that space is given back then.
const RESERVE_COUNT_MAX: u64 = ROOM_LOW_SEGMENTS;
/// A disk that was full is tried again at every so many calls of `look_again`: making a file on a disk
/// that is almost full is dear.
const LOOK_AGAIN_CALLS: u32 = 64;
/// The same while somebody waits for room.
const LOOK_AGAIN_CALLS_AWAITED: u32 = 8;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Segments {
    /// Sizes in bytes, of those that exist and are not free.
    sizes: BTreeMap<u32, u64>,
    /// Whose records are in a segment: each one is written by a single incarnation.
    incarnations: BTreeMap<u32, u64>,
    /// Those whose files had another life.
    recycled: BTreeSet<u32>,
    /// Files that nobody needs, with their sizes.
    free: BTreeMap<u32, u64>,
    /// The highest number claimed.
    frontier: u32,
    size_new: u64,
    /// 0: no limit.
    size_max: u64,
    /// The limit as it is now: above `size_max` while what crashes left behind is being given back.
    size_limit: u64,
    /// Of the room, what was spoken for when the log was opened.
    owed: u64,
    making: Option<Making>,
    removing: Option<u32>,
    /// The last attempt failed for want of room.
    refused: bool,
    /// Try once more.
    retry: bool,
    /// Someone found no room since it was last tried.
    awaited: bool,
    /// Calls of `look_again` since then.
    looks: u32,
}

/// A segment on its way: made, or out of a free file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Making {
    segment: u32,
    size: u64,
    from: Option<u32>,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The file gets its name.
    Named,
    /// It has it, and is to begin with zeros.
    Renamed,
    /// The zeros are being written.
    Blanked,
}

impl Segments {
    pub(super) fn new(
        sizes: BTreeMap<u32, u64>,
        incarnations: BTreeMap<u32, u64>,
        size_new: u64,
        size_max: u64,
    ) -> Segments {
        Segments {
            frontier: incarnations.keys().next_back().copied().unwrap_or(0),
            sizes,
            incarnations,
            recycled: BTreeSet::new(),
            free: BTreeMap::new(),
            size_new,
            size_max,
            size_limit: size_max,
            owed: 0,
            making: None,
            removing: None,
            refused: false,
            retry: false,
            awaited: false,
            looks: 0,
        }
    }

    pub(super) fn exists(&self, segment: u32) -> bool {
        self.sizes.contains_key(&segment)
    }

    /// The size of a segment, or the size that it will have.
    pub(super) fn size(&self, segment: u32) -> u64 {
        self.sizes.get(&segment).copied().unwrap_or(self.size_new)
    }

    /// The least that the current segment or a new one can hold, in bytes.
    pub(super) fn size_min(&self) -> u64 {
        self.size_new
    }

    /// Whose records are in it.
    pub(super) fn incarnation(&self, segment: u32) -> Option<u64> {
        self.incarnations.get(&segment).copied()
    }

    /// Whether its file may hold remains of an earlier life.
    pub(super) fn is_recycled(&self, segment: u32) -> bool {
        self.recycled.contains(&segment)
    }

    /// Those with records in them that exist, in order, with their sizes in bytes.
    pub(super) fn claimed(&self) -> impl Iterator<Item = (u32, u64)> {
        let claimed =
            self.sizes.iter().filter(|(segment, _)| self.incarnations.contains_key(segment));
        claimed.map(|(&segment, &size)| (segment, size))
    }

    /// Those that exist and may have been written to, whatever is known of them.
    pub(super) fn used(&self) -> impl Iterator<Item = u32> {
        self.sizes.range(..=self.frontier).map(|(&segment, _)| segment)
    }

    pub(super) fn count(&self) -> u64 {
        (self.sizes.len() + self.free.len()) as u64
    }

    pub(super) fn free_count(&self) -> u64 {
        self.free.len() as u64
    }

    /// Free files included.
    pub(super) fn bytes(&self) -> u64 {
        self.sizes.values().sum::<u64>() + self.free.values().sum::<u64>()
    }

    pub(super) fn is_full(&self) -> bool {
        self.refused
    }

    /// Bytes in segments that nobody has claimed and in those that could still be had; `u64::MAX` if
    /// nothing is known to limit them.
    pub(super) fn room(&self) -> u64 {
        if self.size_max == 0 && !self.refused {
            return u64::MAX;
        }
        self.room_within(self.size_limit)
    }

    fn room_within(&self, limit: u64) -> u64 {
        let spare: u64 = self.spares().map(|(_, size)| size).sum();
        let free = self.free.len() as u64 * self.size_new;
        let new = if self.refused { 0 } else { limit.saturating_sub(self.bytes()) };
        let owed = self.unmade().count() as u64 * self.size_new;
        (spare + free + new / self.size_new * self.size_new).saturating_sub(owed)
    }

    /// How far the limit is exceeded for now, in bytes.
    pub(super) fn excess(&self) -> u64 {
        self.size_limit - self.size_max
    }

    /// To be called when the log has been opened. Each crash leaves a segment behind that is hardly
    /// used: without a little more than the limit, some of them in a row would leave nothing to give
    /// space back with. `owed` bytes of that are spoken for.
    pub(super) fn exceed_limit(&mut self, owed: u64) {
        self.owed = owed;
        let least = ROOM_DELETE_SEGMENTS * self.size_new + owed;
        let works = SEGMENT_COUNT_MIN * self.size_new <= self.size_max;
        if works && self.room() < least {
            let short = (least - self.room()).next_multiple_of(self.size_new);
            let new = self.size_limit.saturating_sub(self.bytes());
            self.size_limit = self.bytes() + new + short;
        }
    }

    /// The limit holds again as far as there is room without exceeding it.
    fn lower_limit(&mut self) {
        let lower = self.size_max.max(self.bytes());
        let enough = ROOM_LOW_SEGMENTS * self.size_new + self.owed;
        if lower < self.size_limit && enough <= self.room_within(lower) {
            self.size_limit = lower;
        }
    }

    /// A segment for `incarnation` to write into, which exists or will be had.
    ///
    /// # Errors
    /// `Full`: there is no room for it.
    pub(super) fn claim(&mut self, incarnation: u64) -> Result<u32, EngineError> {
        let spare = self.spares().next();
        let segment = match spare {
            Some((segment, _)) => segment,
            None if self.room() < self.size_new => {
                let limited = !self.may_grow();
                self.awaited = true;
                self.refused |= limited;
                let max = if limited { self.size_max } else { 0 };
                return Err(EngineError::Full { used: self.bytes(), max });
            }
            None => self.next_number(),
        };
        assert!(self.frontier < segment, "a number is claimed once");
        self.frontier = segment;
        self.incarnations.insert(segment, incarnation);
        Ok(segment)
    }

    /// What to do next to have segments in time, if anything: make or rename one when it is owed, or
    /// when none is spare and `used` bytes of `current` are more than half of it.
    pub(super) fn work(&mut self, current: u32, used: u64) -> Option<(u32, Operation)> {
        if self.making.is_none()
            && let Some(making) = self.next_making(current, used)
        {
            self.making = Some(making);
            let Making { segment, size, from, .. } = making;
            let area = Area::Segment(segment);
            return Some(match from {
                Some(free) => (segment, Operation::Rename { area: Area::Segment(free), to: area }),
                None => {
                    self.retry = false;
                    (segment, Operation::Create { area, size })
                }
            });
        }
        if let Some(making) = self.making.as_mut().filter(|making| making.step == Step::Renamed) {
            making.step = Step::Blanked;
            let (area, offset) = (Area::Segment(making.segment), 0);
            let buffer = Buffer::zeroed(BLOCK_SIZE);
            return Some((making.segment, Operation::Commit { area, offset, buffer }));
        }
        self.lower_limit();
        if self.removing.is_none()
            && let Some(surplus) = self.surplus()
        {
            self.removing = Some(surplus);
            return Some((surplus, Operation::Remove { area: Area::Segment(surplus) }));
        }
        None
    }

    /// What `work` asked for was done, or not. Gives back errors that more room would not cure.
    pub(super) fn done(&mut self, segment: u32, result: io::Result<()>) -> io::Result<()> {
        if self.removing == Some(segment) {
            self.removing = None;
            result?;
            self.free.remove(&segment);
            return Ok(());
        }
        let making = self.making.take().expect("one segment is made at a time");
        assert!(making.segment == segment, "one segment is made at a time");
        if making.from.is_some() && making.step == Step::Named && result.is_ok() {
            self.making = Some(Making { step: Step::Renamed, ..making });
            return Ok(());
        }
        match result {
            Ok(()) => {
                self.sizes.insert(segment, making.size);
                self.refused = false;
                if let Some(free) = making.from {
                    self.free.remove(&free);
                    self.recycled.insert(segment);
                }
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.refused = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Nobody needs what is in it any more.
    pub(super) fn release(&mut self, segment: u32) {
        let size = self.sizes.remove(&segment).expect("a segment is released once");
        self.incarnations.remove(&segment);
        self.recycled.remove(&segment);
        self.free.insert(segment, size);
    }

    /// There may be room again.
    pub(super) fn look_again(&mut self) {
        self.looks += 1;
        let is_awaited = self.awaited || self.unmade().next().is_some();
        let pause = if is_awaited { LOOK_AGAIN_CALLS_AWAITED } else { LOOK_AGAIN_CALLS };
        if self.refused && pause <= self.looks {
            (self.retry, self.awaited, self.looks) = (true, false, 0);
        }
    }

    /// Those that hold nothing, though later ones do, can be had again.
    pub(super) fn reclaim(&mut self, blank: &[u32]) {
        blank.iter().for_each(|&segment| self.release(segment));
    }

    /// Files that hold nothing yet and are smaller than a segment should be now, because a power cut came
    /// while they were made or another size was configured: what is appended must fit into any.
    pub(super) fn give_up_short(&mut self) {
        let short = self.spares().filter(|(_, size)| *size < self.size_new);
        let short: Vec<u32> = short.map(|(segment, _)| segment).collect();
        short.into_iter().for_each(|segment| self.release(segment));
    }

    /// Numbers up to this one may have been claimed in an earlier life.
    pub(super) fn pass(&mut self, segment: u32) {
        self.frontier = self.frontier.max(segment);
    }

    pub(super) fn has_spare(&self) -> bool {
        self.spares().next().is_some()
    }

    /// Whether the limit allows for another file.
    pub(super) fn may_grow(&self) -> bool {
        self.size_max == 0 || self.bytes() + self.size_new <= self.size_limit
    }

    /// There was no room when the engine opened.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    pub(super) fn add(&mut self, segment: u32) {
        self.sizes.insert(segment, self.size_new);
    }

    /// Read when the engine opened: its file had another life.
    pub(super) fn mark_recycled(&mut self, segment: u32) {
        self.recycled.insert(segment);
    }

    /// The segments in which a crash may have left writes that were not flushed.
    pub(super) fn newest(&self) -> impl Iterator<Item = u32> {
        self.sizes.range(..=self.frontier).rev().take(4).map(|(&segment, _)| segment)
    }

    /// The number that comes next.
    pub(super) fn next_number(&self) -> u32 {
        let made = self.sizes.keys().next_back().copied().unwrap_or(0);
        let freed = self.free.keys().next_back().copied().unwrap_or(0);
        made.max(freed).max(self.frontier) + 1
    }

    fn spares(&self) -> impl Iterator<Item = (u32, u64)> {
        self.sizes.range(self.frontier + 1..).map(|(&segment, &size)| (segment, size))
    }

    fn unmade(&self) -> impl Iterator<Item = u32> {
        self.incarnations.keys().copied().filter(|segment| !self.exists(*segment))
    }

    fn next_making(&self, current: u32, used: u64) -> Option<Making> {
        let half = self.spares().next().is_none() && self.size(current) < 2 * used;
        let segment = match self.unmade().next() {
            Some(owed) => owed,
            None if half => self.next_number(),
            // The only way to learn that a disk is full no more is to make something on it.
            None if self.wants_reserve() || self.refused && !planted(Bug::FullForGood) => {
                return self.making_anew(self.next_number());
            }
            None => return None,
        };
        let free = self
            .free
            .iter()
            .find(|(free, size)| self.size_new <= **size && self.removing != Some(**free));
        if let Some((&free, &size)) = free {
            return Some(Making { segment, size, from: Some(free), step: Step::Named });
        }
        self.making_anew(segment)
    }

    fn making_anew(&self, segment: u32) -> Option<Making> {
        let again = !self.refused || self.retry;
        let (size, step) = (self.size_new, Step::Named);
        (self.may_grow() && again).then_some(Making { segment, size, from: None, step })
    }

    /// Whether there should be more files that nobody needs yet.
    fn wants_reserve(&self) -> bool {
        let reserve = (self.spares().count() + self.free.len()) as u64;
        let wanted = (self.incarnations.len() as u64 / 2).min(RESERVE_COUNT_MAX);
        self.size_max == 0 && reserve < wanted
    }

    /// A free file that is of no use: too small, or one too many.
    fn surplus(&self) -> Option<u32> {
        let taken = self.making.and_then(|making| making.from);
        let mut free = self.free.iter().filter(|(free, _)| Some(**free) != taken);
        let count_max = FREE_COUNT_MIN.max(self.sizes.len() / 8);
        let enough = (ROOM_LOW_SEGMENTS + 1) * self.size_new;
        let too_many = match self.size_max {
            0 => count_max < self.free.len(),
            max => max < self.bytes() && enough <= self.room_within(self.bytes()),
        };
        free.find(|(_, size)| too_many || **size < self.size_new).map(|(&free, _)| free)
    }
}

/// Whether more room would cure it.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
