//! What consensus promises at every single step, held against what every replica reports.
//!
//! **Invariant.** Each claim is checked at the moment at which it could first be broken, so a failing
//! run stops at the cause and not at the symptom that a client sees later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use evenkeel_core::consensus::{Ballot, Configuration, ReplicaId, Role, Slot};
use evenkeel_node::observe::{Fact, Observation};

use crate::fault::{NodeIndex, node_name};

#[cfg(test)]
mod tests;

/// A claim that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The invariant, in one word with hyphens.
    pub invariant: &'static str,
    /// What contradicts it.
    pub claim: String,
}

/// Everything the oracle knows, from observations alone.
#[derive(Debug, Default)]
pub struct Invariants {
    shards: BTreeMap<u32, Shard>,
    /// Lives that another member has met: what they said may have been counted.
    met: BTreeSet<ReplicaId>,
    observations: u64,
}

#[derive(Debug, Default)]
struct Shard {
    /// Who led in which ballot, and in which of its lives.
    leaders: BTreeMap<Ballot, (ReplicaId, u64)>,
    /// The digest of what was chosen.
    chosen: BTreeMap<Slot, u64>,
    /// What each replica accepted durably, by ballot, above what is chosen for long. A vote counts for its
    /// own ballot even after the replica has voted again in a higher one: word of it may arrive late.
    accepted: BTreeMap<Slot, BTreeMap<ReplicaId, BTreeMap<Ballot, u64>>>,
    /// The state after applying a slot.
    states: BTreeMap<Slot, u64>,
    replicas: BTreeMap<ReplicaId, Replica>,
    /// The voters, each from its slot on; those it began with are at 0.
    configurations: BTreeMap<Slot, Configuration>,
}

#[derive(Debug)]
struct Replica {
    node: NodeIndex,
    life: u64,
    role: Option<Role>,
    promised: Ballot,
    chosen: Slot,
    applied: Slot,
    state: u64,
    /// Up to where snapshots were installed, and how many.
    installed: Slot,
    installs: u64,
    /// Its disk is gone, with all that it had promised and accepted.
    is_wiped: bool,
}

impl Replica {
    fn new(node: NodeIndex) -> Replica {
        Replica {
            node,
            life: 0,
            role: None,
            promised: Ballot::default(),
            chosen: Slot(0),
            applied: Slot(0),
            state: 0,
            installed: Slot(0),
            installs: 0,
            is_wiped: false,
        }
    }
}

/// Slots whose acceptances are remembered below the highest chosen one.
const SLOTS_REMEMBERED: u64 = 4_096;

impl Invariants {
    /// Takes note of a fact, and holds it against all earlier ones.
    ///
    /// # Errors
    /// The invariant that it breaks. What comes after means nothing any more.
    pub fn note(&mut self, node: NodeIndex, observation: &Observation) -> Result<(), Broken> {
        self.observations += 1;
        let shard = self.shards.entry(observation.shard).or_default();
        let replica = observation.replica;
        shard.replicas.entry(replica).or_insert_with(|| Replica::new(node));
        let was_met = self.met.contains(&replica);
        let result = match &observation.fact {
            Fact::Role { role, ballot } => shard.role(replica, role, *ballot),
            Fact::PromiseDurable(ballot) => shard.promise(replica, *ballot),
            Fact::AcceptDurable { slot, ballot, digest } => {
                shard.accept(replica, *slot, *ballot, *digest)
            }
            Fact::Chosen { slot, digest } => shard.choose(replica, *slot, *digest),
            Fact::Applied { slot, state } => shard.apply(replica, *slot, *state),
            Fact::LeaseServed { ballot } => shard.lease(replica, *ballot),
            Fact::Restarted { applied, state, promised } => {
                if !was_met {
                    shard.forget_if_wiped(replica);
                }
                shard.restart(replica, *applied, *state, *promised)
            }
            Fact::Installed { applied, state } => shard.install(replica, *applied, *state),
            Fact::Recovered(entries) => shard.recovered(replica, entries),
            Fact::Met(other) => {
                self.met.insert(*other);
                Ok(())
            }
            Fact::Voters { slot, voters } => shard.voters(replica, *slot, voters),
            Fact::ValueDamaged => Ok(()), // Whether that is fair, the world knows.
        };
        result.map_err(|broken| Broken {
            claim: format!("shard {}: {}", Name(observation.shard), broken.claim),
            ..broken
        })
    }

