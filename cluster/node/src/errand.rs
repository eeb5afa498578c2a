//! One request on its way to whoever leads its group: asked, asked again, and answered within its time.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_core::consensus::ReplicaId;
use evenkeel_core::placement::slots;
use evenkeel_runtime as runtime;
use evenkeel_wire::reply::Reply;

use crate::bugs::{Bug, planted};
use crate::config::ClusterMode;
use crate::forward::Answer;
use crate::lead::Attempt;
use crate::metrics::count;
use crate::node::Node;
use crate::order::Turn;
use crate::origin::Opening;
use crate::request::{GONE, NotHere, Request, Task};
use crate::requests::slots_named;
use crate::space::is_refusal;

/// How long to wait before asking again who leads.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// How long to wait for a session that somebody else is opening.
const SESSION_PAUSE: Duration = Duration::from_millis(2);

/// A request that is being served, and what has become of it so far.
///
/// However it ends, with an answer, out of time or dropped because its client went away, its write's
/// number counts as answered from then on: otherwise every replica would keep the reply to it, and to
/// every later write of the session, for somebody who never asks.
pub(crate) struct Errand {
    node: Rc<Node>,
    request: Request,
    /// It needs a session.
    writes: bool,
    /// The try that was made before there was time to wait.
    first: Option<Attempt>,
    /// Somebody may have put it into a log, with its present stamp: its outcome may be unknown.
    tried: bool,
    /// Who was last said to lead.
    hint: Option<ReplicaId>,
    tries: usize,
    /// Its place among its connection's commands, if it has one of its own.
    pub(crate) turn: Option<Turn>,
}

impl Drop for Errand {
    fn drop(&mut self) {
        if !planted(Bug::GoneClientAwaited) {
            self.answered();
        }
    }
}

impl Errand {
    pub(crate) fn new(node: &Rc<Node>, mut request: Request, writes: bool) -> Errand {
        let mut origins = node.origins.borrow_mut();
        let origin = &mut origins[request.group as usize];
        if writes {
            request.stamp = origin.stamp();
        }
        let hint = origin.leader;
        let node = Rc::clone(node);
        Errand { node, request, writes, first: None, tried: false, hint, tries: 0, turn: None }
    }

    /// The first try, without waiting. `None`: `run` goes on from it.
    pub(crate) fn try_now(&mut self) -> Option<Reply> {
        if self.writes && self.request.stamp.is_none() {
            return None;
        }
        match self.node.attempt(&self.request) {
            Attempt::Answered(reply) => {
                self.answered();
                Some(reply)
            }
            attempt => {
                self.first = Some(attempt);
                None
            }
        }
    }

