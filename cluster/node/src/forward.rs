//! Asking another node to lead a request, and answering when others ask.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::ReplicaId;
use evenkeel_runtime as runtime;
use evenkeel_wire::command::OwnedCommand;
use evenkeel_wire::peer::Message as Frame;
use evenkeel_wire::peer::messages::{
    BackupPart, Busy, Forward, ForwardOutcome, ForwardReply, ForwardedCommand, NotLeader,
    StaleEpoch, UnknownSession, Watch,
};
use evenkeel_wire::reply::Reply;
use tokio::sync::oneshot;

use crate::entry::SessionStamp;
use crate::group::{Asked, Asker, Fate, PLACEMENT_GROUP};
use crate::lead::{Attempt, verdict};
use crate::machine::Outcome;
use crate::metrics::count;
use crate::node::Node;
use crate::reply;
use crate::request::{GONE, NotHere, Request, Task};

/// How long to wait for another node before asking again: its answer, or its whole self, may be lost.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1000);
/// The most forwarded requests a node works on at a time.
const SERVED_COUNT_MAX: usize = 16_384;

/// A request that another node was asked to lead.
pub(crate) struct PendingForward {
    group: u32,
    to: ReplicaId,
    /// Only a leader has an answer.
    needs_leader: bool,
    sender: oneshot::Sender<ForwardOutcome>,
}

/// What came back.
pub(crate) enum Answer {
    Reply(Reply),
    NotHere(NotHere),
    /// Nothing: whether the request was served is unknown.
    Lost,
}

impl Node {
    /// Sends a request to the node that is thought to lead its group.
    pub(crate) async fn forward(
        &self,
        leader: ReplicaId,
        request: &Request,
        deadline: u64,
    ) -> Answer {
        let Some((id, receiver)) = self.send_forward(leader, request) else {
            return Answer::NotHere(NotHere::Busy);
        };
        let left = deadline.saturating_sub(runtime::clock::monotonic_us());
        let wait = ANSWER_TIMEOUT.min(Duration::from_micros(left));
        let answer = runtime::timeout(wait, receiver).await;
        self.forwards.borrow_mut().remove(&id);
        match answer {
            Ok(Ok(outcome)) => from_outcome(outcome),
            Ok(Err(_)) | Err(_) => Answer::Lost,
        }
    }

    /// The number under which the request went out, and where its answer arrives. (Not part of `forward`
    /// itself, which would then carry the whole frame for as long as it waits.)
    fn send_forward(
        &self,
        leader: ReplicaId,
        request: &Request,
    ) -> Option<(u64, oneshot::Receiver<ForwardOutcome>)> {
        let id = self.next_forward.get();
        self.next_forward.set(id.wrapping_add(1));
        let frame = Frame::Forward(to_wire(id, request, self.peers.map_epoch.get()));
        let (sender, receiver) = oneshot::channel();
        let needs_leader = request.task.needs_leader();
        let pending = PendingForward { group: request.group, to: leader, needs_leader, sender };
        self.forwards.borrow_mut().insert(id, pending);
        let is_sent = self.peers.send(leader, &frame);
        if !is_sent {
            self.forwards.borrow_mut().remove(&id);
        }
        is_sent.then_some((id, receiver))
    }

    pub(crate) fn forward_answered(&self, answer: ForwardReply) {
        let waiting = self.forwards.borrow_mut().remove(&answer.id);
        if let (Some(pending), Some(outcome)) = (waiting, answer.outcome) {
            let _gone = pending.sender.send(outcome);
        }
    }

    /// Somebody else leads a group now: whoever was asked before may never answer. What it did with the
    /// request is unknown.
    pub(crate) fn leader_changed(&self, group: u32, leader: ReplicaId) {
        let mut forwards = self.forwards.borrow_mut();
        forwards.retain(|_, pending| {
            !pending.needs_leader || pending.group != group || pending.to == leader
        });
    }

