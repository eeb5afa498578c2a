//! What is written to the superblock while the engine runs: how far the log is durable, where replay
//! begins, and that it ended well. One at a time.
//!
//! Invariant: a checkpoint is written only when all that it refers to is durable, and what it makes
//! superfluous is given up only when both copies have it.

use super::recovery;
use super::space::Mark;
use super::{Engine, Event, Purpose};
use crate::bugs::{Bug, planted};
use crate::disk::{Area, Operation};
use crate::format::superblock::Start;
use crate::record::Sequence;

/// What `Engine::commit_checkpoint` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where its first record is: replay will begin here.
    pub start: Mark,
    /// Its last record in the log.
    pub upto: Sequence,
    /// Its last record aside, and the last one that compaction moved.
    pub aside_upto: u64,
    /// Segments that nothing refers to any more, once it is in effect.
    pub victims: Vec<u32>,
}

/// Why the superblock is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Errand {
    Watermark,
    Checkpoint(Vec<u32>),
    Close,
}

/// What must survive the loss of either copy is written twice.
const COPIES: u8 = 2;

impl Engine {
    /// Call this every 50 to 100 ms or so: when nothing is being committed, it notes in the
    /// superblock how far the log is durable, so that later damage to the last chunks is not taken
    /// for a torn tail; and it looks for room where there was none. Free when there is nothing to do.
    pub fn tick(&mut self) {
        if self.failed {
            return;
        }
        let new = self.superblock.durable_upto < self.log.durable;
        if (new || self.renews_super) && self.log.gather.is_idle() && self.errand.is_none() {
            let copies = if self.renews_super { COPIES } else { 1 };
            self.renews_super = false;
            self.errand = Some((Errand::Watermark, copies));
            self.write_super();
            self.wake();
        }
        self.segments.look_again();
        if self.segments.is_full() {
            self.wake();
        }
    }

    /// Has both copies of the superblock written anew when nothing is being committed: who scrubs need
    /// not read them.
    pub fn renew_superblock(&mut self) {
        self.renews_super = true;
    }

    /// As soon as everything up to `upto` and `aside_upto` is durable, replay begins at `start`, and
    /// the victims are free. `Event::Housekeeping` comes when that has happened; a power cut before
    /// leaves all as it was.
    ///
    /// # Panics
    /// Another checkpoint is on its way, or a victim is not before `start`.
    pub fn commit_checkpoint(&mut self, checkpoint: Checkpoint) {
        assert!(self.checkpoint.is_none(), "one checkpoint is committed at a time");
        let before = |victim: &u32| *victim < checkpoint.start.segment;
        assert!(checkpoint.victims.iter().all(before), "replay needs what is behind its start");
        let mut checkpoint = checkpoint;
        if planted(Bug::VictimFreedEarly) {
            self.give_up(std::mem::take(&mut checkpoint.victims));
        }
        self.checkpoint = Some(checkpoint);
        self.wake();
    }

    /// Whether a checkpoint is on its way.
    pub fn is_committing(&self) -> bool {
        self.checkpoint.is_some() || matches!(self.errand, Some((Errand::Checkpoint(_), _)))
    }

    pub(super) fn start_errand(&mut self) {
        if self.errand.is_some() || self.failed {
            return;
        }
        let all_there = |checkpoint: &mut Checkpoint| {
            let durable = checkpoint.upto.0 <= self.log.durable
                && checkpoint.aside_upto <= self.aside.durable;
            durable || planted(Bug::CheckpointAheadOfLog)
        };
        if let Some(Checkpoint { start, victims, .. }) = self.checkpoint.take_if(all_there) {
            self.superblock.start = Some(Start {
                segment: start.segment,
                offset: start.offset,
                sequence: start.sequence.0,
            });
            self.errand = Some((Errand::Checkpoint(victims), COPIES));
            self.write_super();
        } else if self.closing && self.log.gather.is_idle() && self.aside.gather.is_idle() {
            assert!(
                self.log.durable == self.log.gather.cursor().sequence,
                "nothing is left to flush"
            );
            self.superblock.tail = Some(recovery::tail_of(self.log.gather.cursor()));
            self.errand = Some((Errand::Close, COPIES));
            self.write_super();
        }
    }

    pub(super) fn continue_errand(&mut self) {
        let (errand, left) = self.errand.take().expect("somebody wrote the superblock");
        if 1 < left {
            self.errand = Some((errand, left - 1));
            self.write_super();
            return;
        }
        match errand {
            Errand::Watermark => self.status.watermarks += 1,
            Errand::Checkpoint(victims) => {
                self.status.checkpoints += 1;
                self.give_up(victims);
                self.events.push(Event::Housekeeping);
            }
            Errand::Close => {
                self.failed = true; // Nothing may follow what says that nothing follows.
                self.events.push(Event::Closed);
            }
        }
    }

    /// Writes the next generation.
    fn write_super(&mut self) {
        self.superblock.durable_upto = self.superblock.durable_upto.max(self.log.durable);
        self.superblock.generation += 1;
        let (offset, buffer) = (self.superblock.offset(), self.superblock.encode());
        let write = Operation::Write { area: Area::Super, offset, buffer };
        self.submit(write, Purpose::SuperWrite);
    }
}
