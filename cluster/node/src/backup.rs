//! Handing shards out to a client that makes a backup of them, while everybody else works on.
//!
//! ```text
//! asked node                       the shard's leader, from then on the holder
//!   begin(shard)   ── errand ───▶  has its lease or a quorum confirm it, takes a cut and a pin
//!   next(token, 0) ── straight ─▶  a part of the cut, made when it is asked for
//!   next(token, 1) ── to it ────▶  …
//!   end(token)     ─────────────▶  gives both back
//! ```
//!
//! The client asks for each part when it has the one before, so a slow one holds up nobody and nothing
//! piles up. The holder goes on when it leads no more: what it holds is what the shard was at that slot.
//! It keeps one part, so that asking for the same one again does no harm.
//!
//! **Invariant.** Every write that was acknowledged before `begin` was asked is in what the holder hands
//! out, and nothing that was written behind the cut's slot is. What cannot be kept up (the client is
//! silent, the disk is short of what the pin holds back, too much changes) is given up as a whole, and
//! the client hears `NOSNAPSHOT`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use evenkeel_core::consensus::{ReplicaId, Slot};
use evenkeel_engine::{Pin, compaction, limits};
use evenkeel_runtime as runtime;
use evenkeel_wire::backup::{BODY_SIZE_MAX, ENTRY_OVERHEAD, Entry, PART_SIZE, PartBuilder};
use evenkeel_wire::reply::Reply;
use tokio::sync::oneshot;

use crate::api::SnapshotBegun;
use crate::bugs::{Bug, planted};
use crate::cut::{Cut, Frozen};
use crate::driver::now;
use crate::forward::Answer;
use crate::group::Group;
use crate::lead::Attempt;
use crate::node::Node;
use crate::request::{Request, Task};
use crate::views::is_over;

/// So many snapshots one replica hands out at a time.
const BACKUP_COUNT_MAX: usize = 4;
/// A client that asks for nothing for so long has gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether one has gone, and whether the disk is short of room.
const PAUSE: Duration = Duration::from_millis(100);
/// What may be noted, in bytes, of keys that change while a snapshot of their shard is under way.
const NOTE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// A holder that cannot be reached for so long has gone.
const HOLDER_PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait before asking it again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

const _: () = {
    assert!(limits::KEY_SIZE_MAX + limits::VALUE_SIZE_MAX + ENTRY_OVERHEAD + 8 <= BODY_SIZE_MAX);
};

/// A snapshot that a client fetches from this replica.
pub(crate) struct Backup {
    group: u32,
    cut: Rc<Cut>,
    pin: Cell<Option<Pin>>,
    position: Slot,
    taken_ms: u64,
    asked_us: Cell<u64>,
    making: RefCell<Making>,
}

/// The part that was made last, and the next one.
#[derive(Default)]
struct Making {
    made_count: u64,
    last: Option<Reply>,
    /// Who waits for the next one; nobody: it is not being made.
    waiting: Vec<oneshot::Sender<Reply>>,
}

/// Which snapshot, and where it is: `shard.holder.id`, what `begin` gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    shard: u16,
    holder: ReplicaId,
    id: u64,
}

impl Node {
    /// Has the leader of a shard take a snapshot of it, as of a moment after this was called.
    ///
    /// # Errors
    /// As `operate`.
    pub(crate) async fn begin_backup(self: &Rc<Node>, shard: u16) -> Result<SnapshotBegun, String> {
        let number = self.group_numbered(shard)?;
        let id = runtime::random_u64() >> 1;
        let Reply::Array(parts) = self.ask(number, Task::BackupBegin { id }).await? else {
            return Err("ERR another node sent a strange reply".to_string());
        };
        let [Reply::Integer(holder), Reply::Integer(position), Reply::Integer(taken_ms)] =
            parts[..]
        else {
            return Err("ERR another node sent a strange reply".to_string());
        };
        let holder = ReplicaId(holder as u64);
        let (epoch, shard_count) = {
            let map = self.map.borrow();
            (map.epoch(), map.shards().len() as u32)
        };
        Ok(SnapshotBegun {
            token: Token { shard, holder, id }.to_string(),
            shard,
            position: position as u64,
            taken_ms: taken_ms as u64,
            cluster: self.config.cluster.id,
            epoch,
            shard_count,
        })
    }

