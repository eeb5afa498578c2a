//! `evenkeel serve`: one node, from its configuration to its last flush.

use std::fs;
use std::future::poll_fn;
use std::io::IsTerminal;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use evenkeel_engine::EngineError;
use evenkeel_engine::disk::open_disk;
use evenkeel_engine::keys::Encryption;
use evenkeel_gateway::gateway::{Gateway, GatewayConfig};
use evenkeel_gateway::limits::Limits;
use evenkeel_node::config::{ClusterConfig, ClusterMode, Member, NodeConfig};
use evenkeel_node::error::NodeError;
use evenkeel_node::node::Node;
use evenkeel_runtime::{Either, block_on, either, process};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::arguments::ServeArguments;
use crate::config::{self, ByteSize, Compression, Config, ConfigError, LogFormat, Mode, Override};
use crate::failure::{Exit, Failure};
use crate::{key, write_out};

/// How long a stopping node waits for others to take its shards over.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A disk with a limit is cut into about so many segments.
const SEGMENT_COUNT_USUAL: u64 = 64;
/// The smallest segment worth a file, in bytes: a chunk has up to half of it.
const SEGMENT_SIZE_SMALL: u64 = 4 << 20;

/// Runs a node until a signal asks it to stop.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let config = load(arguments.config.as_deref(), &arguments.settings)?;
    start_logging(&config.log)?;
    let until_stdin_ends = arguments.until_stdin_ends;
    block_on(serve(&config, until_stdin_ends))
}

/// Reads a file as `run` would.
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    let config = load(Some(file), &[])?;
    EnvFilter::try_new(&config.log.level).map_err(|error| bad_level(&config.log, &error))?;
    write_out(format!("{}: ok\n", file.display()).as_bytes())
}

fn load(file: Option<&Path>, settings: &[String]) -> Result<Config, Failure> {
    let text = match file {
        Some(path) => Some(fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot read `{}`", path.display()))
                .because(&error)
                .next("`evenkeel config default` prints a file to start from.")
        })?),
        None => None,
    };
    let name = file.map(|path| path.display().to_string()).unwrap_or_default();
    let file = text.as_deref().map(|text| (name.as_str(), text));
    load_text(file, settings).map_err(|error| {
        let what = format!("wrong configuration: {error}");
        Failure::new(Exit::Usage, what)
    })
}

fn load_text(file: Option<(&str, &str)>, settings: &[String]) -> Result<Config, ConfigError> {
    // A variable that is not UTF-8 cannot be a value of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut overrides = Override::from_environment(variables)?;
    for text in settings {
        overrides.push(Override::from_flag(text)?);
    }
    Config::load(file, &overrides)
}

fn start_logging(log: &config::Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| bad_level(log, &error))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

fn bad_level(log: &config::Log, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Usage, format!("`log.level` cannot be `{}`", log.level))
        .because(error)
        .next("Give error, warn, info, debug or trace.")
}

async fn serve(config: &Config, until_stdin_ends: bool) -> Result<(), Failure> {
    let mut told = pin!(until_told_to_stop(until_stdin_ends));
    let running = match either(told.as_mut(), start(config)).await {
        // Nothing was served, so nothing needs to be handed over or flushed.
        Either::Left(_) => return Ok(()),
        Either::Right(running) => running?,
    };
    let Config { node, listen, cluster, .. } = config;
    info!(
        node = node.name, cluster = cluster.id, resp = %listen.resp, peer = %listen.peer,
        "this node serves"
    );
    notify("READY=1");

    let stop = told.await;
    notify("STOPPING=1");
    let ended = either(process::terminated(), running.shut_down(stop)).await;
    if let Either::Left(()) = ended {
        warn!("asked to stop twice: ending at once");
    }
    Ok(())
}

/// Why a node stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The others stay: they take over first, so that clients hardly notice.
    AndHandOver,
    /// All nodes stop together: there is nobody to hand over to.
    WithTheCluster,
}

