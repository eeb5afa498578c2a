//! One link to each other member: what we have to say to it, over a connection we dialled.
//!
//! A link never gives up: it dials again until the node stops. What a broken connection swallowed is
//! not repeated here; the cores and the forwards notice by themselves.
//!
//! Members are found by what the configuration says, and where that is silent or wrong, by the map: so a
//! cluster whose addresses have all changed finds itself again, and a node that has joined is found by
//! those whose configuration does not know it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use evenkeel_core::consensus::{Message, ReplicaId};
use evenkeel_core::placement::{NodeInfo, PlacementMap};
use evenkeel_runtime as runtime;
use evenkeel_runtime::net::{TcpStream, TcpWriter};
use evenkeel_wire::peer::consensus::{ConsensusBatch, Envelope};
use evenkeel_wire::peer::messages::{Hello, MapReply};
use evenkeel_wire::peer::{self, Message as Frame};
use tokio::sync::Notify;

use crate::codec;
use crate::outbox::{Outbox, Outgoing};

/// How long a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before the next dial.
const REDIAL_PAUSE: Duration = Duration::from_millis(100);
/// A member that we keep writing to and never hear from: the connection may be half open.
const SILENCE_US_MAX: u64 = 1_500_000;
/// A frame of consensus messages is closed when it holds this much.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// What every connection says first.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    pub(crate) cluster: u64,
    pub(crate) replica: ReplicaId,
    pub(crate) name: String,
}

/// The way to one member.
pub(crate) struct Link {
    pub(crate) name: String,
    /// Where the configuration says that it is.
    configured: Option<SocketAddr>,
    /// Where the map says that it is.
    mapped: Cell<Option<SocketAddr>>,
    outbox: RefCell<Outbox>,
    wake: Notify,
    connected: Cell<bool>,
    /// When a frame of its last arrived, on this node's monotonic clock.
    heard_us: Cell<u64>,
}

/// The ways to all other members.
pub(crate) struct Peers {
    me: Introduction,
    /// They stay as long as the node runs: who was removed must be told.
    links: RefCell<Vec<Rc<Link>>>,
    by_replica: RefCell<BTreeMap<ReplicaId, Rc<Link>>>,
    pub(crate) map_epoch: Cell<u64>,
    /// The map, encoded: who is dialled gets it first.
    map: RefCell<Bytes>,
    started: Cell<bool>,
    /// When the node stops, so do the links.
    stopped: Cell<bool>,
}

impl Link {
    fn new(name: String, configured: Option<SocketAddr>) -> Rc<Link> {
        Rc::new(Link {
            name,
            configured,
            mapped: Cell::new(None),
            outbox: RefCell::default(),
            wake: Notify::new(),
            connected: Cell::new(false),
            heard_us: Cell::new(0),
        })
    }

    /// The address to try after so many failures.
    fn address(&self, failures: usize) -> SocketAddr {
        let mapped = self.mapped.get().filter(|mapped| self.configured != Some(*mapped));
        let all: Vec<SocketAddr> = self.configured.into_iter().chain(mapped).collect();
        all[failures % all.len()]
    }
}

impl Introduction {
    /// `to`: whom it is for; empty for whoever it may be.
    pub(crate) fn hello(&self, to: &str, map_epoch: u64) -> Frame {
        let version = u32::from(peer::VERSION);
        Frame::Hello(Hello {
            cluster: self.cluster,
            node: self.replica.0,
            name: self.name.clone(),
            version_min: version,
            version_max: version,
            map_epoch,
            to: to.to_owned(),
        })
    }
}

impl Peers {
    pub(crate) fn new(me: Introduction, others: Vec<(String, SocketAddr)>) -> Peers {
        let links = others.into_iter().map(|(name, address)| Link::new(name, Some(address)));
        Peers {
            me,
            links: RefCell::new(links.collect()),
            by_replica: RefCell::default(),
            map_epoch: Cell::new(0),
            map: RefCell::default(),
            started: Cell::new(false),
            stopped: Cell::new(false),
        }
    }

    /// Which life of each member counts from now on, and where the map says that it is.
    pub(crate) fn update(self: &Rc<Peers>, map: &PlacementMap) {
        // Who was removed may still have to vote on that, and be told; unless another has its name.
        let mut by_replica = self.by_replica.take();
        by_replica.retain(|_, link| map.node_named(&link.name).is_none());
        for node in map.nodes().iter().filter(|node| node.name != self.me.name) {
            let link = self.link(&node.name).unwrap_or_else(|| self.add(node));
            link.mapped.set(Some(node.peer_address));
            by_replica.insert(node.replica, link);
        }
        *self.by_replica.borrow_mut() = by_replica;
        *self.map.borrow_mut() = map.encode().into();
        self.map_epoch.set(map.epoch());
    }

