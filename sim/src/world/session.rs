//! One client's connection: commands out, replies in, or an end nobody can explain.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use evenkeel_runtime as runtime;
use evenkeel_runtime::net::{TcpReader, TcpStream, TcpWriter};
use evenkeel_wire::reply::{Limits, Reply, decode};

use crate::workload::Command;

/// A connection, until something goes wrong with it.
pub(super) struct Session {
    reader: TcpReader,
    writer: TcpWriter,
    buffer: BytesMut,
}

impl Session {
    pub(super) async fn connect(address: SocketAddr, limit: Duration) -> Result<Session, String> {
        let stream = runtime::timeout(limit, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| "no connection in time".to_owned())?;
        let (reader, writer) = stream.map_err(|error| error.to_string())?.into_split();
        Ok(Session { reader, writer, buffer: BytesMut::new() })
    }

    /// Sends all commands at once and waits for all replies.
    ///
    /// # Errors
    /// The outcome is unknown, and the session is over.
    pub(super) async fn exchange(
        &mut self,
        commands: &[Command],
        limit: Duration,
    ) -> Result<Vec<Reply>, String> {
        let exchange = async {
            let mut bytes = Vec::new();
            for command in commands {
                bytes.extend(format!("*{}\r\n", command.len()).into_bytes());
                for word in command {
                    bytes.extend(format!("${}\r\n", word.len()).into_bytes());
                    bytes.extend(word);
                    bytes.extend(b"\r\n");
                }
            }
            self.writer.write_all(&bytes).await.map_err(|error| error.to_string())?;
            let mut replies = Vec::new();
            while replies.len() < commands.len() {
                replies.push(self.reply().await?);
            }
            Ok(replies)
        };
        runtime::timeout(limit, exchange).await.map_err(|_| "no answer in time".to_owned())?
    }

    async fn reply(&mut self) -> Result<Reply, String> {
        loop {
            let decoded = decode(&self.buffer, &Limits::default());
            if let Some((reply, size)) = decoded.map_err(|error| error.to_string())? {
                drop(self.buffer.split_to(size));
                return Ok(reply);
            }
            let read = self.reader.read(&mut self.buffer).await;
            if read.map_err(|error| error.to_string())? == 0 {
                return Err("the server closed the connection".to_owned());
            }
        }
    }
}