    /// The voters that a shard began with. Does nothing once any are known.
    pub fn found(&mut self, shard: u32, voters: Configuration) {
        let shard = self.shards.entry(shard).or_default();
        if shard.configurations.is_empty() {
            shard.configurations.insert(Slot(0), voters);
        }
    }

    /// A node's disk is gone. Whoever was never met may begin again under the same identity, because
    /// nobody can have counted what it said; all others may not.
    pub fn wiped(&mut self, node: NodeIndex) {
        let replicas = self.shards.values_mut().flat_map(|shard| shard.replicas.values_mut());
        replicas.filter(|replica| replica.node == node).for_each(|replica| replica.is_wiped = true);
    }

    /// How many snapshots a node has installed, over all shards.
    pub fn installs(&self, node: NodeIndex) -> u64 {
        let replicas = self.shards.values().flat_map(|shard| shard.replicas.values());
        replicas.filter(|replica| replica.node == node).map(|replica| replica.installs).sum()
    }

    /// Facts noted so far.
    pub fn observations(&self) -> u64 {
        self.observations
    }

    /// Who led a shard in its highest ballot.
    pub fn leader(&self, shard: u32) -> Option<NodeIndex> {
        let shard = self.shards.get(&shard)?;
        let (_, (replica, _)) = shard.leaders.last_key_value()?;
        shard.replicas.get(replica).map(|replica| replica.node)
    }

    /// The nodes that vote on a shard, as far as anybody knows.
    pub fn voters(&self, shard: u32) -> Vec<NodeIndex> {
        let Some(shard) = self.shards.get(&shard) else { return Vec::new() };
        let last = shard.configurations.last_key_value();
        let voters = last.map(|(_, last)| last.voters.iter()).into_iter().flatten();
        voters.filter_map(|voter| Some(shard.replicas.get(voter)?.node)).collect()
    }

    /// Whether a shard's voters are these, and one of them leads it.
    ///
    /// # Errors
    /// Who votes or leads instead, in a sentence.
    pub fn settled(&self, number: u32, wanted: &Configuration) -> Result<(), String> {
        let shard = self.shards.get(&number).ok_or("nobody has heard of it")?;
        let last = shard.configurations.last_key_value().map(|(_, last)| last);
        if last != Some(wanted) {
            return Err(format!("shard {}: {last:?} vote, {wanted:?} should", Name(number)));
        }
        match shard.leaders.last_key_value() {
            Some((_, (leader, _))) if wanted.contains(*leader) => Ok(()),
            other => Err(format!("shard {}: {other:?} leads, which has no vote", Name(number))),
        }
    }

    /// For each shard, who led in its highest ballot, and that ballot.
    pub fn leaderships(&self) -> BTreeMap<u32, (NodeIndex, Ballot)> {
        let of_shard = |(number, shard): (&u32, &Shard)| {
            let (ballot, (replica, _)) = shard.leaders.last_key_value()?;
            Some((*number, (shard.replicas.get(replica)?.node, *ballot)))
        };
        self.shards.iter().filter_map(of_shard).collect()
    }

    /// How many elections there were.
    pub fn elections(&self) -> u64 {
        self.shards.values().map(|shard| shard.leaders.len() as u64).sum()
    }

    /// The highest slot applied anywhere, over all shards: a measure of useful work.
    pub fn slots_applied(&self) -> u64 {
        let applied = |shard: &Shard| shard.states.keys().next_back().map_or(0, |slot| slot.0);
        self.shards.values().map(applied).sum()
    }

    /// Whether all voters of all shards have applied the same, and all there is.
    ///
    /// # Errors
    /// Who lags, in a sentence.
    pub fn converged(&self) -> Result<(), String> {
        for (&number, shard) in &self.shards {
            let Some(voters) = shard.configurations.last_key_value() else {
                return Err(format!("shard {}: nobody knows its voters", Name(number)));
            };
            let last = shard.chosen.keys().next_back().copied().unwrap_or_default();
            for voter in &voters.1.voters {
                let applied = shard.replicas.get(voter).map_or(Slot(0), |replica| replica.applied);
                if applied < last {
                    return Err(format!(
                        "shard {}: replica {} has applied {} of {}",
                        Name(number),
                        voter.0,
                        applied.0,
                        last.0
                    ));
                }
            }
        }
        Ok(())
    }