    fn link(&self, name: &str) -> Option<Rc<Link>> {
        self.links.borrow().iter().find(|link| link.name == name).cloned()
    }

    fn add(self: &Rc<Peers>, node: &NodeInfo) -> Rc<Link> {
        let link = Link::new(node.name.clone(), None);
        link.mapped.set(Some(node.peer_address));
        self.links.borrow_mut().push(Rc::clone(&link));
        if self.started.get() {
            drop(runtime::spawn(run_link(Rc::clone(self), Rc::clone(&link))));
        }
        link
    }

    /// Queues a consensus message. To nobody we know: dropped, as the network might.
    pub(crate) fn consensus(&self, to: ReplicaId, group: u32, message: Message) {
        if let Some(link) = self.by_replica.borrow().get(&to) {
            link.outbox.borrow_mut().consensus(group, to, message);
            link.wake.notify_one();
        }
    }

    /// Queues a frame. `false`: it will not be sent.
    pub(crate) fn send(&self, to: ReplicaId, frame: &Frame) -> bool {
        let by_replica = self.by_replica.borrow();
        let Some(link) = by_replica.get(&to) else { return false };
        let queued = link.outbox.borrow_mut().frame(frame);
        link.wake.notify_one();
        queued.unwrap_or_else(|error| {
            tracing::error!(%error, "a frame was too large to be sent");
            false
        })
    }

    /// Queues a frame for whoever answers to this name now, though its life may be unknown here: only
    /// for questions that anybody may answer.
    pub(crate) fn ask(&self, name: &str, frame: &Frame) {
        let Some(link) = self.link(name) else { return };
        if let Err(error) = link.outbox.borrow_mut().frame(frame) {
            tracing::error!(%error, "a frame was too large to be sent");
        }
        link.wake.notify_one();
    }

    pub(crate) fn heard(&self, name: &str) {
        if let Some(link) = self.link(name) {
            link.heard_us.set(runtime::clock::monotonic_us());
        }
    }

    /// Whether this member has been heard from lately.
    pub(crate) fn is_connected(&self, name: &str) -> bool {
        let now = runtime::clock::monotonic_us();
        self.links.borrow().iter().any(|link| {
            let heard = link.heard_us.get();
            link.name == name && heard != 0 && now.saturating_sub(heard) < SILENCE_US_MAX
        })
    }

