//! `evenkeel up` as a child process of a test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::binary::{command, signal};
use crate::resp::Resp;

/// One cluster at a time; held by every `Cluster`.
static MACHINE: Mutex<()> = Mutex::new(());

/// Peers listen so far above clients.
const PEER_PORT_OFFSET: u16 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster that serves. Stopped by `stop`, or killed when dropped.
pub(crate) struct Cluster {
    pub dir: PathBuf,
    pub port: u16,
    pub nodes: u16,
    /// The line that begins with `ready`.
    pub ready: String,
    process: Child,
    _machine: MutexGuard<'static, ()>,
}

impl Cluster {
    pub(crate) fn start(dir: &Path, nodes: u16) -> Cluster {
        Cluster::start_with(dir, nodes, &[])
    }

    /// Starts `up` on free ports, with more arguments, and waits for its `ready`.
    pub(crate) fn start_with(dir: &Path, nodes: u16, arguments: &[&str]) -> Cluster {
        // A test that failed with a cluster has nothing left that could hurt the next one.
        let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let port = free_ports(nodes);
        let mut process = command()
            .arg("up")
            .args(["--nodes", &nodes.to_string(), "--port", &port.to_string()])
            .arg("--dir")
            .arg(dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut ready).unwrap();
        if !ready.starts_with("ready") {
            let status = process.wait().unwrap();
            panic!("`up` said {ready:?} and ended with {status}; logs: {}", logs(dir));
        }
        let dir = dir.to_owned();
        Cluster { dir, port, nodes, ready, process, _machine: machine }
    }

    /// The client port of a node, counted from 1.
    pub(crate) fn port_of(&self, node: u16) -> u16 {
        assert!((1..=self.nodes).contains(&node));
        self.port + node - 1
    }

    pub(crate) fn connect(&self, node: u16) -> Resp {
        Resp::connect(self.port_of(node)).unwrap()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The process that runs a node now, whoever started it.
    pub(crate) fn node_process_id(&self, node: u16) -> Option<u32> {
        let config = self.config_of(node);
        processes_with_argument(&config).first().copied()
    }

    pub(crate) fn config_of(&self, node: u16) -> PathBuf {
        self.dir.join(format!("node-{node}")).join("evenkeel.yaml")
    }

    /// `kill -9` of one node.
    pub(crate) fn kill_node(&self, node: u16) {
        signal(self.node_process_id(node).expect("the node runs"), "KILL");
        wait_until("the node is gone", || self.node_process_id(node).is_none());
    }

    /// Asks `up` to stop and waits until it has.
    pub(crate) fn stop(self) -> ExitStatus {
        self.stop_by("TERM")
    }

    pub(crate) fn stop_by(mut self, name: &str) -> ExitStatus {
        signal(self.process.id(), name);
        self.process.wait().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The nodes notice that their parent is gone. After `stop` there is nothing to kill.
        self.process.kill().ok();
        self.process.wait().ok();
        wait_until("all nodes are gone", || {
            (1..=self.nodes).all(|node| self.node_process_id(node).is_none())
        });
    }
}

/// Waits for a condition, never for a time; gives up loudly.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first of `count` client ports that are free now, as are the peer ports above them.
pub(crate) fn free_ports(count: u16) -> u16 {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let all_free = |first: u16| {
        (first..first + count).all(|port| is_free(port) && is_free(port + PEER_PORT_OFFSET))
    };
    // Below the kernel's own range (32768 and above), and different from run to run.
    let start = 12_000 + (std::process::id() % 800) as u16 * 10;
    (start..20_500).step_by(10).find(|&first| all_free(first)).expect("some ports are free")
}

/// The processes that have this very argument on their command line.
fn processes_with_argument(argument: &Path) -> Vec<u32> {
    let argument = argument.to_str().unwrap().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(process_id) = entry.file_name().to_string_lossy().parse() else { continue };
        // A process may end while we look; a zombie has no command line.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|&byte| byte == 0).any(|part| part == argument) {
            found.push(process_id);
        }
    }
    found
}

fn logs(dir: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Ok(log) = fs::read_to_string(entry.path().join("log")) {
            all.push_str(&format!("\n--- {}\n{log}", entry.path().display()));
        }
    }
    all
}
