//! `evenkeel cluster nodes`, `join`, `remove` and `replace`: who belongs to the cluster.
//!
//! Each step is decided by the cluster and can be asked for again: whoever ends a command early, or
//! hears nothing, gives the same command once more.

use std::time::{Duration, Instant};

use evenkeel_runtime::{block_on, sleep};
use evenkeel_wire::reply::Reply;
use serde::Serialize;

use super::{PAUSE, Report, ask_and_watch, field, integer, list, open, show, word};
use crate::arguments::{ClusterTarget, Output};
use crate::failure::{Exit, Failure};
use crate::status::write_table;
use crate::talk::Connection;
use crate::{tell, write_out};

/// The document of `--output json` has a list of these. Fields are only ever added.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// `None`, as the addresses, while it is expected.
    pub(crate) id: Option<String>,
    peer: Option<String>,
    pub(crate) client: Option<String>,
    connected: bool,
    votes: i64,
}

pub(super) fn nodes(target: &ClusterTarget) -> Result<(), Failure> {
    let nodes = block_on(async { list_nodes(&mut open(target).await?).await })?;
    write_nodes(target, &nodes)?;
    match nodes.iter().find(|node| node.id.is_some() && !node.connected) {
        None => Ok(()),
        Some(away) => {
            let what = format!("`{}` is not connected", away.name);
            Err(Failure::new(Exit::Unavailable, what)
                .next("Start it, or put another one in its place: `evenkeel cluster replace`."))
        }
    }
}

pub(super) fn join(target: &ClusterTarget, name: &str) -> Result<(), Failure> {
    let nodes = block_on(async {
        let mut connection = open(target).await?;
        let nodes = list_nodes(&mut connection).await?;
        if nodes.iter().any(|node| node.name == name && node.id.is_some()) {
            tell(&format!("`{name}` is in the cluster already"));
            return Ok(nodes);
        }
        come_in(target, &mut connection, name).await
    })?;
    write_nodes(target, &nodes)?;
    tell("it has no votes yet: `evenkeel cluster balance` spreads them over all nodes");
    Ok(())
}

pub(super) fn remove(target: &ClusterTarget, name: &str) -> Result<(), Failure> {
    let nodes = block_on(async {
        let mut connection = open(target).await?;
        call(&mut connection, "REMOVE", name).await?;
        list_nodes(&mut connection).await
    })?;
    write_nodes(target, &nodes)?;
    tell(&format!("`{name}` is gone; if it still runs, it ends by itself within seconds"));
    Ok(())
}

pub(super) fn replace(target: &ClusterTarget, old: &str, new: &str) -> Result<(), Failure> {
    if old == new {
        let what = format!("`{old}` cannot take its own place");
        return Err(Failure::new(Exit::Usage, what).next(
            "A node that lost its disk comes back by itself: start it with an empty folder.",
        ));
    }
    let report = block_on(async {
        let mut connection = open(target).await?;
        let nodes = list_nodes(&mut connection).await?;
        if !nodes.iter().any(|node| node.name == old) {
            let what = format!("no node is called `{old}`");
            return Err(Failure::new(Exit::Failed, what).next("See `evenkeel cluster nodes`."));
        }
        if !nodes.iter().any(|node| node.name == new && node.id.is_some()) {
            come_in(target, &mut connection, new).await?;
        }
        tell(&format!("the votes of `{old}` go to others"));
        let report = ask_and_watch(target, &["DRAIN".to_owned(), old.to_owned()]).await?;
        if report.settled && report.stuck.is_empty() {
            call(&mut connection, "REMOVE", old).await?;
            tell(&format!("`{old}` is gone; if it still runs, it ends by itself within seconds"));
        }
        Ok::<Report, Failure>(report)
    })?;
    show(target, &report)?;
    report.verdict()
}

