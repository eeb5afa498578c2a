//! What one connection consists of.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use bytes::Bytes;

use crate::simulated::NodeId;

pub(super) struct Connection {
    /// Its writes may be duplicated and corrupted.
    pub(super) framed: bool,
    /// The one that connected, then the one that accepted.
    pub(super) sides: [Side; 2],
}

impl Connection {
    pub(super) fn is_over(&self) -> bool {
        let over = |side: &Side| side.socket != Socket::Open && side.outbound.queue.is_empty();
        self.sides.iter().all(over)
    }
}

/// Whether a side still has a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Socket {
    /// The process holds it.
    Open,
    /// The process has closed it; the kernel still delivers what was written.
    Closed,
    /// The process was killed.
    Dead,
}

pub(super) struct Side {
    pub(super) node: NodeId,
    pub(super) socket: Socket,
    /// The handshake is complete, as far as this side knows.
    pub(super) established: bool,
    pub(super) reader_dropped: bool,
    /// No more writes: the end of the stream is queued or sent.
    pub(super) finished: bool,
    pub(super) outbound: Outbound,
    /// Arrived and not yet read.
    pub(super) inbox: VecDeque<Bytes>,
    /// The other side's end of stream has arrived.
    pub(super) ended: bool,
    /// The connection is broken: what every further call gets, after what is in the inbox.
    pub(super) error: Option<io::ErrorKind>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// One direction, at its sender.
#[derive(Default)]
pub(super) struct Outbound {
    /// In order of arrival; only the first one has a timer.
    pub(super) queue: VecDeque<Shipment>,
    pub(super) scheduled: bool,
    pub(super) arrival_last_ns: u64,
    /// Bytes written that the sender does not yet know to be read.
    pub(super) outstanding: usize,
    /// Those among them that were read, while the way back was blocked.
    pub(super) unacknowledged: usize,
    /// Retransmissions of the first in the queue, and when they began.
    pub(super) attempts: u32,
    pub(super) stalled_since_ns: Option<u64>,
    /// A copy of an earlier write that will arrive after the next one.
    pub(super) held: Option<Bytes>,
}

pub(super) struct Shipment {
    pub(super) arrival_ns: u64,
    pub(super) load: Load,
}

pub(super) enum Load {
    /// SYN-ACK.
    Accepted,
    Data(Bytes),
    /// FIN.
    End,
    /// RST.
    Reset,
}

impl Side {
    pub(super) fn new(node: NodeId) -> Side {
        Side {
            node,
            socket: Socket::Open,
            established: false,
            reader_dropped: false,
            finished: false,
            outbound: Outbound::default(),
            inbox: VecDeque::new(),
            ended: false,
            error: None,
            reader: None,
            writer: None,
        }
    }

    /// The connection is no more, and the process learns why when it next asks.
    pub(super) fn fail(&mut self, kind: io::ErrorKind) {
        self.outbound.queue.clear();
        if self.socket == Socket::Open && self.error.is_none() {
            self.error = Some(kind);
            super::wake(&mut self.reader);
            super::wake(&mut self.writer);
        }
    }
}
