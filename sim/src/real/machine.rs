//! One node: a process, its folder, and when it may run.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use evenkeel_runtime as runtime;

use super::{Place, network};
use crate::fault::{NodeIndex, node_name};
use crate::plan::{Knobs, Plan};

const CLIENT_PORT: u16 = 7_001;
const PEER_PORT: u16 = 17_001;
/// Of its log, so many lines explain an end.
const LAST_WORDS: usize = 12;

pub(super) struct Machine {
    name: String,
    settings: Vec<String>,
    place: Place,
    process: Option<Child>,
    has_lived: bool,
    /// How it was told to end.
    told: Option<&'static str>,
    /// It must not be started before this moment.
    down_until_us: u64,
}

/// Where clients reach a node.
pub(super) fn client_address(node: NodeIndex) -> SocketAddr {
    SocketAddr::from((network::address(node), CLIENT_PORT))
}

fn peer_address(node: NodeIndex) -> SocketAddr {
    SocketAddr::from((network::address(node), PEER_PORT))
}

/// What this plan sets and the product cannot be told, or not so.
pub(super) fn knobs_left_out(plan: &Plan) -> Vec<String> {
    let as_json = |knobs: &Knobs| serde_json::to_value(knobs).expect("knobs are plain data");
    let (set, usual) = (as_json(&plan.knobs), as_json(&Knobs::default()));
    // These are passed on, or are the clients'.
    let kept = ["shard_count", "request_timeout", "client_timeout", "padding"];
    let fields = set.as_object().into_iter().flatten();
    let changed = fields
        .filter(|(name, value)| usual[name.as_str()] != **value && !kept.contains(&name.as_str()));
    changed.map(|(name, value)| format!("{name} = {value}")).collect()
}

impl Machine {
    pub(super) fn new(index: NodeIndex, plan: &Plan, place: &Place) -> Machine {
        let name = node_name(index);
        let nodes = (0..plan.node_count).map(|node| {
            let (name, peer, client) = (node_name(node), peer_address(node), client_address(node));
            format!("{{ name: {name}, peer: \"{peer}\", client: \"{client}\" }}")
        });
        let nodes: Vec<String> = nodes.collect();
        let knobs = &plan.knobs;
        let settings = vec![
            format!("node.name={name}"),
            format!("node.dir={}", place.folder.join(&name).display()),
            format!("listen.resp={}", client_address(index)),
            format!("listen.peer={}", peer_address(index)),
            "listen.exposed=true".to_owned(),
            format!("cluster.nodes=[{}]", nodes.join(", ")),
            format!("cluster.shards={}", knobs.shard_count),
            format!("cluster.request_timeout_ms={}", knobs.request_timeout.as_millis()),
            "log.level=debug".to_owned(),
        ];
        let place = place.clone();
        Machine {
            name,
            settings,
            place,
            process: None,
            has_lived: false,
            told: None,
            down_until_us: 0,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn start(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.map_err(|error| format!("{}: {error}", self.log().display()))?;
        // `ip` turns into the node: the process is the node's own.
        let mut command = Command::new("ip");
        let older = self.place.older.as_ref().filter(|_| !self.has_lived);
        let binary = older.unwrap_or(&self.place.binary);
        command.args(["netns", "exec", &self.name]).arg(binary).arg("serve");
        self.settings.iter().for_each(|setting| {
            command.args(["--set", setting]);
        });
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().map_err(|error| format!("{}: {error}", self.name))?;
        self.process = Some(process);
        self.has_lived = true;
        self.told = None;
        Ok(())
    }

    /// Whether it was down and is up now.
    pub(super) fn start_if_due(&mut self) -> Result<bool, String> {
        if self.is_running() || runtime::clock::monotonic_us() < self.down_until_us {
            return Ok(false);
        }
        self.start().map(|()| true)
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// How, if nobody had told it to, or if it was told politely and did not end well. Once.
    pub(super) fn ended_by_itself(&mut self) -> Option<String> {
        let status = self.process.as_mut()?.try_wait().ok()??;
        self.process = None;
        let is_fine = match self.told {
            None => false,
            Some("TERM") => status.success(),
            Some(_) => true,
        };
        (!is_fine).then(|| status.to_string())
    }

    pub(super) fn kill(&mut self, down: Duration) {
        self.tell("KILL", Some(down));
        // It is dead: what it had is given up before anything else is said about it.
        if let Some(process) = &mut self.process {
            let _gone = process.wait();
        }
    }

    pub(super) fn terminate(&mut self, down: Duration) {
        self.tell("TERM", Some(down));
    }

    pub(super) fn pause(&mut self) {
        self.tell("STOP", None);
    }

    pub(super) fn resume(&mut self) {
        self.tell("CONT", None);
    }

    /// Loses all that it had on its disk; it is not running.
    pub(super) fn wipe(&mut self) -> Result<(), String> {
        let folder = self.place.folder.join(&self.name);
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    }

    /// May start from now on.
    pub(super) fn release(&mut self) {
        self.down_until_us = 0;
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(LAST_WORDS);
        lines[skipped..].iter().map(|line| (*line).to_owned()).collect()
    }

    fn tell(&mut self, signal: &'static str, down: Option<Duration>) {
        if let Some(down) = down {
            let micros = u64::try_from(down.as_micros()).unwrap_or(u64::MAX);
            self.down_until_us = runtime::clock::monotonic_us().saturating_add(micros);
        }
        if !self.is_running() {
            return;
        }
        if down.is_some() {
            self.told = Some(signal);
        }
        if let Some(process) = &self.process {
            let id = process.id().to_string();
            // It fails only if the process has ended meanwhile.
            let _sent = Command::new("kill").args(["-s", signal, &id]).status();
        }
    }

    fn log(&self) -> PathBuf {
        self.place.folder.join(format!("{}.log", self.name))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill(Duration::MAX);
    }
}
