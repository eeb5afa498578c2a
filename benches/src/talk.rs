//! A blocking conversation over RESP: one request, one reply.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::resp::{self, Outcome};

pub(crate) struct Talk {
    stream: TcpStream,
    input: Vec<u8>,
}

/// A connection on which every read and write may take so long.
pub(crate) fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// A reply, its bytes included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    Number(i64),
    Bulk(Vec<u8>),
    Missing,
    Refused(String),
}

impl Talk {
    /// `timeout` is for connecting and for every reply.
    pub(crate) fn open(address: SocketAddr, timeout: Duration) -> io::Result<Talk> {
        Ok(Talk { stream: connect(address, timeout)?, input: Vec::new() })
    }

    /// After an error the conversation is over: a late reply would be taken for another one's.
    pub(crate) fn ask(&mut self, arguments: &[&[u8]]) -> io::Result<Reply> {
        let mut command = Vec::new();
        resp::command(arguments, &mut command);
        self.stream.write_all(&command)?;
        self.reply()
    }

    pub(crate) fn send(&mut self, commands: &[u8]) -> io::Result<()> {
        self.stream.write_all(commands)
    }

    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(answer) = resp::answer(&self.input).map_err(io::Error::other)? {
                let rest = self.input.split_off(answer.size);
                let bytes = std::mem::replace(&mut self.input, rest);
                return Ok(understood(answer.outcome, &bytes));
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                size => self.input.extend_from_slice(&chunk[..size]),
            }
        }
    }
}

fn understood(outcome: Outcome, bytes: &[u8]) -> Reply {
    match outcome {
        Outcome::Number(number) => Reply::Number(number),
        Outcome::Miss => Reply::Missing,
        Outcome::Refused => Reply::Refused(resp::excerpt(bytes)),
        Outcome::Done if bytes.starts_with(b"$") => {
            let start = bytes.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            Reply::Bulk(bytes[start..bytes.len() - 2].to_vec())
        }
        Outcome::Done => Reply::Done,
    }
}