    /// The part of this number, as bytes, or nothing behind the last one.
    ///
    /// # Errors
    /// `NOSNAPSHOT`: begin again. Others: ask again.
    pub(crate) async fn next_of_backup(
        self: &Rc<Node>,
        token: &str,
        index: u64,
    ) -> Result<Reply, String> {
        let token = self.token(token)?;
        self.ask_holder(token, Task::BackupNext { id: token.id, index }).await
    }

    /// It is not wanted any more.
    ///
    /// # Errors
    /// The holder cannot be reached: it will notice by itself.
    pub(crate) async fn end_backup(self: &Rc<Node>, token: &str) -> Result<Reply, String> {
        let token = self.token(token)?;
        self.ask_holder(token, Task::BackupEnd { id: token.id }).await
    }

    fn token(&self, text: &str) -> Result<Token, String> {
        let token = Token::parse(text);
        let token = token.filter(|token| self.group_numbered(token.shard).is_ok());
        token.ok_or_else(|| {
            "ERR this is no snapshot of this cluster: EVENKEEL SNAPSHOT BEGIN names one".to_string()
        })
    }

    /// Asks until there is an answer. A holder that takes long is not given up for as long as it is heard of
    /// at all: values that are read one by one from a slow disk take their time.
    async fn ask_holder(self: &Rc<Node>, token: Token, task: Task) -> Result<Reply, String> {
        let request = Request { group: u32::from(token.shard) + 1, task, stamp: None };
        let us = |duration: Duration| duration.as_micros() as u64;
        let mut heard_us = runtime::clock::monotonic_us();
        let deadline = heard_us + us(self.config.request_timeout);
        let patience_us = us(HOLDER_PATIENCE.min(self.config.request_timeout));
        loop {
            let answer = if self.is_self(token.holder) {
                match self.lead(&request, self.attempt(&request)).await {
                    Ok(reply) => Answer::Reply(reply),
                    Err(not_here) => Answer::NotHere(not_here),
                }
            } else {
                self.forward(token.holder, &request, deadline).await
            };
            if let Answer::Reply(reply) = answer {
                return match reply {
                    Reply::Error(text) => Err(text),
                    reply => Ok(reply),
                };
            }
            let now_us = runtime::clock::monotonic_us();
            if self.is_heard(token.holder) {
                heard_us = now_us;
            }
            if patience_us <= now_us.saturating_sub(heard_us) {
                let shard = token.shard;
                return Err(gone(&format!("the node that holds shard {shard} is not heard of")));
            }
            if deadline <= now_us {
                return Err(format!(
                    "TIMEOUT the node that holds the snapshot of shard {} takes long: ask again",
                    token.shard
                ));
            }
            runtime::sleep(RETRY_PAUSE).await;
        }
    }

    fn is_heard(&self, replica: ReplicaId) -> bool {
        let map = self.map.borrow();
        let name = map.node(replica).map(|node| &node.name);
        self.is_self(replica) || name.is_some_and(|name| self.peers.is_connected(name))
    }

