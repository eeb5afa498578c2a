//! What an operator asks of the cluster: other leaders, other voters, an empty node. Any node takes it.
//!
//! A change of voters is thought out here, from this node's map, decided in the placement group for the
//! very map it was made for, and carried out by the shards' leaders, one voter at a time. So whoever
//! does not hear whether it was decided looks at the map, and asks again for what is still missing.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::{Configuration, Consensus, Input, ReplicaId, Slot};
use evenkeel_core::placement::plan::{self, Plan};
use evenkeel_core::placement::{MapCommand, MapError, PlacementMap};
use evenkeel_runtime as runtime;
use evenkeel_wire::reply::Reply;

use crate::api::{Decided, Operated, Operation, ShardState};
use crate::entry;
use crate::errand::Errand;
use crate::group::{Group, PLACEMENT_GROUP};
use crate::lead::Attempt;
use crate::node::Node;
use crate::request::{Request, Task};

/// How long to wait for a leader to take over, or for a newer map to arrive here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look.
const PAUSE: Duration = Duration::from_millis(20);
/// A hand-over that came to nothing is asked for again after so many looks.
const LOOKS_PER_TRANSFER: u32 = 50;
/// How many shards are asked at a time.
const ASKED_COUNT_MAX: usize = 64;

/// How the refusal of a change begins that was made for an older map; the map's epoch follows.
const STALE: &str = "STALE ";

/// A group as its leader describes it, in the integers of an array: leader, learner or 0, the highest
/// lag in slots, then the voters.
struct Described {
    leader: ReplicaId,
    learner: Option<ReplicaId>,
    lag_max: u64,
    voters: Configuration,
}

/// What became of a change of the map.
pub(crate) enum Placed {
    /// It is in the map from this epoch on.
    At(u64),
    /// The map had changed meanwhile.
    Stale,
}

/// The refusal of a change that was made for an older map.
pub(crate) fn stale(epoch: u64) -> Reply {
    Reply::error(format!("{STALE}{epoch}"))
}

impl Node {
    /// Does what an operator asks for; it may take seconds.
    ///
    /// # Errors
    /// Why not, for people, beginning as a RESP error does. Nothing was changed then, unless it says so.
    pub async fn operate(self: Rc<Node>, operation: Operation) -> Result<Operated, String> {
        match operation {
            Operation::Shards => Ok(Operated::Shards(self.shard_states().await)),
            Operation::Transfer { shard, to } => {
                self.transfer_leader(shard, to.as_deref()).await.map(|()| Operated::Done)
            }
            Operation::Move { shard, voters } => {
                self.move_shard(shard, &voters).await.map(Operated::Decided)
            }
            Operation::Drain { node } => self.drain_node(&node).await.map(Operated::Decided),
            Operation::Balance { without } => self.balance(&without).await.map(Operated::Decided),
            Operation::Join { node } => self.expect_node(&node).await.map(Operated::Epoch),
            Operation::Remove { node } => self.remove_node(&node).await.map(Operated::Epoch),
            Operation::Nodes => Ok(Operated::Nodes(self.node_states())),
            Operation::Scrub { begin } => {
                if begin {
                    self.ask_for_scrub();
                }
                Ok(Operated::Scrub(self.scrub.status()))
            }
            Operation::SnapshotBegin { shard } => {
                self.begin_backup(shard).await.map(Operated::Begun)
            }
            Operation::SnapshotNext { token, index } => {
                self.next_of_backup(&token, index).await.map(|reply| match reply {
                    Reply::Bulk(part) => Operated::Part(Some(part)),
                    _ => Operated::Part(None),
                })
            }
            Operation::SnapshotEnd { token } => {
                self.end_backup(&token).await.map(|_| Operated::Done)
            }
        }
    }

