//! A disk that takes its time, fails, forgets and rots, as real ones do.
//!
//! A `Drive` outlives the nodes that use it; each start of a node gets a `SimDisk` of its own.
//!
//! **Invariant.** After `Drive::power_cut` no older `SimDisk` touches the drive again, whatever the
//! destructors of the killed node still try: each carries the incarnation it was made for.
//!
//! It is an oracle too: an incarnation of the engine writes a place in a segment once. Other bytes there
//! could not be told from what may lie there since before a crash, and would use a nonce twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenkeel_engine::disk::{Area, BLOCK_SIZE, Completion, Disk, Operation, Ticket};

use self::platter::{Change, ChangeId, Cut, Platter, Rot, Tearing};
use crate::coverage::Kind;
use crate::random::Random;

pub mod platter;
#[cfg(test)]
mod tests;

/// Where a chunk says which incarnation wrote it (docs/internals/format.md).
const INCARNATION_AT: usize = 32;

/// How a drive behaves from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    /// Reads take at least the first, and the second on average above that.
    pub read: (Duration, Duration),
    /// Writes, likewise.
    pub write: (Duration, Duration),
    /// Flushes, and the making of areas.
    pub flush: (Duration, Duration),
    /// Everything takes so many times as long.
    pub slowness: u32,
    /// What is submitted takes this much longer; hours mean a hung disk.
    pub stall: Duration,
    /// Reads that fail, out of a million.
    pub read_errors_ppm: u32,
    /// Reads that show a bit turned over, though it is right on the platter.
    pub read_flips_ppm: u32,
    /// Reads that show another block in the place of one. Like flips, only for a node that has come
    /// up: what it takes for the end of its log is forgotten for good.
    pub reads_astray_ppm: u32,
    /// Writes that fail.
    pub write_errors_ppm: u32,
    /// Flushes that fail.
    pub flush_errors_ppm: u32,
    /// There is room for so many bytes of areas.
    pub size_max: u64,
}

impl Default for Weather {
    /// A healthy NVMe drive without a write cache that it trusts.
    fn default() -> Weather {
        let us = Duration::from_micros;
        Weather {
            read: (us(60), us(20)),
            write: (us(20), us(10)),
            flush: (us(300), us(200)),
            slowness: 1,
            stall: Duration::ZERO,
            read_errors_ppm: 0,
            read_flips_ppm: 0,
            reads_astray_ppm: 0,
            write_errors_ppm: 0,
            flush_errors_ppm: 0,
            size_max: u64::MAX,
        }
    }
}

/// What became of operations so far, by name: "read", "write error", "torn" and so on.
pub type Counts = BTreeMap<&'static str, u64>;