async fn until_told_to_stop(until_stdin_ends: bool) -> Stop {
    match either(process::terminated(), until(until_stdin_ends)).await {
        Either::Left(()) => Stop::AndHandOver,
        Either::Right(()) => Stop::WithTheCluster,
    }
}

/// A node with its door open.
struct Running {
    node: Rc<Node>,
    gateway: Gateway<Node>,
}

async fn start(config: &Config) -> Result<Running, Failure> {
    let encryption = encryption(config)?;
    let disk = open_disk(&config.node.dir).map_err(|error| refused_disk(config, &error))?;
    let node = Node::start(node_config(config, encryption), disk).await;
    let node = node.map_err(|error| refused(config, &error))?;
    let gateway = Gateway::start(Rc::clone(&node), gateway_config(config)).await;
    let gateway = gateway.map_err(|error| {
        let what = format!("cannot listen for clients on {}", config.listen.resp);
        Failure::new(Exit::Unavailable, what).because(&error)
    })?;
    gateway.report_process(evenkeel_gateway::process::usage);
    Ok(Running { node, gateway })
}

impl Running {
    async fn shut_down(self, stop: Stop) {
        if stop == Stop::AndHandOver {
            info!("handing leadership over");
            self.node.drain(DRAIN_MAX).await;
        }
        self.gateway.stop().await;
        self.node.stop().await;
        info!("stopped");
    }
}

/// Ready when the standard input has ended, if that is wanted; otherwise never.
async fn until(stdin_ends: bool) {
    if !stdin_ends {
        return std::future::pending().await;
    }
    let ended: Arc<Mutex<(bool, Option<Waker>)>> = Arc::default();
    let shared = Arc::clone(&ended);
    // A pipe cannot be polled without a reactor of its own; a thread that sleeps in `read` costs
    // nothing and touches nothing of the node.
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        let mut state = shared.lock().expect("neither side panics while it holds the lock");
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    });
    poll_fn(|context| {
        let mut state = ended.lock().expect("neither side panics while it holds the lock");
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
}

/// Tells systemd (`Type=notify`), if it is there. See sd_notify(3).
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = UnixDatagram::unbound().and_then(|socket| {
        let name = path.as_bytes();
        match name.strip_prefix(b"@") {
            Some(name) => {
                socket.send_to_addr(state.as_bytes(), &SocketAddr::from_abstract_name(name)?)
            }
            None => socket.send_to(state.as_bytes(), &path),
        }
    });
    if let Err(error) = told {
        warn!(%error, "cannot tell the service manager: {state}");
    }
}

/// The root key, from its file.
fn encryption(config: &Config) -> Result<Option<Encryption>, Failure> {
    let dir = &config.node.dir;
    let Some(file) = config.storage.key_file() else { return Ok(None) };
    let encryption = key::encryption(file)?;
    if let (Ok(file), Ok(dir)) = (file.canonicalize(), dir.canonicalize())
        && file.starts_with(&dir)
    {
        let (file, dir) = (file.display(), dir.display());
        let what = format!("the key file `{file}` lies in the folder `{dir}`, which it encrypts");
        return Err(Failure::new(Exit::Usage, what)
            .next("Keep it where a copy of the folder does not have it."));
    }
    Ok(Some(encryption))
}

