//! `evenkeel up` as a child process of a test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
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

    /// Starts `up`, with more arguments, and waits for its `ready`. On free ports, or on those with
    /// which the folder was made.
    pub(crate) fn start_with(dir: &Path, nodes: u16, arguments: &[&str]) -> Cluster {
        let port = port_of_folder(dir).unwrap_or_else(|| free_ports(nodes));
        Cluster::start_on(port, dir, nodes, arguments)
    }

    /// As `start_with`, on these ports.
    pub(crate) fn start_on(port: u16, dir: &Path, nodes: u16, arguments: &[&str]) -> Cluster {
        // A test that failed with a cluster has nothing left that could hurt the next one.
        let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut process = command()
            .arg("up")
            .args(["--nodes", &nodes.to_string(), "--port", &port.to_string()])
            .arg("--dir")
            .arg(dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(told_path(dir)).unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut ready).unwrap();
        if !ready.starts_with("ready") {
            let status = process.wait().unwrap();
            panic!("`up` said {:?} and ended with {status}; {}", told(dir), logs(dir));
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

    /// What `up` said on the standard error output so far.
    pub(crate) fn told(&self) -> String {
        told(&self.dir)
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

/// The first of `count` client ports that are free now, as are the peer ports above them. No two calls
/// of one run return the same.
pub(crate) fn free_ports(count: u16) -> u16 {
    // Below the kernel's own range (32768 and above), peer ports included.
    const PORTS: std::ops::Range<u16> = 12_000..22_000;
    const STEP: u16 = 10;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    assert!(count < STEP);
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let block_count = (PORTS.end - PORTS.start) / STEP;
    // Another run, in another checkout, starts somewhere else.
    let start = (std::process::id() % u32::from(block_count)) as u16;
    for _ in 0..block_count {
        let block = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % block_count;
        let first = PORTS.start + block * STEP;
        let mut ports = first..first + count;
        if ports.all(|port| is_free(port) && is_free(port + PEER_PORT_OFFSET)) {
            return first;
        }
    }
    panic!("no {count} ports in a row are free");
}

/// The port that `up` noted in a folder of its own.
pub(crate) fn port_of_folder(dir: &Path) -> Option<u16> {
    let mark = fs::read_to_string(dir.join("cluster.yaml")).ok()?;
    mark.lines().find_map(|line| line.strip_prefix("port: ")?.parse().ok())
}

/// Beside the folder, which is `up`'s alone.
fn told_path(dir: &Path) -> PathBuf {
    dir.with_extension("stderr")
}

fn told(dir: &Path) -> String {
    fs::read_to_string(told_path(dir)).unwrap_or_default()
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
