//! What other members say to us: connections they dialled, frames they sent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use evenkeel_core::consensus::{Input, Message, ReplicaId};
use evenkeel_runtime as runtime;
use evenkeel_runtime::net::{TcpListener, TcpReader, TcpStream, TcpWriter};
use evenkeel_wire::peer::consensus::ConsensusBatch;
use evenkeel_wire::peer::messages::{Hello, JoinReply, MapReply, MapRequest};
use evenkeel_wire::peer::{self, Message as Frame};

use crate::codec;
use crate::genesis::MET;
use crate::group::PLACEMENT_GROUP;
use crate::node::Node;
use crate::observe::{Fact, observe};
use crate::peers::{Introduction, encode};
use crate::state::State;

/// Who connects must say who they are within this time.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// The most connections from peers at a time; more than this is not a cluster of ours.
const CONNECTION_COUNT_MAX: usize = 256;
/// New memory for reads, in bytes, and the room that a read has at least.
const READ_BYTES: usize = 64 * 1024;
const READ_BYTES_MIN: usize = 8 * 1024;

/// Where peers knock.
pub(crate) struct Door {
    pub(crate) me: Introduction,
    pub(crate) phase: RefCell<Phase>,
    pub(crate) connections: std::cell::Cell<usize>,
    /// Connections accepted so far: numbers them in their order.
    accepted: std::cell::Cell<u64>,
    /// Members that were told, on the connection of this number, that nobody here has met them. What
    /// an older connection still holds is from a life that is over and was never counted: it must
    /// not be counted now, because the life that follows may use the same identity.
    unmet: RefCell<BTreeMap<String, u64>>,
}

impl Door {
    pub(crate) fn new(me: Introduction) -> Door {
        Door {
            me,
            phase: RefCell::new(Phase::Recovering),
            connections: std::cell::Cell::default(),
            accepted: std::cell::Cell::default(),
            unmet: RefCell::default(),
        }
    }

    /// Whether a connection is older than the word that nobody has met this member.
    fn is_of_a_past_life(&self, name: &str, connection: u64) -> bool {
        self.unmet.borrow().get(name).is_some_and(|told| connection < *told)
    }
}

/// How far the node behind the door is.
#[derive(Clone)]
pub(crate) enum Phase {
    /// It reads its disk. It may have met whoever asks: until it knows, it says nothing.
    Recovering,
    /// Its disk was empty: it has met nobody. The map that it would begin with, encoded.
    Forming(Bytes),
    Running(Rc<Node>),
}

