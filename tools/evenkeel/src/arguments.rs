//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use evenkeel_bench::Experiment;

use crate::config::Mode;

/// A distributed cache and storage engine that speaks the Redis protocol.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 the request failed, 2 wrong usage or configuration, \
                          69 unavailable, 70 internal error or broken disk.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a cluster on this machine, each node a process, until Ctrl-C or SIGTERM.
    Up(UpArguments),
    /// Run one node until Ctrl-C or SIGTERM; it hands leadership over before it stops.
    Serve(ServeArguments),
    /// Check a configuration file, or print the default one.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write a key's value to the standard output, byte for byte; exit 1 if there is no such key.
    Get(GetArguments),
    /// Store a value under a key.
    Set(SetArguments),
    /// Delete keys and print how many existed; exit 1 if none did.
    Del(DelArguments),
    /// Print how many seconds a key has left, or `never`; exit 1 if there is no such key.
    Ttl(TtlArguments),
    /// Print every key, one a line, in no particular order.
    Scan(ScanArguments),
    /// Show the nodes, the shards and their leaders, and what they use.
    Status(StatusArguments),
    /// See and change who leads and who votes.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Back the keyspace `default` up into a file, check such a file, bring it back.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Have every node read all that it has on its disk, and mend what is damaged; exit 1 if values are
    /// damaged that no other node has.
    Scrub(ScrubArguments),
    /// Describe a data folder without changing it.
    Inspect(InspectArguments),
    /// Make and change the root keys that encrypt data folders, or tell which is which.
    #[command(subcommand)]
    Key(KeyCommand),
    /// What it costs, beside its peers: load, comparisons, kills, traces.
    #[command(subcommand)]
    Bench(Experiment),
    /// How to run the deterministic simulator.
    Sim,
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// How many nodes, 1 to 7.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=7))]
    pub nodes: u16,
    /// Where the data, the configuration and the logs of all nodes live; made if it does not exist.
    #[arg(long, default_value = "./evenkeel-data")]
    pub dir: PathBuf,
    /// The first node's port; the others follow. Peers use these ports plus 10000.
    #[arg(long, default_value_t = 7001, value_parser = clap::value_parser!(u16).range(1..=55_528))]
    pub port: u16,
    /// What a node does with a key that another node leads.
    #[arg(long, value_enum, default_value_t = Mode::Proxy)]
    pub mode: Mode,
    /// Set a configuration key on every node, e.g. `--set keyspaces.default.memory_max=1GiB`.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The YAML configuration; `evenkeel config default` prints one. Without it, the defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one configuration key; may be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub settings: Vec<String>,
    /// Stop, without handing leadership over, when the standard input ends (`evenkeel up` uses it).
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read a file as `serve` would, the environment included, and say what is wrong with it.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print a complete file with every key, its default and its meaning.
    Default,
}

/// What every command that talks to a node needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// A node's address.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDRESS:PORT")]
    pub address: SocketAddr,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..), value_name = "MILLISECONDS")]
    pub timeout_ms: u64,
}

