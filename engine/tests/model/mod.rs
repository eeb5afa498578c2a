//! A log in a memory disk beside the list of what was appended to it: what was acknowledged must be
//! there after anything, or be reported as damaged; nothing may ever be there that was not appended.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_engine::{
    Engine, EngineError, Event, Identity, Location, Opened, Options, Record, RecordKind, Replay,
    Sequence,
};

pub(crate) mod at_rest;
pub(crate) mod damage;
pub(crate) mod keep;
pub(crate) mod power;
pub(crate) mod room;

pub(crate) const SEGMENT_SIZE: u64 = 48 * 1024;

/// xorshift64*: a test prints its seed, and the seed is all there is.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// How payloads lie on the disk. What a check claims must hold for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dress {
    pub(crate) compress: bool,
    pub(crate) encrypt: bool,
}

impl Dress {
    pub(crate) const PLAIN: Dress = Dress { compress: false, encrypt: false };
    pub(crate) const ENCRYPTED: Dress = Dress { compress: false, encrypt: true };
    pub(crate) const ALL: [Dress; 4] = [
        Dress::PLAIN,
        Dress { compress: true, encrypt: false },
        Dress::ENCRYPTED,
        Dress { compress: true, encrypt: true },
    ];

    /// Four seeds in a row have all of them.
    pub(crate) fn of(seed: u64) -> Dress {
        Dress::ALL[seed as usize % Dress::ALL.len()]
    }

    pub(crate) fn wear(self, options: Options) -> Options {
        let encryption = self.encrypt.then(|| at_rest::encryption(1, 2));
        Options { compress: self.compress, encryption, ..options }
    }
}

pub(crate) fn options(dress: Dress) -> Options {
    let (segment_size, chunk_size) = (SEGMENT_SIZE, 8 * 1024);
    dress.wear(Options { segment_size, chunk_size, ..Options::default() })
}

pub(crate) fn identity() -> Identity {
    Identity { cluster: 7, node: 3, name: "node-3".to_owned() }
}

/// Runs to the end, or until nothing moves any more (the power has failed): `None`.
pub(crate) fn drive<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    // A disk that shuffles completes one operation a poll, and the engine goes on by itself.
    match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Polls until nothing moves; the events.
pub(crate) fn settle(engine: &mut Engine) -> Result<Vec<Event>, EngineError> {
    let mut events = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(result) = engine.poll(&mut context, &mut events) {
        result?;
    }
    Ok(events)
}

/// What `Replay` was given.
#[derive(Debug, Default)]
pub(crate) struct Replayed(pub(crate) Vec<(u64, Vec<u8>, Location)>);

impl Replay for Replayed {
    fn record(&mut self, record: &Record<'_>, location: Location) {
        self.0.push((record.position, record.payload.to_vec(), location));
    }
}

/// Position and payload of every record; the position is unique over all lives of the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) payloads: BTreeMap<u64, Vec<u8>>,
    /// Sequence and position in the order of the log, as far as it must still have them.
    pub(crate) log: Vec<(u64, u64)>,
    /// How many of `log` were acknowledged.
    pub(crate) acknowledged: usize,
    next: u64,
}

impl Ledger {
    fn draw(&mut self, random: &mut Random) -> (u64, Vec<u8>) {
        let size = match random.below(8) {
            0 => 0,
            1..=5 => random.below(300),
            6 => random.below(3_000),
            _ => random.below(12_000),
        };
        let zeros = random.one_in(4);
        let byte = |_| if zeros { 0 } else { random.next() as u8 };
        let payload: Vec<u8> = (0..size).map(byte).collect();
        self.next += 1;
        self.payloads.insert(self.next, payload.clone());
        (self.next, payload)
    }
}

/// One life of a log: an engine, what was given to it, and what it said.
pub(crate) struct Life {
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    sequences: BTreeMap<u64, usize>,
}

impl Life {
    pub(crate) fn new(engine: Engine, ledger: Ledger) -> Life {
        Life { engine, ledger, sequences: BTreeMap::new() }
    }

    /// Appends, lets the disk work, ticks now and then; ends when the power fails.
    pub(crate) fn work(&mut self, random: &mut Random, steps: u64) -> Result<(), String> {
        for _ in 0..steps {
            for _ in 0..random.below(6) {
                self.append(random)?;
            }
            if random.one_in(5) {
                self.engine.tick();
            }
            self.settle()?;
        }
        Ok(())
    }

    pub(crate) fn append(&mut self, random: &mut Random) -> Result<Location, String> {
        let (position, payload) = self.ledger.draw(random);
        self.append_at(position, &payload)
    }

