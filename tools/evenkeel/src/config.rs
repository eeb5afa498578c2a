//! One node's configuration: defaults, then a file, then the environment, then flags.
//!
//! `default.yaml` is the single list of keys: what it names exists, what it says is the default, and
//! its text is what `evenkeel config default` prints. A `Config` that exists is valid.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use evenkeel_engine::store;
use evenkeel_gateway::limits::Limits;
use evenkeel_node::config::{NODE_COUNT_MAX, SHARD_COUNT_MAX};
use serde::Deserialize;
use serde_yaml_ng::Value;

pub(crate) use self::keys::Override;
pub(crate) use self::size::ByteSize;

mod keys;
mod size;

/// The commented file that `evenkeel config default` prints.
pub(crate) const DEFAULT_TEXT: &str = include_str!("config/default.yaml");

/// A name is stored in the superblock of the data directory, in a field of this many bytes.
const NAME_SIZE_MAX: usize = 64;
/// Below this a keyspace could not hold one value of the largest size and its index.
const MEMORY_SIZE_MIN: u64 = 1 << 20;
/// Sixteen of the smallest segments: with fewer, too large a share is held back for compaction.
const DISK_SIZE_MIN: u64 = 64 << 20;
/// More would be another time to live.
const TTL_JITTER_MAX: u8 = 50;
/// A year.
const SCRUB_HOURS_MAX: u64 = 24 * 366;

