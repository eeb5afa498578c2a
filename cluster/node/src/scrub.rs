//! Reading what nobody has asked for in a long time, so that damage is found while others still have
//! what it took; see `evenkeel_engine::scrub` for how it is found, and `mend` for what is done then.
//!
//! A pass goes through the whole log, a piece at a time, evenly spread over the interval that the
//! configuration names: at any size it is a murmur. When an operator asks for one, it is as quick as
//! foreground reads and `FAST_BYTES_PER_SECOND` leave it. A segment in which somebody meets damage is
//! looked at out of turn.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use evenkeel_core::placement::slots::{self, SLOT_COUNT};
use evenkeel_engine::scrub::{Look, Pass};
use evenkeel_runtime as runtime;
use tokio::sync::{Notify, oneshot};

use crate::api::ScrubStatus;
use crate::group::PLACEMENT_GROUP;
use crate::mend::Mend;
use crate::node::Node;

/// What is read at most when somebody waits for it.
const FAST_BYTES_PER_SECOND: u64 = 128 * 1024 * 1024;
/// Values that nobody could give back are asked for again after this.
const RETRY_PAUSE: Duration = Duration::from_secs(600);
/// Without an interval, and to notice that the node is stopping.
const IDLE: Duration = Duration::from_secs(5);
/// How often to look whether a checkpoint is done.
const WAIT: Duration = Duration::from_millis(20);
/// So many hash slots are gone through at a time.
const SLOTS_PER_TURN: u16 = 128;

/// What a node knows of its passes.
#[derive(Default)]
pub(crate) struct Scrub {
    /// Looked at next.
    suspects: RefCell<BTreeSet<u32>>,
    /// Values that nobody could give back: how many, by the segment that should have them.
    left: RefCell<BTreeMap<u32, u64>>,
    news: Notify,
    /// A pass was asked for that has not begun.
    is_asked: Cell<bool>,
    /// Something was given another place, which a restart does not know before the next checkpoint.
    pub(crate) has_moved: Cell<bool>,
    /// The next checkpoint is to be taken as soon as possible.
    pub(crate) wants_checkpoint: Cell<bool>,
    retried_us: Cell<u64>,
    status: RefCell<ScrubStatus>,
}

/// Why a pause is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Over,
    Asked,
    Stopping,
}

impl Scrub {
    /// Somebody has met damage in this segment, or could not empty it.
    pub(crate) fn suspect(&self, segment: u32) {
        if !self.left.borrow().contains_key(&segment) {
            self.suspects.borrow_mut().insert(segment);
            self.news.notify_one();
        }
    }

    /// Segments that hold what cannot be moved, as far as is known.
    pub(crate) fn spoiled(&self) -> BTreeSet<u32> {
        let (left, suspects) = (self.left.borrow(), self.suspects.borrow());
        left.keys().chain(suspects.iter()).copied().collect()
    }

    pub(crate) fn status(&self) -> ScrubStatus {
        ScrubStatus { left: self.left.borrow().values().sum(), ..*self.status.borrow() }
    }
}

impl Node {
    /// Has a pass begun at once. It is over when `ScrubStatus::answered` is what `asked` is now.
    pub fn ask_for_scrub(&self) {
        self.scrub.is_asked.set(true);
        self.scrub.news.notify_one();
        self.note_scrub(|status| status.asked += 1);
    }

    /// Runs for as long as the node.
    pub(crate) async fn run_scrub(self: Rc<Node>) {
        let interval = self.config.scrub_interval;
        let mut due_us = runtime::clock::monotonic_us() + interval.as_micros() as u64;
        while !self.stopping.get() {
            let left_us = due_us.saturating_sub(runtime::clock::monotonic_us());
            let pause = if interval.is_zero() { IDLE } else { Duration::from_micros(left_us) };
            match self.rest(pause, true).await {
                Rest::Stopping => return,
                Rest::Over if interval.is_zero() => continue,
                Rest::Over | Rest::Asked => (),
            }
            due_us = runtime::clock::monotonic_us() + interval.as_micros() as u64;
            self.pass().await;
        }
    }

    /// Waits, and looks at suspects meanwhile.
    async fn rest(self: &Rc<Node>, pause: Duration, heeds_asks: bool) -> Rest {
        let end_us = runtime::clock::monotonic_us() + pause.as_micros() as u64;
        loop {
            if self.stopping.get() {
                return Rest::Stopping;
            }
            if self.scrub.is_asked.get() && heeds_asks {
                return Rest::Asked;
            }
            let suspect = self.scrub.suspects.borrow().first().copied();
            if let Some(segment) = suspect {
                self.look_out_of_turn(segment).await;
                self.scrub.suspects.borrow_mut().remove(&segment);
                continue;
            }
            let now_us = runtime::clock::monotonic_us();
            if end_us <= now_us {
                return Rest::Over;
            }
            self.retry(now_us);
            let wait = Duration::from_micros(end_us - now_us).min(IDLE);
            runtime::either(runtime::sleep(wait), self.scrub.news.notified()).await;
        }
    }

    /// Others may have come back who have what was lost.
    fn retry(&self, now_us: u64) {
        let left = self.scrub.left.borrow();
        if left.is_empty() {
            self.scrub.retried_us.set(now_us);
        } else if self.scrub.retried_us.get() + RETRY_PAUSE.as_micros() as u64 <= now_us {
            self.scrub.retried_us.set(now_us);
            self.scrub.suspects.borrow_mut().extend(left.keys());
        }
    }

