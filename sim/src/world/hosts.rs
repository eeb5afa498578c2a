//! The machines: what runs on each, and who starts it again.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_core::consensus::Micros;
use evenkeel_core::paxos::timing::Timing;
use evenkeel_engine::EngineError;
use evenkeel_engine::disk::Area;
use evenkeel_engine::keys::{Encryption, KEY_SIZE, RootKey, Seed};
use evenkeel_engine::store::Eviction;
use evenkeel_gateway::gateway::{Gateway, GatewayConfig};
use evenkeel_node::config::{ClusterConfig, ClusterMode, Member, NodeConfig};
use evenkeel_node::error::NodeError;
use evenkeel_node::node::Node;
use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated::record::record;
use evenkeel_runtime::simulated::{self, clocks, network};

use super::{PEER_PORT, World, address, world};
use crate::disk::Weather;
use crate::disk::platter::Tearing;
use crate::fault::{Fault, LinkWeather, NodeIndex, node_name};
use crate::plan::Planned;
use crate::random::Random;

/// How often the keeper looks after the hosts.
const KEEPER_INTERVAL: Duration = Duration::from_millis(10);
/// A process that ended itself is started again after this.
const RESTART_AFTER: Duration = Duration::from_millis(300);
/// A node that was asked to end has this long to hand over.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Makes all hosts, starts their nodes, and keeps them up.
pub(super) fn start_all(world: &Rc<World>) {
    network::set_framed(PEER_PORT);
    network::set_default_link(plain_link(world));
    for (index, host) in world.hosts.iter().enumerate() {
        let id = simulated::create_node(&node_name(index), address(index), move || process(index));
        host.id.set(id).expect("each host is made once");
        let (offset_ms, drift_ppm) = world.plan.clocks[index];
        if (offset_ms, drift_ppm) != (0, 0) {
            clocks::set_offset_ms(id, offset_ms);
            clocks::set_drift_ppm(id, drift_ppm);
        }
        host.drive.set_weather(plain_disk(world));
        host.drive.listen(Box::new(move |what, area, works, took| {
            record("disk", id, || Completion { what, area, works, took });
        }));
    }
    drop(runtime::spawn(keep(Rc::clone(world))));
    drop(runtime::spawn(attend_failures(Rc::clone(world))));
}

/// A link with the plan's weather.
pub(super) fn link(weather: &LinkWeather) -> network::Link {
    let plain = network::Link::default();
    network::Link {
        latency_us: weather.latency_us.max(20),
        jitter_us: weather.latency_us / 2 + 20,
        tail_ppm: weather.tail_ppm,
        tail_us: weather.tail_us,
        loss_ppm: weather.loss_ppm,
        fragment_ppm: weather.fragment_ppm,
        reset_ppm: weather.reset_ppm,
        duplicate_ppm: weather.duplicate_ppm,
        corrupt_ppm: weather.corrupt_ppm,
        bytes_per_second: weather.bytes_per_second,
        window_bytes: match weather.window_bytes {
            0 => plain.window_bytes,
            bytes => bytes as usize,
        },
        ..plain
    }
}

/// What links are like while nothing befalls them: the plan's climate, and none once all is healed, so
/// that an episode which ends with the weather cannot bring the climate back.
pub(super) fn plain_link(world: &World) -> network::Link {
    match world.is_healed.get() {
        true => network::Link::default(),
        false => link(&world.plan.knobs.link),
    }
}

/// What disks are like while nothing befalls them; see [`plain_link`].
pub(super) fn plain_disk(world: &World) -> Weather {
    if world.is_healed.get() {
        return Weather::default();
    }
    Weather { slowness: world.plan.knobs.disk_slowness, ..Weather::default() }
}

