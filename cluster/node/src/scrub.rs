//! Reading what nobody has asked for in a long time, so that damage is found while others still have
//! what it took; see `evenkeel_engine::scrub` for how it is found, and `mend` for what is done then.
//!
//! A pass goes through the whole log, a piece at a time, evenly spread over the interval that the
//! configuration names: at any size it is a murmur. One segment is read without a pause, since what dies in
//! it meanwhile may hide what is lost. When an operator asks for a pass, it is as quick as foreground reads
//! and `FAST_BYTES_PER_SECOND` leave it. A segment in which somebody meets damage is looked at out of turn.

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
/// What is read at most of a segment when nobody does.
const SLOW_BYTES_PER_SECOND: u64 = 16 * 1024 * 1024;
/// Values that nobody could give back are asked for again after this.
const RETRY_PAUSE: Duration = Duration::from_secs(600);
/// Without an interval, and to notice that the node is stopping.
const IDLE: Duration = Duration::from_secs(5);
/// How often to look whether a checkpoint is done.
const WAIT: Duration = Duration::from_millis(20);
/// So many keys are gone through at a time, or a single hash slot's.
const KEYS_PER_TURN: usize = 4_096;
/// After so many values of a segment in a row that nobody has, nobody is asked for the rest.
const LEFT_IN_A_ROW_MAX: u64 = 64;
/// A checkpoint that takes longer is not waited for; it is asked for again.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(60);

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
    /// Values in a row that nobody had.
    left_in_a_row: Cell<u64>,
    /// Segments that look damaged and lack nothing, with the number of places: torn tails.
    harmless: RefCell<BTreeMap<u32, u64>>,
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

    /// Whether nobody need be asked for more of this segment.
    pub(crate) fn is_hopeless(&self) -> bool {
        LEFT_IN_A_ROW_MAX <= self.left_in_a_row.get()
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
        // Not all nodes at once, and not never if each is started again every day.
        let first_us = runtime::random_u64() % (interval.as_micros() as u64).max(1);
        let mut due_us = runtime::clock::monotonic_us() + first_us;
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
        let mut pass = Pass::begin(&self.engine.borrow(), &self.store.borrow());
        let bytes = pass.bytes_left(&self.engine.borrow());
        self.note_scrub(|status| {
            status.is_running = true;
            (status.bytes_read, status.bytes) = (0, bytes);
        });
        let there: BTreeSet<u32> =
            self.engine.borrow().segments().map(|(there, _)| there).collect();
        self.scrub.harmless.borrow_mut().retain(|segment, _| there.contains(segment));
        let (mut bytes_read, begun_us) = (0, runtime::clock::monotonic_us());
        loop {
            let next = pass.next(&self.engine.borrow(), &self.store.borrow());
            let Some(mut look) = next else { break };
            let rate = if is_fast { FAST_BYTES_PER_SECOND } else { SLOW_BYTES_PER_SECOND };
            while let Some(size) = self.look_further(&mut look).await {
                self.note_scrub(|status| status.bytes_read += size);
                bytes_read += size;
                runtime::sleep(Duration::from_micros(size * 1_000_000 / rate)).await;
            }
            if pass.took(&self.engine.borrow(), &look) {
                self.take_detour();
            }
            self.judge(&look).await;
            self.keep_what_moved().await;
            let due_us = if is_fast { 0 } else { begun_us + self.share_us(bytes_read, bytes) };
            let pause_us = due_us.saturating_sub(runtime::clock::monotonic_us());
            if self.rest(Duration::from_micros(pause_us), !is_fast).await != Rest::Over {
                return; // The next pass begins from the start, and is quicker.
            }
        }
        if pass.is_short(&self.engine.borrow()) {
            self.take_detour();
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

    /// How long so much of a pass should take, evenly spread.
    fn share_us(&self, size: u64, bytes: u64) -> u64 {
        let interval_us = self.config.scrub_interval.as_micros();
        (interval_us * u128::from(size) / u128::from(bytes.max(size).max(1))) as u64
    }

    /// Replay should not come to something that is not as it was written.
    fn take_detour(&self) {
        tracing::info!(
            "a part of the log that a restart would read is not as it was written, for damage or a power \
             cut: a checkpoint passes it"
        );
        self.note_scrub(|status| status.detours += 1);
        self.scrub.has_moved.set(true);
    }

    fn note_scrub(&self, change: impl FnOnce(&mut ScrubStatus)) {
        change(&mut self.scrub.status.borrow_mut());
    }

    async fn look_out_of_turn(self: &Rc<Node>, segment: u32) {
        let look = Look::begin(&self.engine.borrow(), segment);
        let is_needed = self.store.borrow().live_bytes().contains_key(&segment);
        let Some(mut look) = look.filter(|_| is_needed || self.is_there(segment)) else {
            self.scrub.left.borrow_mut().remove(&segment);
            return;
        };
        while let Some(size) = self.look_further(&mut look).await {
            runtime::sleep(Duration::from_micros(size * 1_000_000 / FAST_BYTES_PER_SECOND)).await;
        }
        self.judge(&look).await;
        self.keep_what_moved().await;
    }

    fn is_there(&self, segment: u32) -> bool {
        self.engine.borrow().segments().any(|(there, _)| there == segment)
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

    /// Gives what is missing another place.
    async fn judge(self: &Rc<Node>, look: &Look) {
        let segment = look.segment();
        let is_known = {
            let (store, harmless) = (self.store.borrow(), self.scrub.harmless.borrow());
            harmless.get(&segment) == Some(&look.damaged()) && !look.is_short(&store)
        };
        if look.next().is_some() || is_known || !look.is_suspect(&self.store.borrow()) {
            self.scrub.left.borrow_mut().remove(&segment);
            return;
        }
        let pages = self.store.borrow_mut().replace_pages(segment, |page| look.has(page));
        let Some((sound, moved, left)) = self.mend_all(look).await else { return };
        if 0 < moved + left {
            tracing::warn!(segment, moved, left, "values of a segment were damaged");
        }
        let before = match left {
            0 => self.scrub.left.borrow_mut().remove(&segment),
            left => self.scrub.left.borrow_mut().insert(segment, left),
        };
        self.note_scrub(|status| {
            status.damaged += (moved + left).saturating_sub(before.unwrap_or(0));
            status.mended += moved;
        });
        if pages != 0 {
            self.scrub.has_moved.set(true);
        }
        let is_harmless = pages == 0 && sound + moved + left == 0;
        if is_harmless {
            self.scrub.harmless.borrow_mut().insert(segment, look.damaged());
        }
        if look.is_broken(&self.engine.borrow()) || !is_harmless {
            self.engine.borrow_mut().pass_by(segment);
        }
        if look.is_broken(&self.engine.borrow()) {
            self.take_detour();
        }
    }

    /// Of the values that should be in a segment: how many need not be mended, were, and could not be.
    /// `None`: the node is stopping.
    async fn mend_all(self: &Rc<Node>, look: &Look) -> Option<(u64, u64, u64)> {
        let (mut sound, mut moved, mut left, mut keys) = (0, 0, 0, 0);
        self.scrub.left_in_a_row.set(0);
        for slot in 0..SLOT_COUNT {
            let lost = {
                let store = self.store.borrow();
                keys += store.len_in(slot);
                look.lost_in(&store, slot)
            };
            for lost in lost {
                if self.stopping.get() {
                    return None;
                }
                let in_a_row = &self.scrub.left_in_a_row;
                match self.mend(&lost).await {
                    Mend::Sound => sound += 1,
                    Mend::Moved => {
                        moved += 1;
                        in_a_row.set(0);
                    }
                    Mend::Left => {
                        left += 1;
                        in_a_row.set(in_a_row.get() + 1);
                    }
                }
            }
            if KEYS_PER_TURN <= keys {
                keys = 0;
                runtime::yield_now().await;
            }
        }
        Some((sound, moved, left))
    }

    /// Has checkpoints taken, if one is needed, until all that is to be written anew is. Without them a
    /// restart would look for what was mended where it was damaged, and others may not have it for ever.
    async fn keep_what_moved(&self) {
        let end_us = runtime::clock::monotonic_us() + CHECKPOINT_PATIENCE.as_micros() as u64;
        while self.scrub.has_moved.replace(false) {
            let before = self.engine.borrow().status().checkpoints;
            self.scrub.wants_checkpoint.set(true);
            while self.engine.borrow().status().checkpoints == before {
                if self.stopping.get() || end_us <= runtime::clock::monotonic_us() {
                    self.scrub.has_moved.set(true); // The next look tries again.
                    return;
                }
                runtime::sleep(WAIT).await;
            }
            if self.store.borrow().has_spoiled_pages() {
                self.scrub.has_moved.set(true);
            }
        }
    }
}
