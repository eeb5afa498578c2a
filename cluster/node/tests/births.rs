//! What a node believes of members that begin, end, and begin again. The other members are played.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use evenkeel_core::consensus::ReplicaId;
use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_node::config::ClusterConfig;
use evenkeel_node::node::Node;
use evenkeel_node::observe::{Fact, set_observer};
use evenkeel_runtime as runtime;
use evenkeel_runtime::net::{TcpListener, TcpReader, TcpStream, TcpWriter};
use evenkeel_wire::peer::messages::{Hello, Join, JoinReply, MapRequest};
use evenkeel_wire::peer::{self, Message as Frame};

mod common;

/// The identity that both lives of the played member claim.
const LIFE: u64 = 99;
const PLAYED: &str = "played";

/// Goal: a member that nobody has met may be born again under the same identity, so what its past life
/// left in a connection must not count for the next one. Method: a connection of the past life that
/// has said nothing yet, the answer "not met" on a younger one, and then the past life speaks.
#[test]
fn a_past_life_that_was_never_met_is_not_heard_any_more() {
    runtime::block_on(async {
        let cluster = cluster();
        drop(runtime::spawn(answer_births(cluster.members[1].peer_address)));
        let node =
            Node::start(common::config(&cluster, 0), Box::new(MemoryDisk::new())).await.unwrap();
        let met = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&met);
        set_observer(Some(Box::new(move |observation| {
            if let Fact::Met(replica) = observation.fact {
                seen.borrow_mut().push(replica);
            }
        })));
        let to = cluster.members[0].peer_address;

        let mut past = Talk::begin(to, LIFE).await;
        past.nothing_comes().await;
        assert_eq!(Talk::begin(to, 0).await.asks().await.refused, "", "nobody has met it");
        past.says_something().await;
        assert!(past.is_over().await, "the past life is not listened to");

        let mut next = Talk::begin(to, LIFE).await;
        next.says_something().await;
        let known = || async { Talk::begin(to, 0).await.asks().await.refused == "met" };
        while !known().await {
            runtime::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(*met.borrow(), [ReplicaId(LIFE)], "once, by the word of the second life");
        drop(node);
    });
}

/// Goal: who has reached another node than it meant learns it. Method: a greeting with another name.
#[test]
fn a_greeting_for_somebody_else_is_not_heard() {
    runtime::block_on(async {
        let cluster = cluster();
        drop(runtime::spawn(answer_births(cluster.members[1].peer_address)));
        let node =
            Node::start(common::config(&cluster, 0), Box::new(MemoryDisk::new())).await.unwrap();
        let to = cluster.members[0].peer_address;
        let mut meant = Talk::begin(to, 0).await;
        assert_eq!(meant.asks().await.id, 1);
        let mut not_meant = Talk::begin_for(to, 0, "somebody").await;
        assert!(not_meant.is_over().await, "the connection ends");
        drop(node);
    });
}

/// One connection to the node under test.
struct Talk {
    reader: TcpReader,
    writer: TcpWriter,
    buffer: BytesMut,
}

impl Talk {
    async fn begin(to: SocketAddr, replica: u64) -> Talk {
        Talk::begin_for(to, replica, "tested").await
    }

    async fn begin_for(to: SocketAddr, replica: u64, name: &str) -> Talk {
        let (reader, writer) = TcpStream::connect(to).await.unwrap().into_split();
        let mut talk = Talk { reader, writer, buffer: BytesMut::new() };
        let version = u32::from(peer::VERSION);
        talk.says(&Frame::Hello(Hello {
            cluster: 7,
            node: replica,
            name: PLAYED.to_owned(),
            version_min: version,
            version_max: version,
            map_epoch: 1,
            to: name.to_owned(),
        }))
        .await;
        talk
    }

    async fn says(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        peer::encode(frame, &mut bytes).unwrap();
        self.writer.write_all(&bytes).await.unwrap();
    }

    /// Any frame at all: what counts is that it was listened to.
    async fn says_something(&mut self) {
        self.says(&Frame::MapRequest(MapRequest { epoch: u64::MAX })).await;
    }

    async fn asks(&mut self) -> JoinReply {
        self.says(&Frame::Join(Join { id: 1, name: PLAYED.to_owned(), ..Join::default() })).await;
        loop {
            match peer::decode(&mut self.buffer).unwrap() {
                Some(Frame::JoinReply(reply)) => return reply,
                Some(other) => panic!("asked to join, and was told {other:?}"),
                None => assert_ne!(self.reader.read(&mut self.buffer).await.unwrap(), 0),
            }
        }
    }

    /// Long enough for the node to have accepted the connection and read the introduction.
    async fn nothing_comes(&mut self) {
        let wait = Duration::from_millis(100);
        let read = runtime::timeout(wait, self.reader.read(&mut self.buffer)).await;
        assert!(read.is_err(), "nothing was asked, so nothing is answered");
    }

    async fn is_over(&mut self) -> bool {
        let wait = Duration::from_secs(5);
        let read = runtime::timeout(wait, self.reader.read(&mut self.buffer)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }
}

/// Plays the other member towards a newborn: it has met nobody.
async fn answer_births(at: SocketAddr) {
    let listener = TcpListener::bind(at).await.unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (mut reader, mut writer) = stream.into_split();
        let mut buffer = BytesMut::new();
        while matches!(reader.read(&mut buffer).await, Ok(1..)) {
            while let Some(frame) = peer::decode(&mut buffer).unwrap() {
                if let Frame::Join(join) = frame {
                    let reply = JoinReply { id: join.id, ..JoinReply::default() };
                    let mut bytes = BytesMut::new();
                    peer::encode(&Frame::JoinReply(reply), &mut bytes).unwrap();
                    writer.write_all(&bytes).await.unwrap();
                }
            }
        }
    }
}

/// Two members: the one that is tested, and the one that is played.
fn cluster() -> ClusterConfig {
    let mut cluster = common::cluster(2, 1);
    for (member, name) in cluster.members.iter_mut().zip(["tested", PLAYED]) {
        member.name = name.to_owned();
    }
    cluster
}
