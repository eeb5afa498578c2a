//! Both directions of a connection as bytes in memory, without the connection: what the two clients
//! have in common.

use bytes::{Buf, BytesMut};
use evenkeel_wire::reply::{self, Limits, Reply, ReplyError, Scanner};
use evenkeel_wire::resp;

/// Room for the next bytes of a reply.
const READ_SIZE: usize = 16 * 1024;

/// Memory kept for the next command, however large the last one was.
const KEPT_SIZE_MAX: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// Commands not yet handed to the connection.
    pub(crate) outgoing: BytesMut,
    /// Replies not yet read.
    incoming: BytesMut,
    scanner: Scanner,
    limits: Limits,
    /// Commands, here or sent, whose replies were not read.
    unanswered: usize,
}

impl Conversation {
    pub(crate) fn say(&mut self, arguments: &[&[u8]]) {
        assert!(!arguments.is_empty(), "a command has a name");
        resp::write_command(arguments, &mut self.outgoing);
        self.unanswered += 1;
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// All of `outgoing` is sent.
    pub(crate) fn sent(&mut self) {
        if KEPT_SIZE_MAX < self.outgoing.capacity() {
            self.outgoing = BytesMut::new();
        }
        self.outgoing.clear();
    }

    /// Where the connection's next bytes go: at the end, with room for some.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        self.incoming.reserve(READ_SIZE);
        &mut self.incoming
    }

    /// The next reply, once all of it is there. Messages that answer nothing are dropped: nothing was
    /// subscribed to.
    pub(crate) fn hear(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let Some(size) = self.scanner.scan(&self.incoming, &self.limits)? else {
                return Ok(None);
            };
            let (reply, decoded) = reply::decode(&self.incoming[..size], &self.limits)?
                .expect("the scanner saw its end");
            assert_eq!(decoded, size, "both see the same end");
            self.incoming.advance(size);
            if self.incoming.is_empty() && KEPT_SIZE_MAX < self.incoming.capacity() {
                self.incoming = BytesMut::new();
            }
            if !matches!(reply, Reply::Push(_)) {
                self.unanswered = self.unanswered.saturating_sub(1);
                return Ok(Some(reply));
            }
        }
    }
}
