//! A disk in memory, for tests and benches, that can lose power.
//!
//! It keeps two versions of every area: what has been written, and what a power cut would leave for
//! sure. `MemoryDisk::power_cut` decides sector by sector which of the writes in between survive: those
//! that were completed and not flushed, and those that were on their way. Clones are handles to the
//! same disk, so a test keeps one while an engine owns the other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Area, Buffer, Completion, Disk, Operation, Ticket};

/// What a power cut keeps or loses as a whole, in bytes.
pub const SECTOR_SIZE: usize = 512;

/// A kind of operation, to make one of them fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Operation::Create`, `Rename` and `Remove`.
    Create,
    /// `Operation::Read`.
    Read,
    /// `Operation::Write`, and the first half of a `Commit`.
    Write,
    /// `Operation::Flush`, and the second half of a `Commit`.
    Flush,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    areas: BTreeMap<Area, Content>,
    queue: VecDeque<Submitted>,
    /// Completions until the power fails; `None`: it does not.
    power: Option<u64>,
    /// Drives the order of completions; `None`: as submitted.
    order: Option<u64>,
    fault: Option<(Kind, u64, io::ErrorKind)>,
    room: Option<u64>,
    rewrites: u64,
    completed: u64,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    /// What a read sees.
    written: Vec<u8>,
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// Sectors in which the two may differ.
    unsynced: BTreeSet<usize>,
    /// What the area held when it got its name.
    before: Vec<u8>,
    /// Sectors that were written since.
    touched: BTreeSet<usize>,
}

#[derive(Debug)]
struct Submitted {
    ticket: Ticket,
    operation: Operation,
    /// What a flush makes durable: completed before it was submitted.
    flushes: Vec<(usize, Vec<u8>)>,
}

impl MemoryDisk {
    /// An empty disk that never fails.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// The power fails after so many more completions: nothing completes any more.
    pub fn fail_power_after(&self, completions: u64) {
        self.0.borrow_mut().power = Some(completions);
    }

    /// Whether the power has failed.
    pub fn is_dark(&self) -> bool {
        self.0.borrow().power == Some(0)
    }

    /// From now on operations complete one at a time in an order drawn from `seed`.
    pub fn shuffle(&self, seed: u64) {
        self.0.borrow_mut().order = Some(seed | 1);
    }

    /// The next operation of this kind, after `skip` others, fails. A failed write has written nothing,
    /// and what a failed flush was to flush is lost at the next power cut, whatever is flushed later.
    pub fn fail(&self, kind: Kind, skip: u64, error: io::ErrorKind) {
        self.0.borrow_mut().fault = Some((kind, skip, error));
    }

    /// At most so many bytes in areas; more is `StorageFull`.
    pub fn limit_room(&self, bytes: Option<u64>) {
        self.0.borrow_mut().room = bytes;
    }

    /// What exists, as a new disk sees it after a power cut now. `survives` decides about each write,
    /// sector by sector, that no flush has covered; it is asked in order of areas and sectors, first
    /// for what has completed, then for what has not.
    pub fn power_cut(&self, mut survives: impl FnMut(Area, usize) -> bool) -> MemoryDisk {
        let state = self.0.borrow();
        let mut areas = state.areas.clone();
        for (&area, content) in &mut areas {
            for sector in std::mem::take(&mut content.unsynced) {
                if survives(area, sector) {
                    let range = range_of(sector);
                    content.durable[range.clone()].copy_from_slice(&content.written[range]);
                }
            }
        }
        for submitted in &state.queue {
            let (Operation::Write { area, offset, buffer }
            | Operation::Commit { area, offset, buffer }) = &submitted.operation
            else {
                continue;
            };
            let Some(content) = areas.get_mut(area) else { continue };
            for (sector, bytes) in sectors(*offset, buffer) {
                if survives(*area, sector) {
                    content.durable[range_of(sector)].copy_from_slice(bytes);
                }
            }
        }
        for content in areas.values_mut() {
            content.written.clone_from(&content.durable);
            // A sector that nothing reached in this life of the area is as good as new.
            let Content { durable, before, touched, .. } = content;
            touched.retain(|&sector| durable[range_of(sector)] != before[range_of(sector)]);
        }
        let state = State { areas, rewrites: state.rewrites, ..State::default() };
        MemoryDisk(Rc::new(RefCell::new(state)))
    }