    /// Has a node lead a shard, or, without a name, whoever can best. Returns once it does.
    ///
    /// # Errors
    /// As `operate`.
    pub async fn transfer_leader(
        self: &Rc<Node>,
        shard: u16,
        to: Option<&str>,
    ) -> Result<(), String> {
        let number = self.group_numbered(shard)?;
        let wanted = to.map(|name| self.replica_named(name)).transpose()?;
        let before = self.describe(number).await?;
        let takes = |voter: ReplicaId| before.voters.contains(voter);
        if let Some(name) = to.filter(|_| wanted.is_some_and(|to| !takes(to))) {
            let voters = self.names(&before.voters.voters).join(", ");
            return Err(format!(
                "ERR `{name}` has no vote on shard {shard}: it can be led by {voters}"
            ));
        }
        if wanted.is_none() && before.voters.voters.len() == 1 {
            return Err(format!("ERR shard {shard} has one voter: nobody else can lead it"));
        }
        let is_done = |leader| wanted.map_or(leader != before.leader, |wanted| leader == wanted);
        let end = runtime::clock::monotonic_us() + PATIENCE.as_micros() as u64;
        let (mut leader, mut looks) = (before.leader, 0);
        while !is_done(leader) {
            if end <= runtime::clock::monotonic_us() {
                let name = self.name_of(leader);
                return Err(format!(
                    "ERR shard {shard} is still led by `{name}`: nobody took over in time; is the \
                     target connected, and does it keep up?"
                ));
            }
            if looks % LOOKS_PER_TRANSFER == 0 {
                self.ask(number, Task::Transfer(wanted)).await?;
            }
            looks += 1;
            runtime::sleep(PAUSE).await;
            leader = self.describe(number).await?.leader;
        }
        Ok(())
    }

    /// Gives a shard these voters. Returns once that is decided.
    ///
    /// # Errors
    /// As `operate`.
    pub async fn move_shard(
        self: &Rc<Node>,
        shard: u16,
        voters: &[String],
    ) -> Result<Decided, String> {
        self.group_numbered(shard)?;
        self.decide(|map| {
            let named = voters.iter().map(|name| self.replica_named(name));
            let voters: Vec<ReplicaId> = named.collect::<Result<_, _>>()?;
            plan::move_shard(map, shard, &voters).map_err(|refusal| match refusal {
                MapError::Duplicate(name) => format!("ERR `{name}` is named twice"),
                refusal => format!("ERR {refusal}"),
            })
        })
        .await
    }

    /// Takes every vote from a node, and leadership before that: afterwards it may go for good. What
    /// could not be moved is in `Decided::stuck`. Returns once it is decided.
    ///
    /// # Errors
    /// As `operate`.
    pub async fn drain_node(self: &Rc<Node>, name: &str) -> Result<Decided, String> {
        let is_there = |replica: ReplicaId| {
            let map = self.map.borrow();
            let name = map.node(replica).map(|node| &node.name);
            self.is_self(replica) || name.is_some_and(|name| self.peers.is_connected(name))
        };
        let decided = self.decide(|map| {
            // By name each time: it may be born again while this waits, and is another replica then.
            let node = self.replica_named(name)?;
            plan::drain(map, node, is_there).map_err(|refusal| format!("ERR {refusal}"))
        });
        let decided = decided.await?;
        for state in self.shard_states().await {
            if state.leader.as_deref() == Some(name) {
                // If nobody is fit to take over now, the leader goes when its vote does.
                let asked = self.ask(u32::from(state.shard) + 1, Task::Transfer(None)).await;
                tracing::debug!(shard = state.shard, ?asked, "leadership leaves a drained node");
            }
        }
        Ok(decided)
    }

    /// Spreads votes evenly over all nodes but some. Returns once it is decided.
    ///
    /// # Errors
    /// As `operate`.
    pub async fn balance(self: &Rc<Node>, without: &[String]) -> Result<Decided, String> {
        self.decide(|map| {
            let named = without.iter().map(|name| self.replica_named(name));
            let without: Vec<ReplicaId> = named.collect::<Result<_, _>>()?;
            if without.len() == map.nodes().len() {
                return Err("ERR no node is left to vote".to_string());
            }
            Ok(plan::balance(map, &without))
        })
        .await
    }

    /// Every shard as its leader sees it.
    pub async fn shard_states(self: &Rc<Node>) -> Vec<ShardState> {
        let shards: Vec<u16> = (0..self.map.borrow().shards().len() as u16).collect();
        let mut states = Vec::with_capacity(shards.len());
        for some in shards.chunks(ASKED_COUNT_MAX) {
            let asked: Vec<_> = some
                .iter()
                .map(|&shard| {
                    let node = Rc::clone(self);
                    runtime::spawn(async move { node.describe(u32::from(shard) + 1).await })
                })
                .collect();
            for (&shard, described) in some.iter().zip(asked) {
                let described = described.await.and_then(Result::ok);
                states.push(self.shard_state(shard, described));
            }
        }
        states
    }

