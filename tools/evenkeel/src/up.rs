//! `evenkeel up`: a cluster on this machine, each node a process of its own on loopback.
//!
//! It decides nothing that a node would not: it writes one configuration per node, starts
//! `evenkeel serve` for each, waits until every node answers, and stops them together. Everything
//! that can be refused is refused before anything is created.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use evenkeel_runtime::{Either, block_on, clock, either, process, random_u64, sleep};

use self::child::NodeProcess;
use self::folder::Folder;
use crate::arguments::UpArguments;
use crate::config::{self, Config, Mode, Override};
use crate::failure::{Exit, Failure};
use crate::talk::Connection;
use crate::{say, tell};

mod child;
mod folder;

/// Peers listen this far above the clients' ports.
pub(crate) const PEER_PORT_OFFSET: u16 = 10_000;

const READY_PAUSE: Duration = Duration::from_millis(50);
const READY_US_MAX: u64 = 60_000_000;
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const WATCH_PAUSE: Duration = Duration::from_millis(100);
const STOP_US_MAX: u64 = 30_000_000;

/// Runs until a signal asks it to stop.
pub(crate) fn run(arguments: &UpArguments) -> Result<(), Failure> {
    block_on(up(arguments))
}

async fn up(arguments: &UpArguments) -> Result<(), Failure> {
    let mut folder =
        Folder::examine(&arguments.dir, arguments.nodes, arguments.port, new_cluster_id())?;
    let plans = plan(arguments, &folder)?;
    check_ports(&plans)?;
    folder.claim()?;
    let mut nodes = start(&plans, &folder)?;

    let work = serve(&plans, &folder, &mut nodes);
    let outcome = either(process::terminated(), work).await;
    // A second signal means: at once.
    if let Either::Left(()) = either(process::terminated(), stop(&mut nodes)).await {
        nodes.iter_mut().for_each(NodeProcess::kill);
    }
    match outcome {
        Either::Left(()) => Ok(()),
        Either::Right(failure) => Err(failure),
    }
}

/// What one node will be.
#[derive(Debug)]
struct NodePlan {
    name: String,
    peer: SocketAddr,
    client: SocketAddr,
    /// The text of its configuration file.
    text: String,
}

/// Any number that JSON keeps exact, but 0.
fn new_cluster_id() -> u64 {
    (random_u64() >> 11).max(1)
}

fn plan(arguments: &UpArguments, folder: &Folder) -> Result<Vec<NodePlan>, Failure> {
    let mut plans: Vec<NodePlan> = (0..arguments.nodes)
        .map(|index| {
            let client = arguments.port + index;
            NodePlan {
                name: format!("node-{}", index + 1),
                peer: SocketAddr::from((Ipv4Addr::LOCALHOST, client + PEER_PORT_OFFSET)),
                client: SocketAddr::from((Ipv4Addr::LOCALHOST, client)),
                text: String::new(),
            }
        })
        .collect();
    let nodes: Vec<String> = plans
        .iter()
        .map(|NodePlan { name, peer, client, .. }| {
            format!("{{ name: {name}, peer: \"{peer}\", client: \"{client}\" }}")
        })
        .collect();
    let nodes = format!("[{}]", nodes.join(", "));
    for plan in &mut plans {
        plan.text = configuration(plan, &nodes, arguments, folder).map_err(|error| {
            Failure::new(Exit::Usage, "cannot configure the nodes").because(&error)
        })?;
    }
    Ok(plans)
}

/// A node's configuration file, every key in it. What `up` decides wins over `--set`.
fn configuration(
    plan: &NodePlan,
    nodes: &str,
    arguments: &UpArguments,
    folder: &Folder,
) -> Result<String, config::ConfigError> {
    let mode = match arguments.mode {
        Mode::Proxy => "proxy",
        Mode::Redirect => "redirect",
    };
    let data = folder.node_dir(&plan.name).join("data");
    let data = data.to_str().expect("`Folder::examine` refuses names that are not UTF-8");
    let own = [
        format!("node.name={}", plan.name),
        // A JSON string is a YAML string, whatever is in it.
        format!("node.dir={}", serde_json::Value::from(data)),
        format!("listen.resp={}", plan.client),
        format!("listen.peer={}", plan.peer),
        format!("cluster.id={}", folder.cluster()),
        format!("cluster.mode={mode}"),
        format!("cluster.nodes={nodes}"),
    ];
    let settings: Result<Vec<Override>, _> =
        arguments.settings.iter().chain(&own).map(|text| Override::from_flag(text)).collect();
    let text = config::render(&settings?)?;
    let header = "# Written by `evenkeel up` at every start: change it with `evenkeel up --set`.\n";
    Config::load(Some(("the configuration", &text)), &[])?;
    Ok(format!("{header}{text}"))
}

/// All ports must be free now. Another process may still take one before the node does; then the
/// node says so.
fn check_ports(plans: &[NodePlan]) -> Result<(), Failure> {
    for plan in plans {
        for (address, whose) in [(plan.client, "clients"), (plan.peer, "peers")] {
            TcpListener::bind(address).map_err(|error| {
                let what =
                    format!("cannot use port {} for {}'s {whose}", address.port(), plan.name);
                let next = "Stop what uses it, or give another --port.";
                Failure::new(Exit::Unavailable, what).because(&error).next(next)
            })?;
        }
    }
    Ok(())
}