pub(crate) async fn run_listener(door: Rc<Door>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if door.connections.get() < CONNECTION_COUNT_MAX => {
                door.connections.set(door.connections.get() + 1);
                let number = door.accepted.get() + 1;
                door.accepted.set(number);
                let door = Rc::clone(&door);
                drop(runtime::spawn(async move {
                    if let Err(reason) = serve(&door, stream, number).await {
                        tracing::debug!(reason, "a peer's connection has ended");
                    }
                    door.connections.set(door.connections.get() - 1);
                }));
            }
            Ok(_) => tracing::warn!("too many connections from peers: one was closed at once"),
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections from peers");
                runtime::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(door: &Door, stream: TcpStream, number: u64) -> Result<(), String> {
    let (mut reader, mut writer) = stream.into_split();
    let mut buffer = BytesMut::new();
    let first = runtime::timeout(HELLO_TIMEOUT, next_frame(&mut reader, &mut buffer)).await;
    let Ok(Some(Frame::Hello(hello))) = first.map_err(|_| "it did not say who it is")? else {
        return Err("it did not say who it is".to_string());
    };
    check_hello(&hello, &door.me)?;
    let from = ReplicaId(hello.node);
    if let (Phase::Running(node), true) = (&*door.phase.borrow(), hello.node != 0) {
        node.peers.heard(&hello.name);
    }
    let mut met = false;
    loop {
        let Some(frame) = next_frame(&mut reader, &mut buffer).await? else { return Ok(()) };
        let phase = door.phase.borrow().clone();
        if let (Phase::Running(node), false) = (&phase, met) {
            node.meet(&hello.name, from).await;
            met = true;
        }
        // Asked after the meeting, which waits for the disk: the answer may have been given meanwhile.
        if door.is_of_a_past_life(&hello.name, number) {
            return Err("it speaks for a life that nobody has met and that is over".to_string());
        }
        match (frame, phase) {
            (Frame::Join(join), Phase::Running(node)) => {
                let reply = node.answer_join(&join);
                if reply.refused != MET {
                    door.unmet.borrow_mut().insert(join.name, number);
                }
                answer(&mut writer, reply).await?;
            }
            (Frame::Join(join), Phase::Forming(placement)) => {
                door.unmet.borrow_mut().insert(join.name, number);
                let reply = JoinReply { id: join.id, placement, ..JoinReply::default() };
                answer(&mut writer, reply).await?;
            }
            (frame, Phase::Running(node)) => {
                node.peers.heard(&hello.name);
                node.receive(from, &hello.name, frame);
            }
            (_, Phase::Forming(_) | Phase::Recovering) => {
                return Err("this node is not ready for it yet".to_string());
            }
        }
    }
}

async fn answer(writer: &mut TcpWriter, reply: JoinReply) -> Result<(), String> {
    let mut bytes = BytesMut::new();
    encode(&Frame::JoinReply(reply), &mut bytes);
    writer.write_all(&bytes).await.map_err(|error| error.to_string())
}

/// The next frame; `None` at the end of the stream.
pub(crate) async fn next_frame(
    reader: &mut TcpReader,
    buffer: &mut BytesMut,
) -> Result<Option<Frame>, String> {
    loop {
        if let Some(frame) = peer::decode(buffer).map_err(|error| error.to_string())? {
            return Ok(Some(frame));
        }
        // What was read keeps its memory until the last frame of it is done with; new memory for each
        // read would be a waste.
        if buffer.capacity() - buffer.len() < READ_BYTES_MIN {
            buffer.reserve(READ_BYTES);
        }
        if reader.read(buffer).await.map_err(|error| error.to_string())? == 0 {
            return Ok(None);
        }
    }
}

fn check_hello(hello: &Hello, me: &Introduction) -> Result<(), String> {
    let version = u32::from(peer::VERSION);
    if hello.cluster != me.cluster {
        tracing::warn!(
            name = hello.name,
            cluster = format!("{:016x}", hello.cluster),
            "refused a node of another cluster"
        );
        return Err("it belongs to another cluster".to_string());
    }
    if !hello.to.is_empty() && hello.to != me.name {
        return Err(format!("it is looking for `{}`", hello.to));
    }
    if hello.version_max < version || version < hello.version_min {
        tracing::warn!(name = hello.name, "refused a node that speaks no version of ours");
        return Err("it speaks no version of ours".to_string());
    }
    Ok(())
}

impl Node {
    /// Remembers, durably, that this life of a member exists: from now on it may have voted.
    async fn meet(&self, name: &str, replica: ReplicaId) {
        if replica == ReplicaId(0) {
            return; // It only asks; it has no life yet.
        }
        if self.closing.get() {
            return; // Nothing that it says is heard any more.
        }
        let known = |(met, life): &(String, ReplicaId)| met == name && *life == replica;
        if self.met.borrow().iter().any(known) {
            return;
        }
        let state = State::Met { name: name.to_string(), replica };
        let sequence = self.append_state(PLACEMENT_GROUP, &state);
        self.meeting.borrow_mut().push((name.to_string(), replica));
        self.flushed(sequence).await;
        self.meeting.borrow_mut().retain(|meeting| !known(meeting));
        if !self.met.borrow().iter().any(known) {
            self.met.borrow_mut().push((name.to_string(), replica));
            observe(self.replica, PLACEMENT_GROUP, || Fact::Met(replica));
        }
    }

    fn receive(self: &Rc<Node>, from: ReplicaId, name: &str, frame: Frame) {
        match frame {
            Frame::Consensus(batch) => self.receive_batch(from, name, batch),
            Frame::Forward(forward) => self.serve_forward(from, forward),
            Frame::ForwardReply(answer) => self.forward_answered(answer),
            Frame::SnapshotBegin(begin) => self.snapshot_begins(from, begin),
            Frame::SnapshotChunk(chunk) => self.snapshot_chunk(from, chunk),
            Frame::SnapshotEnd(end) => self.snapshot_ends(from, end),
            Frame::SnapshotAck(ack) => self.snapshot_acknowledged(ack),
            Frame::MapRequest(request) => self.map_requested(from, request),
            Frame::MapReply(reply) => self.map_received(&reply),
            Frame::Hello(hello) => self.compare_maps(from, name, hello.map_epoch),
            Frame::Join(_)
            | Frame::JoinReply(_)
            | Frame::StatusRequest(_)
            | Frame::StatusReply(_) => tracing::debug!("a frame out of place was ignored"),
        }
    }

    fn receive_batch(self: &Rc<Node>, from: ReplicaId, name: &str, batch: ConsensusBatch) {
        self.compare_maps(from, name, batch.map_epoch);
        for envelope in batch.messages {
            // A life that was replaced has no say any more, and nobody speaks for another.
            let genuine = envelope.from == from.0 && envelope.to == self.replica.0;
            let known = (envelope.shard as usize) < self.groups.len();
            let Some(message) = envelope.message.filter(|_| genuine && known) else { continue };
            if let Some(mut message) = codec::from_wire(message) {
                if let Message::Accept { payloads, .. } = &mut message {
                    self.take_what_fits(payloads);
                }
                if let Message::Promise { accepted, .. } = &message
                    && !self.has_room_for(envelope.shard, accepted)
                {
                    continue; // As if it had been lost: whoever has these entries leads.
                }
                self.step(envelope.shard, Input::Receive { from, message });
            }
        }
    }

    /// Another node has a map of this epoch.
    fn compare_maps(&self, from: ReplicaId, name: &str, theirs: u64) {
        let epoch = self.peers.map_epoch.get();
        if epoch < theirs {
            // By name: a life that began while this node was away is in the newer map only.
            self.peers.ask(name, &Frame::MapRequest(MapRequest { epoch }));
        }
        self.tell_removed(from, name, theirs);
    }

    fn map_requested(&self, from: ReplicaId, request: MapRequest) {
        let map = self.map.borrow();
        if request.epoch < map.epoch() {
            let reply = MapReply { epoch: map.epoch(), placement: map.encode().into() };
            self.peers.send(from, &Frame::MapReply(reply));
        }
    }
}
