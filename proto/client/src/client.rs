//! One connection to one node.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_runtime::net::{TcpReader, TcpStream, TcpWriter};
use evenkeel_runtime::timeout;
use evenkeel_wire::reply::{Protocol, Reply};

use crate::conversation::Conversation;
use crate::error::ClientError;

/// How patient a client is, and how it introduces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Until the connection stands.
    pub connect_timeout: Duration,
    /// From the last byte sent to the last byte of a reply.
    pub reply_timeout: Duration,
    /// RESP3 costs a `HELLO` on connect.
    pub protocol: Protocol,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(30),
            protocol: Protocol::Resp2,
        }
    }
}

/// A connection to a node. Commands are answered in the order in which they are sent.
///
/// Futures may be dropped: a reply nobody waits for any more is skipped by the next `command`, and a
/// connection left in the middle of a command is given up.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    options: Options,
    reader: TcpReader,
    writer: TcpWriter,
    conversation: Conversation,
    /// Some of a command may be sent, or a reply is not to be had: nothing more can be said here.
    broken: bool,
}

impl Client {
    /// Connects, with `Options::default()`.
    ///
    /// # Errors
    ///
    /// See `connect_with`.
    pub async fn connect(address: SocketAddr) -> Result<Client, ClientError> {
        Client::connect_with(address, Options::default()).await
    }

    /// Connects, and says `HELLO 3` if the options want RESP3.
    ///
    /// # Errors
    ///
    /// * `Refused` — nobody there, or nobody who answers in time.
    /// * After that, as `ask`.
    pub async fn connect_with(
        address: SocketAddr,
        options: Options,
    ) -> Result<Client, ClientError> {
        let refused = |source| ClientError::Refused { address, source };
        let stream = timeout(options.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|elapsed| refused(io::Error::new(io::ErrorKind::TimedOut, elapsed)))?
            .map_err(refused)?;
        let (reader, writer) = stream.into_split();
        let conversation = Conversation::default();
        let mut client = Client { address, options, reader, writer, conversation, broken: false };
        if options.protocol == Protocol::Resp3 {
            client.ask(&[b"HELLO", b"3"]).await?;
        }
        Ok(client)
    }

    /// The node's address, as given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a command and waits for its reply, which may be a `Reply::Error`. Replies to earlier
    /// commands that nobody has received are skipped.
    ///
    /// # Errors
    ///
    /// See `ClientError`; never `Refused` or `Server`.
    pub async fn command(&mut self, arguments: &[&[u8]]) -> Result<Reply, ClientError> {
        let stale = self.conversation.unanswered();
        self.send(arguments);
        self.flush().await?;
        for _ in 0..stale {
            self.receive().await?;
        }
        self.receive().await
    }

    /// As `command`, and an error reply is an error.
    ///
    /// # Errors
    ///
    /// See `ClientError`; never `Refused`.
    pub async fn ask(&mut self, arguments: &[&[u8]]) -> Result<Reply, ClientError> {
        match self.command(arguments).await? {
            Reply::Error(text) => Err(ClientError::Server(text)),
            reply => Ok(reply),
        }
    }

    /// Sends all commands at once and waits for as many replies, in the same order.
    ///
    /// # Errors
    ///
    /// As `command`. Replies that came before the error are lost with it.
    pub async fn pipeline(&mut self, commands: &[&[&[u8]]]) -> Result<Vec<Reply>, ClientError> {
        let stale = self.conversation.unanswered();
        commands.iter().for_each(|arguments| self.send(arguments));
        self.flush().await?;
        for _ in 0..stale {
            self.receive().await?;
        }
        let mut replies = Vec::with_capacity(commands.len());
        for _ in commands {
            replies.push(self.receive().await?);
        }
        Ok(replies)
    }

    /// Queues a command; `flush` sends it. For callers who receive on their own account.
    pub fn send(&mut self, arguments: &[&[u8]]) {
        self.conversation.say(arguments);
    }

    /// Sends what is queued.
    ///
    /// # Errors
    ///
    /// `Disconnected`, `TimedOut`.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        let address = self.address;
        if self.broken {
            return Err(ClientError::Disconnected { address, source: given_up() });
        }
        // Until all of it is sent: whoever drops this future leaves half a command behind.
        self.broken = true;
        let after = self.options.reply_timeout;
        timeout(after, self.writer.write_all(&self.conversation.outgoing))
            .await
            .map_err(|_| ClientError::TimedOut { address, after })?
            .map_err(|source| ClientError::Disconnected { address, source })?;
        self.broken = false;
        self.conversation.sent();
        Ok(())
    }

    /// Waits for the next reply. There must be a command that it can belong to.
    ///
    /// # Errors
    ///
    /// As `command`.
    pub async fn receive(&mut self) -> Result<Reply, ClientError> {
        assert!(0 < self.conversation.unanswered(), "nothing was asked");
        let address = self.address;
        if self.broken {
            return Err(ClientError::Disconnected { address, source: given_up() });
        }
        let after = self.options.reply_timeout;
        let result = match timeout(after, self.next_reply()).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::TimedOut { address, after }),
        };
        self.broken = result.is_err();
        result
    }

    /// Says goodbye: the node sees the end of the stream instead of a reset.
    pub async fn close(mut self) {
        // It may be gone already; that is what we want.
        let _ = self.writer.shutdown().await;
    }

    async fn next_reply(&mut self) -> Result<Reply, ClientError> {
        let address = self.address;
        loop {
            let heard = self.conversation.hear();
            match heard.map_err(|source| ClientError::Protocol { address, source })? {
                Some(reply) => return Ok(reply),
                None => match self.reader.read(self.conversation.room()).await {
                    Ok(0) => {
                        let source = io::ErrorKind::UnexpectedEof.into();
                        return Err(ClientError::Disconnected { address, source });
                    }
                    Ok(_) => (),
                    Err(source) => return Err(ClientError::Disconnected { address, source }),
                },
            }
        }
    }
}

pub(crate) fn given_up() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "an earlier command on this connection failed")
}