/// One life of a node, as a process would live it.
async fn process(index: NodeIndex) {
    let world = world();
    let host = &world.hosts[index];
    let disk = Box::new(host.drive.open());
    host.read_errors_at_start.set(host.drive.read_errors());
    let node = match Node::start(config(&world, index), disk).await {
        Ok(node) => node,
        Err(error) => return refuse(&world, index, &error),
    };
    host.drive.serve();
    host.starts.set(host.starts.get() + 1);
    host.starts_on_this_disk.set(host.starts_on_this_disk.get() + 1);
    *host.node.borrow_mut() = Rc::downgrade(&node);
    found_shards(&world, &node);
    let listen = World::client_address(index);
    let gateway = match Gateway::start(Rc::clone(&node), GatewayConfig::new(listen)).await {
        Ok(gateway) => gateway,
        Err(error) => {
            world.fail("service", format!("{} cannot listen: {error}", node_name(index)), vec![]);
            return;
        }
    };
    runtime::process::terminated().await;
    node.drain(DRAIN_MAX).await;
    gateway.stop().await;
    node.stop().await;
    world.note(&format!("{} has ended as asked", node_name(index)));
}

/// Tells the invariants who the first voters are: later ones are reported as they change. Only the map
/// of a founder says so; whoever comes up later has another.
fn found_shards(world: &World, node: &Node) {
    const FOUNDING_EPOCH: u64 = 1;
    let (epoch, voters) = node.placement();
    if epoch == FOUNDING_EPOCH {
        let mut invariants = world.invariants.borrow_mut();
        (0..).zip(voters).for_each(|(group, voters)| invariants.found(group, voters));
    }
}

fn config(world: &World, index: NodeIndex) -> NodeConfig {
    let knobs = &world.plan.knobs;
    let members = (0..world.plan.node_count).map(|member| Member {
        name: node_name(member),
        peer_address: World::peer_address(member),
        client_address: World::client_address(member),
    });
    let heartbeat = knobs.heartbeat_us;
    // From the seed itself: another draw would change the weather of every seed that is kept.
    let evicting = [Eviction::S3Fifo, Eviction::Lru, Eviction::Lfu, Eviction::Fifo, Eviction::Auto];
    let eviction = evicting[(world.plan.seed % evicting.len() as u64) as usize];
    NodeConfig {
        name: node_name(index),
        cluster: ClusterConfig {
            id: 0x5eed,
            members: members.collect(),
            shard_count: knobs.shard_count,
        },
        listen_peer: World::peer_address(index),
        mode: ClusterMode::Proxy,
        default_memory_bytes: knobs.memory_bytes,
        default_eviction: eviction,
        default_ttl_jitter_percent: 0,
        cache_memory_bytes: 1 << 20,
        cache_eviction: eviction,
        cache_ttl_jitter_percent: 0,
        timing: Timing {
            tick: Micros(heartbeat / 5),
            heartbeat: Micros(heartbeat),
            election_min: Micros(heartbeat * 5),
            election_max: Micros(heartbeat * 10),
            lease: Micros(heartbeat * 4),
            drift_ppm: knobs.drift_ppm,
        },
        engine: evenkeel_engine::Options {
            segment_size: knobs.segment_size,
            log_size_max: knobs.log_size_max,
            chunk_size: knobs.chunk_size,
            compress: knobs.compress,
            encryption: knobs.encrypt.then(|| encryption(world, index)),
            ..evenkeel_engine::Options::default()
        },
        scrub_interval: knobs.scrub_interval,
        request_timeout: knobs.request_timeout,
    }
}

/// The operator's key, and what this process draws. From streams of their own and the time, which no two
/// lives of a node have in common: nobody else's draws depend on whether a world encrypts.
fn encryption(world: &World, index: NodeIndex) -> Encryption {
    let bytes = |mut random: Random| {
        let mut bytes = [0; KEY_SIZE];
        let parts = bytes.chunks_exact_mut(8);
        parts.for_each(|part| part.copy_from_slice(&random.next_u64().to_le_bytes()));
        bytes
    };
    let operator = Random::new(world.plan.seed, "root key");
    let life = format!("process of {} at {}", node_name(index), simulated::now_ns());
    let process = operator.child(&life);
    Encryption { root: RootKey::new(bytes(operator)), seed: Seed::new(bytes(process)) }
}