    pub(crate) fn start(self: &Rc<Peers>) {
        self.started.set(true);
        for link in &*self.links.borrow() {
            drop(runtime::spawn(run_link(Rc::clone(self), Rc::clone(link))));
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        self.links.borrow().iter().for_each(|link| link.wake.notify_one());
    }
}

async fn run_link(peers: Rc<Peers>, link: Rc<Link>) {
    let mut failures = 0;
    while !peers.stopped.get() {
        let stream = TcpStream::connect(link.address(failures));
        let dialled = runtime::timeout(CONNECT_TIMEOUT, stream).await;
        failures += usize::from(!matches!(dialled, Ok(Ok(_))));
        if let Ok(Ok(stream)) = dialled {
            link.connected.set(true);
            tracing::debug!(peer = link.name, "connected");
            let (reader, mut writer) = stream.into_split();
            let ended = write_link(&peers, &link, &mut writer).await;
            link.connected.set(false);
            tracing::debug!(peer = link.name, ?ended, "the connection has ended");
            failures += 1; // It may not have been whom we meant.
            drop(reader);
        }
        if !peers.stopped.get() {
            runtime::sleep(REDIAL_PAUSE).await;
        }
    }
}

/// Writes what there is to say until the connection breaks or seems half open.
async fn write_link(peers: &Peers, link: &Link, writer: &mut TcpWriter) -> std::io::Result<()> {
    let mut bytes = BytesMut::new();
    encode(&peers.me.hello(&link.name, peers.map_epoch.get()), &mut bytes);
    let (epoch, placement) = (peers.map_epoch.get(), peers.map.borrow().clone());
    encode(&Frame::MapReply(MapReply { epoch, placement }), &mut bytes);
    let since = runtime::clock::monotonic_us();
    loop {
        while !bytes.is_empty() {
            let write = writer.write_all(&bytes);
            runtime::timeout(Duration::from_micros(SILENCE_US_MAX), write)
                .await
                .map_err(|_| std::io::ErrorKind::TimedOut)??;
            bytes.clear();
            fill(peers, link, &mut bytes);
        }
        if peers.stopped.get() {
            return Ok(());
        }
        let silent_since = since.max(link.heard_us.get());
        if silent_since + SILENCE_US_MAX < runtime::clock::monotonic_us() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        let wait = Duration::from_micros(SILENCE_US_MAX / 2);
        let woken = runtime::timeout(wait, link.wake.notified()).await;
        fill(peers, link, &mut bytes);
        if woken.is_err() && bytes.is_empty() {
            // Who has nothing to say, votes nowhere for instance, is there nevertheless.
            encode(&peers.me.hello(&link.name, peers.map_epoch.get()), &mut bytes);
        }
    }
}

/// Encodes what waits in the outbox.
fn fill(peers: &Peers, link: &Link, bytes: &mut BytesMut) {
    let messages = link.outbox.borrow_mut().take(bytes);
    let mut batch = Vec::with_capacity(messages.len());
    let mut batch_bytes = 0;
    for Outgoing { group, to, message, size } in messages {
        if BATCH_BYTES < batch_bytes + size {
            close_batch(peers, &mut batch, bytes);
            batch_bytes = 0;
        }
        batch_bytes += size;
        batch.push(Envelope {
            shard: group,
            from: peers.me.replica.0,
            to: to.0,
            message: Some(codec::to_wire(message)),
        });
    }
    close_batch(peers, &mut batch, bytes);
}

fn close_batch(peers: &Peers, batch: &mut Vec<Envelope>, bytes: &mut BytesMut) {
    if !batch.is_empty() {
        let messages = std::mem::take(batch);
        let map_epoch = peers.map_epoch.get();
        encode(&Frame::Consensus(ConsensusBatch { map_epoch, messages }), bytes);
    }
}

/// Appends a frame. One that is too large is dropped: it could never arrive.
pub(crate) fn encode(frame: &Frame, bytes: &mut BytesMut) {
    if let Err(error) = peer::encode(frame, bytes) {
        tracing::error!(%error, "a frame was too large to be sent");
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_core::placement::MapCommand;

    use super::*;

    fn node(replica: u64, name: &str) -> NodeInfo {
        let address = "127.0.0.1:1".parse().expect("an address");
        let (replica, name) = (ReplicaId(replica), name.to_owned());
        NodeInfo { replica, name, peer_address: address, client_address: address }
    }

    /// Goal: the vote of a removed node counts until the voters have changed, so it is still sent to; but
    /// not when another has its name.
    #[test]
    fn a_removed_replica_can_be_sent_to_until_another_has_its_name() {
        let me = Introduction { cluster: 1, replica: ReplicaId(1), name: "me".to_owned() };
        let peers = Rc::new(Peers::new(me, Vec::new()));
        let mut map = PlacementMap::initial(vec![node(1, "me")], 1).expect("a map");
        let mut change = |command: MapCommand| {
            map.apply(&command).expect("it may be changed so");
            peers.update(&map);
            map.epoch()
        };
        let name = || "other".to_owned();
        let admit = |at_epoch, replica| {
            let NodeInfo { replica, name, peer_address, client_address } = node(replica, "other");
            MapCommand::Admit { at_epoch, name, replica, peer_address, client_address }
        };
        let is_known = |replica| peers.by_replica.borrow().contains_key(&ReplicaId(replica));
        let epoch = change(MapCommand::Expect { at_epoch: 1, name: name() });
        let epoch = change(admit(epoch, 2));
        assert!(is_known(2));
        let epoch = change(MapCommand::Remove { at_epoch: epoch, name: name() });
        assert!(is_known(2), "removed, and still sent to");
        let epoch = change(MapCommand::Expect { at_epoch: epoch, name: name() });
        change(admit(epoch, 3));
        assert!(!is_known(2) && is_known(3), "the name is another's");
    }

    #[test]
    fn what_the_map_says_is_tried_when_the_configuration_is_wrong() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let link = Link::new("other".to_owned(), Some(address(1)));
        assert_eq!([link.address(0), link.address(1)], [address(1), address(1)]);
        link.mapped.set(Some(address(2)));
        let tried = [0, 1, 2].map(|failures| link.address(failures));
        assert_eq!(tried, [address(1), address(2), address(1)]);
    }
}
