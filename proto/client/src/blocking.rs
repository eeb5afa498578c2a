//! The same client over the machine's own sockets, for programs without a runtime. Not for the
//! simulator: it would wait for real.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use evenkeel_runtime::clock;
use evenkeel_wire::reply::{Protocol, Reply};

use crate::client::{Options, given_up};
use crate::conversation::Conversation;
use crate::error::ClientError;

/// Bytes taken from the socket at once.
const READ_SIZE: usize = 16 * 1024;

/// A connection to a node, on the thread that calls it.
#[derive(Debug)]
pub struct BlockingClient {
    address: SocketAddr,
    options: Options,
    stream: TcpStream,
    conversation: Conversation,
    /// As in `Client`.
    broken: bool,
}

impl BlockingClient {
    /// Connects, with `Options::default()`.
    ///
    /// # Errors
    ///
    /// See `Client::connect_with`.
    pub fn connect(address: SocketAddr) -> Result<BlockingClient, ClientError> {
        BlockingClient::connect_with(address, Options::default())
    }

    /// Connects, and says `HELLO 3` if the options want RESP3. No timeout may be zero.
    ///
    /// # Errors
    ///
    /// See `Client::connect_with`.
    pub fn connect_with(
        address: SocketAddr,
        options: Options,
    ) -> Result<BlockingClient, ClientError> {
        let refused = |source| ClientError::Refused { address, source };
        let stream = TcpStream::connect_timeout(&address, options.connect_timeout);
        let stream = stream.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        stream.set_write_timeout(Some(options.reply_timeout)).map_err(refused)?;
        let conversation = Conversation::default();
        let mut client = BlockingClient { address, options, stream, conversation, broken: false };
        if options.protocol == Protocol::Resp3 {
            client.ask(&[b"HELLO", b"3"])?;
        }
        Ok(client)
    }

    /// The node's address, as given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a command and waits for its reply, which may be a `Reply::Error`.
    ///
    /// # Errors
    ///
    /// See `ClientError`; never `Refused` or `Server`.
    pub fn command(&mut self, arguments: &[&[u8]]) -> Result<Reply, ClientError> {
        let replies = self.pipeline(&[arguments])?;
        Ok(replies.into_iter().next().expect("one command has one reply"))
    }

    /// As `command`, and an error reply is an error.
    ///
    /// # Errors
    ///
    /// See `ClientError`; never `Refused`.
    pub fn ask(&mut self, arguments: &[&[u8]]) -> Result<Reply, ClientError> {
        match self.command(arguments)? {
            Reply::Error(text) => Err(ClientError::Server(text)),
            reply => Ok(reply),
        }
    }

    /// Sends all commands at once and waits for as many replies, in the same order.
    ///
    /// # Errors
    ///
    /// As `command`. Replies that came before the error are lost with it.
    pub fn pipeline(&mut self, commands: &[&[&[u8]]]) -> Result<Vec<Reply>, ClientError> {
        if self.broken {
            let (address, source) = (self.address, given_up());
            return Err(ClientError::Disconnected { address, source });
        }
        let result = self.converse(commands);
        self.broken = result.is_err();
        result
    }

    fn converse(&mut self, commands: &[&[&[u8]]]) -> Result<Vec<Reply>, ClientError> {
        commands.iter().for_each(|arguments| self.conversation.say(arguments));
        let written = self.stream.write_all(&self.conversation.outgoing);
        written.map_err(|source| self.lost(source))?;
        self.conversation.sent();
        let mut replies = Vec::with_capacity(commands.len());
        for _ in commands {
            replies.push(self.next_reply()?);
        }
        Ok(replies)
    }

    fn next_reply(&mut self) -> Result<Reply, ClientError> {
        let address = self.address;
        let started_us = clock::monotonic_us();
        let mut chunk = [0; READ_SIZE];
        loop {
            let heard = self.conversation.hear();
            if let Some(reply) =
                heard.map_err(|source| ClientError::Protocol { address, source })?
            {
                return Ok(reply);
            }
            let waited = Duration::from_micros(clock::monotonic_us() - started_us);
            let left = self.options.reply_timeout.saturating_sub(waited);
            if left.is_zero() {
                return Err(self.lost(io::ErrorKind::TimedOut.into()));
            }
            self.stream.set_read_timeout(Some(left)).map_err(|source| self.lost(source))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(size) => self.conversation.room().extend_from_slice(&chunk[..size]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(source) => return Err(self.lost(source)),
            }
        }
    }

    /// A socket's timeout is `WouldBlock` on some systems, `TimedOut` on others.
    fn lost(&self, source: io::Error) -> ClientError {
        let address = self.address;
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::TimedOut { address, after: self.options.reply_timeout }
            }
            _ => ClientError::Disconnected { address, source },
        }
    }
}