    /// What exists, as a new process sees it after the death of the one before: the kernel carries out
    /// what it was given, and flushes nothing.
    pub fn process_killed(&self) -> MemoryDisk {
        let old = self.0.borrow();
        let mut state =
            State { areas: old.areas.clone(), rewrites: old.rewrites, ..State::default() };
        for submitted in &old.queue {
            // What fails now has nobody left to hear of it.
            let _unheard = match &submitted.operation {
                Operation::Create { area, size } => state.create(*area, *size),
                Operation::Rename { area, to } => state.rename(*area, *to),
                Operation::Remove { area } => {
                    state.areas.remove(area);
                    Ok(())
                }
                Operation::Write { area, offset, buffer }
                | Operation::Commit { area, offset, buffer } => state.write(*area, *offset, buffer),
                Operation::Read { .. } | Operation::Flush { .. } => Ok(()),
            };
        }
        MemoryDisk(Rc::new(RefCell::new(state)))
    }

    /// How many sectors `power_cut` would ask about.
    pub fn unsynced(&self) -> usize {
        let mut count = 0;
        self.power_cut(|_, _| {
            count += 1;
            false
        });
        count
    }

    /// Sectors of segments that were written again over bytes that were there, by whomever.
    pub fn rewrites(&self) -> u64 {
        self.0.borrow().rewrites
    }

    /// Operations completed so far.
    pub fn completed(&self) -> u64 {
        self.0.borrow().completed
    }

    /// The areas with their sizes.
    pub fn sizes(&self) -> Vec<(Area, u64)> {
        let state = self.0.borrow();
        state.areas.iter().map(|(&area, content)| (area, content.written.len() as u64)).collect()
    }

    /// What a read of the whole area would see.
    pub fn bytes(&self, area: Area) -> Vec<u8> {
        self.0.borrow().areas.get(&area).map_or_else(Vec::new, |content| content.written.clone())
    }

    /// Makes an area of zeros, as if it had always been there.
    pub fn put(&self, area: Area, size: u64) {
        let made = self.0.borrow_mut().create(area, size);
        made.expect("a test makes what is not there");
    }

    /// Damages an area behind everyone's back.
    pub fn overwrite(&self, area: Area, offset: usize, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let content = state.areas.get_mut(&area).expect("a test damages what is there");
        content.written[offset..offset + bytes.len()].copy_from_slice(bytes);
        content.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Loses a whole area.
    pub fn remove(&self, area: Area) {
        self.0.borrow_mut().areas.remove(&area).expect("a test removes what is there");
    }
}

impl Disk for MemoryDisk {
    fn areas(&mut self) -> io::Result<Vec<(Area, u64)>> {
        Ok(self.sizes())
    }

