//! Reads from the device: how many at a time, what to do with a wrong answer.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;

use super::ReadTicket;
use crate::Location;
use crate::disk::{Area, BLOCK_SIZE, Buffer, Completion, Operation, Ticket};
use crate::error::ReadError;
use crate::format::{Place, record};
use crate::keys::DataKey;
use crate::limits::READ_COUNT_MAX;

/// A read that the device is to answer.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) ticket: ReadTicket,
    pub(super) location: Location,
    /// Whose record it must be.
    pub(super) incarnation: u64,
    /// What opens it, in a folder that is encrypted.
    pub(super) key: Option<Rc<DataKey>>,
    retried: bool,
}

/// Invariant: at most `READ_COUNT_MAX` are in flight.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: VecDeque<Read>,
    flying: BTreeMap<Ticket, Read>,
    pub(super) retries: u64,
}

impl Reads {
    pub(super) fn add(
        &mut self,
        ticket: ReadTicket,
        location: Location,
        incarnation: u64,
        key: Option<Rc<DataKey>>,
    ) {
        self.waiting.push_back(Read { ticket, location, incarnation, key, retried: false });
    }

    /// Whether whoever can wait may read.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.flying.len() < READ_COUNT_MAX / 4
    }

    /// Whether somebody is about to read in this segment.
    pub(super) fn touches(&self, segment: u32) -> bool {
        let mut all = self.waiting.iter().chain(self.flying.values());
        all.any(|read| read.location.segment == segment)
    }

    /// What to submit next, if anything may be.
    pub(super) fn next(&mut self) -> Option<(Read, Operation)> {
        if READ_COUNT_MAX <= self.flying.len() {
            return None;
        }
        let read = self.waiting.pop_front()?;
        let (start, size) = span(read.location);
        let buffer = Buffer::zeroed(size);
        let area = Area::Segment(read.location.segment);
        Some((read, Operation::Read { area, offset: start, buffer }))
    }

    pub(super) fn submitted(&mut self, ticket: Ticket, read: Read) {
        self.flying.insert(ticket, read);
    }

    /// The answer to a read, unless it is to be asked once more. `None` too if it is not a read.
    pub(super) fn complete(
        &mut self,
        completion: &Completion,
    ) -> Option<(ReadTicket, Result<Bytes, ReadError>)> {
        let read = self.flying.remove(&completion.ticket)?;
        let result = verified(&read, completion);
        if result.is_err() && !read.retried {
            self.retries += 1;
            self.waiting.push_front(Read { retried: true, ..read });
            return None;
        }
        Some((read.ticket, result))
    }
}

fn verified(read: &Read, completion: &Completion) -> Result<Bytes, ReadError> {
    let Location { segment, offset, size } = read.location;
    let damaged = |cause: String| ReadError::Damaged { segment, offset, cause };
    completion.result.as_ref().map_err(|error| damaged(error.to_string()))?;
    let buffer = completion.buffer.as_ref().expect("a read gives its buffer back");
    let start = offset as usize % BLOCK_SIZE;
    let place = Place { incarnation: read.incarnation, segment, offset };
    let bytes = &buffer[start..start + size as usize];
    let frame = record::decode(bytes, place).map_err(|error| damaged(error.to_string()))?;
    if frame.size != size as usize {
        return Err(damaged("another record lies here".to_owned()));
    }
    let opened = frame.open(read.key.as_deref()).map_err(|error| damaged(error.to_string()))?;
    Ok(opened.into_bytes())
}

/// The blocks that hold a record.
fn span(location: Location) -> (u64, usize) {
    let start = location.offset as usize / BLOCK_SIZE * BLOCK_SIZE;
    let end = location.offset as usize + location.size as usize;
    (start as u64, end.next_multiple_of(BLOCK_SIZE) - start)
}
