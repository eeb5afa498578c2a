//! `at-rest`: what compression and encryption cost the engine, and what compression saves, by themselves.
//!
//! The log of the product takes puts as a leader hands them to it, in groups that share a flush; the disk
//! behind it takes everything and keeps nothing, so what is measured is what the processor does: copies,
//! checksums, compression, encryption. What a whole node takes beside that is for `compare` to measure.
//!
//! **Invariant.** In each round every way of storing gets the same puts, and the ways take turns.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use clap::Args;
use evenkeel_engine::batch::BatchBuilder;
use evenkeel_engine::disk::{Area, Completion, Disk, Operation, Ticket};
use evenkeel_engine::keys::{Encryption, KEY_SIZE, RootKey, Seed};
use evenkeel_engine::{Engine, Identity, Options, Record, RecordKind};

use crate::console::say;
use crate::cpu;
use crate::error::BenchError;

/// Puts that share a flush, as they do on a node that has something to do.
const GROUP_SIZE: u64 = 32;
/// How payloads are stored: whether they are compressed, and encrypted.
const WAYS: [(&str, bool, bool); 4] = [
    ("plain", false, false),
    ("lz4", true, false),
    ("encrypted", false, true),
    ("both", true, true),
];

/// `at-rest`'s part of a command line.
#[derive(Debug, Args)]
pub struct AtRestArguments {
    /// Sizes of values, in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 1024, 4096])]
    pub(crate) value_sizes: Vec<usize>,
    /// Puts of one turn; the kernel counts a thread's time in steps of some milliseconds.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) puts: u64,
    /// Rounds; of each figure the median is given, of the ratios to `plain` the range too.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
}

/// One turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    cpu_ns: f64,
    /// Payload as stored, a put.
    stored: f64,
}

pub(crate) fn run(arguments: &AtRestArguments) -> Result<(), BenchError> {
    say("| value | stored | CPU ns/put | ÷ plain, median (min–max) | bytes/put |");
    say("| --- | --- | ---: | ---: | ---: |");
    for &size in &arguments.value_sizes {
        for (what, repeats) in [("text", true), ("noise", false)] {
            let values: Vec<Vec<u8>> =
                (1..=64).map(|number| value(number, size, repeats)).collect();
            let mut turns: [Vec<Turn>; WAYS.len()] = Default::default();
            for _ in 0..arguments.rounds {
                for (turns, (_, compress, encrypt)) in turns.iter_mut().zip(WAYS) {
                    turns.push(turn(&values, arguments.puts, compress, encrypt)?);
                }
            }
            for (way, (name, ..)) in WAYS.iter().enumerate() {
                let cpu = median(turns[way].iter().map(|turn| turn.cpu_ns));
                let ratios = turns[way].iter().zip(&turns[0]);
                let ratios: Vec<f64> =
                    ratios.map(|(turn, plain)| turn.cpu_ns / plain.cpu_ns).collect();
                let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
                let high = ratios.iter().copied().fold(0.0, f64::max);
                let ratio = median(ratios.into_iter());
                let stored = median(turns[way].iter().map(|turn| turn.stored));
                say(&format!(
                    "| {size} B of {what} | {name} | {cpu:.0} | {ratio:.2} ({low:.2}–{high:.2}) | \
                     {stored:.0} |"
                ));
            }
        }
    }
    Ok(())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Something like what applications store: records with the same names and other values; or bytes that
/// nothing compresses.
fn value(number: u64, size: usize, repeats: bool) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // xorshift64 (Marsaglia, 2003): no more than noise needs.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut value = Vec::with_capacity(size + 128);
    while value.len() < size {
        if repeats {
            let (id, price, count) = (next() % 100_000_000, next() % 10_000, next() % 10);
            let item = format!(
                "{{\"order\":{id},\"customer\":\"{:08x}\",\"price\":{price},\"count\":{count},\
                 \"currency\":\"EUR\",\"state\":\"delivered\"}},",
                next() as u32
            );
            value.extend_from_slice(item.as_bytes());
        } else {
            value.extend_from_slice(&next().to_le_bytes());
        }
    }
    value.truncate(size);
    value
}

fn turn(values: &[Vec<u8>], puts: u64, compress: bool, encrypt: bool) -> Result<Turn, BenchError> {
    let broken = |error: evenkeel_engine::EngineError| BenchError::Broken(error.to_string());
    let encryption = encrypt
        .then(|| Encryption { root: RootKey::new([1; KEY_SIZE]), seed: Seed::new([2; KEY_SIZE]) });
    let options = Options { compress, encryption, ..Options::default() };
    let identity = Identity { cluster: 1, node: 1, name: "bench".to_owned() };
    let mut context = Context::from_waker(Waker::noop());
    let mut events = Vec::new();
    let create = std::pin::pin!(Engine::create(Box::new(Void::default()), options, identity));
    let Poll::Ready(engine) = create.poll(&mut context) else {
        return Err(BenchError::Broken("a disk that never waits was waited for".to_owned()));
    };
    let mut engine = engine.map_err(broken)?;
    let before_ns = cpu::thread_ns()?;
    for put in 0..puts {
        let value = &values[put as usize % values.len()];
        let mut batch = BatchBuilder::with_capacity(&[0; 24], value.len() + 64);
        batch.put(&put.to_le_bytes(), value, 0);
        let payload = batch.finish();
        let (kind, stamp, position) = (RecordKind::Entry, [1, 1], put + 1);
        let record = Record { kind, stream: 1, position, stamp, commit: put, payload: &payload };
        engine.append(&record).map_err(broken)?;
        if put % GROUP_SIZE == 0 {
            while let Poll::Ready(polled) = engine.poll(&mut context, &mut events) {
                polled.map_err(broken)?;
            }
            events.clear();
        }
    }
    let cpu_ns = (cpu::thread_ns()? - before_ns) as f64 / puts as f64;
    Ok(Turn { cpu_ns, stored: engine.status().stored_bytes as f64 / puts as f64 })
}

/// Takes everything at once, and remembers the superblock only.
#[derive(Debug, Default)]
struct Void {
    areas: Vec<(Area, u64)>,
    superblock: Vec<u8>,
    done: VecDeque<Completion>,
}

impl Disk for Void {
    fn areas(&mut self) -> io::Result<Vec<(Area, u64)>> {
        Ok(self.areas.clone())
    }

    fn submit(&mut self, ticket: Ticket, operation: Operation) {
        let buffer = match operation {
            Operation::Create { area, size } => {
                self.areas.push((area, size));
                if area == Area::Super {
                    self.superblock = vec![0; size as usize];
                }
                None
            }
            Operation::Write { area, offset, buffer }
            | Operation::Commit { area, offset, buffer } => {
                if area == Area::Super {
                    let start = offset as usize;
                    self.superblock[start..start + buffer.len()].copy_from_slice(&buffer);
                }
                Some(buffer)
            }
            Operation::Read { area, offset, mut buffer } => {
                if area == Area::Super {
                    let range = offset as usize..offset as usize + buffer.len();
                    buffer.copy_from_slice(&self.superblock[range]);
                }
                Some(buffer)
            }
            Operation::Rename { .. } | Operation::Remove { .. } | Operation::Flush { .. } => None,
        };
        self.done.push_back(Completion { ticket, result: Ok(()), buffer });
    }

    fn poll(&mut self, _: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        if self.done.is_empty() {
            return Poll::Pending;
        }
        completions.extend(self.done.drain(..));
        Poll::Ready(())
    }

    fn name(&self) -> &'static str {
        "none"
    }
}
