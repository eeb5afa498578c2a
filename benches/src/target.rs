//! Servers that an experiment starts, on loopback and in a folder of their own, and stops.
//!
//! A process that we started is ended by its number and by nothing else.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::error::BenchError;
use crate::load::Place;
use crate::{clock, cpu};

/// For how long a server may take until it serves.
const START_NS_MAX: u64 = 60_000_000_000;
const START_PAUSE: Duration = Duration::from_millis(50);

/// What can be measured beside what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Evenkeel, one node, keyspace `cache`: in memory only.
    Cache,
    /// Evenkeel, one node, keyspace `default`: every write on disk before it is acknowledged.
    Node,
    /// Evenkeel, three nodes, keyspace `default`.
    Cluster,
    /// Evenkeel, three nodes, keyspace `cache`.
    ClusterCache,
    /// redis-server without persistence.
    Redis,
    /// redis-server with `appendfsync always`.
    RedisDurable,
    /// Three etcd-servers.
    Etcd,
}

/// How servers are started.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// The `evenkeel` to start; this program itself, or the one beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// Where servers keep their data while they run; on the disk that shall be measured.
    #[arg(long, default_value = "./evenkeel-bench-data")]
    pub(crate) dir: PathBuf,
    /// The first of the ports that servers get.
    #[arg(long, default_value_t = 17_000)]
    pub(crate) port: u16,
    /// CPUs for the servers, as `taskset -c` takes them.
    #[arg(long, value_name = "LIST")]
    pub(crate) server_cpus: Option<String>,
    /// CPUs for the load, as `taskset -c` takes them.
    #[arg(long, value_name = "LIST")]
    pub(crate) client_cpus: Option<String>,
    /// What an Evenkeel keyspace, or Redis, may keep in memory, in MiB; otherwise their defaults.
    #[arg(long)]
    pub(crate) memory_mib: Option<u64>,
    /// Configuration of Evenkeel nodes, as `evenkeel up --set` takes it.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}

/// Servers that run until this is dropped.
#[derive(Debug)]
pub(crate) struct Target {
    pub kind: Kind,
    pub place: Place,
    /// The `evenkeel` that was started, for those who start nodes again.
    pub binary: PathBuf,
    children: Vec<Child>,
    dir: PathBuf,
}

impl Kind {
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no kind is skipped");
        value.get_name().to_owned()
    }
}

/// Pins this process, all its later threads included.
pub(crate) fn pin_self(arguments: &ServerArguments) -> Result<(), BenchError> {
    let Some(list) = &arguments.client_cpus else { return Ok(()) };
    let own = std::process::id().to_string();
    let status =
        Command::new("taskset").args(["-a", "-p", "-c", list, &own]).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(BenchError::Usage(format!("`taskset` cannot pin this process to `{list}`"))),
    }
}

impl Target {
    /// Starts servers of a kind, the `index`th of an experiment, and waits until they serve.
    pub(crate) fn start(
        kind: Kind,
        index: u16,
        arguments: &ServerArguments,
    ) -> Result<Target, BenchError> {
        let dir = arguments.dir.join(format!("{}-{}", std::process::id(), index));
        std::fs::create_dir_all(&dir).map_err(BenchError::file(&dir))?;
        let dir = dir.canonicalize().map_err(BenchError::file(&dir))?;
        let place = Place { addresses: Vec::new(), keyspace: 0, processes: Vec::new() };
        let binary = binary(arguments)?;
        let mut target = Target { kind, place, binary, children: Vec::new(), dir };
        let port = arguments.port + 20 * index;
        match kind {
            Kind::Cache => target.start_evenkeel(1, 1, port, arguments)?,
            Kind::Node => target.start_evenkeel(1, 0, port, arguments)?,
            Kind::Cluster => target.start_evenkeel(3, 0, port, arguments)?,
            Kind::ClusterCache => target.start_evenkeel(3, 1, port, arguments)?,
            Kind::Redis => target.start_redis("no", port, arguments)?,
            Kind::RedisDurable => target.start_redis("yes", port, arguments)?,
            Kind::Etcd => target.start_etcd(port, arguments)?,
        }
        Ok(target)
    }

