//! One link to each other member: what we have to say to it, over a connection we dialled.
//!
//! A link never gives up: it dials again until the node stops. What a broken connection swallowed is
//! not repeated here; the cores and the forwards notice by themselves.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use evenkeel_core::consensus::{Message, ReplicaId};
use evenkeel_runtime as runtime;
use evenkeel_runtime::net::{TcpStream, TcpWriter};
use evenkeel_wire::peer::consensus::{ConsensusBatch, Envelope};
use evenkeel_wire::peer::messages::Hello;
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
    address: SocketAddr,
    outbox: RefCell<Outbox>,
    wake: Notify,
    connected: Cell<bool>,
    /// When a frame of its last arrived, on this node's monotonic clock.
    heard_us: Cell<u64>,
}

/// The ways to all other members.
pub(crate) struct Peers {
    me: Introduction,
    links: Vec<Rc<Link>>,
    by_replica: RefCell<BTreeMap<ReplicaId, Rc<Link>>>,
    pub(crate) map_epoch: Cell<u64>,
    /// When the node stops, so do the links.
    stopped: Cell<bool>,
}

impl Introduction {
    pub(crate) fn hello(&self, map_epoch: u64) -> Frame {
        let version = u32::from(peer::VERSION);
        Frame::Hello(Hello {
            cluster: self.cluster,
            node: self.replica.0,
            name: self.name.clone(),
            version_min: version,
            version_max: version,
            map_epoch,
        })
    }
}

impl Peers {
    pub(crate) fn new(me: Introduction, others: Vec<(String, SocketAddr)>) -> Peers {
        let link = |(name, address)| {
            Rc::new(Link {
                name,
                address,
                outbox: RefCell::default(),
                wake: Notify::new(),
                connected: Cell::new(false),
                heard_us: Cell::new(0),
            })
        };
        Peers {
            me,
            links: others.into_iter().map(link).collect(),
            by_replica: RefCell::default(),
            map_epoch: Cell::new(0),
            stopped: Cell::new(false),
        }
    }

    /// Which life of each member counts from now on.
    pub(crate) fn update(&self, epoch: u64, members: impl Iterator<Item = (String, ReplicaId)>) {
        let mut by_replica = BTreeMap::new();
        for (name, replica) in members {
            if let Some(link) = self.links.iter().find(|link| link.name == name) {
                by_replica.insert(replica, Rc::clone(link));
            }
        }
        *self.by_replica.borrow_mut() = by_replica;
        self.map_epoch.set(epoch);
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
        let Some(link) = self.links.iter().find(|link| link.name == name) else { return };
        if let Err(error) = link.outbox.borrow_mut().frame(frame) {
            tracing::error!(%error, "a frame was too large to be sent");
        }
        link.wake.notify_one();
    }

    pub(crate) fn heard(&self, name: &str) {
        if let Some(link) = self.links.iter().find(|link| link.name == name) {
            link.heard_us.set(runtime::clock::monotonic_us());
        }
    }

    /// Whether this member has been heard from lately.
    pub(crate) fn is_connected(&self, name: &str) -> bool {
        let now = runtime::clock::monotonic_us();
        self.links.iter().any(|link| {
            let heard = link.heard_us.get();
            link.name == name && heard != 0 && now.saturating_sub(heard) < SILENCE_US_MAX
        })
    }

    pub(crate) fn start(self: &Rc<Peers>) {
        for link in &self.links {
            drop(runtime::spawn(run_link(Rc::clone(self), Rc::clone(link))));
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        self.links.iter().for_each(|link| link.wake.notify_one());
    }
}

async fn run_link(peers: Rc<Peers>, link: Rc<Link>) {
    while !peers.stopped.get() {
        let dialled = runtime::timeout(CONNECT_TIMEOUT, TcpStream::connect(link.address)).await;
        if let Ok(Ok(stream)) = dialled {
            link.connected.set(true);
            tracing::debug!(peer = link.name, "connected");
            let (reader, mut writer) = stream.into_split();
            let ended = write_link(&peers, &link, &mut writer).await;
            link.connected.set(false);
            tracing::debug!(peer = link.name, ?ended, "the connection has ended");
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
    encode(&peers.me.hello(peers.map_epoch.get()), &mut bytes);
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
        let _more = runtime::timeout(wait, link.wake.notified()).await;
        fill(peers, link, &mut bytes);
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