    fn submit(&mut self, ticket: Ticket, operation: Operation) {
        let mut state = self.0.borrow_mut();
        state.accept(ticket, operation);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        let before = completions.len();
        while let Some(submitted) = state.next() {
            let commits = match submitted.operation {
                Operation::Commit { area, .. } => Some(area),
                _ => None,
            };
            let completion = state.execute(submitted);
            match commits {
                Some(area) if completion.result.is_ok() => {
                    state.accept(completion.ticket, Operation::Flush { area });
                    continue;
                }
                _ => completions.push(completion),
            }
            if state.order.is_some() {
                break;
            }
        }
        if completions.len() == before {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

impl State {
    fn accept(&mut self, ticket: Ticket, operation: Operation) {
        let flushes = self.on_submit(&operation);
        self.queue.push_back(Submitted { ticket, operation, flushes });
    }

    fn on_submit(&mut self, operation: &Operation) -> Vec<(usize, Vec<u8>)> {
        match operation {
            Operation::Write { area: area @ Area::Segment(_), offset, buffer }
            | Operation::Commit { area: area @ Area::Segment(_), offset, buffer } => {
                let Some(content) = self.areas.get_mut(area) else { return Vec::new() };
                for (sector, bytes) in sectors(*offset, buffer) {
                    // Zeros over what nobody has written are as good as nothing.
                    let is_blank = bytes.iter().all(|&byte| byte == 0);
                    let is_rewrite = match is_blank {
                        true => content.touched.contains(&sector),
                        false => !content.touched.insert(sector),
                    };
                    self.rewrites += u64::from(is_rewrite);
                }
                Vec::new()
            }
            Operation::Flush { area } => {
                let Some(content) = self.areas.get(area) else { return Vec::new() };
                let sector = |&sector: &usize| (sector, content.written[range_of(sector)].to_vec());
                content.unsynced.iter().map(sector).collect()
            }
            _ => Vec::new(),
        }
    }

    fn next(&mut self) -> Option<Submitted> {
        if self.queue.is_empty() || self.power == Some(0) {
            return None;
        }
        self.power = self.power.map(|left| left - 1);
        self.completed += 1;
        let index = self.order.as_mut().map_or(0, |state| {
            // xorshift64 (Marsaglia, 2003): no more than a shuffle needs.
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state % self.queue.len() as u64) as usize
        });
        self.queue.remove(index)
    }

    fn execute(&mut self, submitted: Submitted) -> Completion {
        let Submitted { ticket, operation, flushes } = submitted;
        let failed = self.fails(&operation);
        let (result, buffer) = match operation {
            Operation::Create { area, size } => {
                (failed.and_then(|()| self.create(area, size)), None)
            }
            Operation::Rename { area, to } => (failed.and_then(|()| self.rename(area, to)), None),
            Operation::Remove { area } => (
                failed
                    .and_then(|()| self.content(area).map(drop))
                    .map(|()| drop(self.areas.remove(&area))),
                None,
            ),
            Operation::Read { area, offset, mut buffer } => {
                let result = failed.and_then(|()| {
                    let content = self.content(area)?;
                    let bytes =
                        content.written.get(offset as usize..offset as usize + buffer.len());
                    buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                    Ok(())
                });
                (result, Some(buffer))
            }
            Operation::Write { area, offset, buffer }
            | Operation::Commit { area, offset, buffer } => {
                (failed.and_then(|()| self.write(area, offset, &buffer)), Some(buffer))
            }
            Operation::Flush { area } => (self.flush(area, flushes, failed), None),
        };
        Completion { ticket, result, buffer }
    }

    fn fails(&mut self, operation: &Operation) -> io::Result<()> {
        let kind = match operation {
            Operation::Create { .. } | Operation::Rename { .. } | Operation::Remove { .. } => {
                Kind::Create
            }
            Operation::Read { .. } => Kind::Read,
            Operation::Write { .. } | Operation::Commit { .. } => Kind::Write,
            Operation::Flush { .. } => Kind::Flush,
        };
        match self.fault {
            Some((fault, 0, error)) if fault == kind => {
                self.fault = None;
                Err(error.into())
            }
            Some((fault, skip, error)) if fault == kind => {
                self.fault = Some((fault, skip - 1, error));
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn content(&mut self, area: Area) -> io::Result<&mut Content> {
        self.areas.get_mut(&area).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, area: Area, size: u64) -> io::Result<()> {
        if self.areas.contains_key(&area) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let used: usize = self.areas.values().map(|content| content.written.len()).sum();
        if self.room.is_some_and(|room| room < used as u64 + size) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; size as usize];
        let (written, durable) = (zeros.clone(), zeros.clone());
        let content = Content { written, durable, before: zeros, ..Content::default() };
        self.areas.insert(area, content);
        Ok(())
    }

    /// The area's new life: what is written now is written for the first time.
    fn rename(&mut self, area: Area, to: Area) -> io::Result<()> {
        if self.areas.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut content = self.areas.remove(&area).ok_or(io::ErrorKind::NotFound)?;
        content.touched.clear();
        content.before.clone_from(&content.written);
        self.areas.insert(to, content);
        Ok(())
    }

    fn write(&mut self, area: Area, offset: u64, buffer: &Buffer) -> io::Result<()> {
        let content = self.content(area)?;
        let range = offset as usize..offset as usize + buffer.len();
        content.written.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(buffer);
        content.unsynced.extend(sectors(offset, buffer).map(|(sector, _)| sector));
        Ok(())
    }

    fn flush(
        &mut self,
        area: Area,
        flushes: Vec<(usize, Vec<u8>)>,
        failed: io::Result<()>,
    ) -> io::Result<()> {
        let content = self.content(area)?;
        for (sector, bytes) in flushes {
            let range = range_of(sector);
            if content.written[range.clone()] == bytes[..] {
                content.unsynced.remove(&sector);
            }
            if failed.is_ok() {
                content.durable[range].copy_from_slice(&bytes);
            }
        }
        failed
    }
}

fn sectors(offset: u64, buffer: &Buffer) -> impl Iterator<Item = (usize, &[u8])> {
    let first = offset as usize / SECTOR_SIZE;
    buffer.chunks(SECTOR_SIZE).enumerate().map(move |(index, bytes)| (first + index, bytes))
}

fn range_of(sector: usize) -> std::ops::Range<usize> {
    sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE
}
