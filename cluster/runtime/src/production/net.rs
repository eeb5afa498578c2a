//! TCP, with small segments sent at once (`TCP_NODELAY`) on every stream.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Connections that the kernel completes and keeps until they are accepted.
const BACKLOG_COUNT: i32 = 1024;

/// What `TcpReader::read` makes room for when a buffer has none.
const READ_SIZE_MIN: usize = 4096;

/// A bound address that accepts connections. Dropping it refuses the ones not yet accepted.
#[derive(Debug)]
pub struct TcpListener {
    listener: tokio::net::TcpListener,
}

impl TcpListener {
    /// Listens on `address`; port 0 lets the kernel choose, see `local_addr`. A restarted process
    /// may bind while connections of its predecessor linger (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// The kernel's, when the address is taken, not ours or not allowed.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG_COUNT)?;
        Ok(TcpListener { listener: tokio::net::TcpListener::from_std(socket.into())? })
    }

    /// Waits for the next connection; returns it with the address it comes from.
    ///
    /// # Errors
    /// The kernel's. Out of file descriptors is one of them: the listener stays good, and a caller
    /// that tries again at once spins.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((TcpStream::new(stream, peer)?, peer))
    }

    /// The address it is bound to, with the port the kernel chose.
    ///
    /// # Errors
    /// The kernel's; none is expected.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
#[derive(Debug)]
pub struct TcpStream {
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
}

impl TcpStream {
    /// Connects to `address`. May take minutes when nobody answers: give it a `timeout`.
    ///
    /// # Errors
    /// `ConnectionRefused` when the host lives and nobody listens; otherwise the kernel's.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::new(tokio::net::TcpStream::connect(address).await?, address)
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Both directions, each to be owned by its own task.
    pub fn into_split(self) -> (TcpReader, TcpWriter) {
        let (reader, writer) = self.stream.into_split();
        (TcpReader { reader }, TcpWriter { writer })
    }

    fn new(stream: tokio::net::TcpStream, peer: SocketAddr) -> io::Result<TcpStream> {
        stream.set_nodelay(true)?;
        Ok(TcpStream { stream, peer })
    }
}

/// The receiving direction of a connection.
#[derive(Debug)]
pub struct TcpReader {
    reader: OwnedReadHalf,
}

impl TcpReader {
    /// Waits for bytes and appends them to `buffer`; returns how many, 0 for the end of the stream.
    ///
    /// Reads at most the buffer's spare capacity, so reserve first; a buffer without any gets
    /// 4 KiB. One system call, also when the buffer is not filled: a short read tells tokio that the
    /// socket is drained. Safe to drop: nothing read is lost.
    ///
    /// # Errors
    /// The kernel's, `ConnectionReset` above all. The stream is of no more use.
    pub async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.len() == buffer.capacity() {
            buffer.reserve(READ_SIZE_MIN);
        }
        self.reader.read_buf(buffer).await
    }
}

/// The sending direction of a connection. Dropping it ends the stream for the other side.
#[derive(Debug)]
pub struct TcpWriter {
    writer: OwnedWriteHalf,
}

impl TcpWriter {
    /// Hands all `bytes` to the kernel; waits while its buffer is full. Says nothing about arrival.
    /// Not safe to drop: an unknown part may have been written.
    ///
    /// # Errors
    /// The kernel's. The stream is of no more use.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Ends the stream: the other side reads what was written, then 0.
    ///
    /// # Errors
    /// The kernel's, when the connection is already gone.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }
}