/// A node did not start. Which reasons are fair depends on what its disk went through.
fn refuse(world: &Rc<World>, index: NodeIndex, error: &NodeError) {
    let host = &world.hosts[index];
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    world.note(&format!("{} does not start: {text}", node_name(index)));
    let is_damage = matches!(
        error,
        NodeError::Engine(EngineError::Damaged { .. } | EngineError::Superblock { .. })
            | NodeError::Foreign { .. }
    );
    // Its operator would do as the message says: empty the folder, let it join as a new node.
    let was_never_born = host.starts_on_this_disk.get() == 0;
    if was_never_born || (is_damage && host.is_damaged.get()) {
        replace_disk(world, index);
    } else if is_damage && host.drive.read_errors() == host.read_errors_at_start.get() {
        let claim =
            format!("{} calls a disk damaged that only lost power: {text}", node_name(index));
        world.fail("recovery", claim, Vec::new());
    }
}

/// A new, empty drive; the node will join as a new one.
pub(super) fn replace_disk(world: &World, index: NodeIndex) {
    let host = &world.hosts[index];
    host.drive.wipe();
    host.is_damaged.set(false);
    host.starts_on_this_disk.set(0);
    host.is_outcast.set(false);
    world.invariants.borrow_mut().wiped(index);
    world.note(&format!("{} gets a new, empty disk", node_name(index)));
}

/// Starts whatever is down and not meant to be.
async fn keep(world: Rc<World>) {
    loop {
        simulated::sleep_true(KEEPER_INTERVAL).await;
        for (index, host) in world.hosts.iter().enumerate() {
            let id = world.id(index);
            if !simulated::is_running(id) && host.down_until_ns.get() <= simulated::now_ns() {
                // Should it fail at once, it is not started again at once.
                hold(&world, index, RESTART_AFTER);
                world.note(&format!("{} starts", node_name(index)));
                simulated::restart(id);
            }
        }
    }
}

/// It stays down at least this long from now on.
pub(super) fn hold(world: &World, index: NodeIndex, down: Duration) {
    let until_ns = simulated::now_ns() + down.as_nanos() as u64;
    let host = &world.hosts[index];
    host.down_until_ns.set(host.down_until_ns.get().max(until_ns));
}

/// A node that ended itself did so because of its disk: the machine is power-cycled, so that nobody
/// takes what the drive's cache still shows for what is on the drive.
async fn attend_failures(world: Rc<World>) {
    loop {
        let failure = simulated::next_failure().await;
        let index = world.hosts.iter().position(|host| host.id.get() == Some(&failure.node));
        let Some(index) = index else { continue };
        world.note(&format!("{} ends itself: {}", node_name(index), failure.reason));
        let fills_up = |fault: &Planned| matches!(fault.fault, Fault::DiskFull { .. });
        let has_room = !world.plan.faults.iter().any(fills_up);
        if has_room && failure.reason.contains("the log is full") {
            // Of a log with a limit: clients are refused long before, and so is what other nodes send.
            let claim = format!("{} ends itself: {}", node_name(index), failure.reason);
            world.fail("room", claim, Vec::new());
        }
        let host = &world.hosts[index];
        host.is_outcast.set(failure.reason.contains("was removed from the cluster"));
        host.drive.power_cut(Tearing::Shuffled);
        hold(&world, index, RESTART_AFTER);
    }
}

/// What a drive did, as the record has it; the time it took comes last.
struct Completion {
    what: &'static str,
    area: Option<Area>,
    works: bool,
    took: Duration,
}

impl fmt::Display for Completion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)?;
        match self.area {
            Some(Area::Super) => formatter.write_str(" superblock")?,
            Some(Area::Segment(number)) => write!(formatter, " segment {number}")?,
            None => (),
        }
        if !self.works {
            formatter.write_str(" fails")?;
        }
        write!(formatter, " after {}ns", self.took.as_nanos())
    }
}
