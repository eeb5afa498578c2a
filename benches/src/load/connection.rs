//! One connection of a load generator: what was asked, and what of it is answered.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use super::{Operation, Source};
use crate::error::BenchError;
use crate::resp::{self, Outcome};

/// What is read at once, in bytes. Less than this means that the socket is empty.
const READ_SIZE: usize = 64 * 1024;

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Flight {
    operation: Operation,
    /// From when its latency counts.
    since_ns: u64,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub stream: TcpStream,
    address: SocketAddr,
    flights: VecDeque<Flight>,
    output: Vec<u8>,
    output_sent: usize,
    input: Vec<u8>,
    input_size: usize,
}

/// An answered request.
#[derive(Debug)]
pub(super) struct Landing {
    pub operation: Operation,
    pub outcome: Outcome,
    pub since_ns: u64,
    /// What the server said, if it refused.
    pub refusal: Option<String>,
}

impl Connection {
    /// Connects and selects, waiting for both.
    pub(super) fn open(address: SocketAddr, keyspace: u8) -> Result<Connection, BenchError> {
        let failed = |error| BenchError::server(format!("cannot connect to {address}"), error);
        let mut stream = std::net::TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if keyspace != 0 {
            let mut command = Vec::new();
            resp::command(&[b"SELECT", keyspace.to_string().as_bytes()], &mut command);
            stream.write_all(&command).map_err(failed)?;
            let mut reply = [0; 5];
            stream.read_exact(&mut reply).map_err(failed)?;
            if reply != *b"+OK\r\n" {
                let what = format!("{address} has no keyspace {keyspace}");
                return Err(BenchError::server(what, resp::excerpt(&reply)));
            }
        }
        stream.set_nonblocking(true).map_err(failed)?;
        Ok(Connection {
            stream: TcpStream::from_std(stream),
            address,
            flights: VecDeque::new(),
            output: Vec::new(),
            output_sent: 0,
            input: vec![0; 2 * READ_SIZE],
            input_size: 0,
        })
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Requests that are never answered; when they were due.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = u64> {
        self.flights.iter().map(|flight| flight.since_ns)
    }

    pub(super) fn ask(&mut self, operation: Operation, since_ns: u64, source: &impl Source) {
        source.encode(operation, &mut self.output);
        self.flights.push_back(Flight { operation, since_ns });
    }

    /// Sends as much as the kernel takes.
    pub(super) fn send(&mut self) -> Result<(), BenchError> {
        while self.output_sent < self.output.len() {
            match self.stream.write(&self.output[self.output_sent..]) {
                Ok(size) => self.output_sent += size,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(self.lost(error)),
            }
        }
        self.output.clear();
        self.output_sent = 0;
        Ok(())
    }

    /// Reads what is there and hands every answer to `land`.
    pub(super) fn receive(&mut self, mut land: impl FnMut(Landing)) -> Result<(), BenchError> {
        loop {
            if self.input.len() - self.input_size < READ_SIZE {
                self.input.resize(self.input.len() * 2, 0);
            }
            let spare = self.input.len() - self.input_size;
            match self.stream.read(&mut self.input[self.input_size..]) {
                Ok(0) => return Err(self.lost("it closed the connection")),
                Ok(size) => {
                    self.input_size += size;
                    self.take_answers(&mut land)?;
                    if size < spare {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    fn take_answers(&mut self, land: &mut impl FnMut(Landing)) -> Result<(), BenchError> {
        let mut start = 0;
        loop {
            let rest = &self.input[start..self.input_size];
            let answer = resp::answer(rest).map_err(|reason| self.nonsense(reason))?;
            let Some(answer) = answer else { break };
            let refusal =
                (answer.outcome == Outcome::Refused).then(|| resp::excerpt(&rest[..answer.size]));
            let Some(flight) = self.flights.pop_front() else {
                return Err(self.nonsense("an answer that nobody asked for".to_owned()));
            };
            let Flight { operation, since_ns } = flight;
            land(Landing { operation, outcome: answer.outcome, since_ns, refusal });
            start += answer.size;
        }
        self.input.copy_within(start..self.input_size, 0);
        self.input_size -= start;
        Ok(())
    }

    fn lost(&self, reason: impl ToString) -> BenchError {
        BenchError::server(format!("lost the connection to {}", self.address), reason)
    }

    fn nonsense(&self, reason: String) -> BenchError {
        BenchError::Protocol { server: self.address.to_string(), reason }
    }
}