fn node_config(config: &Config, encryption: Option<Encryption>) -> NodeConfig {
    let ByteSize(default_memory_bytes) = config.keyspaces.default.memory_max;
    let ByteSize(cache_memory_bytes) = config.keyspaces.cache.memory_max;
    let members = config.cluster.nodes.iter().map(|member| Member {
        name: member.name.clone(),
        peer_address: member.peer,
        client_address: member.client,
    });
    NodeConfig {
        name: config.node.name.clone(),
        cluster: ClusterConfig {
            id: config.cluster.id,
            members: members.collect(),
            shard_count: config.cluster.shards,
        },
        listen_peer: config.listen.peer,
        mode: match config.cluster.mode {
            Mode::Proxy => ClusterMode::Proxy,
            Mode::Redirect => ClusterMode::Redirect,
        },
        default_memory_bytes,
        default_eviction: config.keyspaces.default.eviction.into(),
        default_ttl_jitter_percent: config.keyspaces.default.ttl_jitter_percent,
        cache_memory_bytes,
        cache_eviction: config.keyspaces.cache.eviction.into(),
        cache_ttl_jitter_percent: config.keyspaces.cache.ttl_jitter_percent,
        timing: Default::default(),
        engine: evenkeel_engine::Options {
            serve_with_holes: config.storage.serve_with_holes,
            log_size_max: config.storage.disk_bytes_max.0,
            segment_size: segment_size(config.storage.disk_bytes_max.0),
            compress: config.storage.compression == Compression::Lz4,
            encryption,
            ..Default::default()
        },
        scrub_interval: Duration::from_secs(3600 * config.storage.scrub_interval_hours),
        request_timeout: Duration::from_millis(config.cluster.request_timeout_ms),
    }
}

/// Little disks get small segments, so that there are enough of them to give space back by.
fn segment_size(disk_bytes_max: u64) -> u64 {
    let usual = evenkeel_engine::Options::default().segment_size;
    if disk_bytes_max == 0 {
        return usual;
    }
    let share = (disk_bytes_max / SEGMENT_COUNT_USUAL).max(1);
    let power = 1 << share.ilog2();
    power.clamp(SEGMENT_SIZE_SMALL, usual)
}

fn gateway_config(config: &Config) -> GatewayConfig {
    let limits = &config.limits;
    let idle_ms_max = (limits.idle_ms_max > 0).then_some(limits.idle_ms_max);
    GatewayConfig {
        listen: config.listen.resp,
        limits: Limits {
            connection_count_max: limits.connection_count_max,
            argument_count_max: limits.argument_count_max,
            bulk_size_max: limits.bulk_max.in_memory(),
            query_size_max: limits.query_max.in_memory(),
            output_size_max: limits.output_max.in_memory(),
            idle_max: idle_ms_max.map(Duration::from_millis),
            ..Limits::default()
        },
    }
}

fn refused(config: &Config, error: &NodeError) -> Failure {
    let exit = match error {
        NodeError::Config { .. } | NodeError::Identity { .. } => Exit::Usage,
        NodeError::Listen { .. } => Exit::Unavailable,
        NodeError::Engine(error) => return refused_disk(config, error),
        _ => Exit::Internal,
    };
    Failure::new(exit, "cannot start the node").because(error)
}

fn refused_disk(config: &Config, error: &EngineError) -> Failure {
    let exit = match error {
        EngineError::Locked { .. } => Exit::Unavailable,
        EngineError::KeyMissing { .. }
        | EngineError::KeyWrong { .. }
        | EngineError::KeyUnexpected => Exit::Usage,
        _ => Exit::Internal,
    };
    let failure = Failure::new(exit, "cannot start the node").because(error);
    let file = config.storage.key_file().unwrap_or(Path::new("")).display();
    let dir = config.node.dir.display();
    match error {
        EngineError::KeyMissing { .. } => failure.next(format!(
            "Set `storage.encryption_key_file` to the file with the key that opens `{dir}`; \
             `evenkeel key show FILE` tells which one a file holds."
        )),
        EngineError::KeyWrong { .. } => failure.next(format!(
            "`{dir}` does not open with the key in `{file}` (`storage.encryption_key_file`): name the \
             file that has the right one; `evenkeel key show FILE` tells which one a file holds."
        )),
        EngineError::KeyUnexpected => failure.next(format!(
            "`{dir}` was begun without encryption, and stays so: leave `storage.encryption_key_file` \
             (`{file}`) empty, or start this node on an empty folder, and the others give it its data."
        )),
        _ => failure,
    }
}