    pub(crate) fn append_payload(&mut self, payload: &[u8]) -> Result<Location, String> {
        self.ledger.next += 1;
        self.ledger.payloads.insert(self.ledger.next, payload.to_vec());
        self.append_at(self.ledger.next, payload)
    }

    fn append_at(&mut self, position: u64, payload: &[u8]) -> Result<Location, String> {
        let kind = [RecordKind::Entry, RecordKind::State, RecordKind::Item][position as usize % 3];
        let stamp = [position / 3, position % 3];
        let record = Record { kind, stream: 5, position, stamp, commit: position / 2, payload };
        let appended = self.engine.append(&record);
        let (sequence, location) = appended.map_err(|error| format!("append: {error}"))?;
        self.ledger.log.push((sequence.0, position));
        self.sequences.insert(sequence.0, self.ledger.log.len());
        Ok(location)
    }

    /// Lets the disk work, and notes what it acknowledged.
    pub(crate) fn settle(&mut self) -> Result<Vec<Event>, String> {
        let events = settle(&mut self.engine).map_err(|error| format!("poll: {error}"))?;
        for event in &events {
            if let Event::Durable(Sequence(sequence)) = event {
                let count = self.sequences.get(sequence);
                let count = *count.ok_or_else(|| format!("{sequence} was never appended"))?;
                if count < self.ledger.acknowledged {
                    return Err("acknowledged backwards".to_owned());
                }
                self.ledger.acknowledged = count;
            }
        }
        Ok(events)
    }
}

/// An engine, what it said when it opened (nothing if it was made just now), and what it replayed.
pub(crate) type Reopened = Result<(Engine, Option<Opened>, Replayed), EngineError>;

/// Opens whatever the disk holds; a disk that never was a log becomes one. `None`: no power.
pub(crate) fn open(disk: &MemoryDisk, options: Options) -> Option<Reopened> {
    let mut replayed = Replayed::default();
    match drive(Engine::open(Box::new(disk.clone()), options.clone(), &mut replayed))? {
        Ok((engine, opened)) => Some(Ok((engine, Some(opened), replayed))),
        Err(EngineError::Empty) => {
            let created = drive(Engine::create(Box::new(disk.clone()), options, identity()))?;
            Some(created.map(|engine| (engine, None, replayed)))
        }
        Err(error) => Some(Err(error)),
    }
}

/// After a power cut, and nothing worse: all that was acknowledged is there, in order, and of the rest
/// a prefix. Notes in the ledger what is left of it.
pub(crate) fn check_prefix(ledger: &mut Ledger, replayed: &Replayed) -> Result<(), String> {
    let found: Vec<u64> = replayed.0.iter().map(|(position, ..)| *position).collect();
    if found.len() < ledger.acknowledged {
        return Err(format!(
            "{} records were acknowledged, {} are left",
            ledger.acknowledged,
            found.len()
        ));
    }
    let appended: Vec<u64> = ledger.log.iter().map(|(_, position)| *position).collect();
    if appended.get(..found.len()) != Some(&found[..]) {
        return Err(format!("the log has {found:?}, not a prefix of {appended:?}"));
    }
    check_payloads(ledger, replayed)?;
    ledger.log.truncate(found.len());
    ledger.acknowledged = found.len(); // The engine flushed them when it opened.
    Ok(())
}

/// Nothing is there that was not appended.
pub(crate) fn check_payloads(ledger: &Ledger, replayed: &Replayed) -> Result<(), String> {
    for (position, payload, _) in &replayed.0 {
        if ledger.payloads.get(position) != Some(payload) {
            return Err(format!("record {position} came back with other bytes"));
        }
    }
    Ok(())
}

/// Reads every replayed record back, each with its own device read.
pub(crate) fn check_reads(
    engine: &mut Engine,
    replayed: &Replayed,
    damaged: bool,
) -> Result<(), String> {
    let tickets: Vec<_> =
        replayed.0.iter().map(|(_, _, location)| engine.read(*location)).collect();
    let events = settle(engine).map_err(|error| format!("poll: {error}"))?;
    let mut answers = BTreeMap::new();
    for event in events {
        if let Event::Read { ticket, result } = event {
            answers.insert(ticket, result);
        }
    }
    for (ticket, (position, payload, _)) in tickets.iter().zip(&replayed.0) {
        match answers.get(ticket) {
            Some(Ok(bytes)) if bytes == payload => (),
            Some(Err(_)) if damaged => (),
            other => return Err(format!("record {position} was read as {other:?}")),
        }
    }
    Ok(())
}