    /// The folder that `evenkeel up` has.
    pub(crate) fn cluster_dir(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    fn start_evenkeel(
        &mut self,
        nodes: u16,
        keyspace: u8,
        port: u16,
        arguments: &ServerArguments,
    ) -> Result<(), BenchError> {
        let mut command = pinned(&self.binary, arguments);
        command.arg("up").arg("--nodes").arg(nodes.to_string()).arg("--port").arg(port.to_string());
        command.arg("--dir").arg(self.cluster_dir()).stdout(Stdio::piped());
        if let Some(mib) = arguments.memory_mib {
            let name = if keyspace == 0 { "default" } else { "cache" };
            command.arg("--set").arg(format!("keyspaces.{name}.memory_max={mib}MiB"));
        }
        for setting in &arguments.settings {
            command.arg("--set").arg(setting);
        }
        self.spawn(command, "evenkeel up")?;
        let child = self.children.last_mut().expect("it was just started");
        let output = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(BenchError::file("evenkeel up"))?;
        if !line.starts_with("ready") {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            return Err(BenchError::server("`evenkeel up` does not get ready", log.trim()));
        }
        let parent = child.id();
        self.place = Place {
            addresses: (0..nodes).map(|node| loopback(port + node)).collect(),
            keyspace,
            processes: cpu::children(parent),
        };
        Ok(())
    }

    fn start_redis(
        &mut self,
        append: &str,
        port: u16,
        arguments: &ServerArguments,
    ) -> Result<(), BenchError> {
        let mut command = pinned(Path::new("redis-server"), arguments);
        command.args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
        command.args(["--appendonly", append, "--appendfsync", "always"]);
        command.arg("--port").arg(port.to_string()).arg("--dir").arg(&self.dir);
        if let Some(mib) = arguments.memory_mib {
            command.arg("--maxmemory").arg(format!("{mib}mb"));
            command.args(["--maxmemory-policy", "allkeys-lru"]);
        }
        command.stdout(Stdio::null());
        self.spawn(command, "redis-server")?;
        self.place.addresses = vec![loopback(port)];
        self.place.processes = self.children.iter().map(Child::id).collect();
        wait_until("redis-server serves", || speaks_resp(loopback(port)))
    }

    #[cfg(not(feature = "etcd"))]
    fn start_etcd(&mut self, _port: u16, _arguments: &ServerArguments) -> Result<(), BenchError> {
        Err(BenchError::Usage(
            "this build has no client for etcd: from a clone, `cargo run --release -p \
             evenkeel-bench --features etcd -- compare …`"
                .to_owned(),
        ))
    }

    #[cfg(feature = "etcd")]
    fn start_etcd(&mut self, port: u16, arguments: &ServerArguments) -> Result<(), BenchError> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let peers: Vec<String> =
            (0..3).map(|node| format!("e{node}={}", url(port + 10 + node))).collect();
        for node in 0..3 {
            let (client, peer) = (url(port + node), url(port + 10 + node));
            let name = format!("e{node}");
            let mut command = pinned(Path::new("etcd"), arguments);
            command.args(["--name", &name, "--data-dir"]).arg(self.dir.join(&name));
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"]);
            command.args(["--initial-cluster-token", &port.to_string(), "--logger", "zap"]);
            // Its store keeps every version: without a larger limit it would stop taking writes.
            command.args(["--quota-backend-bytes", "8589934592"]).stdout(Stdio::null());
            self.spawn(command, "etcd")?;
            self.place.addresses.push(loopback(port + node));
        }
        self.place.processes = self.children.iter().map(Child::id).collect();
        let addresses = self.place.addresses.clone();
        wait_until("etcd serves", || {
            addresses.iter().all(|&address| crate::etcd::probe(address).is_ok())
        })
    }

    fn spawn(&mut self, mut command: Command, what: &str) -> Result<(), BenchError> {
        let log = self.dir.join("log");
        let file = File::options().create(true).append(true).open(&log);
        command.stdin(Stdio::null()).stderr(file.map_err(BenchError::file(log))?);
        let failed = |error| BenchError::server(format!("cannot start `{what}`"), error);
        self.children.push(command.spawn().map_err(failed)?);
        Ok(())
    }
}

impl Drop for Target {
    /// Asks every server to stop, waits, and removes its folder.
    fn drop(&mut self) {
        for child in &mut self.children {
            signal("TERM", child.id());
        }
        for child in &mut self.children {
            let deadline = clock::now_ns() + 20_000_000_000;
            while matches!(child.try_wait(), Ok(None)) {
                if deadline < clock::now_ns() {
                    child.kill().ok();
                }
                clock::pause(START_PAUSE);
            }
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// Sends a signal to a process that this program started, or whose parent it started.
pub(crate) fn signal(name: &str, process: u32) {
    // It fails if the process has ended, which is what a signal is for.
    Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .stderr(Stdio::null())
        .status()
        .ok();
}

/// Waits for a condition, not longer than servers may take to start.
pub(crate) fn wait_until(
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<(), BenchError> {
    let deadline = clock::now_ns() + START_NS_MAX;
    while !condition() {
        if deadline < clock::now_ns() {
            return Err(BenchError::server(format!("waited until {what}"), "it took too long"));
        }
        clock::pause(START_PAUSE);
    }
    Ok(())
}

fn speaks_resp(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut reply = [0; 5];
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").is_ok()
        && stream.read_exact(&mut reply).is_ok()
        && reply == *b"+PONG"
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A command that runs on the servers' CPUs.
fn pinned(program: &Path, arguments: &ServerArguments) -> Command {
    match &arguments.server_cpus {
        None => Command::new(program),
        Some(list) => {
            let mut command = Command::new("taskset");
            command.args(["-c", list]).arg(program);
            command
        }
    }
}

fn binary(arguments: &ServerArguments) -> Result<PathBuf, BenchError> {
    if let Some(binary) = &arguments.binary {
        return binary.canonicalize().map_err(BenchError::file(binary));
    }
    let own = std::env::current_exe().map_err(BenchError::file("/proc/self/exe"))?;
    Ok(own.with_file_name("evenkeel"))
}
