//! A client that writes without end, keeps its books, and notes when it had to wait.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::FailoverArguments;
use crate::error::BenchError;
use crate::ledger::Ledger;
use crate::talk::{Reply, Talk};
use crate::{clock, resp};

/// Shorter times between acknowledged writes are not noted, in nanoseconds.
pub(super) const GAP_NS_MIN: u64 = 20_000_000;
/// Before a node that refused or is gone is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);
/// How many keys are read at once at the end.
const AUDIT_BATCH: u64 = 256;

/// From one acknowledged write to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub start_ns: u64,
    pub end_ns: u64,
}

pub(super) struct Client<'a> {
    index: usize,
    addresses: &'a [SocketAddr],
    /// Which of them is asked.
    current: usize,
    talk: Option<Talk>,
    timeout: Duration,
    pause_ns: u64,
    ledger: Ledger,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        index: usize,
        addresses: &'a [SocketAddr],
        arguments: &FailoverArguments,
    ) -> Client<'a> {
        Client {
            index,
            addresses,
            current: index % addresses.len(),
            talk: None,
            timeout: Duration::from_millis(arguments.timeout_ms),
            pause_ns: 1_000_000_000 / u64::from(arguments.rate),
            ledger: Ledger::default(),
        }
    }

    /// Writes until `stop`; counts what is acknowledged in `acknowledged`.
    pub(super) fn run(mut self, stop: &AtomicBool, acknowledged: &AtomicU64) -> (Ledger, Vec<Gap>) {
        let mut gaps = Vec::new();
        let mut last_ns = clock::now_ns();
        for turn in 0_u64.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let start_ns = clock::now_ns();
            let done = match turn % 4 {
                0 => self.increment(),
                1 => self.set_register(),
                2 => self.read_register(),
                _ => self.set_once(),
            };
            let end_ns = clock::now_ns();
            // A read is no write: it shall neither end nor hide a gap.
            if done && turn % 4 != 2 {
                acknowledged.fetch_add(1, Ordering::Relaxed);
                if GAP_NS_MIN < end_ns - last_ns {
                    gaps.push(Gap { start_ns: last_ns, end_ns });
                }
                last_ns = end_ns;
            }
            clock::pause_until(start_ns + self.pause_ns);
        }
        (self.ledger, gaps)
    }

    fn increment(&mut self) -> bool {
        let key = counter_key(self.index);
        match self.ask(&[b"INCR", key.as_bytes()]) {
            Some(Reply::Number(value)) => {
                self.ledger.incremented(Some(value));
                true
            }
            _ => {
                self.ledger.incremented(None);
                false
            }
        }
    }

    fn set_register(&mut self) -> bool {
        let key = register_key(self.index);
        let value = self.ledger.next_register();
        let reply = self.ask(&[b"SET", key.as_bytes(), value.to_string().as_bytes()]);
        let acknowledged = reply == Some(Reply::Done);
        self.ledger.register_set(value, acknowledged);
        acknowledged
    }

    fn read_register(&mut self) -> bool {
        let key = register_key(self.index);
        match self.ask(&[b"GET", key.as_bytes()]) {
            Some(Reply::Bulk(text)) => self.ledger.register_read(parsed(&text)),
            Some(Reply::Missing) => self.ledger.register_read(0),
            _ => return false,
        }
        true
    }

    fn set_once(&mut self) -> bool {
        let number = self.ledger.next_once();
        let (key, value) = once(self.index, number);
        let acknowledged =
            self.ask(&[b"SET", key.as_bytes(), value.as_bytes()]) == Some(Reply::Done);
        self.ledger.once_set(acknowledged);
        acknowledged
    }

    /// A reply, if there was one and it was no error. Otherwise the next node is asked next time:
    /// whether the request had an effect, nobody knows.
    fn ask(&mut self, arguments: &[&[u8]]) -> Option<Reply> {
        if self.talk.is_none() {
            self.talk = Talk::open(self.addresses[self.current], self.timeout).ok();
        }
        let reply = self.talk.as_mut().and_then(|talk| talk.ask(arguments).ok());
        match reply {
            Some(Reply::Refused(_)) => {
                clock::pause(RETRY_PAUSE);
                None
            }
            None => {
                self.talk = None;
                self.current = (self.current + 1) % self.addresses.len();
                clock::pause(RETRY_PAUSE);
                None
            }
            reply => reply,
        }
    }
}

fn counter_key(client: usize) -> String {
    format!("ledger:{client}:counter")
}

fn register_key(client: usize) -> String {
    format!("ledger:{client}:register")
}

/// A key that is written once, and the value that only it has.
fn once(client: usize, number: u64) -> (String, String) {
    (
        format!("ledger:{client}:once:{number}"),
        format!("the value of client {client}, write {number}"),
    )
}

/// What is no number is a number that nobody wrote.
fn parsed(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// Reads everything that a client wrote, and enters it in its books.
pub(super) fn audit(
    index: usize,
    ledger: &mut Ledger,
    address: SocketAddr,
) -> Result<(), BenchError> {
    let failed =
        |error: std::io::Error| BenchError::server(format!("reading back at {address}"), error);
    let mut talk = Talk::open(address, Duration::from_secs(10)).map_err(failed)?;
    match talk.ask(&[b"GET", counter_key(index).as_bytes()]).map_err(failed)? {
        Reply::Bulk(text) => ledger.counter_read(parsed(&text).try_into().unwrap_or(i64::MAX)),
        _ => ledger.counter_read(0),
    }
    match talk.ask(&[b"GET", register_key(index).as_bytes()]).map_err(failed)? {
        Reply::Bulk(text) => ledger.register_read(parsed(&text)),
        _ => ledger.register_read(0),
    }
    let end = ledger.next_once();
    for start in (0..end).step_by(AUDIT_BATCH as usize) {
        let numbers = start..end.min(start + AUDIT_BATCH);
        let mut commands = Vec::new();
        for number in numbers.clone() {
            resp::command(&[b"GET", once(index, number).0.as_bytes()], &mut commands);
        }
        talk.send(&commands).map_err(failed)?;
        for number in numbers {
            let holds = match talk.reply().map_err(failed)? {
                Reply::Bulk(value) => Some(value == once(index, number).1.as_bytes()),
                Reply::Missing => None,
                other => return Err(BenchError::server("reading back", format!("{other:?}"))),
            };
            ledger.once_read(number, holds);
        }
    }
    Ok(())
}