fn start(plans: &[NodePlan], folder: &Folder) -> Result<Vec<NodeProcess>, Failure> {
    let mut nodes = Vec::new();
    for plan in plans {
        let dir = folder.node_dir(&plan.name);
        let config = dir.join("evenkeel.yaml");
        fs::create_dir_all(&dir).and_then(|()| fs::write(&config, &plan.text)).map_err(
            |error| {
                Failure::new(Exit::Internal, format!("cannot write `{}`", config.display()))
                    .because(&error)
            },
        )?;
        nodes.push(NodeProcess::start(&dir, &plan.name)?);
    }
    Ok(nodes)
}

/// Waits until the cluster serves, says so, and looks after it. Returns when there is nothing left to
/// look after.
async fn serve(plans: &[NodePlan], folder: &Folder, nodes: &mut [NodeProcess]) -> Failure {
    if let Err(failure) = until_ready(plans, nodes).await {
        return failure;
    }
    say(&ready_line(plans, folder));
    while nodes.iter().any(|node| !node.has_ended()) {
        for node in nodes.iter_mut() {
            if let Some(status) = node.newly_ended() {
                let config = node.config.display();
                tell(&format!(
                    "{}the other nodes go on; `evenkeel serve --config {config}` starts it again",
                    node.epitaph(status)
                ));
            }
        }
        sleep(WATCH_PAUSE).await;
    }
    Failure::new(Exit::Internal, "every node has ended")
        .next(format!("Their logs are in `{}`.", folder.dir().display()))
}

fn ready_line(plans: &[NodePlan], folder: &Folder) -> String {
    let first = plans[0].client.port();
    let ports = match plans.last().map(|plan| plan.client.port()) {
        Some(last) if last != first => format!(" (any port from {first} to {last})"),
        _ => String::new(),
    };
    let nodes = if plans.len() == 1 { "node" } else { "nodes" };
    format!(
        "ready: {} {nodes}; connect with `redis-cli -p {first}`{ports}; data in {}; stop with Ctrl-C \
         or `kill {}`",
        plans.len(),
        folder.dir().display(),
        std::process::id()
    )
}

async fn until_ready(plans: &[NodePlan], nodes: &mut [NodeProcess]) -> Result<(), Failure> {
    let deadline = clock::monotonic_us() + READY_US_MAX;
    let mut waiting: Vec<&NodePlan> = plans.iter().collect();
    loop {
        for node in nodes.iter_mut() {
            if let Some(status) = node.newly_ended() {
                let what = format!("{} ended while it started", node.name);
                let exit = match status.code() {
                    Some(2) => Exit::Usage,
                    Some(69) => Exit::Unavailable,
                    _ => Exit::Internal,
                };
                let reason = std::io::Error::other(node.last_words());
                let next = format!("Its log is `{}`.", node.log().display());
                return Err(Failure::new(exit, what).because(&reason).next(next));
            }
        }
        let mut still_waiting = Vec::new();
        let mut reason = None;
        for plan in waiting {
            if let Err(failure) = probe(plan).await {
                reason = Some(failure);
                still_waiting.push(plan);
            }
        }
        let Some(failure) = reason else { return Ok(()) };
        waiting = still_waiting;
        if deadline <= clock::monotonic_us() {
            let what = format!("the cluster does not serve after {} s", READY_US_MAX / 1_000_000);
            let reason = std::io::Error::other(failure.to_string());
            return Err(Failure::new(Exit::Unavailable, what).because(&reason));
        }
        sleep(READY_PAUSE).await;
    }
}

/// A node is ready once it counts the keys of every shard, and writes and reads one of its own.
async fn probe(plan: &NodePlan) -> Result<(), Failure> {
    let mut connection = Connection::open(plan.client, PROBE_TIMEOUT, 0).await?;
    let key = format!("evenkeel:up:{}", plan.name);
    let value = random_u64().to_string();
    connection.call(&[b"DBSIZE"]).await?;
    connection.call(&[b"SET", key.as_bytes(), value.as_bytes(), b"EX", b"10"]).await?;
    connection.call(&[b"GET", key.as_bytes()]).await?;
    connection.call(&[b"DEL", key.as_bytes()]).await?;
    Ok(())
}

async fn stop(nodes: &mut [NodeProcess]) {
    nodes.iter_mut().for_each(NodeProcess::let_go);
    let deadline = clock::monotonic_us() + STOP_US_MAX;
    loop {
        for node in nodes.iter_mut() {
            if let Some(status) = node.newly_ended()
                && !status.success()
            {
                tell(node.epitaph(status).trim_end());
            }
        }
        if nodes.iter().all(NodeProcess::has_ended) {
            return;
        }
        if deadline <= clock::monotonic_us() {
            for node in nodes.iter_mut().filter(|node| !node.has_ended()) {
                tell(&format!("{} did not stop in time and is killed", node.name));
                node.kill();
            }
            return;
        }
        sleep(READY_PAUSE).await;
    }
}
