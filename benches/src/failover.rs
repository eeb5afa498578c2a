//! `failover`: nodes are killed under load and started again, and a ledger is kept of every write.
//!
//! The time without service is that of the clients: for each kill, the longest time between two
//! acknowledged writes of the client that waited longest. Each client writes to keys all over the
//! cluster, one after the other, so it soon asks for a shard that the dead node led, and waits there.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::client::{Client, Gap};
use crate::console::say;
use crate::error::BenchError;
use crate::ledger::Ledger;
use crate::talk::{self, Talk};
use crate::target::{self, Kind, ServerArguments, Target};
use crate::{clock, cpu, picture};

mod client;

/// How far a replica may be behind, in entries, when the next node is killed.
const LAG_MAX: u64 = 1000;
/// The longest time without service that is told apart from longer ones, in microseconds.
const GAP_US_MAX: u64 = 600_000_000;

/// Which node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Victim {
    /// The one that leads most shards.
    Leader,
    /// Each in turn.
    Turns,
}

/// `failover`'s part of a command line.
#[derive(Debug, Args)]
pub struct FailoverArguments {
    /// How many times a node is killed.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) kills: u16,
    /// Which node.
    #[arg(long, value_enum, default_value_t = Victim::Leader)]
    pub(crate) victim: Victim,
    /// How many clients write, each on a connection of its own, one request at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) clients: u16,
    /// How many writes a second each client makes at most.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
    /// For how long a node stays dead, in milliseconds.
    #[arg(long, default_value_t = 2500)]
    pub(crate) down_ms: u64,
    /// For how long all nodes are up before the next kill, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    pub(crate) calm_ms: u64,
    /// After how long a client gives an answer up and asks another node, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    pub(crate) timeout_ms: u64,
    /// Write FILE.svg, FILE.hgrm of the times without service.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// What a kill did.
struct Kill {
    moment_ns: u64,
    node: usize,
    shards_led: u64,
}

/// The nodes of a target, as processes that can be killed and started again.
struct Nodes<'a> {
    target: &'a Target,
    processes: Vec<u32>,
    /// Those that were started again here.
    restarted: Vec<Child>,
}

pub(crate) fn run(arguments: &FailoverArguments) -> Result<(), BenchError> {
    target::pin_self(&arguments.server)?;
    let target = Target::start(Kind::Cluster, 0, &arguments.server)?;
    let addresses = &target.place.addresses;
    let mut nodes = Nodes::of(&target)?;
    let stop = AtomicBool::new(false);
    let acknowledged = AtomicU64::new(0);
    let (kills, clients) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..usize::from(arguments.clients))
            .map(|index| {
                let client = Client::new(index, addresses, arguments);
                let (stop, acknowledged) = (&stop, &acknowledged);
                scope.spawn(move || client.run(stop, acknowledged))
            })
            .collect();
        let kills = kill_all(&mut nodes, arguments, &acknowledged);
        stop.store(true, Ordering::Relaxed);
        let clients: Vec<(Ledger, Vec<Gap>)> =
            clients.into_iter().map(|client| client.join().expect("it does not panic")).collect();
        (kills, clients)
    });
    let kills = kills?;
    let (mut ledgers, gaps): (Vec<Ledger>, Vec<Vec<Gap>>) = clients.into_iter().unzip();
    tell_times(&kills, &gaps, arguments)?;
    say("reading every key back …");
    for (index, ledger) in ledgers.iter_mut().enumerate() {
        client::audit(index, ledger, addresses[0])?;
    }
    judge(&ledgers)
}

fn kill_all(
    nodes: &mut Nodes<'_>,
    arguments: &FailoverArguments,
    acknowledged: &AtomicU64,
) -> Result<Vec<Kill>, BenchError> {
    let mut kills = Vec::new();
    for number in 0..usize::from(arguments.kills) {
        nodes.wait_until_whole()?;
        clock::pause(Duration::from_millis(arguments.calm_ms));
        let led = nodes.shards_led()?;
        let node = match arguments.victim {
            Victim::Turns => number % led.len(),
            Victim::Leader => (0..led.len()).max_by_key(|&node| led[node]).unwrap_or(0),
        };
        let before = acknowledged.load(Ordering::Relaxed);
        let moment_ns = nodes.kill(node);
        clock::pause(Duration::from_millis(arguments.down_ms));
        nodes.start(node)?;
        say(&format!(
            "kill {:>3}: node-{} led {:>2} of {} shards; {} writes were acknowledged while it was dead",
            number + 1,
            node + 1,
            led[node],
            led.iter().sum::<u64>(),
            acknowledged.load(Ordering::Relaxed) - before
        ));
        kills.push(Kill { moment_ns, node, shards_led: led[node] });
    }
    nodes.wait_until_whole()?;
    Ok(kills)
}

