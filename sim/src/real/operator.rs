//! What an operator asks of whichever node comes to hand.

use std::time::Duration;

use evenkeel_client::{Client, Options};
use evenkeel_runtime as runtime;
use evenkeel_wire::reply::{Protocol, Reply};

use super::{Real, machine};
use crate::fault::NodeIndex;

const PATIENCE: Duration = Duration::from_secs(1);
/// How often a question is repeated.
const INTERVAL: Duration = Duration::from_millis(50);

/// Ends when every node answers, every shard has one leader, and nobody is behind.
pub(super) async fn are_whole(world: &Real) {
    loop {
        let (mut led, mut is_well) = (0, true);
        for node in 0..world.plan.node_count {
            match info(node).await {
                Some(info) => {
                    led += number(&info, "shards_led");
                    is_well &= number(&info, "lag_max") == 0;
                }
                None => is_well = false,
            }
        }
        if is_well && led == u64::from(world.plan.knobs.shard_count) {
            return;
        }
        runtime::sleep(INTERVAL).await;
    }
}

/// The node that leads the first shard; of several shards, the most. `None`: nobody says so, or the
/// faults were over before somebody did.
pub(super) async fn leader(world: &Real) -> Option<NodeIndex> {
    let mut leader = (0, 0);
    for node in 0..world.plan.node_count {
        let led = info(node).await.map_or(0, |info| number(&info, "shards_led"));
        if led > leader.0 {
            leader = (led, node);
        }
    }
    let (led, node) = leader;
    (led > 0 && !world.healed.get()).then_some(node)
}

/// Asks one node after the other, until one has done it.
pub(super) async fn ask(world: &Real, line: &str) {
    for node in 0..world.plan.node_count {
        match converse(node, line).await {
            Some(Reply::Error(error)) => world.note(&format!("{line}: {error}")),
            Some(_) => return world.note(&format!("{line}: done")),
            None => (),
        }
    }
    world.note(&format!("nobody knows what came of {line}"));
}

async fn converse(node: NodeIndex, line: &str) -> Option<Reply> {
    let options =
        Options { connect_timeout: PATIENCE, reply_timeout: PATIENCE, protocol: Protocol::Resp2 };
    let mut client = Client::connect_with(machine::client_address(node), options).await.ok()?;
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    client.command(&words).await.ok()
}

async fn info(node: NodeIndex) -> Option<String> {
    match converse(node, "INFO").await? {
        Reply::Bulk(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    }
}

/// A line of INFO, 0 if it is not there.
fn number(info: &str, name: &str) -> u64 {
    let mut named = info.lines().filter_map(|line| line.split_once(':'));
    let value = named.find(|(key, _)| *key == name).map(|(_, value)| value.trim());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