    /// Another node asks: lead the request here, or say who might.
    pub(crate) fn serve_forward(self: &Rc<Node>, from: ReplicaId, forward: Forward) {
        let id = forward.id;
        let early = if SERVED_COUNT_MAX <= self.served.get() {
            Some(ForwardOutcome::Busy(Busy {}))
        } else if forward.map_epoch < self.peers.map_epoch.get() {
            let epoch = self.peers.map_epoch.get();
            Some(ForwardOutcome::StaleEpoch(StaleEpoch { epoch }))
        } else {
            None
        };
        let request = from_wire(forward).filter(|request| {
            let of_the_map = matches!(request.task, Task::Place(_));
            let fits = of_the_map == (request.group == PLACEMENT_GROUP);
            fits && (request.group as usize) < self.groups.len()
        });
        let (Some(request), None) = (request, &early) else {
            let strange = || ForwardOutcome::Failed("ERR a request for no shard".to_string());
            let outcome = Some(early.unwrap_or_else(strange));
            self.peers.send(from, &Frame::ForwardReply(ForwardReply { id, outcome }));
            return;
        };
        self.served.set(self.served.get() + 1);
        self.lead_for(Asked { from, id, request });
    }

    /// Leads a request of another node, which is told as soon as the fate of what was proposed is known:
    /// only what needs more than one try has a task that waits.
    fn lead_for(self: &Rc<Node>, asked: Asked) {
        let attempt = match self.first_try(&asked.request) {
            Attempt::Answered(reply) => return self.answer_forward(&asked, Ok(reply)),
            Attempt::NotHere(not_here) => return self.answer_forward(&asked, Err(not_here)),
            Attempt::Proposed(slot) => {
                let mut group = self.groups[asked.request.group as usize].borrow_mut();
                match group.waiting.get_mut(&slot) {
                    Some(waiter) => waiter.asker = Asker::Peer(asked),
                    // Settled within the step: its outcome is in the session table.
                    None => self.answer_forward(&asked, Err(NotHere::Unsure)),
                }
                return;
            }
            Attempt::Confirming(receiver) => Attempt::Confirming(receiver),
            Attempt::Fetch(keys) => Attempt::Fetch(keys),
            Attempt::Part(receiver) => Attempt::Part(receiver),
        };
        drop(runtime::spawn(Rc::clone(self).lead_at_length(asked, Some(attempt))));
    }

    /// The long way; `first` is the try that was made already.
    async fn lead_at_length(self: Rc<Node>, asked: Asked, first: Option<Attempt>) {
        let first = first.unwrap_or_else(|| self.attempt(&asked.request));
        let led = self.lead(&asked.request, first);
        let led = runtime::timeout(self.config.request_timeout, led).await;
        self.answer_forward(&asked, led.unwrap_or(Err(NotHere::Unsure)));
    }

    /// What another node asked for has been proposed, and this became of it.
    pub(crate) fn tell_peer(self: &Rc<Node>, asked: Asked, fate: Fate) {
        if let Fate::Settled(Outcome::Applied(bytes)) = fate {
            return self.send_outcome(&asked, ForwardOutcome::Reply(bytes.into()));
        }
        match verdict(fate) {
            Some(led) => self.answer_forward(&asked, led),
            None => {
                count(&self.metrics.retried);
                drop(runtime::spawn(Rc::clone(self).lead_at_length(asked, None)));
            }
        }
    }

    /// Says what became of a request that another node had us lead.
    pub(crate) fn answer_forward(&self, asked: &Asked, led: Result<Reply, NotHere>) {
        let outcome = match led {
            Ok(answer) => ForwardOutcome::Reply(Bytes::from(reply::encode(&answer))),
            Err(NotHere::Leader(leader)) => {
                let leader = leader.map(|leader| leader.0);
                ForwardOutcome::NotLeader(NotLeader { leader })
            }
            Err(NotHere::NoSession) => ForwardOutcome::UnknownSession(UnknownSession {}),
            // Not "not the leader": that would say that nothing was done.
            Err(NotHere::Gone) => ForwardOutcome::Failed(GONE.to_string()),
            Err(NotHere::Busy | NotHere::Damaged | NotHere::Unsure) => {
                ForwardOutcome::Busy(Busy {})
            }
        };
        self.send_outcome(asked, outcome);
    }

    /// The last word about a request of another node.
    fn send_outcome(&self, asked: &Asked, outcome: ForwardOutcome) {
        self.served.set(self.served.get() - 1);
        let (to, id) = (asked.from, asked.id);
        let answer = ForwardReply { id, outcome: Some(outcome) };
        if !self.peers.send(to, &Frame::ForwardReply(answer)) {
            let text = "ERR the reply is too large to be sent on by another node: ask for less";
            let outcome = Some(ForwardOutcome::Failed(text.to_string()));
            self.peers.send(to, &Frame::ForwardReply(ForwardReply { id, outcome }));
        }
    }
}