impl Nodes<'_> {
    fn of(target: &Target) -> Result<Nodes<'_>, BenchError> {
        let mut processes = target.place.processes.clone();
        // `node-1`, `node-2`, …, as their configurations are called.
        processes.sort_by_key(|&process| cpu::command_line(process));
        if processes.len() != target.place.addresses.len() {
            let reason = format!("{} processes", processes.len());
            return Err(BenchError::server("not every node is a process", reason));
        }
        Ok(Nodes { target, processes, restarted: Vec::new() })
    }

    /// SIGKILL; returns when.
    fn kill(&mut self, node: usize) -> u64 {
        let moment_ns = clock::now_ns();
        target::signal("KILL", self.processes[node]);
        for child in &mut self.restarted {
            if child.id() == self.processes[node] {
                // It was just killed: this does not wait long, and leaves no zombie.
                child.wait().ok();
            }
        }
        moment_ns
    }

    fn start(&mut self, node: usize) -> Result<(), BenchError> {
        let dir = self.target.cluster_dir().join(format!("node-{}", node + 1));
        let log = dir.join("log");
        let file = File::options().append(true).open(&log).map_err(BenchError::file(log))?;
        let child = Command::new(&self.target.binary)
            .arg("serve")
            .arg("--config")
            .arg(dir.join("evenkeel.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|error| {
                BenchError::server(format!("cannot start node-{}", node + 1), error)
            })?;
        self.processes[node] = child.id();
        self.restarted.push(child);
        Ok(())
    }

    /// Every node answers, every shard has a leader, nobody is far behind.
    fn wait_until_whole(&self) -> Result<(), BenchError> {
        target::wait_until("all nodes are there and have caught up", || {
            let mut led = 0;
            let mut shards = 0;
            for &address in &self.target.place.addresses {
                let Ok(info) = info(address) else { return false };
                led += number(&info, "shards_led");
                shards = number(&info, "shards");
                if LAG_MAX < number(&info, "lag_max") {
                    return false;
                }
            }
            shards != 0 && led == shards
        })
    }

    fn shards_led(&self) -> Result<Vec<u64>, BenchError> {
        let addresses = &self.target.place.addresses;
        addresses.iter().map(|&address| Ok(number(&info(address)?, "shards_led"))).collect()
    }
}

impl Drop for Nodes<'_> {
    fn drop(&mut self) {
        for child in &mut self.restarted {
            if matches!(child.try_wait(), Ok(None)) {
                child.kill().ok();
                child.wait().ok();
            }
        }
    }
}

fn info(address: SocketAddr) -> Result<String, BenchError> {
    let mut talk = Talk::open(address, Duration::from_secs(1))
        .map_err(|error| BenchError::server(address.to_string(), error))?;
    match talk.ask(&[b"INFO"]) {
        Ok(talk::Reply::Bulk(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
        other => Err(BenchError::server(format!("INFO of {address}"), format!("{other:?}"))),
    }
}

/// A line of INFO, 0 if it is not there.
fn number(info: &str, name: &str) -> u64 {
    let values = info.lines().filter_map(|line| line.split_once(':'));
    let mut named = values.filter(|(key, _)| *key == name);
    named.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

/// The longest gap of any client that began or went on after each kill, and before the next.
fn tell_times(
    kills: &[Kill],
    gaps: &[Vec<Gap>],
    arguments: &FailoverArguments,
) -> Result<(), BenchError> {
    let mut worst = hdrhistogram::Histogram::<u64>::new_with_max(GAP_US_MAX, 3)
        .expect("three digits are allowed");
    let mut each = worst.clone();
    for (index, kill) in kills.iter().enumerate() {
        let end_ns = kills.get(index + 1).map_or(u64::MAX, |next| next.moment_ns);
        let longest = |gaps: &Vec<Gap>| {
            let after = |gap: &&Gap| kill.moment_ns < gap.end_ns && gap.start_ns < end_ns;
            gaps.iter().filter(after).map(|gap| (gap.end_ns - gap.start_ns) / 1000).max()
        };
        // A client without a gap that was worth noting waited for less than that.
        let times: Vec<u64> =
            gaps.iter().map(|gaps| longest(gaps).unwrap_or(client::GAP_NS_MIN / 1000)).collect();
        times.iter().for_each(|&time| each.saturating_record(time));
        let most = times.iter().copied().max().unwrap_or(0);
        worst.saturating_record(most);
        say(&format!(
            "kill {:>3}: node-{} led {:>2} shards; without service for {:>7.1} ms",
            index + 1,
            kill.node + 1,
            kill.shards_led,
            most as f64 / 1000.0
        ));
    }
    let line = |name: &str, times: &hdrhistogram::Histogram<u64>| {
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        say(&format!(
            "{name}: p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        ));
    };
    line("time without service, the client that waited longest", &worst);
    line("time without service, all clients", &each);
    if let Some(path) = &arguments.report {
        let path = path.with_extension("svg");
        let curves = [("the client that waited longest", &worst), ("all clients", &each)];
        let svg = picture::percentiles(&curves);
        std::fs::write(&path, svg).map_err(BenchError::file(path))?;
    }
    Ok(())
}

fn judge(ledgers: &[Ledger]) -> Result<(), BenchError> {
    let (acknowledged, unknown) = ledgers
        .iter()
        .map(Ledger::writes)
        .fold((0, 0), |sum, writes| (sum.0 + writes.0, sum.1 + writes.1));
    let broken: Vec<&String> = ledgers.iter().flat_map(|ledger| &ledger.broken).collect();
    say(&format!(
        "ledger: {acknowledged} writes acknowledged, {unknown} without an answer or refused; {} \
         promises broken",
        broken.len()
    ));
    broken.iter().take(20).for_each(|line| say(&format!("  {line}")));
    match broken.first() {
        None => Ok(()),
        Some(_) => Err(BenchError::Broken("the ledger does not add up, see above".to_owned())),
    }
}