    /// The leader's part of `begin`. `confirmed`: a quorum has just confirmed it.
    pub(crate) fn take_backup(
        self: &Rc<Node>,
        group: &mut Group,
        id: u64,
        confirmed: bool,
    ) -> Attempt<Slot> {
        let known = self.backups.borrow().get(&id).cloned();
        if let Some(backup) = known {
            return Attempt::Answered(self.introduced(&backup)); // The answer was lost.
        }
        if BACKUP_COUNT_MAX <= self.backups.borrow().len() {
            return Attempt::Answered(Reply::error(format!(
                "BUSY {BACKUP_COUNT_MAX} snapshots are being fetched from this node, which is all it \
                 hands out at a time: try again later"
            )));
        }
        if self.is_short_of_room() {
            return Attempt::Answered(Reply::error(
                "BUSY the disk of the node that leads this shard is short of room, which a snapshot would \
                 hold back: try again later",
            ));
        }
        let leads = confirmed || group.lease_holds(now()) || planted(Bug::BackupUnconfirmed);
        if !leads {
            return self.confirm(group);
        }
        if !confirmed {
            self.observe_lease(group);
        }
        // Before the cut: what it refers to must stay.
        let pin = match planted(Bug::BackupNotPinned) {
            true => None,
            false => Some(self.engine.borrow_mut().pin()),
        };
        let cut =
            Rc::new(Cut::new(group.machine.applied, self.slots_of(group.number), NOTE_BYTES_MAX));
        group.cuts.push(Rc::downgrade(&cut));
        let backup = Rc::new(Backup {
            group: group.number,
            cut,
            pin: Cell::new(pin),
            position: group.machine.applied,
            taken_ms: self.time_ms(group),
            asked_us: Cell::new(runtime::clock::monotonic_us()),
            making: RefCell::default(),
        });
        self.backups.borrow_mut().insert(id, Rc::clone(&backup));
        drop(runtime::spawn(Rc::clone(self).watch_backup(id)));
        Attempt::Answered(self.introduced(&backup))
    }

    fn introduced(&self, backup: &Backup) -> Reply {
        let numbers = [self.replica.0, backup.position.0, backup.taken_ms];
        Reply::Array(numbers.map(|number| Reply::Integer(number as i64)).to_vec())
    }

    /// What only the holder can do, whoever leads. `None`: something else was asked for.
    pub(crate) fn attempt_backup(self: &Rc<Node>, task: &Task) -> Option<Attempt<Slot>> {
        match *task {
            Task::BackupNext { id, index } => Some(match self.part_of_backup(id, index) {
                Ok(attempt) => attempt,
                Err(refusal) => Attempt::Answered(Reply::error(refusal)),
            }),
            Task::BackupEnd { id } => {
                self.give_up_backup(id);
                Some(Attempt::Answered(Reply::OK))
            }
            _ => None,
        }
    }

    fn part_of_backup(self: &Rc<Node>, id: u64, index: u64) -> Result<Attempt<Slot>, String> {
        let backup = self.backups.borrow().get(&id).cloned();
        let backup = backup.ok_or_else(|| {
            gone(
                "it is not held any more: nobody asked for its parts for too long, the shard changed \
                 too much, or the disk was short of room",
            )
        })?;
        backup.asked_us.set(runtime::clock::monotonic_us());
        let mut making = backup.making.borrow_mut();
        if index + 1 == making.made_count
            && let Some(last) = &making.last
        {
            return Ok(Attempt::Answered(last.clone()));
        }
        if index != making.made_count {
            let due = making.made_count;
            return Err(gone(&format!("part {index} was asked for, and part {due} is due")));
        }
        let (sender, receiver) = oneshot::channel();
        making.waiting.push(sender);
        if making.waiting.len() == 1 {
            let (node, backup) = (Rc::clone(self), Rc::clone(&backup));
            drop(runtime::spawn(async move { node.make_part(id, &backup).await }));
        }
        Ok(Attempt::Part(receiver))
    }

    /// Makes the next part, for everybody who waits for it.
    async fn make_part(self: &Rc<Node>, id: u64, backup: &Backup) {
        let reply = match self.next_part(backup).await {
            Ok(reply) => reply,
            Err(reason) => {
                self.give_up_backup(id);
                Reply::error(reason)
            }
        };
        let mut making = backup.making.borrow_mut();
        making.made_count += 1;
        making.last = Some(reply.clone());
        for waiting in making.waiting.drain(..) {
            let _gone = waiting.send(reply.clone());
        }
    }