    /// Once through the log, unless it is slow and somebody asks for one meanwhile.
    async fn pass(self: &Rc<Node>) {
        let (is_fast, asked) =
            (self.scrub.is_asked.replace(false), self.scrub.status.borrow().asked);
        let mut pass = Pass::begin(&self.engine.borrow());
        let bytes = pass.bytes_left(&self.engine.borrow());
        self.note_scrub(|status| {
            status.is_running = true;
            (status.bytes_read, status.bytes) = (0, bytes);
        });
        let mut pages = 0;
        loop {
            let next = pass.next(&self.engine.borrow());
            let Some(mut look) = next else { break };
            while let Some(size) = self.look_further(&mut look).await {
                self.note_scrub(|status| status.bytes_read += size);
                if self.rest(self.pace(size, bytes, is_fast), !is_fast).await != Rest::Over {
                    return; // The next pass begins from the start, and is quicker.
                }
            }
            pass.took(&self.engine.borrow(), &look);
            pages += self.judge(&look).await;
        }
        if pass.wants_checkpoint() || 0 < pages {
            tracing::warn!(
                pages,
                "a part of the log that a restart would read is damaged: a checkpoint passes it"
            );
            self.note_scrub(|status| status.detours += 1);
            self.scrub.has_moved.set(true);
        }
        self.keep_what_moved().await;
        self.engine.borrow_mut().renew_superblock();
        self.note_scrub(|status| {
            status.is_running = false;
            status.passes += 1;
            status.ended_ms = runtime::clock::wall_ms();
            status.answered = asked;
        });
    }

    fn note_scrub(&self, change: impl FnOnce(&mut ScrubStatus)) {
        change(&mut self.scrub.status.borrow_mut());
    }

    /// How long to wait after so many bytes of so many.
    fn pace(&self, size: u64, bytes: u64, is_fast: bool) -> Duration {
        let least = Duration::from_micros(size * 1_000_000 / FAST_BYTES_PER_SECOND);
        if is_fast {
            return least;
        }
        let share = size as f64 / bytes.max(size) as f64;
        self.config.scrub_interval.mul_f64(share).max(least)
    }

    async fn look_out_of_turn(self: &Rc<Node>, segment: u32) {
        let look = Look::begin(&self.engine.borrow(), segment);
        let Some(mut look) = look else {
            self.scrub.left.borrow_mut().remove(&segment);
            return;
        };
        while let Some(size) = self.look_further(&mut look).await {
            runtime::sleep(self.pace(size, size, true)).await;
        }
        if self.judge(&look).await != 0 {
            self.scrub.has_moved.set(true);
        }
        self.keep_what_moved().await;
    }

    /// Reads the next piece; how many bytes it has. `None`: there is none, or the segment has gone.
    async fn look_further(&self, look: &mut Look) -> Option<u64> {
        let offset = look.next()?;
        let receiver = {
            let mut engine = self.engine.borrow_mut();
            if engine.durable_end(look.segment()) <= offset || self.closing.get() {
                return None;
            }
            let (sender, receiver) = oneshot::channel();
            let ticket = engine.scan(look.segment(), offset);
            self.scans.borrow_mut().insert(ticket, sender);
            receiver
        };
        let piece = receiver.await.ok()?;
        let slots_of = |stream: u32| {
            let is_shard = stream != PLACEMENT_GROUP && (stream as usize) < self.groups.len();
            if is_shard { self.slots_of(stream) } else { 0..0 }
        };
        look.take(&piece, &self.store.borrow(), slots_of, slots::slot);
        Some(piece.size() as u64)
    }

    /// Gives what is missing another place. How many pages of the index are to be written anew.
    async fn judge(self: &Rc<Node>, look: &Look) -> usize {
        let segment = look.segment();
        if look.next().is_some() || !look.is_suspect(&self.store.borrow()) {
            self.scrub.left.borrow_mut().remove(&segment);
            return 0;
        }
        let pages = self.store.borrow_mut().replace_pages(segment, |page| look.has(page));
        let (mut mended, mut left) = (0, 0);
        for first in (0..SLOT_COUNT).step_by(usize::from(SLOTS_PER_TURN)) {
            let slots = first..(first + SLOTS_PER_TURN).min(SLOT_COUNT);
            let lost: Vec<_> = {
                let store = self.store.borrow();
                slots.flat_map(|slot| look.lost_in(&store, slot)).collect()
            };
            for lost in lost {
                if self.stopping.get() {
                    return pages;
                }
                match self.mend(&lost).await {
                    Mend::Sound => (),
                    Mend::Moved => mended += 1,
                    Mend::Left => left += 1,
                }
            }
            runtime::yield_now().await;
        }
        if 0 < mended + left {
            tracing::warn!(segment, mended, left, "values of a segment were damaged");
        }
        self.note_scrub(|status| {
            status.damaged += mended;
            status.mended += mended;
        });
        let before = match left {
            0 => self.scrub.left.borrow_mut().remove(&segment),
            left => self.scrub.left.borrow_mut().insert(segment, left),
        };
        self.note_scrub(|status| status.damaged += left.saturating_sub(before.unwrap_or(0)));
        pages
    }

    /// Has a checkpoint taken, if it is needed, and waits for it. Without it a restart would look for what
    /// was mended where it was damaged, and others may not have it for ever.
    async fn keep_what_moved(&self) {
        if !self.scrub.has_moved.replace(false) {
            return;
        }
        let before = self.engine.borrow().status().checkpoints;
        self.scrub.wants_checkpoint.set(true);
        while self.engine.borrow().status().checkpoints == before && !self.stopping.get() {
            runtime::sleep(WAIT).await;
        }
    }
}
