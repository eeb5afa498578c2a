//! Effects and messages as a reader likes them: `2.3` is ballot round 2 of replica 3, `2.3/7 x` is `x`
//! accepted in that ballot at slot 7.

use evenkeel_core::consensus::{
    Ballot, Configuration, Consensus, Effect, Entry, Message, Payload, ReadBasis, Refusal,
    ReplicaId, Role,
};
use evenkeel_core::paxos::Paxos;

pub(crate) fn show_effect(id: ReplicaId, effect: &Effect) -> String {
    let id = id.0;
    match effect {
        Effect::Persist { token, hard_state, entries, .. } => {
            let promise = hard_state.as_ref().map(|state| ballot(state.promised));
            let promise = promise.map(|promised| format!(" promise {promised}"));
            let entries = if entries.is_empty() { String::new() } else { show_entries(entries) };
            format!("{id} writes #{}{} {entries}", token.0, promise.unwrap_or_default())
                .trim_end()
                .to_string()
        }
        Effect::Send { to, message, after } => {
            let after = after.map(|token| format!(" (waits for #{})", token.0));
            format!("{id}->{} {}{}", to.0, show_message(message), after.unwrap_or_default())
        }
        Effect::Commit(slot) => format!("{id} commits {}", slot.0),
        Effect::Proposed(_, slot, at) => format!("{id} proposes {}/{}", ballot(*at), slot.0),
        Effect::Refused(_, refusal) => format!("{id} refuses: {}", show_refusal(*refusal)),
        Effect::ReadReady(_, slot, ReadBasis::Lease) => {
            format!("{id} reads at {}, by its lease", slot.0)
        }
        Effect::ReadReady(_, slot, ReadBasis::Quorum) => {
            format!("{id} reads at {}, confirmed by a quorum", slot.0)
        }
        Effect::ReadRefused(_, refusal) => {
            format!("{id} refuses to read: {}", show_refusal(*refusal))
        }
        Effect::SendSnapshot { to } => format!("{id} must send a snapshot to {}", to.0),
        Effect::Role(role) => format!("{id} is now {}", show_role(*role)),
    }
}

pub(crate) fn show_message(message: &Message) -> String {
    match message {
        Message::PrePrepare { ballot: at, last, commit, .. } => {
            format!("pre-prepare {} last={} commit={}", ballot(*at), last.0, commit.0)
        }
        Message::PrePromise { ballot: at, granted: true, .. } => {
            format!("pre-promise {} granted", ballot(*at))
        }
        Message::PrePromise { ballot: at, granted: false, promised } => {
            format!("pre-promise {} refused, promised {}", ballot(*at), ballot(*promised))
        }
        Message::Prepare { ballot: at, from, transfer } => {
            let transfer = if *transfer { " by transfer" } else { "" };
            format!("prepare {} from={}{transfer}", ballot(*at), from.0)
        }
        Message::Promise { ballot: at, accepted, commit } => {
            format!("promise {} commit={} {}", ballot(*at), commit.0, show_entries(accepted))
        }
        Message::Reject { promised } => format!("reject, promised {}", ballot(*promised)),
        Message::Accept { ballot: at, after, payloads, commit } => {
            let payloads: Vec<String> = payloads.iter().map(show_payload).collect();
            let payloads = payloads.join(", ");
            format!("accept {} after={} commit={} [{payloads}]", ballot(*at), after.0, commit.0)
        }
        Message::Accepted { ballot: at, upto } => {
            format!("accepted {} upto={}", ballot(*at), upto.0)
        }
        Message::Gap { ballot: at, have } => format!("gap {} have={}", ballot(*at), have.0),
        Message::Heartbeat { ballot: at, commit, round } => {
            format!("heartbeat {} commit={} round={round}", ballot(*at), commit.0)
        }
        Message::HeartbeatOk { ballot: at, round, have } => {
            format!("heartbeat-ok {} round={round} have={}", ballot(*at), have.0)
        }
        Message::TakeOver { ballot: at } => format!("take-over {}", ballot(*at)),
    }
}

pub(crate) fn show_entry(entry: &Entry) -> String {
    format!("{}/{} {}", ballot(entry.ballot), entry.slot.0, show_payload(&entry.payload))
}

pub(crate) fn show_role(role: Role) -> String {
    match role {
        Role::Follower { leader: None } => "without a leader".to_string(),
        Role::Follower { leader: Some(leader) } => format!("follower of {}", leader.0),
        Role::Candidate => "candidate".to_string(),
        Role::Leader => "leader".to_string(),
    }
}

pub(crate) fn show_ballot(replica: &Paxos) -> String {
    ballot(replica.status().promised)
}

fn show_entries(entries: &[Entry]) -> String {
    let entries: Vec<String> = entries.iter().map(show_entry).collect();
    format!("[{}]", entries.join(", "))
}

fn show_payload(payload: &Payload) -> String {
    match payload {
        Payload::Noop => "noop".to_string(),
        Payload::Application(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Payload::Configuration(Configuration { voters }) => {
            let voters: Vec<String> = voters.iter().map(|voter| voter.0.to_string()).collect();
            format!("voters {}", voters.join(" "))
        }
    }
}

fn show_refusal(refusal: Refusal) -> String {
    match refusal {
        Refusal::NotLeader { leader: Some(leader) } => format!("ask {}", leader.0),
        Refusal::NotLeader { leader: None } => "no leader known".to_string(),
        Refusal::Busy => "busy".to_string(),
        Refusal::CatchingUp => "the newcomer has to catch up".to_string(),
        Refusal::BadConfiguration => "not a change it can make now".to_string(),
    }
}

fn ballot(ballot: Ballot) -> String {
    format!("{}.{}", ballot.round, ballot.replica.0)
}