    /// One line for each replica, with a heading.
    pub fn table(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:>9}  {:>7}  {:>8}  {:<10} {:>12} {:>7} {:>8}  state",
            "shard", "node", "replica", "role", "promised", "chosen", "applied"
        )];
        for (&number, shard) in &self.shards {
            for (id, replica) in &shard.replicas {
                lines.push(format!(
                    "{:>9}  {:>7}  {:>8}  {:<10} {:>12} {:>7} {:>8}  {:016x}",
                    Name(number).to_string(),
                    node_name(replica.node),
                    id.0 % 100_000_000,
                    role_name(replica.role),
                    format!(
                        "{}/{}",
                        replica.promised.round,
                        replica.promised.replica.0 % 1_000_000
                    ),
                    replica.chosen.0,
                    replica.applied.0,
                    replica.state,
                ));
            }
        }
        lines
    }
}

fn role_name(role: Option<Role>) -> &'static str {
    match role {
        None => "?",
        Some(Role::Follower { leader: Some(_) }) => "follower",
        Some(Role::Follower { leader: None }) => "leaderless",
        Some(Role::Candidate) => "candidate",
        Some(Role::Leader) => "leader",
    }
}

/// A shard's name: group 0 keeps the placement map.
struct Name(u32);

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(formatter, "placement"),
            number => write!(formatter, "{}", number - 1),
        }
    }
}

fn broken(invariant: &'static str, claim: String) -> Result<(), Broken> {
    Err(Broken { invariant, claim })
}

impl Shard {
    fn replica(&mut self, id: ReplicaId) -> &mut Replica {
        self.replicas.get_mut(&id).expect("note has made it")
    }

    fn role(&mut self, id: ReplicaId, role: &Role, ballot: Ballot) -> Result<(), Broken> {
        let life = self.replica(id).life;
        self.replica(id).role = Some(*role);
        if *role != Role::Leader {
            return Ok(());
        }
        let (leader, led) = *self.leaders.entry(ballot).or_insert((id, life));
        if leader != id {
            let claim = format!("replicas {} and {} lead in ballot {ballot:?}", leader.0, id.0);
            return broken("one-leader-per-ballot", claim);
        }
        if led != life {
            let claim = format!("replica {} leads in {ballot:?} again after a restart", id.0);
            return broken("ballot-used-once", claim);
        }
        self.check_promises(id, ballot)
    }

    /// Whoever leads was promised so by a majority of disks.
    fn check_promises(&self, id: ReplicaId, ballot: Ballot) -> Result<(), Broken> {
        let has = |voter: &&ReplicaId| {
            self.replicas.get(voter).is_some_and(|replica| ballot <= replica.promised)
        };
        let is_quorum = |voters: &Configuration| {
            voters.voters.iter().filter(has).count() * 2 > voters.voters.len()
        };
        // Of the voters that it knew, or of later ones that the promises brought to light.
        let applied = self.replicas[&id].applied;
        let known = self.as_of(applied).into_iter();
        let later = self.configurations.range(applied.next()..).map(|(_, voters)| voters);
        if self.configurations.is_empty() || known.chain(later).any(is_quorum) {
            return Ok(());
        }
        let promised: Vec<_> =
            self.replicas.iter().map(|(id, replica)| (id.0, replica.promised)).collect();
        let claim = format!("replica {} leads in {ballot:?}; on disks are {promised:?}", id.0);
        broken("leads-by-a-quorum-of-disks", claim)
    }

    fn promise(&mut self, id: ReplicaId, ballot: Ballot) -> Result<(), Broken> {
        let replica = self.replica(id);
        if ballot < replica.promised {
            let claim = format!("replica {} promised {:?}, now {ballot:?}", id.0, replica.promised);
            return broken("promises-never-regress", claim);
        }
        replica.promised = ballot;
        Ok(())
    }

