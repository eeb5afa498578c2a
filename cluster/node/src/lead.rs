//! The leader's side of a request: evaluate, propose, wait for its fate, answer.
//!
//! A write is evaluated on top of what is proposed and not yet applied, and proposed with the versions
//! it relied on as conditions. If they do not hold when its slot is applied, it has no effect on any
//! replica, and is evaluated again. A read is answered from the applied state, once the lease or a
//! quorum says that nobody else can have acknowledged anything newer.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use evenkeel_core::consensus::{Input, Slot};
use evenkeel_core::placement::slots;
use evenkeel_engine::batch::{BatchBuilder, operation_size_max};
use evenkeel_engine::limits::RECORD_PAYLOAD_SIZE_MAX;
use evenkeel_engine::scrub::Lost;
use evenkeel_engine::store::Value;
use evenkeel_runtime as runtime;
use evenkeel_wire::command::{Command, OwnedCommand, parse};
use evenkeel_wire::reply::Reply;
use tokio::sync::oneshot;

use crate::bugs::{Bug, planted};
use crate::command::{self, Access, Outcome as Evaluation};
use crate::driver::now;
use crate::entry::{CONDITION_COUNT_MAX, SessionStamp, WriteContext};
use crate::group::{Asker, Fate, Group, Proposed, ReadOutcome, Waiter};
use crate::machine::{Outcome, PendingWrite};
use crate::mend::Asked;
use crate::metrics::count;
use crate::node::Node;
use crate::observe::{Fact, observe};
use crate::order::Order;
use crate::reply;
use crate::request::{NotHere, Request, Task};
use crate::sessions::Seen;
use crate::sweep;
use crate::views::{Fetched, GroupView, Write, is_over};

/// One try at a request, as far as it gets without waiting.
pub(crate) enum Attempt<P = oneshot::Receiver<Fate>> {
    Answered(Reply),
    /// Proposed: the reply comes with its fate.
    Proposed(P),
    /// A quorum is being asked; then try again, `confirmed`.
    Confirming(oneshot::Receiver<ReadOutcome>),
    /// The bytes of these keys are in the log: fetch them, then try again.
    Fetch(Vec<Bytes>),
    /// Something is being read from the log: it is the reply.
    Part(oneshot::Receiver<Reply>),
    NotHere(NotHere),
}

/// What its fate says of a proposal. `None`: it had no effect, and is to be tried again.
pub(crate) fn verdict(fate: Fate) -> Option<Result<Reply, NotHere>> {
    match fate {
        Fate::Settled(Outcome::Applied(bytes)) => Some(Ok(reply::decode(&bytes))),
        Fate::Settled(Outcome::SessionOpened(id)) => Some(Ok(Reply::Integer(id as i64))),
        Fate::Settled(Outcome::NoSession) => Some(Err(NotHere::NoSession)),
        Fate::Settled(Outcome::Placement(_) | Outcome::Nothing) => Some(Ok(Reply::OK)),
        Fate::Settled(Outcome::ConditionFailed) | Fate::Displaced => None,
        Fate::Unknown => Some(Err(NotHere::Unsure)),
    }
}

/// What a task comes to, before anything is proposed.
struct Evaluated {
    reply: Reply,
    writes: Vec<Write>,
    /// Keys relied on, with their versions.
    conditions: BTreeMap<Bytes, u64>,
    speculative: bool,
}