/// Lets a node in and waits until it is there.
#[expect(clippy::disallowed_methods, reason = "a person waits, by a real clock")]
async fn come_in(
    target: &ClusterTarget,
    connection: &mut Connection,
    name: &str,
) -> Result<Vec<Node>, Failure> {
    let end = Instant::now() + Duration::from_secs(target.timeout_s);
    call(connection, "JOIN", name).await?;
    tell(&format!(
        "`{name}` is expected: start it, with an empty data folder, `node.name: {name}`, and all nodes \
         in its `cluster.nodes`"
    ));
    loop {
        let nodes = list_nodes(connection).await?;
        if nodes.iter().any(|node| node.name == name && node.id.is_some() && node.connected) {
            tell(&format!("`{name}` is there"));
            return Ok(nodes);
        }
        if end <= Instant::now() {
            let what = format!("`{name}` has not come in {} s", target.timeout_s);
            return Err(Failure::new(Exit::Unavailable, what).next(
                "It may still: `evenkeel cluster nodes` shows it. `evenkeel cluster remove` takes the \
                 invitation back.",
            ));
        }
        sleep(PAUSE).await;
    }
}

async fn call(connection: &mut Connection, verb: &str, name: &str) -> Result<Reply, Failure> {
    connection.call(&[b"EVENKEEL", verb.as_bytes(), name.as_bytes()]).await
}

pub(crate) async fn list_nodes(connection: &mut Connection) -> Result<Vec<Node>, Failure> {
    let reply = connection.call(&[b"EVENKEEL", b"NODES"]).await?;
    let nodes = list(&reply, node);
    if nodes.iter().all(|node| node.id.is_none()) {
        return Err(Failure::new(Exit::Failed, "the node's EVENKEEL NODES cannot be understood")
            .next("Is it another server, or another release?"));
    }
    Ok(nodes)
}

fn node(reply: &Reply) -> Node {
    let number = |name| field(reply, name).map_or(0, integer);
    let maybe = |name| field(reply, name).map(word).filter(|word| !word.is_empty());
    Node {
        name: maybe("name").unwrap_or_default(),
        id: maybe("id"),
        peer: maybe("peer"),
        client: maybe("client"),
        connected: number("connected") == 1,
        votes: number("votes"),
    }
}

fn write_nodes(target: &ClusterTarget, nodes: &[Node]) -> Result<(), Failure> {
    let text = match target.output {
        Output::Text => for_people(nodes),
        Output::Json => {
            let text = serde_json::to_string_pretty(nodes).expect("names and numbers are JSON");
            format!("{text}\n")
        }
    };
    write_out(text.as_bytes())
}

fn for_people(nodes: &[Node]) -> String {
    let mut table = vec![["node", "state", "votes", "clients", "peers", "id"].map(str::to_owned)];
    for node in nodes {
        let state = match (&node.id, node.connected) {
            (None, _) => "expected",
            (Some(_), true) => "connected",
            (Some(_), false) => "away",
        };
        let maybe = |text: &Option<String>| text.clone().unwrap_or_default();
        table.push([
            node.name.clone(),
            state.to_owned(),
            node.votes.to_string(),
            maybe(&node.client),
            maybe(&node.peer),
            maybe(&node.id),
        ]);
    }
    let mut text = String::new();
    write_table(&mut text, &table);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_expected_has_no_identity() {
        let there = Reply::Map(vec![
            (Reply::text("name"), Reply::bulk("a")),
            (Reply::text("id"), Reply::bulk("000000000000000a")),
            (Reply::text("client"), Reply::bulk("127.0.0.1:7001")),
            (Reply::text("connected"), Reply::Integer(1)),
            (Reply::text("votes"), Reply::Integer(64)),
        ]);
        let expected = Reply::Array(vec![
            Reply::text("name"),
            Reply::bulk("b"),
            Reply::text("id"),
            Reply::Null,
        ]);
        let nodes = list(&Reply::Array(vec![there, expected]), node);
        assert_eq!(nodes[0].id.as_deref(), Some("000000000000000a"));
        assert_eq!((nodes[1].name.as_str(), &nodes[1].id), ("b", &None));
        let text = for_people(&nodes);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("a     connected  64"), "{text}");
        assert!(lines[2].starts_with("b     expected   0"), "{text}");
    }
}