    fn accept(
        &mut self,
        id: ReplicaId,
        slot: Slot,
        ballot: Ballot,
        digest: u64,
    ) -> Result<(), Broken> {
        let chosen = self.chosen.get(&slot).copied();
        // What is chosen may be learned under the ballot in which it was chosen, however old.
        if ballot < self.replica(id).promised && chosen != Some(digest) {
            let promised = self.replica(id).promised;
            let claim = format!(
                "replica {} promised {promised:?} and accepted slot {} in {ballot:?}",
                id.0, slot.0
            );
            return broken("promises-are-kept", claim);
        }
        self.vote(id, slot, ballot, digest);
        Ok(())
    }

    fn vote(&mut self, id: ReplicaId, slot: Slot, ballot: Ballot, digest: u64) {
        let votes = self.accepted.entry(slot).or_default().entry(id).or_default();
        votes.insert(ballot, digest);
    }

    fn choose(&mut self, id: ReplicaId, slot: Slot, digest: u64) -> Result<(), Broken> {
        let replica = self.replica(id);
        replica.chosen = replica.chosen.max(slot);
        match self.chosen.get(&slot) {
            Some(&other) if other != digest => {
                let claim = format!(
                    "slot {} was chosen as {other:016x}; replica {} says {digest:016x}",
                    slot.0, id.0
                );
                return broken("chosen-stays-chosen", claim);
            }
            Some(_) => return Ok(()),
            None => (),
        }
        self.check_quorum(id, slot, digest)?;
        self.chosen.insert(slot, digest);
        let forgotten = Slot(slot.0.saturating_sub(SLOTS_REMEMBERED));
        self.accepted = self.accepted.split_off(&forgotten);
        Ok(())
    }

    /// Whoever is the first to believe a slot chosen must be right: a majority of the disks of its
    /// voters has accepted it in one ballot.
    fn check_quorum(&self, id: ReplicaId, slot: Slot, digest: u64) -> Result<(), Broken> {
        let accepted = self.accepted.get(&slot);
        let ballots: BTreeSet<Ballot> = accepted
            .iter()
            .flat_map(|votes| votes.values())
            .flat_map(BTreeMap::keys)
            .copied()
            .collect();
        let is_quorum = |voters: &Configuration| {
            ballots.iter().any(|ballot| {
                let has = |voter: &&ReplicaId| {
                    let vote = accepted.and_then(|accepted| accepted.get(voter));
                    let vote = vote.and_then(|votes| votes.get(ballot));
                    vote == Some(&digest) || self.has_applied(**voter, slot)
                };
                voters.voters.iter().filter(has).count() * 2 > voters.voters.len()
            })
        };
        // A change of voters needs those before it as well.
        let before = Slot(slot.0.saturating_sub(1));
        let needed = [before, slot].map(|slot| self.as_of(slot));
        let changes = self.configurations.contains_key(&slot);
        let needed = if changes { &needed[..] } else { &needed[1..] };
        if needed.iter().flatten().all(|voters| is_quorum(voters)) {
            return Ok(());
        }
        let claim = format!(
            "replica {} believes slot {} chosen as {digest:016x}; on disks are {:?}",
            id.0, slot.0, accepted
        );
        broken("chosen-on-a-quorum-of-disks", claim)
    }

    /// The voters from this slot on.
    fn as_of(&self, slot: Slot) -> Option<&Configuration> {
        self.configurations.range(..=slot).next_back().map(|(_, voters)| voters)
    }

    /// A replica says who votes: from this slot on or, after a snapshot, as of this slot. For one slot
    /// there is one answer.
    fn voters(&mut self, id: ReplicaId, slot: Slot, voters: &Configuration) -> Result<(), Broken> {
        let is_known = slot < self.chosen.keys().next_back().copied().unwrap_or_default();
        match self.as_of(slot) {
            Some(known) if is_known && known != voters => {
                let claim = format!(
                    "as of slot {} replica {} thinks that {voters:?} vote, others {known:?}",
                    slot.0, id.0
                );
                broken("one-electorate-per-slot", claim)
            }
            Some(known) if known == voters => Ok(()),
            _ => {
                self.configurations.insert(slot, voters.clone());
                Ok(())
            }
        }
    }

    /// What a replica has applied it has, be it from a snapshot.
    fn has_applied(&self, id: ReplicaId, slot: Slot) -> bool {
        self.replicas.get(&id).is_some_and(|replica| slot <= replica.applied)
    }