impl Node {
    /// `GET` without a `Reply` in between: hands the value of a key in `default` to `take`, if this node
    /// may answer at once and has the bytes in memory. `None`: go the long way.
    pub fn get_now<T>(
        &self,
        key: &[u8],
        order: &Order,
        take: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Option<T> {
        if !order.reads_may_run() {
            return None;
        }
        let slot = slots::slot(key);
        let group = self.groups[self.group_of(slot) as usize].borrow();
        if !group.lease_holds(now()) {
            return None;
        }
        let now_ms = self.time_ms(&group);
        let mut store = self.store.borrow_mut();
        let value = match store.get(slot, key) {
            None => None,
            Some(found) if is_over(found.expires_at_ms, now_ms) => None,
            Some(found) => match found.value {
                Value::Memory(value) => Some(value),
                Value::Log(..) => return None,
            },
        };
        self.observe_lease(&group);
        Some(take(value))
    }

    /// Answers a request as its group's leader, however long it takes.
    pub(crate) async fn lead(
        self: &Rc<Node>,
        request: &Request,
        first: Attempt,
    ) -> Result<Reply, NotHere> {
        let mut attempt = first;
        let mut fetched = Fetched::new();
        loop {
            let mut confirmed = false;
            match attempt {
                Attempt::Answered(reply) => return Ok(reply),
                Attempt::NotHere(not_here) => return Err(not_here),
                Attempt::Fetch(keys) => {
                    for key in keys {
                        if let Some(value) = self.fetch(&key).await? {
                            fetched.insert(key, value);
                        }
                    }
                }
                Attempt::Part(receiver) => {
                    return receiver.await.map_err(|_| NotHere::Unsure);
                }
                Attempt::Confirming(receiver) => match receiver.await {
                    Ok(ReadOutcome::Ready) => confirmed = true,
                    Ok(ReadOutcome::Refused) | Err(_) => return Err(NotHere::Leader(None)),
                },
                Attempt::Proposed(receiver) => {
                    match verdict(receiver.await.unwrap_or(Fate::Unknown)) {
                        Some(verdict) => return verdict,
                        None => count(&self.metrics.retried),
                    }
                }
            }
            attempt = self.await_fate(request.group, self.try_with(request, confirmed, &fetched));
        }
    }

    /// The first try, without waiting.
    pub(crate) fn attempt(self: &Rc<Node>, request: &Request) -> Attempt {
        self.await_fate(request.group, self.first_try(request))
    }

    /// The same; nobody waits for what was proposed until somebody says so.
    pub(crate) fn first_try(self: &Rc<Node>, request: &Request) -> Attempt<Slot> {
        self.try_with(request, false, &Fetched::new())
    }

    /// What was proposed is waited for by a task.
    fn await_fate(&self, group: u32, attempt: Attempt<Slot>) -> Attempt {
        match attempt {
            Attempt::Proposed(slot) => {
                let (sender, receiver) = oneshot::channel();
                // Without a waiter it was settled within the step: its outcome is in the session table,
                // and dropping the sender says that this task does not know it.
                if let Some(waiter) =
                    self.groups[group as usize].borrow_mut().waiting.get_mut(&slot)
                {
                    waiter.asker = Asker::Task(sender);
                }
                Attempt::Proposed(receiver)
            }
            Attempt::Answered(reply) => Attempt::Answered(reply),
            Attempt::Confirming(receiver) => Attempt::Confirming(receiver),
            Attempt::Fetch(keys) => Attempt::Fetch(keys),
            Attempt::Part(receiver) => Attempt::Part(receiver),
            Attempt::NotHere(not_here) => Attempt::NotHere(not_here),
        }
    }

    /// Tells whoever waits what became of a proposal.
    pub(crate) fn tell(self: &Rc<Node>, asker: Asker, fate: Fate) {
        match asker {
            Asker::Nobody => (),
            Asker::Task(sender) => {
                let _gone = sender.send(fate);
            }
            Asker::Peer(asked) => self.tell_peer(asked, fate),
        }
    }

    /// One try, without waiting. `confirmed`: a quorum has just confirmed this leader.
    fn try_with(
        self: &Rc<Node>,
        request: &Request,
        confirmed: bool,
        fetched: &Fetched,
    ) -> Attempt<Slot> {
        if self.closing.get() {
            return Attempt::NotHere(NotHere::Busy);
        }
        let by_any = self.attempt_backup(&request.task);
        if let Some(attempt) = by_any.or_else(|| self.attempt_value(&request.task)) {
            return attempt;
        }
        let mut group = self.groups[request.group as usize].borrow_mut();
        let group = &mut *group;
        let is_read = request.stamp.is_none() && matches!(request.task, Task::Command(_));
        let anywhere = is_read && planted(Bug::ReadAnywhere);
        if anywhere && let Ok(evaluated) = self.evaluate_task(group, request, fetched) {
            return Attempt::Answered(evaluated.reply);
        }
        if !group.is_leader() {
            return Attempt::NotHere(NotHere::Leader(group.leader()));
        }
        if let Some(attempt) = self.attempt_order(group, &request.task) {
            return attempt;
        }
        if let Task::BackupBegin { id } = request.task {
            return self.take_backup(group, id, confirmed);
        }
        if let Some(stamp) = request.stamp {
            match group.machine.sessions.look(stamp) {
                Seen::New => (),
                Seen::Applied(reply) => return Attempt::Answered(reply::decode(&reply)),
                Seen::NoSession => return Attempt::NotHere(NotHere::NoSession),
            }
        }
        let evaluated = match self.evaluate_task(group, request, fetched) {
            Ok(evaluated) => evaluated,
            Err(keys) => return Attempt::Fetch(keys),
        };
        let settled = !evaluated.speculative || planted(Bug::SpeculativeReply);
        if evaluated.writes.is_empty() && settled {
            return self.answer_read(group, evaluated.reply, confirmed);
        }
        let Some(stamp) = request.stamp else {
            // A command that only reads never gets here: it is evaluated on applied state.
            return Attempt::Answered(Reply::error("ERR a write came without its session"));
        };
        if let Some(refusal) = self.refusal(&evaluated.writes) {
            return Attempt::Answered(refusal);
        }
        match self.write_payload(group, &evaluated, stamp) {
            Ok(payload) => {
                let attempt = self.propose(group, payload, &evaluated.writes);
                if planted(Bug::ReplyBeforeCommit) && matches!(attempt, Attempt::Proposed(_)) {
                    return Attempt::Answered(evaluated.reply);
                }
                attempt
            }
            Err(refusal) => Attempt::Answered(refusal),
        }
    }

    /// A reply that rests on applied state alone: may it go out?
    fn answer_read(
        self: &Rc<Node>,
        group: &mut Group,
        reply: Reply,
        confirmed: bool,
    ) -> Attempt<Slot> {
        if confirmed {
            return Attempt::Answered(reply);
        }
        if group.lease_holds(now()) || planted(Bug::LeaseNotChecked) {
            self.observe_lease(group);
            return Attempt::Answered(reply);
        }
        self.confirm(group)
    }

    /// Asks a quorum whether this node still leads.
    pub(crate) fn confirm(self: &Rc<Node>, group: &mut Group) -> Attempt<Slot> {
        let id = group.next_read();
        let (sender, receiver) = oneshot::channel();
        group.reads.insert(id, sender);
        self.step_group(group, Input::Read(id));
        Attempt::Confirming(receiver)
    }

    pub(crate) fn observe_lease(&self, group: &Group) {
        observe(self.replica, group.number, || Fact::LeaseServed {
            ballot: evenkeel_core::consensus::Consensus::status(&group.core).promised,
        });
    }

    /// The time by which this group judges expiry: never earlier than any entry's.
    pub(crate) fn time_ms(&self, group: &Group) -> u64 {
        runtime::clock::wall_ms().max(group.machine.time_ms)
    }

    /// `Err`: the bytes of these keys have to be fetched first.
    fn evaluate_task(
        &self,
        group: &Group,
        request: &Request,
        fetched: &Fetched,
    ) -> Result<Evaluated, Vec<Bytes>> {
        let now_ms = self.time_ms(group);
        let store = self.store.borrow();
        let overlay = request.stamp.is_some().then_some(&group.overlay);
        let view = GroupView::new(&store, overlay, fetched);
        let mut view = view.with_ttl_jitter(self.config.default_ttl_jitter_percent);
        let mut conditions = BTreeMap::new();
        let mut writes = Vec::new();
        let reply = match &request.task {
            Task::Command(owned) => {
                let slots = self.slots_of(group.number);
                run(owned, &mut view, now_ms, slots, &store, &mut writes, &mut conditions)?
            }
            Task::Versions(keys) => {
                let version = |key: &Bytes| {
                    Reply::Integer(view.token(&group.machine.vanished, key, now_ms) as i64)
                };
                Reply::Array(keys.iter().map(version).collect())
            }
            Task::Transaction { commands, watches } => {
                let changed = |(key, token): &(Bytes, u64)| {
                    view.token(&group.machine.vanished, key, now_ms) != *token
                };
                let called_off = watches.iter().any(changed);
                conditions.extend(watches.iter().cloned());
                if called_off {
                    conditions.clear();
                    Reply::NullArray
                } else {
                    let mut replies = Vec::with_capacity(commands.len());
                    for owned in commands {
                        let slots = self.slots_of(group.number);
                        let reply = run(
                            owned,
                            &mut view,
                            now_ms,
                            slots,
                            &store,
                            &mut writes,
                            &mut conditions,
                        )?;
                        replies.push(reply);
                    }
                    Reply::Array(replies)
                }
            }
            Task::OpenSession { .. }
            | Task::Place(_)
            | Task::Transfer(_)
            | Task::Describe
            | Task::BackupBegin { .. }
            | Task::BackupNext { .. }
            | Task::BackupEnd { .. }
            | Task::Value { .. } => unreachable!("answered before anything is evaluated"),
        };
        let speculative = view.was_speculative();
        Ok(Evaluated { reply, writes, conditions, speculative })
    }

    fn write_payload(
        &self,
        group: &Group,
        evaluated: &Evaluated,
        stamp: SessionStamp,
    ) -> Result<Bytes, Reply> {
        if CONDITION_COUNT_MAX < evaluated.conditions.len() {
            return Err(Reply::error(format!(
                "ERR the request depends on {} keys of one shard, at most {CONDITION_COUNT_MAX} are \
                 possible: split it",
                evaluated.conditions.len()
            )));
        }
        let encoded = reply::encode(&evaluated.reply);
        let conditions = evaluated.conditions.iter();
        let context = WriteContext {
            evaluated_in: group.leading,
            time_ms: self.time_ms(group),
            session: stamp,
            reply: &encoded,
            conditions: conditions.map(|(key, version)| (&key[..], *version)).collect(),
        };
        let context = context.encode();
        let size: usize = evaluated.writes.iter().map(operation_size).sum();
        if RECORD_PAYLOAD_SIZE_MAX < context.len() + size + 16 {
            return Err(Reply::error(format!(
                "ERR the request writes {} bytes to one shard at once, at most \
                 {RECORD_PAYLOAD_SIZE_MAX} are possible: split it",
                context.len() + size
            )));
        }
        let mut batch = BatchBuilder::with_capacity(&context, size);
        for write in &evaluated.writes {
            match write {
                Write::Put { key, value, expires_at_ms } => batch.put(key, value, *expires_at_ms),
                Write::Delete { key } => batch.delete(key),
            }
        }
        Ok(batch.finish())
    }

    pub(crate) fn propose(
        self: &Rc<Node>,
        group: &mut Group,
        payload: Bytes,
        writes: &[Write],
    ) -> Attempt<Slot> {
        count(&self.metrics.proposals);
        let id = group.next_proposal();
        self.step_group(group, Input::Propose(vec![(id, payload.clone())]));
        match group.proposed.take().expect("the core answers a proposal within the step") {
            Proposed::Refused { busy: true, .. } => Attempt::NotHere(NotHere::Busy),
            Proposed::Refused { leader, .. } => Attempt::NotHere(NotHere::Leader(leader)),
            Proposed::At(slot) => {
                if group.machine.applied < slot && group.is_leader() {
                    for write in writes {
                        group
                            .overlay
                            .push(write.key(), PendingWrite { slot, value: write.value() });
                    }
                    group.waiting.insert(slot, Waiter { payload, asker: Asker::Nobody });
                }
                Attempt::Proposed(slot)
            }
        }
    }

    /// Reads the bytes of a key from the log, with their version; `None` if they are in memory by now.
    async fn fetch(self: &Rc<Node>, key: &[u8]) -> Result<Option<(u64, Bytes)>, NotHere> {
        let slot = slots::slot(key);
        let found = match self.store.borrow().peek(slot, key) {
            Some(found) => match found.value {
                Value::Log(location, index) => Some((location, index, found.version)),
                Value::Memory(_) => None,
            },
            None => None,
        };
        let Some((location, index, version)) = found else { return Ok(None) };
        let value = match self.read_value(location, index).await {
            Some(value) => value,
            None => {
                let wanted = Lost { slot, key: key.into(), version, home: (location, index) };
                // On the heap: it is rare, and every request that waits would be as large.
                match Box::pin(self.value_from_others(wanted)).await {
                    Asked::Value(value) => value,
                    Asked::Nobody if self.map.borrow().nodes().len() == 1 => {
                        return Err(NotHere::Gone);
                    }
                    // Several disks that are wrong at once may be right the next moment.
                    Asked::Nobody => return Err(NotHere::Damaged),
                    Asked::Unsure => return Err(self.damaged(key)),
                }
            }
        };
        self.store.borrow_mut().fill(slot, key, version, &value);
        Ok(Some((version, value)))
    }
}

/// Evaluates one command and notes what it writes and relies on.
fn run(
    owned: &OwnedCommand,
    view: &mut GroupView<'_>,
    now_ms: u64,
    slots: std::ops::Range<u16>,
    store: &evenkeel_engine::store::Store,
    writes: &mut Vec<Write>,
    conditions: &mut BTreeMap<Bytes, u64>,
) -> Result<Reply, Vec<Bytes>> {
    let arguments = owned.arguments();
    let command = match parse(&arguments) {
        Ok(command) => command,
        Err(error) => return Ok(Reply::error(error.to_string())),
    };
    if sweep::is_sweep(&command) {
        let (reply, swept) = sweep::evaluate(&command, store, slots, now_ms);
        writes.extend(swept);
        return Ok(reply);
    }
    match command::evaluate(&command, view, now_ms) {
        Evaluation::NeedValues { keys } => {
            Err(keys.into_iter().map(Bytes::copy_from_slice).collect())
        }
        Evaluation::Done { reply, writes: written, reads } => {
            for (key, version) in reads {
                conditions.entry(Bytes::copy_from_slice(key)).or_insert(version);
            }
            let written: Vec<Write> = written.into_iter().map(Write::keep).collect();
            view.write(&written, now_ms);
            writes.extend(written);
            Ok(reply)
        }
    }
}

fn operation_size(write: &Write) -> usize {
    match write {
        Write::Put { key, value, .. } => operation_size_max(key.len(), value.len()),
        Write::Delete { key } => operation_size_max(key.len(), 0),
    }
}

/// Whether a command can change anything; if so it needs a session.
pub(crate) fn is_write(command: &Command<'_>) -> bool {
    command::access(command) == Access::Write
        || matches!(command, Command::FlushDb | Command::FlushAll)
}
