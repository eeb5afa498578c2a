//! Facts as lines of the record: one word for the kind, and the particulars in as few as there are.

use std::fmt;

use evenkeel_core::consensus::{Ballot, Role};
use evenkeel_node::observe::{Fact, Observation};

/// The kind of a fact.
pub(super) fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::Role { .. } => "role",
        Fact::PromiseDurable(_) => "promise",
        Fact::AcceptDurable { .. } => "accept",
        Fact::Chosen { .. } => "commit",
        Fact::Applied { .. } => "apply",
        Fact::LeaseServed { .. } => "lease",
        Fact::Restarted { .. } => "recover",
        Fact::Voters(_) => "voters",
        Fact::Met(_) => "meet",
        _ => "fact",
    }
}

/// An observation in words; cheap, because there are many.
pub(super) struct Words<'a>(pub(super) &'a Observation);

impl fmt::Display for Words<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Observation { replica, shard, fact } = self.0;
        write!(formatter, "group {shard} replica {} ", replica.0)?;
        match fact {
            Fact::Role { role, ballot } => {
                let (does, whom) = match role {
                    Role::Leader => ("leads", None),
                    Role::Candidate => ("asks for votes", None),
                    Role::Follower { leader: None } => ("follows nobody", None),
                    Role::Follower { leader: Some(leader) } => ("follows", Some(leader.0)),
                };
                formatter.write_str(does)?;
                whom.map_or(Ok(()), |whom| write!(formatter, " {whom}"))?;
                write!(formatter, " in {}", Short(*ballot))
            }
            Fact::PromiseDurable(ballot) => write!(formatter, "promised {}", Short(*ballot)),
            Fact::AcceptDurable { slot, ballot, digest } => {
                write!(formatter, "slot {} in {} is {digest:x}", slot.0, Short(*ballot))
            }
            Fact::Chosen { slot, digest } => write!(formatter, "slot {} is {digest:x}", slot.0),
            Fact::Applied { slot, state } => write!(formatter, "slot {} gives {state:x}", slot.0),
            Fact::LeaseServed { ballot } => write!(formatter, "serves in {}", Short(*ballot)),
            Fact::Restarted { applied, state, promised } => {
                let promised = Short(*promised);
                write!(formatter, "up to slot {} at {state:x}, promised {promised}", applied.0)
            }
            Fact::Voters(voters) => write!(formatter, "voters are {voters:?}"),
            Fact::Met(other) => write!(formatter, "met {}", other.0),
            other => write!(formatter, "{other:?}"),
        }
    }
}

struct Short(Ballot);

impl fmt::Display for Short {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.0.round, self.0.replica.0)
    }
}
