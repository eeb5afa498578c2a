//! The simulated network, as a node sees it. What each item promises is said at its twin in
//! `production::net`; how it can go wrong is decided in `simulated::network`.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;

use crate::simulated::NodeId;
use crate::simulated::network::{End, Request};
use crate::simulated::nodes::Node;
use crate::simulated::timers::sleep_true;
use crate::simulated::world::{try_world, world};

/// What `TcpReader::read` makes room for when a buffer has none.
const READ_SIZE_MIN: usize = 4096;

/// The first retry of a connection request comes after this, doubling (Linux: RFC 6298's second).
const CONNECT_RETRY: Duration = Duration::from_secs(1);

/// Linux' `tcp_syn_retries`: with the doubling, a connect gives up after 127 s.
const CONNECT_RETRY_COUNT_MAX: u32 = 6;

/// A bound address that accepts connections. Dropping it resets the ones not yet accepted.
#[derive(Debug)]
pub struct TcpListener {
    node: NodeId,
    incarnation: u64,
    address: SocketAddr,
}

impl TcpListener {
    /// Listens on `address`; port 0 lets the world choose, see `local_addr`.
    ///
    /// # Errors
    /// `AddrInUse`, and `AddrNotAvailable` for an address that is not this node's.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let world = world();
        let node = world.this_node();
        let port = world.network.borrow_mut().listen(&node, address)?;
        let address = SocketAddr::new(address.ip(), port);
        world.record("listen", &node, &address);
        Ok(TcpListener { node: node.id, incarnation: node.incarnation.get(), address })
    }

    /// Waits for the next connection; returns it with the address it comes from.
    ///
    /// # Errors
    /// None, so far.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let key = (self.node, self.address.port());
        let (end, peer) =
            poll_fn(|context| world().network.borrow_mut().poll_accept(key, context)).await;
        Ok((TcpStream::new(end, peer), peer))
    }

    /// The address it is bound to, with the port that was chosen.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        if let Some(world) = try_world() {
            let key = (self.node, self.address.port());
            world.network.borrow_mut().unlisten(&world, key, self.incarnation);
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct TcpStream {
    reader: TcpReader,
    writer: TcpWriter,
    peer: SocketAddr,
}

impl TcpStream {
    /// Connects to `address`. May take minutes when nobody answers: give it a `timeout`.
    ///
    /// # Errors
    /// `ConnectionRefused` when the host lives and nobody listens, `TimedOut` after 127 s without
    /// an answer, `ConnectionReset` when it broke at once.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let node = world().this_node();
        let port = world().network.borrow_mut().local_port(node.id);
        world().record("connect", &node, &address);
        let mut retry = CONNECT_RETRY;
        for _ in 0..=CONNECT_RETRY_COUNT_MAX {
            match request(&node, port, address).await {
                Request::Lost => sleep_true(retry).await,
                Request::Refused { answer_ns } => {
                    sleep_true(Duration::from_nanos(answer_ns)).await;
                    world().record("refused", &node, &address);
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Request::Accepted(end) => {
                    // Made before the handshake is complete, so that giving up closes it.
                    let stream = TcpStream::new(end, address);
                    poll_fn(|context| world().network.borrow_mut().poll_established(end, context))
                        .await?;
                    return Ok(stream);
                }
            }
            retry *= 2;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Both directions, each to be owned by its own task.
    pub fn into_split(self) -> (TcpReader, TcpWriter) {
        (self.reader, self.writer)
    }

    fn new(end: End, peer: SocketAddr) -> TcpStream {
        TcpStream { reader: TcpReader { end }, writer: TcpWriter { end }, peer }
    }
}

/// One connection request on its way.
async fn request(node: &Rc<Node>, port: u16, address: SocketAddr) -> Request {
    let journey_ns = {
        let world = world();
        world.network.borrow_mut().request_ns(&world, node, address)
    };
    let Some(journey_ns) = journey_ns else { return Request::Lost };
    sleep_true(Duration::from_nanos(journey_ns)).await;
    let world = world();
    world.network.borrow_mut().request(&world, node, port, address)
}

/// The receiving direction of a connection.
#[derive(Debug)]
pub struct TcpReader {
    end: End,
}

impl TcpReader {
    /// Waits for bytes and appends them to `buffer`; returns how many, 0 for the end of the stream.
    /// Reads at most the buffer's spare capacity; a buffer without any gets 4 KiB. Safe to drop.
    ///
    /// # Errors
    /// `ConnectionReset`, or `TimedOut` when what was written got no answer for 15 minutes.
    pub async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.len() == buffer.capacity() {
            buffer.reserve(READ_SIZE_MIN);
        }
        poll_fn(|context| {
            let world = world();
            world.network.borrow_mut().poll_read(&world, self.end, buffer, context)
        })
        .await
    }
}

impl Drop for TcpReader {
    fn drop(&mut self) {
        if let Some(world) = try_world() {
            world.network.borrow_mut().drop_reader(&world, self.end);
        }
    }
}

/// The sending direction of a connection. Dropping it ends the stream for the other side.
#[derive(Debug)]
pub struct TcpWriter {
    end: End,
}

impl TcpWriter {
    /// Hands all `bytes` to the network; waits while the connection's window is full. Not safe to
    /// drop: an unknown part may have been written.
    ///
    /// # Errors
    /// `ConnectionReset`, `TimedOut`, or `BrokenPipe` after `shutdown`.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = poll_fn(|context| {
                let world = world();
                world.network.borrow_mut().poll_write(&world, self.end, rest, context)
            })
            .await?;
            rest = &rest[size..];
        }
        let world = world();
        world.network.borrow_mut().written(&world, self.end, bytes);
        Ok(())
    }

    /// Ends the stream: the other side reads what was written, then 0.
    ///
    /// # Errors
    /// None: a connection that is gone has nothing to end.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        let world = world();
        world.network.borrow_mut().finish(&world, self.end);
        Ok(())
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        if let Some(world) = try_world() {
            world.network.borrow_mut().drop_writer(&world, self.end);
        }
    }
}