/// What is wrong with a configuration, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// The file is not YAML, or not a mapping.
    #[error("{origin} is not a YAML mapping: {reason}")]
    Syntax { origin: String, reason: String },
    /// No such key.
    #[error("{origin} has an unknown key `{key}`{suggestion}")]
    UnknownKey { origin: String, key: String, suggestion: String },
    /// The key exists and cannot have this value.
    #[error("`{key}` in {origin} cannot be `{value}`: {reason}")]
    BadValue { origin: String, key: String, value: String, reason: String },
    /// Each key is fine by itself, and together they are not.
    #[error("{0}")]
    Contradiction(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub node: Node,
    pub listen: Listen,
    pub cluster: Cluster,
    pub keyspaces: Keyspaces,
    pub limits: ClientLimits,
    pub storage: Storage,
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub name: String,
    pub dir: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    pub resp: SocketAddr,
    pub peer: SocketAddr,
    pub exposed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    pub id: u64,
    pub shards: u32,
    pub mode: Mode,
    pub nodes: Vec<Member>,
    pub request_timeout_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub name: String,
    pub peer: SocketAddr,
    pub client: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Any node answers for any key.
    Proxy,
    /// A node answers MOVED for keys that another one leads.
    Redirect,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keyspaces {
    pub default: Keyspace,
    pub cache: Keyspace,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keyspace {
    pub memory_max: ByteSize,
    pub eviction: Eviction,
    pub ttl_jitter_percent: u8,
}

/// See `evenkeel_engine::store::Eviction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Eviction {
    Fifo,
    Lru,
    Lfu,
    #[serde(rename = "s3-fifo")]
    S3Fifo,
    None,
    Auto,
}

impl From<Eviction> for store::Eviction {
    fn from(eviction: Eviction) -> store::Eviction {
        match eviction {
            Eviction::Fifo => store::Eviction::Fifo,
            Eviction::Lru => store::Eviction::Lru,
            Eviction::Lfu => store::Eviction::Lfu,
            Eviction::S3Fifo => store::Eviction::S3Fifo,
            Eviction::None => store::Eviction::None,
            Eviction::Auto => store::Eviction::Auto,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientLimits {
    pub connection_count_max: usize,
    pub argument_count_max: usize,
    pub bulk_max: ByteSize,
    pub query_max: ByteSize,
    pub output_max: ByteSize,
    pub idle_ms_max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    pub serve_with_holes: bool,
    pub disk_bytes_max: ByteSize,
    pub scrub_interval_hours: u64,
    pub compression: Compression,
    /// None, or empty: nothing is encrypted.
    encryption_key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Payloads are stored as they are.
    None,
    /// Payloads are stored smaller where that saves an eighth or more.
    Lz4,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A complete file: the defaults, with `settings` on top, in order.
pub(crate) fn render(settings: &[Override]) -> Result<String, ConfigError> {
    let mut merged = keys::defaults();
    for setting in settings {
        keys::set(&mut merged, setting)?;
    }
    Ok(serde_yaml_ng::to_string(&merged).expect("what was read as YAML can be written as YAML"))
}

impl Storage {
    /// Where the root key is, if anything is to be encrypted.
    pub(crate) fn key_file(&self) -> Option<&Path> {
        self.encryption_key_file.as_deref().filter(|file| !file.as_os_str().is_empty())
    }
}

impl Config {
    /// Puts `overrides` on top of `file` (its name and its text) on top of the defaults, in order.
    pub(crate) fn load(
        file: Option<(&str, &str)>,
        overrides: &[Override],
    ) -> Result<Config, ConfigError> {
        let mut settings = Vec::new();
        if let Some((name, text)) = file {
            keys::read_file(name, text, &mut settings)?;
        }
        settings.extend_from_slice(overrides);

        let mut merged = keys::defaults();
        for setting in &settings {
            keys::set(&mut merged, setting)?;
            // After every single one, so that the message can name the key that went wrong.
            serde_yaml_ng::from_value::<Config>(merged.clone())
                .map_err(|error| setting.bad_value(&error))?;
        }
        let mut config: Config =
            serde_yaml_ng::from_value(merged).expect("the defaults, and each setting, were read");
        if config.cluster.nodes.is_empty() {
            config.cluster.nodes.push(config.alone());
        }
        config.check()?;
        Ok(config)
    }

    fn alone(&self) -> Member {
        Member { name: self.node.name.clone(), peer: self.listen.peer, client: self.listen.resp }
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_numbers()?;
        self.check_nodes()?;
        self.check_addresses()
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let Cluster { id, shards, request_timeout_ms, .. } = &self.cluster;
        ensure(1 <= *id, || "`cluster.id` is 0, must be at least 1".to_owned())?;
        ensure((1..=SHARD_COUNT_MAX).contains(shards), || {
            format!("`cluster.shards` is {shards}, must be 1 to {SHARD_COUNT_MAX}")
        })?;
        ensure((1..=3_600_000).contains(request_timeout_ms), || {
            format!("`cluster.request_timeout_ms` is {request_timeout_ms}, must be 1 to 3600000")
        })?;
        let keyspaces = [("default", &self.keyspaces.default), ("cache", &self.keyspaces.cache)];
        for (name, keyspace) in keyspaces {
            let ByteSize(bytes) = keyspace.memory_max;
            ensure(MEMORY_SIZE_MIN <= bytes, || {
                format!("`keyspaces.{name}.memory_max` is {bytes} bytes, must be at least 1 MiB")
            })?;
            let percent = keyspace.ttl_jitter_percent;
            ensure(percent <= TTL_JITTER_MAX, || {
                format!(
                    "`keyspaces.{name}.ttl_jitter_percent` is {percent}, must be 0 to {TTL_JITTER_MAX}"
                )
            })?;
        }
        let ByteSize(disk) = self.storage.disk_bytes_max;
        ensure(disk == 0 || DISK_SIZE_MIN <= disk, || {
            format!(
                "`storage.disk_bytes_max` is {disk} bytes, must be 0 (no limit) or at least {} MiB",
                DISK_SIZE_MIN >> 20
            )
        })?;
        let hours = self.storage.scrub_interval_hours;
        ensure(hours <= SCRUB_HOURS_MAX, || {
            format!(
                "`storage.scrub_interval_hours` is {hours}, must be 0 (only when asked) to {SCRUB_HOURS_MAX}"
            )
        })?;
        self.check_limits()
    }

    /// What a client may send must fit into what nodes send each other, so these only go down.
    fn check_limits(&self) -> Result<(), ConfigError> {
        let highest = Limits::default();
        let limits = &self.limits;
        let bounds = [
            ("argument_count_max", limits.argument_count_max, highest.argument_count_max),
            ("bulk_max", limits.bulk_max.in_memory(), highest.bulk_size_max),
            ("query_max", limits.query_max.in_memory(), highest.query_size_max),
        ];
        for (name, value, value_max) in bounds {
            ensure((1..=value_max).contains(&value), || {
                format!("`limits.{name}` is {value}, must be 1 to {value_max}")
            })?;
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), ConfigError> {
        let nodes = &self.cluster.nodes;
        ensure(nodes.len() <= NODE_COUNT_MAX, || {
            format!("`cluster.nodes` names {} nodes, at most {NODE_COUNT_MAX}", nodes.len())
        })?;
        for (index, member) in nodes.iter().enumerate() {
            let Member { name, peer, client } = member;
            ensure((1..=NAME_SIZE_MAX).contains(&name.len()), || {
                format!("node name `{name}` is {} bytes, must be 1 to {NAME_SIZE_MAX}", name.len())
            })?;
            ensure(nodes[..index].iter().all(|other| other.name != *name), || {
                format!("`cluster.nodes` names `{name}` twice")
            })?;
            let taken = |address| {
                nodes[..index].iter().any(|other| other.peer == address || other.client == address)
            };
            ensure(peer != client && !taken(*peer) && !taken(*client), || {
                format!("an address of `{name}` in `cluster.nodes` is used twice")
            })?;
        }
        let own = &self.node.name;
        ensure(nodes.iter().any(|member| member.name == *own), || {
            let names: Vec<_> = nodes.iter().map(|member| member.name.as_str()).collect();
            format!("`node.name` is `{own}`, not one of `cluster.nodes`: {}", names.join(", "))
        })
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        let Listen { resp, peer, exposed } = self.listen;
        for (key, address) in [("listen.resp", resp), ("listen.peer", peer)] {
            ensure(exposed || address.ip().is_loopback(), || {
                format!(
                    "`{key}` is {address}, which other machines can reach, and there is no \
                     authentication yet: bind to 127.0.0.1, or set `listen.exposed` to true if a \
                     firewall stands in front"
                )
            })?;
        }
        ensure(resp != peer, || format!("`listen.resp` and `listen.peer` are both {resp}"))
    }
}

fn ensure(condition: bool, message: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if condition { Ok(()) } else { Err(ConfigError::Contradiction(message())) }
}

/// The value as a reader would write it, on one line.
fn one_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string(other).unwrap_or_else(|_| "a complex value".to_owned()),
    }
}

#[cfg(test)]
mod tests;
