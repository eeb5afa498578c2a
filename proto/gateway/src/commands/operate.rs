//! `EVENKEEL …`: what an operator asks of the cluster, over any connection to any node.

use evenkeel_node::api::{
    Decided, NodePlace, NodeState, Operated, Operation, ScrubStatus, ShardState, SnapshotBegun,
    slots,
};
use evenkeel_wire::arguments::List;
use evenkeel_wire::command::{EvenkeelCommand, SnapshotCommand};
use evenkeel_wire::reply::Reply;

use crate::commands::{Outcome, Scene};
use crate::service::Service;

pub(crate) fn answer<S: Service>(scene: &Scene<'_, S>, command: &EvenkeelCommand<'_>) -> Outcome {
    let operation = match command {
        EvenkeelCommand::Shards => Operation::Shards,
        EvenkeelCommand::Transfer { shard, node } => {
            Operation::Transfer { shard: *shard, to: node.map(name) }
        }
        EvenkeelCommand::Move { shard, voters } => {
            Operation::Move { shard: *shard, voters: names(voters) }
        }
        EvenkeelCommand::Drain { node } => Operation::Drain { node: name(node) },
        EvenkeelCommand::Join { node } => Operation::Join { node: name(node) },
        EvenkeelCommand::Remove { node } => Operation::Remove { node: name(node) },
        EvenkeelCommand::Nodes => Operation::Nodes,
        EvenkeelCommand::Balance { without } => Operation::Balance { without: names(without) },
        EvenkeelCommand::Scrub { begin } => Operation::Scrub { begin: *begin },
        EvenkeelCommand::Snapshot(command) => snapshot(command),
    };
    let operated = scene.door.service.operate(operation);
    Outcome::Later(Box::pin(async move {
        match operated.await {
            Ok(Operated::Done) => Reply::OK,
            Ok(Operated::Decided(decided)) => decided_reply(&decided),
            Ok(Operated::Shards(states)) => {
                let count = states.len();
                Reply::Array(states.iter().map(|state| shard_reply(state, count)).collect())
            }
            Ok(Operated::Epoch(epoch)) => Reply::Integer(epoch as i64),
            Ok(Operated::Nodes(states)) => Reply::Array(states.iter().map(node_reply).collect()),
            Ok(Operated::Scrub(status)) => scrub_reply(&status),
            Ok(Operated::Begun(begun)) => begun_reply(&begun),
            Ok(Operated::Part(part)) => part.map_or(Reply::Null, Reply::Bulk),
            Err(refusal) => Reply::error(refusal),
        }
    }))
}

fn snapshot(command: &SnapshotCommand<'_>) -> Operation {
    match *command {
        SnapshotCommand::Begin { shard } => Operation::SnapshotBegin { shard },
        SnapshotCommand::Next { token, index } => {
            Operation::SnapshotNext { token: name(token), index }
        }
        SnapshotCommand::End { token } => Operation::SnapshotEnd { token: name(token) },
    }
}

fn scrub_reply(status: &ScrubStatus) -> Reply {
    let fields = scrub_fields(status);
    let field = |(name, value)| (Reply::text(name), Reply::Integer(value as i64));
    Reply::Map(fields.map(field).to_vec())
}

/// What there is to tell of scrubbing, by the names that `INFO` has them under, too.
pub(crate) fn scrub_fields(status: &ScrubStatus) -> [(&'static str, u64); 11] {
    [
        ("scrub_running", u64::from(status.is_running)),
        ("scrub_bytes_read", status.bytes_read),
        ("scrub_bytes", status.bytes),
        ("scrub_passes", status.passes),
        ("scrub_ended_ms", status.ended_ms),
        ("scrub_asked", status.asked),
        ("scrub_answered", status.answered),
        ("scrub_damaged", status.damaged),
        ("scrub_mended", status.mended),
        ("scrub_left", status.left),
        ("scrub_detours", status.detours),
    ]
}

fn begun_reply(begun: &SnapshotBegun) -> Reply {
    let number = |number: u64| Reply::Integer(number as i64);
    Reply::Map(vec![
        (Reply::text("token"), Reply::bulk(&begun.token)),
        (Reply::text("shard"), number(u64::from(begun.shard))),
        (Reply::text("position"), number(begun.position)),
        (Reply::text("taken_ms"), number(begun.taken_ms)),
        (Reply::text("cluster"), Reply::bulk(format!("{:016x}", begun.cluster))),
        (Reply::text("epoch"), number(begun.epoch)),
        (Reply::text("shards"), number(u64::from(begun.shard_count))),
    ])
}

fn decided_reply(decided: &Decided) -> Reply {
    let number = |number: usize| Reply::Integer(number as i64);
    let shards = decided.shards.iter().map(|(shard, voters)| {
        Reply::Map(vec![
            (Reply::text("shard"), number(usize::from(*shard))),
            (Reply::text("voters"), texts(voters)),
        ])
    });
    let stuck = decided.stuck.iter().map(|shard| number(usize::from(*shard)));
    Reply::Map(vec![
        (Reply::text("epoch"), Reply::Integer(decided.epoch as i64)),
        (Reply::text("votes_moved"), number(decided.votes_moved)),
        (Reply::text("lower_bound"), number(decided.lower_bound)),
        (Reply::text("shards"), Reply::Array(shards.collect())),
        (Reply::text("stuck"), Reply::Array(stuck.collect())),
    ])
}

/// Who is expected has neither identity nor addresses.
fn node_reply(state: &NodeState) -> Reply {
    let of_place = |show: fn(&NodePlace) -> String| {
        state.place.as_ref().map_or(Reply::Null, |place| Reply::bulk(show(place)))
    };
    Reply::Map(vec![
        (Reply::text("name"), Reply::bulk(&state.name)),
        (Reply::text("id"), of_place(|place| format!("{:016x}", place.replica))),
        (Reply::text("peer"), of_place(|place| place.peer_address.to_string())),
        (Reply::text("client"), of_place(|place| place.client_address.to_string())),
        (Reply::text("connected"), Reply::Integer(i64::from(state.is_connected))),
        (Reply::text("votes"), Reply::Integer(state.votes as i64)),
    ])
}

/// `count` shards share the hash slots.
fn shard_reply(state: &ShardState, count: usize) -> Reply {
    let first = |shard: usize| (shard * usize::from(slots::SLOT_COUNT)).div_ceil(count) as i64;
    let shard = usize::from(state.shard);
    let word = |word: &Option<String>| word.as_ref().map_or(Reply::Null, Reply::bulk);
    Reply::Map(vec![
        (Reply::text("shard"), Reply::Integer(i64::from(state.shard))),
        (Reply::text("slot_first"), Reply::Integer(first(shard))),
        (Reply::text("slot_last"), Reply::Integer(first(shard + 1) - 1)),
        (Reply::text("leader"), word(&state.leader)),
        (Reply::text("voters_wanted"), texts(&state.voters_wanted)),
        (Reply::text("voters"), texts(&state.voters)),
        (Reply::text("learner"), word(&state.learner)),
        (Reply::text("lag_max"), Reply::Integer(state.lag_max as i64)),
        (Reply::text("settled"), Reply::Integer(i64::from(state.is_settled()))),
    ])
}

fn texts(names: &[String]) -> Reply {
    Reply::Array(names.iter().map(Reply::bulk).collect())
}

fn names(words: &List<'_>) -> Vec<String> {
    words.iter().map(name).collect()
}

fn name(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}