impl Target {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Which node, and which keyspace.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    pub target: Target,
    /// The keyspace.
    #[arg(long, value_enum, default_value_t = KeyspaceName::Default)]
    pub keyspace: KeyspaceName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyspaceName {
    /// Replicated, strongly consistent, on disk.
    Default,
    /// In the memory of the node that is asked.
    Cache,
}

impl KeyspaceName {
    /// The number that SELECT takes.
    pub(crate) fn number(self) -> u8 {
        match self {
            KeyspaceName::Default => 0,
            KeyspaceName::Cache => 1,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// The key, any bytes.
    pub key: OsString,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// The key, any bytes.
    pub key: OsString,
    /// The value, any bytes; left out, it is read from the standard input.
    pub value: Option<OsString>,
    /// Let the key expire after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub ttl: Option<u64>,
    /// Only if the key does not exist; exit 1 if it does.
    #[arg(long)]
    pub if_absent: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct DelArguments {
    /// The keys, any bytes.
    #[arg(required = true)]
    pub keys: Vec<OsString>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct TtlArguments {
    /// The key, any bytes.
    pub key: OsString,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ScanArguments {
    /// Only keys that match this pattern: `*`, `?`, `[a-z]`, and `\` before a letter meant as itself.
    #[arg(long = "match", value_name = "PATTERN")]
    pub pattern: Option<OsString>,
    /// Stop after this many keys.
    #[arg(long)]
    pub limit: Option<u64>,
    /// End each key with a zero byte instead of a line feed, for keys that contain line feeds.
    #[arg(short = '0', long = "null")]
    pub zero_terminated: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub target: Target,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What every `cluster` command takes.
#[derive(Debug, Args)]
pub(crate) struct ClusterTarget {
    /// Any node's address.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDRESS:PORT")]
    pub address: SocketAddr,
    /// How long to wait until it is done, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECONDS")]
    pub timeout_s: u64,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show each shard's leader and voters; exit 69 if one has no leader or changes its voters.
    Status {
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Show the nodes, and those that are expected; exit 69 if one is not connected.
    Nodes {
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Let a node of this name join, and wait until it is there: start it meanwhile.
    Join {
        /// Its `node.name`.
        node: String,
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Remove a node that has no votes any more, or a name that is expected.
    Remove {
        /// The node's name.
        node: String,
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Let a new node join, give it every vote of an old one, and remove that; the old one may be dead.
    Replace {
        /// The name of the node that goes.
        old: String,
        /// The `node.name` of the one that comes: start it meanwhile.
        new: String,
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Have another node lead a shard, and wait until it does.
    TransferLeader {
        /// The shard's number.
        shard: u16,
        /// The node's name; without one, whoever can best.
        node: Option<String>,
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Give a shard these voters, and wait until they vote.
    Move {
        /// The shard's number.
        shard: u16,
        /// The names of its voters, all of them.
        #[arg(required = true)]
        nodes: Vec<String>,
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Move every vote of a node to others, and wait until it has none; exit 1 if some had nowhere to go.
    Drain {
        /// The node's name.
        node: String,
        #[command(flatten)]
        target: ClusterTarget,
    },
    /// Spread votes evenly over the nodes, and wait until it is done.
    Balance {
        /// Give nothing to this node; may be repeated.
        #[arg(long, value_name = "NODE")]
        without: Vec<String>,
        #[command(flatten)]
        target: ClusterTarget,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ScrubArguments {
    /// Any node's address.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDRESS:PORT")]
    pub address: SocketAddr,
    /// Only this node.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Take a backup of a running cluster, while it works on.
    Create(CreateArguments),
    /// Read all of a backup and say what is in it; exit 1, with the place, if anything is wrong with it.
    Verify(VerifyArguments),
    /// Check a backup, then write what is in it into an empty cluster.
    Restore(RestoreArguments),
}

/// Which cluster, and how patiently.
#[derive(Debug, Clone, Args)]
pub(crate) struct SnapshotTarget {
    /// Any node's address; when it does not answer, the other nodes are asked.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDRESS:PORT")]
    pub address: SocketAddr,
    /// Give up when nothing has moved for so long, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECONDS")]
    pub timeout_s: u64,
}

impl SnapshotTarget {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The file to write; without it, one named after the time, in the current folder.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// Go no faster than this, in MiB a second, to leave more of the nodes to their clients.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    #[command(flatten)]
    pub target: SnapshotTarget,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The backup.
    pub file: PathBuf,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The backup.
    pub file: PathBuf,
    /// The cluster may have keys: one that is there already stays as it is.
    #[arg(long, conflicts_with = "replace")]
    pub merge: bool,
    /// The cluster may have keys: one that is in the backup becomes what it is there, others stay.
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub target: SnapshotTarget,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a random root key in a new file that only its owner can read.
    New {
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Tell which root key a file holds, or which one opens a data folder. Prints no secret.
    Show {
        /// A key file or a data folder.
        path: PathBuf,
    },
    /// Have a data folder open with another root key. The node must not run; no data is written again.
    Rotate {
        /// The data folder; with `evenkeel up`, DIR/node-N/data.
        dir: PathBuf,
        /// The file with the key that opens it now.
        #[arg(long, value_name = "FILE")]
        old: PathBuf,
        /// The file with the key that is to open it.
        #[arg(long, value_name = "FILE")]
        new: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns.
    Text,
    /// One JSON document.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// A node's data folder; with `evenkeel up`, DIR/node-N/data.
    pub dir: PathBuf,
    /// Also list every chunk and every record.
    #[arg(long)]
    pub records: bool,
}
