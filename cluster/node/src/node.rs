//! The node: one engine, one replica of each group, links to the other members.
//!
//! Everything runs on one thread. `RefCell`s are borrowed between awaits only, and always in this order:
//! a group, then the store or the engine.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_core::consensus::{Consensus, Effect, Entry, Input, ReplicaId, Slot};
use evenkeel_core::paxos::Paxos;
use evenkeel_core::placement::{PlacementMap, slots};
use evenkeel_engine::batch::{Batch, Operation};
use evenkeel_engine::disk::Disk;
use evenkeel_engine::store::{Store, StoreOptions, Tier};
use evenkeel_engine::{
    Engine, Identity, Location, Piece, ReadError, ReadTicket, ScanTicket, Sequence,
};
use evenkeel_runtime as runtime;
use evenkeel_runtime::net::TcpListener;
use tokio::sync::oneshot;

use crate::backup::Backup;
use crate::bugs::{Bug, planted};
use crate::config::NodeConfig;
use crate::driver::{Unflushed, now, state_record};
use crate::entry;
use crate::error::NodeError;
use crate::forward::PendingForward;
use crate::genesis::{Birth, be_born, founding_map, placement_voters};
use crate::group::{Group, PLACEMENT_GROUP, slots_of};
use crate::inbound::{Door, Phase, run_listener};
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::observe::{Fact, digest, observe};
use crate::origin::Origin;
use crate::peers::{Introduction, Peers};
use crate::recovery::Recovery;
use crate::scrub::Scrub;
use crate::snapshot::{Inbound, Outbound};
use crate::space::track_changes;
use crate::state::{self, State};
use crate::unapplied::{Unapplied, UnappliedBytes};

/// How much of its log a group keeps in memory for followers a little behind, in bytes.
const RETAINED_BYTES_MAX: u64 = 512 * 1024;

/// One member of a cluster, running.
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) replica: ReplicaId,
    pub(crate) engine: RefCell<Engine>,
    pub(crate) groups: Vec<RefCell<Group>>,
    /// The keyspace `default`.
    pub(crate) store: RefCell<Store>,
    /// The keyspace `cache`.
    pub(crate) cache: RefCell<Store>,
    pub(crate) cache_versions: Cell<u64>,
    /// When a key of it last vanished, counted like versions.
    pub(crate) cache_vanished: Cell<u64>,
    pub(crate) map: RefCell<PlacementMap>,
    /// Lives of members that have been seen, this node's own excepted.
    pub(crate) met: RefCell<Vec<(String, ReplicaId)>>,
    /// Those whose record is not durable yet.
    pub(crate) meeting: RefCell<Vec<(String, ReplicaId)>>,
    pub(crate) peers: Rc<Peers>,
    pub(crate) effects: RefCell<Vec<Effect>>,
    pub(crate) unflushed: RefCell<VecDeque<Unflushed>>,
    pub(crate) durable_waiters: RefCell<Vec<(Sequence, oneshot::Sender<()>)>>,
    pub(crate) disk_reads: RefCell<BTreeMap<ReadTicket, oneshot::Sender<Result<Bytes, ReadError>>>>,
    pub(crate) forwards: RefCell<BTreeMap<u64, PendingForward>>,
    pub(crate) next_forward: Cell<u64>,
    /// Requests of other nodes being served.
    pub(crate) served: Cell<usize>,
    pub(crate) origins: RefCell<Vec<Origin>>,
    pub(crate) outbound: RefCell<BTreeMap<u64, Rc<Outbound>>>,
    pub(crate) inbound: RefCell<BTreeMap<u32, Inbound>>,
    /// Snapshots of shards that clients fetch from this replica, by their numbers.
    pub(crate) backups: RefCell<BTreeMap<u64, Rc<Backup>>>,
    pub(crate) scans: RefCell<BTreeMap<ScanTicket, oneshot::Sender<Piece>>>,
    pub(crate) scrub: Scrub,
    /// What all groups have in the log and not applied yet.
    pub(crate) unapplied_bytes: UnappliedBytes,
    /// Between a checkpoint's mark and its commit.
    pub(crate) checkpointing: Cell<bool>,
    /// Whether this node is a founder, and the map it began with.
    pub(crate) founder: bool,
    pub(crate) genesis: PlacementMap,
    /// Somebody is being put into the map.
    pub(crate) admits: Cell<bool>,
    /// Since when the map has this replica no more.
    pub(crate) removed_us: Cell<Option<u64>>,
    /// The engine has been asked to end: nothing may be appended any more.
    pub(crate) closing: Cell<bool>,
    pub(crate) closed: RefCell<Option<oneshot::Sender<()>>>,
    pub(crate) metrics: Metrics,
    pub(crate) started_us: u64,
    pub(crate) stopping: Cell<bool>,
}