/// Hears of every completion: what, where, whether it worked, and how long it took. Feeds the record of
/// the run.
pub type Listener = Box<dyn FnMut(&'static str, Option<Area>, bool, Duration)>;

/// The thing in the machine. Clones are the same drive.
#[derive(Clone)]
pub struct Drive(Rc<RefCell<State>>);

struct State {
    platter: Platter,
    /// What was last submitted to be written, whatever became of it: by area and block, the engine's
    /// incarnation and a digest.
    written: BTreeMap<(Area, u64), (u64, u64)>,
    incarnation: u64,
    weather: Weather,
    /// How long things take.
    times: Random,
    /// What goes wrong.
    faults: Random,
    counts: Counts,
    felt: BTreeMap<Kind, u64>,
    /// The node that uses it has read its log.
    serves: bool,
    listener: Option<Listener>,
    /// Of the current `SimDisk`, while it waits.
    waker: Option<Waker>,
    /// What is in flight completes at the next poll.
    hurries: bool,
}

impl Drive {
    /// An empty drive with streams of its own.
    pub fn new(random: &Random) -> Drive {
        Drive(Rc::new(RefCell::new(State {
            platter: Platter::new(),
            written: BTreeMap::new(),
            incarnation: 0,
            weather: Weather::default(),
            times: random.child("times"),
            faults: random.child("faults"),
            counts: Counts::new(),
            felt: BTreeMap::new(),
            serves: false,
            listener: None,
            waker: None,
            hurries: false,
        })))
    }

    /// For one start of a node; whatever was opened before is cut off.
    pub fn open(&self) -> SimDisk {
        let mut state = self.0.borrow_mut();
        state.incarnation += 1;
        state.waker = None;
        state.hurries = false;
        state.serves = false;
        SimDisk { drive: self.clone(), incarnation: state.incarnation, in_flight: Vec::new() }
    }

    /// The node that uses it has come up, and can do without what a read does not show.
    pub fn serve(&self) {
        self.0.borrow_mut().serves = true;
    }

    /// How many operations have ended so far.
    pub fn operation_count(&self) -> u64 {
        let counts = &self.0.borrow().counts;
        ["create", "read", "write", "flush"].iter().filter_map(|what| counts.get(what)).sum()
    }

    /// How many reads have failed so far.
    pub fn read_errors(&self) -> u64 {
        self.0.borrow().felt.get(&Kind::ReadError).copied().unwrap_or_default()
    }

    /// Nobody who read it has ever been shown anything but what was written.
    pub fn was_always_right(&self) -> bool {
        let wrong = [
            Kind::ReadError,
            Kind::ReadFlip,
            Kind::ReadMisdirected,
            Kind::RotFlip,
            Kind::RotZero,
            Kind::WriteMisdirected,
            Kind::WriteLost,
        ];
        wrong.iter().all(|kind| !self.0.borrow().felt.contains_key(kind))
    }

    /// How often each kind of trouble was felt by whoever used it.
    pub fn felt(&self) -> BTreeMap<Kind, u64> {
        self.0.borrow().felt.clone()
    }

    /// The machine loses power, now. Call it before the node's tasks are dropped.
    pub fn power_cut(&self, tearing: Tearing) -> Cut {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        state.incarnation += 1;
        let cut = state.platter.power_cut(tearing, &mut state.faults);
        for (name, count) in [("lost", cut.lost), ("torn", cut.torn), ("kept", cut.kept)] {
            *state.counts.entry(name).or_default() += u64::from(count);
        }
        cut
    }

    /// A new, empty drive takes this one's place.
    pub fn wipe(&self) {
        let mut state = self.0.borrow_mut();
        state.incarnation += 1;
        state.platter = Platter::new();
        state.written.clear();
    }

    /// A sector goes bad at rest; tells where, if anything was written yet.
    pub fn rot(&self, rot: Rot) -> Option<(Area, u64)> {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        let place = state.platter.rot(rot, &mut state.faults);
        *state.counts.entry("rotten").or_default() += u64::from(place.is_some());
        place
    }

    /// Changes how the drive behaves. Healing also ends the waits of what is in flight.
    pub fn set_weather(&self, weather: Weather) {
        let mut state = self.0.borrow_mut();
        let heals =
            weather.stall < state.weather.stall || weather.slowness < state.weather.slowness;
        state.weather = weather;
        if heals {
            state.hurries = true;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// How it behaves now.
    pub fn weather(&self) -> Weather {
        self.0.borrow().weather.clone()
    }

    /// See `Counts`.
    pub fn counts(&self) -> Counts {
        self.0.borrow().counts.clone()
    }

    /// See `Listener`.
    pub fn listen(&self, listener: Listener) {
        self.0.borrow_mut().listener = Some(listener);
    }

    /// A copy of what the drive remembers.
    pub fn platter(&self) -> Platter {
        self.0.borrow().platter.clone()
    }
}

impl State {
    fn count(&mut self, what: &'static str, area: Option<Area>, worked: bool, took: Duration) {
        *self.counts.entry(what).or_default() += 1;
        if let Some(listener) = &mut self.listener {
            listener(what, area, worked, took);
        }
    }

    fn feel(&mut self, kind: Kind) {
        *self.felt.entry(kind).or_default() += 1;
    }

    /// How long an operation will take, and whether it will work.
    fn draw(&mut self, operation: &Operation) -> (Duration, bool) {
        let ((least, typical), errors_ppm) = match operation {
            Operation::Read { .. } => (self.weather.read, self.weather.read_errors_ppm),
            Operation::Write { .. } | Operation::Commit { .. } => {
                (self.weather.write, self.weather.write_errors_ppm)
            }
            Operation::Flush { .. } => (self.weather.flush, self.weather.flush_errors_ppm),
            Operation::Create { .. } | Operation::Rename { .. } | Operation::Remove { .. } => {
                (self.weather.flush, 0)
            }
        };
        let time = self.times.latency(least, typical) * self.weather.slowness;
        if self.weather.stall > Duration::ZERO {
            self.feel(if self.weather.stall < HUNG { Kind::DiskStall } else { Kind::DiskHung });
        }
        (time + self.weather.stall, !self.faults.chance_ppm(errors_ppm))
    }

    fn begin(&mut self, operation: &Operation) -> io::Result<Option<ChangeId>> {
        let change = match operation {
            Operation::Create { area, size } => {
                if self.platter.size() + size > self.weather.size_max {
                    self.feel(Kind::DiskFull);
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Change::Create { area: *area, size: *size }
            }
            Operation::Rename { area, to } => Change::Rename { area: *area, to: *to },
            Operation::Remove { area } => Change::Remove { area: *area },
            Operation::Write { area, offset, buffer }
            | Operation::Commit { area, offset, buffer } => {
                self.note_write(*area, *offset, buffer);
                Change::Write { area: *area, offset: *offset, bytes: buffer.to_vec() }
            }
            Operation::Flush { area } => Change::Flush { area: *area },
            Operation::Read { .. } => return Ok(None),
        };
        self.platter.begin(change).map(Some)
    }

    /// Whatever became of an earlier write, this is another place, or the same bytes.
    fn note_write(&mut self, area: Area, offset: u64, bytes: &[u8]) {
        if area == Area::Super {
            return;
        }
        let Some(author) = bytes[INCARNATION_AT..].first_chunk() else { return };
        let author = u64::from_le_bytes(*author);
        for (block, bytes) in (offset / BLOCK_SIZE as u64..).zip(bytes.chunks(BLOCK_SIZE)) {
            let now = (author, digest(bytes));
            let before =
                self.written.insert((area, block), now).filter(|before| before.0 == author);
            assert!(
                before.is_none_or(|before| before == now),
                "incarnation {author} writes other bytes over block {block} of {area:?}"
            );
        }
    }

    /// The operation's time has come.
    fn finish(&mut self, flight: InFlight) -> Completion {
        let InFlight { ticket, mut operation, change, works, takes, .. } = flight;
        let (what, area) = describe(&operation);
        if change.is_ok() && !works {
            self.feel(match operation {
                Operation::Read { .. } => Kind::ReadError,
                Operation::Write { .. } | Operation::Commit { .. } => Kind::WriteError,
                Operation::Flush { .. }
                | Operation::Create { .. }
                | Operation::Rename { .. }
                | Operation::Remove { .. } => Kind::FlushError,
            });
        }
        let result = match (change, works) {
            (Err(error), _) => Err(error),
            (Ok(Some(id)), true) => {
                self.platter.end(id);
                Ok(())
            }
            (Ok(Some(id)), false) => {
                self.platter.fail(id);
                Err(broken())
            }
            (Ok(None), true) => self.read(&mut operation),
            (Ok(None), false) => Err(broken()),
        };
        self.count(what, Some(area), result.is_ok(), takes);
        if result.is_err() {
            self.count("error", None, false, Duration::ZERO);
        }
        let buffer = match operation {
            Operation::Read { buffer, .. }
            | Operation::Write { buffer, .. }
            | Operation::Commit { buffer, .. } => Some(buffer),
            Operation::Create { .. }
            | Operation::Rename { .. }
            | Operation::Remove { .. }
            | Operation::Flush { .. } => None,
        };
        Completion { ticket, result, buffer }
    }

    fn read(&mut self, operation: &mut Operation) -> io::Result<()> {
        let Operation::Read { area, offset, buffer } = operation else {
            unreachable!("only reads change nothing");
        };
        self.platter.read(*area, *offset, buffer)?;
        let bad: Vec<Rot> = self.platter.bad(*area, *offset, buffer.len()).collect();
        bad.into_iter().for_each(|rot| self.feel(rot.kind()));
        if !self.serves || buffer.is_empty() {
            return Ok(());
        }
        if self.faults.chance_ppm(self.weather.read_flips_ppm) {
            let at = self.faults.below(buffer.len() as u64) as usize;
            buffer[at] ^= 1 << self.faults.below(8);
            self.feel(Kind::ReadFlip);
            self.count("flipped read", None, true, Duration::ZERO);
        }
        if self.faults.chance_ppm(self.weather.reads_astray_ppm)
            && let Some(stray) = self.platter.any_block(*area, &mut self.faults)
            && buffer[..BLOCK_SIZE] != stray[..]
        {
            buffer[..BLOCK_SIZE].copy_from_slice(stray);
            self.feel(Kind::ReadMisdirected);
            self.count("stray read", None, true, Duration::ZERO);
        }
        Ok(())
    }
}

/// Enough to tell blocks apart that are written over each other.
fn digest(bytes: &[u8]) -> u64 {
    let words = bytes
        .chunks(8)
        .map(|word| word.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte)));
    words
        .fold(0, |digest, word| (digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}

/// Who waits this long for a disk waits for ever.
pub const HUNG: Duration = Duration::from_secs(3_600);

impl Rot {
    /// As it is counted.
    pub fn kind(self) -> Kind {
        match self {
            Rot::Flip => Kind::RotFlip,
            Rot::Zero => Kind::RotZero,
            Rot::Misdirect => Kind::WriteMisdirected,
            Rot::Stale => Kind::WriteLost,
        }
    }
}

/// EIO, as Linux numbers it.
fn broken() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn describe(operation: &Operation) -> (&'static str, Area) {
    match operation {
        Operation::Create { area, .. } => ("create", *area),
        Operation::Rename { to, .. } => ("rename", *to),
        Operation::Remove { area } => ("remove", *area),
        Operation::Read { area, .. } => ("read", *area),
        Operation::Write { area, .. } | Operation::Commit { area, .. } => ("write", *area),
        Operation::Flush { area } => ("flush", *area),
    }
}

struct InFlight {
    ticket: Ticket,
    operation: Operation,
    change: io::Result<Option<ChangeId>>,
    works: bool,
    takes: Duration,
    /// Holds the buffer until the time has come.
    timer: Pin<Box<dyn Future<Output = ()>>>,
}

fn start(state: &mut State, ticket: Ticket, operation: Operation) -> InFlight {
    let (takes, works) = state.draw(&operation);
    let change = state.begin(&operation);
    let timer = Box::pin(evenkeel_runtime::sleep(takes));
    InFlight { ticket, operation, change, works, takes, timer }
}

/// A node's access to its drive, from one start to the next power cut.
pub struct SimDisk {
    drive: Drive,
    incarnation: u64,
    in_flight: Vec<InFlight>,
}

impl SimDisk {
    fn is_current(&self) -> bool {
        self.drive.0.borrow().incarnation == self.incarnation
    }
}

impl Disk for SimDisk {
    fn areas(&mut self) -> io::Result<Vec<(Area, u64)>> {
        if !self.is_current() {
            return Err(broken());
        }
        Ok(self.drive.0.borrow().platter.areas())
    }

    fn submit(&mut self, ticket: Ticket, operation: Operation) {
        if !self.is_current() {
            return;
        }
        let mut state = self.drive.0.borrow_mut();
        self.in_flight.push(start(&mut state, ticket, operation));
        // The timer starts when it is polled first.
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        if !self.is_current() {
            return Poll::Pending;
        }
        let before = completions.len();
        let mut state = self.drive.0.borrow_mut();
        let mut index = 0;
        while index < self.in_flight.len() {
            if state.hurries || self.in_flight[index].timer.as_mut().poll(context).is_ready() {
                let flight = self.in_flight.swap_remove(index);
                let commits = match flight.operation {
                    Operation::Commit { area, .. } => Some(area),
                    _ => None,
                };
                let completion = state.finish(flight);
                match commits {
                    Some(area) if completion.result.is_ok() => {
                        let flush = start(&mut state, completion.ticket, Operation::Flush { area });
                        self.in_flight.push(flush);
                    }
                    _ => completions.push(completion),
                }
            } else {
                index += 1;
            }
        }
        state.hurries = false;
        state.waker = Some(context.waker().clone());
        if completions.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}

impl Drop for SimDisk {
    /// A process that ends leaves its writes to the kernel, which carries them out. A power cut has
    /// already decided about them, and then there is nothing to do.
    fn drop(&mut self) {
        if !self.is_current() {
            return;
        }
        let mut state = self.drive.0.borrow_mut();
        for flight in self.in_flight.drain(..) {
            match (flight.change, &flight.operation) {
                (Ok(Some(id)), Operation::Flush { .. }) => state.platter.abandon(id),
                (Ok(Some(id)), _) => state.platter.end(id),
                (Ok(None) | Err(_), _) => (),
            }
        }
    }
}