fn from_outcome(outcome: ForwardOutcome) -> Answer {
    match outcome {
        ForwardOutcome::Reply(bytes) => Answer::Reply(reply::decode(&bytes)),
        ForwardOutcome::NotLeader(NotLeader { leader }) => {
            Answer::NotHere(NotHere::Leader(leader.map(ReplicaId)))
        }
        ForwardOutcome::StaleEpoch(_) | ForwardOutcome::Busy(_) => Answer::NotHere(NotHere::Busy),
        ForwardOutcome::UnknownSession(_) => Answer::NotHere(NotHere::NoSession),
        ForwardOutcome::Failed(text) => Answer::Reply(Reply::error(text)),
    }
}

fn to_wire(id: u64, request: &Request, map_epoch: u64) -> Forward {
    let stamp = request.stamp.unwrap_or_default();
    let mut forward = Forward {
        id,
        map_epoch,
        shard: request.group,
        session: stamp.session,
        sequence: stamp.sequence,
        acknowledged_below: stamp.acknowledged_below,
        ..Forward::default()
    };
    let kept = |command: &OwnedCommand| ForwardedCommand { arguments: command.arguments.clone() };
    match &request.task {
        Task::Command(command) => forward.commands.push(kept(command)),
        Task::Transaction { commands, watches } => {
            forward.transaction = true;
            forward.commands = commands.iter().map(kept).collect();
            let watch =
                |(key, version): &(Bytes, u64)| Watch { key: key.clone(), version: *version };
            forward.watches = watches.iter().map(watch).collect();
        }
        Task::Versions(keys) => forward.versions_of.clone_from(keys),
        Task::OpenSession { nonce } => forward.open_session = Some(*nonce),
        Task::Place(command) => forward.placement = Some(command.clone()),
        Task::Transfer(to) => forward.transfer = Some(to.map_or(0, |to| to.0)),
        Task::Describe => forward.describe = true,
        Task::BackupBegin { id } => forward.backup_begin = Some(*id),
        Task::BackupNext { id, index } => {
            forward.backup_next = Some(BackupPart { id: *id, index: *index });
        }
        Task::BackupEnd { id } => forward.backup_end = Some(*id),
        Task::Value { key, version } => {
            forward.value_of = Some(Watch { key: key.clone(), version: *version });
        }
    }
    forward
}

/// `None`: not a request that this release knows.
fn from_wire(forward: Forward) -> Option<Request> {
    let stamp = (forward.session != 0).then_some(SessionStamp {
        session: forward.session,
        sequence: forward.sequence,
        acknowledged_below: forward.acknowledged_below,
    });
    let mut commands: Vec<OwnedCommand> = forward
        .commands
        .into_iter()
        .map(|command| OwnedCommand { arguments: command.arguments })
        .collect();
    let task = if let Some(nonce) = forward.open_session {
        Task::OpenSession { nonce }
    } else if let Some(command) = forward.placement {
        Task::Place(command)
    } else if let Some(to) = forward.transfer {
        Task::Transfer(Some(ReplicaId(to)).filter(|to| *to != ReplicaId(0)))
    } else if forward.describe {
        Task::Describe
    } else if let Some(id) = forward.backup_begin {
        Task::BackupBegin { id }
    } else if let Some(BackupPart { id, index }) = forward.backup_next {
        Task::BackupNext { id, index }
    } else if let Some(id) = forward.backup_end {
        Task::BackupEnd { id }
    } else if let Some(Watch { key, version }) = forward.value_of {
        Task::Value { key, version }
    } else if !forward.versions_of.is_empty() {
        Task::Versions(forward.versions_of)
    } else if forward.transaction {
        let watches = forward.watches.into_iter().map(|watch| (watch.key, watch.version));
        Task::Transaction { commands, watches: watches.collect() }
    } else if commands.len() == 1 {
        Task::Command(commands.remove(0))
    } else {
        return None;
    };
    Some(Request { group: forward.shard, task, stamp })
}