/// A record on its way from the disk.
pub(crate) type PendingRead = oneshot::Receiver<Result<Bytes, ReadError>>;

/// What a node has before it runs: an engine, and what the engine remembered.
struct Foundation {
    engine: Engine,
    replica: ReplicaId,
    founder: bool,
    /// The map the node began with, and the one it has now.
    genesis: PlacementMap,
    map: PlacementMap,
    met: Vec<(String, ReplicaId)>,
    recovered: BTreeMap<u32, crate::recovery::RecoveredGroup>,
}

impl Node {
    /// Recovers what the disk holds (or finds out who this node is, if it holds nothing), and runs.
    ///
    /// Returns when peers can connect; the cluster may need longer until it serves.
    ///
    /// # Errors
    /// See `NodeError`.
    pub async fn start(config: NodeConfig, mut disk: Box<dyn Disk>) -> Result<Rc<Node>, NodeError> {
        check(&config)?;
        let listener = TcpListener::bind(config.listen_peer)
            .await
            .map_err(|source| NodeError::Listen { address: config.listen_peer, source })?;
        let cluster = config.cluster.id;
        let me = Introduction { cluster, replica: ReplicaId(0), name: config.name.clone() };
        let door = Rc::new(Door::new(me));
        drop(runtime::spawn(run_listener(Rc::clone(&door), listener)));

        let mut store = Store::new(StoreOptions {
            tier: Tier::BackedByLog,
            memory_bytes_max: config.default_memory_bytes,
            eviction: config.default_eviction,
            slot_of: slots::slot,
        });
        track_changes(&mut store, config.cluster.shard_count);
        let areas = disk.areas().map_err(|source| NodeError::Config {
            problem: format!("the data directory cannot be listed: {source}"),
        })?;
        let foundation = if areas.is_empty() {
            let founding = founding_map(&config.cluster)?.encode().into();
            *door.phase.borrow_mut() = Phase::Forming(founding);
            found(&config, disk, be_born(&config).await?).await?
        } else {
            recover(&config, disk, &mut store).await?
        };
        let node = assemble(config, foundation, store);
        node.engine.borrow_mut().grant_room(node.owed());
        *door.phase.borrow_mut() = Phase::Running(Rc::clone(&node));
        node.run();
        Ok(node)
    }

    fn run(self: &Rc<Node>) {
        self.peers.start();
        drop(runtime::spawn(Rc::clone(self).run_engine()));
        drop(runtime::spawn(Rc::clone(self).run_ticks()));
        drop(runtime::spawn(Rc::clone(self).run_chores()));
        drop(runtime::spawn(Rc::clone(self).run_compaction()));
        drop(runtime::spawn(Rc::clone(self).run_scrub()));
    }