    /// Gets the request answered by whoever leads its group, within the request's time.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async function keeps its argument beside what it makes of it: the errand twice"
    )]
    pub(crate) fn run(mut self) -> impl Future<Output = Reply> {
        async move {
            let limit = self.node.config.request_timeout.as_micros() as u64;
            let deadline = runtime::clock::monotonic_us() + limit;
            let reply = loop {
                if deadline <= runtime::clock::monotonic_us() {
                    break timed_out(self.writes && self.tried);
                }
                if self.writes
                    && self.request.stamp.is_none()
                    && !Box::pin(self.number(deadline)).await
                {
                    continue;
                }
                let tried = self.tried;
                match self.try_once(deadline).await {
                    // It says that nothing was done now; what an earlier try did, nobody knows.
                    Answer::Reply(reply) if tried && is_refusal(&reply) => break timed_out(true),
                    Answer::Reply(reply) => break reply,
                    Answer::NotHere(NotHere::Leader(leader)) => self.hint = leader,
                    Answer::NotHere(NotHere::Gone) => break Reply::error(GONE),
                    Answer::NotHere(NotHere::Busy | NotHere::Damaged | NotHere::Unsure)
                    | Answer::Lost => {
                        self.hint = None;
                    }
                    Answer::NotHere(NotHere::NoSession) => {
                        if let Some(reply) = self.session_gone() {
                            break reply;
                        }
                    }
                }
                if planted(Bug::RepeatedUnderNewNumber) {
                    self.answered();
                }
                runtime::sleep(RETRY_PAUSE).await;
            };
            self.answered();
            reply
        }
    }

    /// Nobody will ask for the request again under the number that it has.
    fn answered(&mut self) {
        if let Some(stamp) = self.request.stamp.take() {
            self.node.origins.borrow_mut()[self.request.group as usize].answered(stamp);
        }
    }

    /// Here if this node leads, else wherever the leader is thought to be.
    async fn try_once(&mut self, deadline: u64) -> Answer {
        self.tries += 1;
        let attempt = self.first.take().unwrap_or_else(|| self.node.attempt(&self.request));
        // From here on, with this stamp, somebody may have put it into a log.
        let proposed = matches!(attempt, Attempt::Proposed(_));
        let leader = match self.lead_within(attempt, deadline).await {
            Ok(reply) => return Answer::Reply(reply),
            Err(NotHere::Leader(leader)) => leader.or(self.hint),
            Err(NotHere::NoSession) if !self.tried && !proposed => {
                return Answer::NotHere(NotHere::NoSession);
            }
            Err(other) => {
                self.tried = true;
                return Answer::NotHere(other);
            }
        };
        self.tried |= proposed;
        let Some(leader) = self.whom_to_ask(leader) else {
            return Answer::NotHere(NotHere::Leader(None));
        };
        if self.node.config.mode == ClusterMode::Redirect
            && let Some(moved) = self.moved(leader)
        {
            return Answer::Reply(moved);
        }
        count(&self.node.metrics.forwarded);
        let answer = self.node.forward(leader, &self.request, deadline).await;
        let led = matches!(answer, Answer::Reply(_)).then_some(leader);
        self.node.origins.borrow_mut()[self.request.group as usize].leader = led;
        // Whoever says that it does not lead, or does not know the session, has done nothing.
        let untouched = matches!(answer, Answer::NotHere(NotHere::Leader(_) | NotHere::NoSession));
        self.tried |= !untouched;
        answer
    }

    /// Whoever is said to lead; if nobody is, somebody who should know.
    fn whom_to_ask(&self, leader: Option<ReplicaId>) -> Option<ReplicaId> {
        let group = self.request.group;
        match leader {
            Some(leader) => Some(leader).filter(|leader| !self.node.is_self(*leader)),
            None if self.node.is_voter(group) => None, // It will hear as soon as anybody.
            None => self.node.somebody_of(group, self.tries),
        }
    }

    async fn lead_within(&self, attempt: Attempt, deadline: u64) -> Result<Reply, NotHere> {
        let left = deadline.saturating_sub(runtime::clock::monotonic_us());
        let led = pin!(self.node.lead(&self.request, attempt));
        match runtime::timeout(Duration::from_micros(left), led).await {
            Ok(result) => result,
            Err(_) => Err(NotHere::Unsure),
        }
    }

    /// The group has forgotten the session. `Some`: the client must hear that nobody knows.
    fn session_gone(&mut self) -> Option<Reply> {
        let session = self.request.stamp?.session;
        self.answered();
        self.node.origins.borrow_mut()[self.request.group as usize].forget(session);
        self.tried.then(|| timed_out(true))
    }

    /// Numbers the write, opening a session first if there is none. Whether it has a number now.
    async fn number(&mut self, deadline: u64) -> bool {
        let group = self.request.group;
        self.request.stamp = self.node.origins.borrow_mut()[group as usize].stamp();
        if self.request.stamp.is_some() {
            return true;
        }
        if self.node.origins.borrow()[group as usize].opening {
            runtime::sleep(SESSION_PAUSE).await;
            return false;
        }
        let opening = Opening::begin(&self.node, group);
        let task = Task::OpenSession { nonce: runtime::random_u64() };
        let request = Request { group, task, stamp: None };
        let left = deadline.saturating_sub(runtime::clock::monotonic_us());
        let opened = Box::pin(Errand::new(&self.node, request, false).run());
        let opened = runtime::timeout(Duration::from_micros(left), opened).await;
        opening.answered();
        if let Ok(Reply::Integer(id)) = opened {
            let mut origins = self.node.origins.borrow_mut();
            let origin = &mut origins[group as usize];
            origin.session = Some(id as u64);
            self.request.stamp = origin.stamp();
        }
        self.request.stamp.is_some()
    }

    /// `MOVED`, if the leader is a member whose client address is known.
    fn moved(&self, leader: ReplicaId) -> Option<Reply> {
        let slot = match &self.request.task {
            Task::Command(owned) => {
                let arguments = owned.arguments();
                let command = evenkeel_wire::command::parse(&arguments).ok()?;
                *slots_named(&command).first()?
            }
            Task::Transaction { commands, watches } => {
                let slot = self.node.transaction_slot(commands, watches).ok()?;
                slot?
            }
            Task::Versions(keys) => slots::slot(keys.first()?),
            // The node that was asked sees to it.
            Task::OpenSession { .. }
            | Task::Place(_)
            | Task::Transfer(_)
            | Task::Describe
            | Task::BackupBegin { .. }
            | Task::BackupNext { .. }
            | Task::BackupEnd { .. }
            | Task::Value { .. } => return None,
        };
        let address = self.node.client_address(leader)?;
        Some(Reply::error(format!("MOVED {slot} {address}")))
    }
}

fn timed_out(maybe_done: bool) -> Reply {
    Reply::error(if maybe_done && !planted(Bug::TimeoutReportedAsFailure) {
        "TIMEOUT no quorum answered in time; the outcome is unknown: the write may or may not happen"
    } else {
        "CLUSTERDOWN no leader answered in time; nothing was changed: try again"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_size<F>(_: impl FnOnce(Errand) -> F) -> usize {
        size_of::<F>()
    }

    /// Goal: a client that waits costs less than 1 KiB, which the allocator has at hand.
    #[test]
    fn a_pending_request_is_small() {
        let size = future_size(Errand::run);
        assert!(size <= 1024, "{size} bytes");
    }
}