    fn shard_state(&self, shard: u16, described: Option<Described>) -> ShardState {
        let voters_wanted = {
            let map = self.map.borrow();
            map.shards()[usize::from(shard)].voters.voters.clone()
        };
        let voters_wanted = self.names(&voters_wanted);
        match described {
            None => ShardState { shard, voters_wanted, ..ShardState::default() },
            Some(described) => ShardState {
                shard,
                voters_wanted,
                leader: Some(self.name_of(described.leader)),
                voters: self.names(&described.voters.voters),
                learner: described.learner.map(|learner| self.name_of(learner)),
                lag_max: described.lag_max,
            },
        }
    }

    /// The leader's part: what is not evaluated on keys. `None`: something that is.
    pub(crate) fn attempt_order(
        self: &Rc<Node>,
        group: &mut Group,
        task: &Task,
    ) -> Option<Attempt<Slot>> {
        match task {
            Task::OpenSession { nonce } => {
                let payload = entry::open_session(self.time_ms(group), *nonce);
                Some(self.propose(group, payload, &[]))
            }
            Task::Place(command) => Some(self.propose(group, entry::placement(command), &[])),
            Task::Transfer(to) => {
                self.step_group(group, Input::Transfer(*to));
                Some(Attempt::Answered(Reply::OK))
            }
            Task::Describe => Some(Attempt::Answered(self.description(group))),
            Task::Command(_)
            | Task::Transaction { .. }
            | Task::Versions(_)
            | Task::BackupBegin { .. }
            | Task::BackupNext { .. }
            | Task::BackupEnd { .. }
            | Task::Value { .. } => None,
        }
    }

    fn description(&self, group: &Group) -> Reply {
        let status = group.core.status();
        let lag = |(_, vouched): &(ReplicaId, Slot)| status.commit.0.saturating_sub(vouched.0);
        let lag_max = status.progress.iter().map(lag).max().unwrap_or_default();
        let head = [self.replica.0, status.learner.map_or(0, |learner| learner.0), lag_max];
        let voters = status.configuration.voters.iter().map(|voter| voter.0);
        let numbers = head.into_iter().chain(voters);
        Reply::Array(numbers.map(|number| Reply::Integer(number as i64)).collect())
    }

    async fn describe(self: &Rc<Node>, number: u32) -> Result<Described, String> {
        let strange = || "ERR another node sent a strange description".to_string();
        let Reply::Array(parts) = self.ask(number, Task::Describe).await? else {
            return Err(strange());
        };
        let numbers = parts.iter().map(|part| match part {
            Reply::Integer(number) => Some(*number as u64),
            _ => None,
        });
        let numbers: Vec<u64> = numbers.collect::<Option<_>>().ok_or_else(strange)?;
        let [leader, learner, lag_max, voters @ ..] = &numbers[..] else { return Err(strange()) };
        if voters.is_empty() {
            return Err(strange());
        }
        Ok(Described {
            leader: ReplicaId(*leader),
            learner: Some(ReplicaId(*learner)).filter(|learner| *learner != ReplicaId(0)),
            lag_max: *lag_max,
            voters: Configuration::new(voters.iter().copied().map(ReplicaId).collect()),
        })
    }

    /// Thinks a change out and has it decided; if the map has changed meanwhile, once more.
    async fn decide(
        self: &Rc<Node>,
        think: impl Fn(&PlacementMap) -> Result<Plan, String>,
    ) -> Result<Decided, String> {
        let end = runtime::clock::monotonic_us() + PATIENCE.as_micros() as u64;
        let mut first: Option<Plan> = None;
        loop {
            let map = self.map.borrow().clone();
            let plan = think(&map)?;
            let Some(command) = plan.command(&map) else {
                // Nothing to do, or it was decided and the answer was lost.
                let plan = first.map(|first| Plan { stuck: plan.stuck.clone(), ..first });
                return Ok(self.decided(map.epoch(), &plan.unwrap_or_default()));
            };
            match self.place(&command, end).await? {
                Placed::At(epoch) => return Ok(self.decided(epoch, &plan)),
                Placed::Stale => first.get_or_insert(plan),
            };
        }
    }

