//! What a load asks for: which operations, on which keys, with which values.

use std::io::Write;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::load::{Operation, Source, Verb};
use crate::resp::Outcome;

/// How often each operation is drawn, as in `get=95,set=5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix {
    weights: Vec<(Verb, u64)>,
    total: u64,
}

/// How keys are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Distribution {
    /// Every key as often as every other.
    Uniform,
    /// Key of rank r in proportion to 1 / r^0.99, as YCSB does; the ranks are scattered over the keys.
    Zipf,
}

/// The part of a command line that says what to ask for.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkloadArguments {
    /// Operations and their weights: `set`, `get`, `incr`.
    #[arg(long, default_value = "get=1", value_name = "NAME=WEIGHT,…")]
    pub(crate) mix: Mix,
    /// How many keys there are.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: u64,
    /// How keys are drawn.
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    pub(crate) distribution: Distribution,
    /// The size of a value, in bytes.
    #[arg(long, default_value_t = 64)]
    pub(crate) value_size: usize,
    /// Draws the same keys again.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let weight = |part: &str| -> Option<(Verb, u64)> {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let verb = match name {
                "set" => Verb::Set,
                "get" => Verb::Get,
                "incr" => Verb::Increment,
                _ => return None,
            };
            Some((verb, weight.parse().ok()?))
        };
        let weights: Option<Vec<_>> = text.split(',').map(weight).collect();
        let weights = weights.ok_or("expected weights of `set`, `get`, `incr`: `get=95,set=5`")?;
        let total = weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            Err("no operation has a weight".to_owned())
        } else {
            Ok(Mix { weights, total })
        }
    }
}

impl Mix {
    /// Nothing but this.
    pub(crate) fn only(verb: Verb) -> Mix {
        Mix { weights: vec![(verb, 1)], total: 1 }
    }

    fn draw(&self, random: &mut Random) -> Verb {
        let mut point = random.below(self.total);
        for &(verb, weight) in &self.weights {
            match point.checked_sub(weight) {
                Some(rest) => point = rest,
                None => return verb,
            }
        }
        unreachable!("a point below the total is within some weight")
    }
}

/// Numbers that look random and come again with their seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// Below `end`, as good as evenly.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(end)) >> 64) as u64
    }

    fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Zipf ranks as YCSB draws them (Gray et al., Quickly Generating Billion-Record Synthetic Databases,
/// SIGMOD 1994).
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    count: f64,
    alpha: f64,
    eta: f64,
    zeta: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    /// Costs time in proportion to the count, once.
    pub(crate) fn new(count: u64) -> Zipf {
        let zeta =
            |count: u64| -> f64 { (1..=count).map(|rank| (rank as f64).powf(-Zipf::THETA)).sum() };
        let total = zeta(count);
        let alpha = 1.0 / (1.0 - Zipf::THETA);
        let tail = (2.0 / count as f64).powf(1.0 - Zipf::THETA);
        let eta = (1.0 - tail) / (1.0 - zeta(2.min(count)) / total);
        Zipf { count: count as f64, alpha, eta, zeta: total }
    }

    /// A rank, from 0, the most frequent.
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        let fraction = random.fraction();
        let scaled = fraction * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(Zipf::THETA) {
            return 1;
        }
        let rank = self.count * (self.eta * fraction - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count as u64 - 1)
    }
}

/// An endless stream of drawn operations.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    mix: Mix,
    keys: u64,
    zipf: Option<Zipf>,
    value: Vec<u8>,
    random: Random,
}

impl Workload {
    pub(crate) fn new(arguments: &WorkloadArguments, stream: u64) -> Workload {
        let zipf = match arguments.distribution {
            Distribution::Uniform => None,
            Distribution::Zipf => Some(Zipf::new(arguments.keys)),
        };
        Workload {
            mix: arguments.mix.clone(),
            keys: arguments.keys,
            zipf,
            value: value(arguments.value_size),
            random: Random::new(mixed(arguments.seed).wrapping_add(mixed(stream))),
        }
    }

    pub(crate) fn draw(&mut self) -> Operation {
        let verb = self.mix.draw(&mut self.random);
        let key = match &self.zipf {
            None => self.random.below(self.keys),
            Some(zipf) => mixed(zipf.draw(&mut self.random)) % self.keys,
        };
        Operation { verb, key }
    }
}

impl Source for Workload {
    fn next(&mut self, _connection: usize) -> Option<Operation> {
        Some(self.draw())
    }

    fn encode(&self, operation: Operation, output: &mut Vec<u8>) {
        encode(operation, &self.value, output);
    }

    fn answered(&mut self, _connection: usize, _operation: Operation, _outcome: Outcome) {}
}

/// Every key once, for reads that shall find something.
#[derive(Debug)]
pub(crate) struct Fill {
    next: u64,
    end: u64,
    value: Vec<u8>,
}

impl Fill {
    pub(crate) fn new(arguments: &WorkloadArguments) -> Fill {
        Fill { next: 0, end: arguments.keys, value: value(arguments.value_size) }
    }
}

impl Source for Fill {
    fn next(&mut self, _connection: usize) -> Option<Operation> {
        let key = self.next;
        self.next += 1;
        (key < self.end).then_some(Operation { verb: Verb::Set, key })
    }

    fn encode(&self, operation: Operation, output: &mut Vec<u8>) {
        encode(operation, &self.value, output);
    }

    fn answered(&mut self, _connection: usize, _operation: Operation, _outcome: Outcome) {}
}

/// Bytes that do not compress to nothing.
pub(crate) fn value(size: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    (0..size).map(|_| b'a' + random.below(26) as u8).collect()
}

/// A key as both RESP servers and etcd get it: 16 bytes.
pub(crate) fn key(verb: Verb, number: u64) -> [u8; 16] {
    let mut key = [b'0'; 16];
    key[..4].copy_from_slice(if verb == Verb::Increment { b"num:" } else { b"key:" });
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Appends an operation as a RESP command.
pub(crate) fn encode(operation: Operation, value: &[u8], output: &mut Vec<u8>) {
    let Operation { verb, key: number } = operation;
    let key = key(verb, number);
    match verb {
        Verb::Get => output.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$16\r\n"),
        Verb::Set => output.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n"),
        Verb::Increment => output.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n$16\r\n"),
    }
    output.extend_from_slice(&key);
    output.extend_from_slice(b"\r\n");
    if verb == Verb::Set {
        write!(output, "${}\r\n", value.len()).expect("memory takes every write");
        output.extend_from_slice(value);
        output.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
