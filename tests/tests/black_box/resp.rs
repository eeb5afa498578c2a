//! The smallest RESP2 client that can be trusted: written from the specification, not from our code.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any request of the tests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Answer>),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Resp {
    reader: BufReader<TcpStream>,
}

impl Resp {
    pub(crate) fn connect(port: u16) -> io::Result<Resp> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Resp { reader: BufReader::new(stream) })
    }

    pub(crate) fn call(&mut self, arguments: &[&[u8]]) -> io::Result<Answer> {
        let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        self.reader.get_mut().write_all(&bytes)?;
        self.answer()
    }

    /// A command of words, which must be answered.
    pub(crate) fn ask(&mut self, words: &str) -> Answer {
        let arguments: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.call(&arguments).unwrap_or_else(|error| panic!("`{words}` was not answered: {error}"))
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let line = self.line()?;
        let rest = line.get(1..).unwrap_or_default();
        match line.as_bytes().first() {
            Some(b'+') => Ok(Answer::Simple(rest.to_owned())),
            Some(b'-') => Ok(Answer::Error(rest.to_owned())),
            Some(b':') => Ok(Answer::Integer(number(rest)?)),
            Some(b'$') => self.bulk(number(rest)?),
            Some(b'*') => match number(rest)? {
                -1 => Ok(Answer::Null),
                count => {
                    (0..count).map(|_| self.answer()).collect::<io::Result<_>>().map(Answer::Array)
                }
            },
            _ => Err(io::Error::other(format!("not RESP2: {line:?}"))),
        }
    }

    fn bulk(&mut self, size: i64) -> io::Result<Answer> {
        let Ok(size) = usize::try_from(size) else { return Ok(Answer::Null) };
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(size);
        Ok(Answer::Bulk(bytes))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| io::Error::other(format!("not a number: {text:?}")))
}