    /// What died with it unreported may be on its disk, and counts from now on; what it reported must be.
    fn recovered(&mut self, id: ReplicaId, entries: &[(Slot, Ballot, u64)]) -> Result<(), Broken> {
        let applied = self.replica(id).applied;
        for (&slot, votes) in self.accepted.range(applied.next()..) {
            let last = votes.get(&id).and_then(|votes| votes.last_key_value());
            let Some((&ballot, &digest)) = last else { continue };
            let found = entries.iter().find(|(found, ..)| *found == slot);
            let is_kept = found.is_some_and(|&(_, newer, value)| {
                ballot < newer || (ballot, digest) == (newer, value)
            });
            if !is_kept {
                let claim = format!(
                    "replica {} had accepted slot {} in {ballot:?} and came back with {found:?}",
                    id.0, slot.0
                );
                return broken("accepted-stays-accepted", claim);
            }
        }
        for &(slot, ballot, digest) in entries {
            self.vote(id, slot, ballot, digest);
        }
        Ok(())
    }

    fn apply(&mut self, id: ReplicaId, slot: Slot, state: u64) -> Result<(), Broken> {
        let replica = self.replica(id);
        if slot < replica.applied {
            let claim =
                format!("replica {} has applied {}, and now {}", id.0, replica.applied.0, slot.0);
            return broken("applied-in-order", claim);
        }
        (replica.applied, replica.state) = (slot, state);
        if !self.chosen.contains_key(&slot) {
            let claim = format!("replica {} has applied slot {}, which nobody chose", id.0, slot.0);
            return broken("only-chosen-is-applied", claim);
        }
        self.same_state(id, slot, state)
    }

    fn same_state(&mut self, id: ReplicaId, slot: Slot, state: u64) -> Result<(), Broken> {
        let other = *self.states.entry(slot).or_insert(state);
        if other != state {
            let claim = format!(
                "after slot {} replica {} is in state {state:016x}, others in {other:016x}",
                slot.0, id.0
            );
            return broken("same-slot-same-state", claim);
        }
        Ok(())
    }

    fn lease(&mut self, id: ReplicaId, ballot: Ballot) -> Result<(), Broken> {
        // A leader that was voted out lets go in the very step in which it learns so.
        let applied = self.replica(id).applied;
        if self.as_of(applied).is_some_and(|voters| !voters.contains(id)) {
            let claim = format!(
                "replica {} serves in {ballot:?}, and as of slot {} it has no vote",
                id.0, applied.0
            );
            return broken("only-voters-serve", claim);
        }
        let newer = self.leaders.range(ballot..).find(|(_, (leader, _))| *leader != id);
        if let Some((newer, (leader, _))) = newer {
            let claim = format!(
                "replica {} serves on its lease of {ballot:?} while replica {} leads in {newer:?}",
                id.0, leader.0
            );
            return broken("one-lease-at-a-time", claim);
        }
        Ok(())
    }

    fn install(&mut self, id: ReplicaId, applied: Slot, state: u64) -> Result<(), Broken> {
        let replica = self.replica(id);
        (replica.applied, replica.state, replica.installed) = (applied, state, applied);
        replica.installs += 1;
        self.same_state(id, applied, state)
    }

    /// What a lost disk held counts for nothing from now on.
    fn forget_if_wiped(&mut self, id: ReplicaId) {
        let replica = self.replica(id);
        if !replica.is_wiped {
            return;
        }
        *replica = Replica { life: replica.life, ..Replica::new(replica.node) };
        for votes in self.accepted.values_mut() {
            votes.remove(&id);
        }
    }

    fn restart(
        &mut self,
        id: ReplicaId,
        applied: Slot,
        state: u64,
        promised: Ballot,
    ) -> Result<(), Broken> {
        let replica = self.replica(id);
        replica.life += 1;
        replica.role = None;
        if promised < replica.promised {
            let claim = format!(
                "replica {} had promised {:?} and remembers {promised:?}",
                id.0, replica.promised
            );
            return broken("promises-never-regress", claim);
        }
        if applied < replica.installed {
            let claim = format!(
                "replica {} had installed a snapshot up to {} and came back with {}",
                id.0, replica.installed.0, applied.0
            );
            return broken("snapshots-stay-installed", claim);
        }
        (replica.promised, replica.applied, replica.state) = (promised, applied, state);
        if applied == Slot(0) { Ok(()) } else { self.same_state(id, applied, state) }
    }
}