    async fn next_part(self: &Rc<Node>, backup: &Backup) -> Result<Reply, String> {
        let mut part = PartBuilder::new(backup.group - 1);
        while part.count() == 0 {
            let frozen = backup.cut.next(&self.store.borrow(), PART_SIZE);
            let Some(frozen) = frozen else {
                return Err(gone("the shard has changed too much since it was begun"));
            };
            if frozen.is_empty() {
                return Ok(Reply::Null);
            }
            let take = |frozen: &Frozen, value: &[u8]| {
                if !is_over(frozen.expires_at_ms, backup.taken_ms) {
                    let Frozen { key, expires_at_ms, .. } = frozen;
                    part.push(&Entry { key, value, expires_at_ms: *expires_at_ms });
                }
            };
            if let Err(key) = self.thaw(frozen, take).await {
                if backup.cut.is_broken() || self.closing.get() {
                    // It was given up meanwhile, and its pin with it: nothing is known of the value.
                    return Err(gone("it is not held any more"));
                }
                let _moved_on = self.damaged(&key);
                return Err(gone("a value of it is damaged on the disk of the node that holds it"));
            }
            runtime::yield_now().await;
        }
        Ok(Reply::Bulk(part.finish()))
    }

    /// Waits until a snapshot is given up, or has to be.
    async fn watch_backup(self: Rc<Node>, id: u64) {
        loop {
            runtime::sleep(PAUSE).await;
            let Some(backup) = self.backups.borrow().get(&id).cloned() else { return };
            let silent_us = runtime::clock::monotonic_us().saturating_sub(backup.asked_us.get());
            let is_silent =
                SILENCE_MAX.as_micros() as u64 <= silent_us && !planted(Bug::BackupHeldForEver);
            if is_silent || backup.cut.is_broken() || self.is_held_up() || self.closing.get() {
                let shard = backup.group - 1;
                tracing::info!(shard, is_silent, "a snapshot for a backup was given up");
                self.give_up_backup(id);
            }
        }
    }

    /// Whether compaction is pressed for room that pins hold back: soon writes would be refused.
    fn is_held_up(&self) -> bool {
        let engine = self.engine.borrow();
        let is_short = self.room() < compaction::ROOM_LOW_SEGMENTS * engine.segment_size();
        is_short && 0 < engine.leaving_count()
    }

    fn is_short_of_room(&self) -> bool {
        self.room() < compaction::ROOM_PUT_SEGMENTS * self.engine.borrow().segment_size()
    }

    fn give_up_backup(&self, id: u64) {
        let backup = self.backups.borrow_mut().remove(&id);
        if let Some(backup) = backup {
            backup.cut.break_off();
            if let Some(pin) = backup.pin.take() {
                self.engine.borrow_mut().unpin(pin);
            }
        }
    }
}

impl Token {
    fn parse(text: &str) -> Option<Token> {
        let mut parts = text.split('.');
        let shard = parts.next()?.parse().ok()?;
        let holder = ReplicaId(u64::from_str_radix(parts.next()?, 16).ok()?);
        let id = u64::from_str_radix(parts.next()?, 16).ok()?;
        parts.next().is_none().then_some(Token { shard, holder, id })
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Token { shard, holder, id } = self;
        write!(formatter, "{shard}.{:x}.{id:x}", holder.0)
    }
}

/// What the client hears when it has to begin again.
fn gone(why: &str) -> String {
    format!("NOSNAPSHOT {why}: begin again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_is_and_nothing_else_is_one() {
        let token = Token { shard: 63, holder: ReplicaId(u64::MAX), id: 5 };
        assert_eq!(Token::parse(&token.to_string()), Some(token));
        for text in ["", "1", "1.2", "1.2.3.4", "x.1.2", "65536.1.1", "1.g.1", "-1.1.1"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