    /// Hands leadership over, as far as there is somebody to take it. Ends within `limit`.
    pub async fn drain(self: &Rc<Node>, limit: Duration) {
        self.stopping.set(true);
        if self.map.borrow().nodes().len() == 1 {
            return;
        }
        let deadline = runtime::clock::monotonic_us() + limit.as_micros() as u64;
        while runtime::clock::monotonic_us() < deadline {
            let led: Vec<u32> = (0..self.groups.len())
                .filter(|group| self.groups[*group].borrow().is_leader())
                .map(|group| group as u32)
                .collect();
            if led.is_empty() {
                return;
            }
            for group in led {
                self.step(group, Input::Transfer(None));
            }
            runtime::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until everything appended is durable and the log says that it ends there. The process ends
    /// after this.
    pub async fn stop(self: &Rc<Node>) {
        self.stopping.set(true);
        self.peers.stop();
        let (sender, receiver) = oneshot::channel();
        *self.closed.borrow_mut() = Some(sender);
        self.closing.set(true);
        self.engine.borrow_mut().begin_close();
        let _in_time = runtime::timeout(Duration::from_secs(5), receiver).await;
    }

    /// The value at one operation of one record. `None`: its bytes are damaged.
    pub(crate) async fn read_value(&self, location: Location, index: u32) -> Option<Bytes> {
        let read = self.begin_read(location);
        self.end_read(read, index).await
    }

    /// Asks for the record at a place; `end_read` waits for it.
    pub(crate) fn begin_read(&self, location: Location) -> PendingRead {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.engine.borrow_mut().read(location);
        self.disk_reads.borrow_mut().insert(ticket, sender);
        receiver
    }

    /// As `read_value`.
    pub(crate) async fn end_read(&self, read: PendingRead, index: u32) -> Option<Bytes> {
        let payload = match read.await {
            Ok(Ok(payload)) => payload,
            Ok(Err(error)) => {
                tracing::error!(%error, "a value on disk is damaged");
                return None;
            }
            Err(_) => return None,
        };
        let batch = Batch::decode(&payload).ok()?;
        match batch.operation(index)? {
            Operation::Put { value, .. } => Some(Bytes::copy_from_slice(value)),
            Operation::Delete { .. } => None,
        }
    }

    /// The hash slots of a shard's group.
    pub(crate) fn slots_of(&self, group: u32) -> Range<u16> {
        slots_of(group, self.config.cluster.shard_count)
    }
}

/// Begins a life on an empty disk.
async fn found(
    config: &NodeConfig,
    disk: Box<dyn Disk>,
    birth: Birth,
) -> Result<Foundation, NodeError> {
    let Birth { replica, founder, map, met } = birth;
    let identity =
        Identity { cluster: config.cluster.id, node: replica.0, name: config.name.clone() };
    let mut engine = Engine::create(disk, config.engine.clone(), identity).await?;
    let known = met.iter().cloned().map(|(name, replica)| State::Met { name, replica });
    // The map comes last: without it the node was never born, and asks again.
    let states = known.chain([State::Genesis { founder, map: map.encode() }]);
    let part_size = state::part_size(engine.segment_size());
    let mut sequence = engine.durable();
    for payload in states.flat_map(|state| state.payloads(part_size)) {
        sequence = engine.append(&state_record(PLACEMENT_GROUP, Slot(0), &payload))?.0;
    }
    let mut events = Vec::new();
    while engine.durable() < sequence {
        std::future::poll_fn(|context| engine.poll(context, &mut events)).await?;
    }
    let recovered = BTreeMap::new();
    Ok(Foundation { engine, replica, founder, genesis: map.clone(), map, met, recovered })
}

/// Takes up a life where the disk left it.
async fn recover(
    config: &NodeConfig,
    disk: Box<dyn Disk>,
    store: &mut Store,
) -> Result<Foundation, NodeError> {
    let mut recovery = Recovery::new(store, config.cluster.shard_count);
    let (mut engine, opened) = Engine::open(disk, config.engine.clone(), &mut recovery).await?;
    let identity = &opened.identity;
    if identity.cluster != config.cluster.id || identity.name != config.name {
        return Err(NodeError::Identity {
            found: format!("node `{}` of cluster {:016x}", identity.name, identity.cluster),
            wanted: format!("node `{}` of cluster {:016x}", config.name, config.cluster.id),
        });
    }
    if let Some(location) = recovery.foreign {
        let (segment, offset) = (location.segment, location.offset);
        return Err(NodeError::Foreign { segment, offset });
    }
    tracing::info!(
        records = opened.records,
        clean = opened.clean,
        torn = opened.torn,
        "the log has been read"
    );
    let replica = ReplicaId(identity.node);
    let Recovery { groups: recovered, genesis, map, met, store, page_segments, .. } = recovery;
    engine.give_up_unneeded(|segment| {
        let has_pages = page_segments.contains(&segment) && !planted(Bug::PagesGivenUp);
        has_pages || store.live_bytes().contains_key(&segment)
    });
    // It comes with the first records of every log; without it the node died before it was born.
    let Some((founder, genesis)) = genesis else {
        return Err(NodeError::Config {
            problem: "the data directory was abandoned while it was being set up: empty it"
                .to_string(),
        });
    };
    let map = map.unwrap_or_else(|| genesis.clone());
    if map.shards().len() != config.cluster.shard_count as usize {
        return Err(NodeError::Config {
            problem: format!(
                "the cluster has {} shards, the configuration says {}: the number is fixed",
                map.shards().len(),
                config.cluster.shard_count
            ),
        });
    }
    Ok(Foundation { engine, replica, founder, genesis, map, met, recovered })
}

fn assemble(config: NodeConfig, foundation: Foundation, store: Store) -> Rc<Node> {
    let Foundation { engine, replica, founder, genesis, map, met, mut recovered } = foundation;
    let group_count = config.cluster.shard_count + 1;
    let mut groups = Vec::new();
    let unapplied_bytes = UnappliedBytes::default();
    for number in 0..group_count {
        let mut voters = match number {
            PLACEMENT_GROUP => placement_voters(&genesis),
            shard => genesis.shards()[shard as usize - 1].voters.clone(),
        };
        if !founder {
            voters.voters.retain(|voter| *voter != replica); // It waits to be added.
        }
        let seed = replica.0 ^ (u64::from(number) << 32) ^ runtime::random_u64();
        let (recovered, total) = (recovered.remove(&number), Rc::clone(&unapplied_bytes));
        let group = revive(number, replica, voters, &config, seed, recovered, total);
        groups.push(RefCell::new(group));
    }
    let others = config.cluster.members.iter().filter(|member| member.name != config.name);
    let others = others.map(|member| (member.name.clone(), member.peer_address)).collect();
    let me = Introduction { cluster: config.cluster.id, replica, name: config.name.clone() };
    let peers = Rc::new(Peers::new(me, others));
    peers.update(&map);
    let origins = groups.iter().map(|_| Origin::default()).collect();
    Rc::new(Node {
        replica,
        engine: RefCell::new(engine),
        groups,
        store: RefCell::new(store),
        cache: RefCell::new(Store::new(StoreOptions {
            tier: Tier::MemoryOnly,
            memory_bytes_max: config.cache_memory_bytes,
            eviction: config.cache_eviction,
            slot_of: slots::slot,
        })),
        cache_versions: Cell::new(0),
        cache_vanished: Cell::new(0),
        map: RefCell::new(map),
        met: RefCell::new(met),
        meeting: RefCell::default(),
        peers,
        effects: RefCell::default(),
        unflushed: RefCell::default(),
        durable_waiters: RefCell::default(),
        disk_reads: RefCell::default(),
        forwards: RefCell::default(),
        // Not from 1: an answer to this node's last life must not pass for one to this life.
        next_forward: Cell::new(runtime::random_u64()),
        served: Cell::new(0),
        origins: RefCell::new(origins),
        outbound: RefCell::default(),
        inbound: RefCell::default(),
        backups: RefCell::default(),
        scans: RefCell::default(),
        scrub: Scrub::default(),
        unapplied_bytes,
        checkpointing: Cell::new(false),
        founder,
        genesis,
        admits: Cell::new(false),
        removed_us: Cell::new(None),
        closing: Cell::new(false),
        closed: RefCell::default(),
        metrics: Metrics::default(),
        started_us: runtime::clock::monotonic_us(),
        stopping: Cell::new(false),
        config,
    })
}

fn revive(
    number: u32,
    replica: ReplicaId,
    voters: evenkeel_core::consensus::Configuration,
    config: &NodeConfig,
    seed: u64,
    recovered: Option<crate::recovery::RecoveredGroup>,
    unapplied_bytes: UnappliedBytes,
) -> Group {
    let limits = evenkeel_core::paxos::timing::Limits {
        retained_bytes_max: RETAINED_BYTES_MAX,
        ..Default::default()
    };
    let (recovered, machine, places) = match recovered {
        Some(group) => {
            let (recovered, machine, places) = group.into_core(&voters);
            (Some(recovered), machine, places)
        }
        None => (None, Machine::default(), BTreeMap::new()),
    };
    let mut core = Paxos::new(replica, voters, config.timing, seed, recovered, now());
    core = core.with_limits(limits);
    let applied = machine.applied;
    let mut effects = Vec::new();
    core.step(now(), Input::Applied(applied), &mut effects);
    assert!(effects.is_empty(), "a replica does nothing before it is asked to");
    let promised = core.status().promised;
    observe(replica, number, || Fact::Restarted { applied, state: machine.digest, promised });
    observe(replica, number, || {
        let slots = applied.next().0..=core.status().last.0;
        let entries = slots.filter_map(|slot| core.entry(Slot(slot)));
        let digest = |entry: &Entry| digest(0, &entry::encode(&entry.payload));
        Fact::Recovered(entries.map(|entry| (entry.slot, entry.ballot, digest(entry))).collect())
    });
    Group::new(number, core, machine, Unapplied::new(places, unapplied_bytes))
}

fn check(config: &NodeConfig) -> Result<(), NodeError> {
    let problem = if config.cluster.member(&config.name).is_none() {
        Some(format!("the node's name `{}` is not among the cluster's members", config.name))
    } else if crate::config::NODE_COUNT_MAX < config.cluster.members.len() {
        Some(format!(
            "{} members are more than the {} that one cluster may have",
            config.cluster.members.len(),
            crate::config::NODE_COUNT_MAX
        ))
    } else if !(1..=crate::config::SHARD_COUNT_MAX).contains(&config.cluster.shard_count) {
        Some(format!(
            "{} shards: there must be 1 to {}",
            config.cluster.shard_count,
            crate::config::SHARD_COUNT_MAX
        ))
    } else {
        config.timing.problem().map(str::to_string)
    };
    problem.map_or(Ok(()), |problem| Err(NodeError::Config { problem }))
}