    /// As `decide`, for what is no matter of votes. `None` from `think`: it is so already. Returns the
    /// epoch of the map of which that holds.
    pub(crate) async fn change_map(
        self: &Rc<Node>,
        think: impl Fn(&PlacementMap) -> Result<Option<MapCommand>, String>,
    ) -> Result<u64, String> {
        let end = runtime::clock::monotonic_us() + PATIENCE.as_micros() as u64;
        loop {
            let map = self.map.borrow().clone();
            let Some(command) = think(&map)? else { return Ok(map.epoch()) };
            if let Placed::At(epoch) = self.place(&command, end).await? {
                return Ok(epoch);
            }
        }
    }

    /// Has a change of the map decided, and waits until this node's map has it, or whatever was faster.
    pub(crate) async fn place(
        self: &Rc<Node>,
        command: &MapCommand,
        end: u64,
    ) -> Result<Placed, String> {
        let task = Task::Place(Bytes::from(command.encode()));
        let reply = Errand::new(self, order(PLACEMENT_GROUP, task), false).run().await;
        let epoch = match &reply {
            Reply::Integer(epoch) => *epoch as u64,
            Reply::Error(text) => match text.strip_prefix(STALE) {
                Some(epoch) => epoch.parse().map_err(|_| text.to_string())?,
                None => return Err(undecided(text)),
            },
            _ => return Err("ERR another node sent a strange reply".to_string()),
        };
        if !self.has_map(epoch, end).await {
            return Err(format!("TIMEOUT the map of epoch {epoch} has not arrived here in time"));
        }
        Ok(if matches!(reply, Reply::Integer(_)) { Placed::At(epoch) } else { Placed::Stale })
    }

    /// Waits until this node's map is this new.
    async fn has_map(&self, epoch: u64, end: u64) -> bool {
        while self.map.borrow().epoch() < epoch {
            if end <= runtime::clock::monotonic_us() {
                return false;
            }
            runtime::sleep(PAUSE).await;
        }
        true
    }

    fn decided(&self, epoch: u64, plan: &Plan) -> Decided {
        let shards = plan.shards.iter();
        Decided {
            epoch,
            shards: shards.map(|(shard, voters)| (*shard, self.names(&voters.voters))).collect(),
            votes_moved: plan.votes_moved,
            lower_bound: plan.lower_bound,
            stuck: plan.stuck.clone(),
        }
    }

    pub(crate) async fn ask(self: &Rc<Node>, number: u32, task: Task) -> Result<Reply, String> {
        match Errand::new(self, order(number, task), false).run().await {
            Reply::Error(text) => Err(text.to_string()),
            reply => Ok(reply),
        }
    }

    pub(crate) fn group_numbered(&self, shard: u16) -> Result<u32, String> {
        let count = self.map.borrow().shards().len();
        if usize::from(shard) < count {
            Ok(u32::from(shard) + 1)
        } else {
            Err(format!("ERR there is no shard {shard}: this cluster has 0 to {}", count - 1))
        }
    }

    pub(crate) fn replica_named(&self, name: &str) -> Result<ReplicaId, String> {
        let map = self.map.borrow();
        map.node_named(name).map(|node| node.replica).ok_or_else(|| {
            let names: Vec<&str> = map.nodes().iter().map(|node| &*node.name).collect();
            format!("ERR no node is called `{name}`: this cluster has {}", names.join(", "))
        })
    }

    fn names(&self, replicas: &[ReplicaId]) -> Vec<String> {
        let mut names: Vec<String> =
            replicas.iter().map(|replica| self.name_of(*replica)).collect();
        names.sort_unstable();
        names
    }

    /// What people call a replica; one that is in the map no more goes by its number.
    fn name_of(&self, replica: ReplicaId) -> String {
        let map = self.map.borrow();
        map.node(replica).map_or_else(|| format!("{:016x}", replica.0), |node| node.name.clone())
    }
}

pub(crate) fn order(group: u32, task: Task) -> Request {
    Request { group, task, stamp: None }
}

/// `serve` says of what has no session that nothing was changed; of a change of the map that was
/// proposed, nobody knows.
fn undecided(text: &str) -> String {
    match text.strip_prefix("CLUSTERDOWN ") {
        Some(_) => {
            "TIMEOUT the placement group did not answer in time; the outcome is unknown: look at \
                    the shards, and ask again"
                .to_string()
        }
        None => text.to_string(),
    }
}
