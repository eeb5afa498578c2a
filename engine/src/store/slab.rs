//! Entries by number: pages that never move, and a free list through the vacant ones.
//!
//! Invariant: an id from `insert` names the same entry until `remove`. Pages are not given back.

use std::ops::{Index, IndexMut};

use crate::Location;

/// "No entry", in links.
pub(super) const NONE: u32 = u32::MAX;

/// No hash slot: marks a vacant entry.
const VACANT: u16 = u16::MAX;
const PAGE_LEN: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 10;

/// One key. 48 bytes: less than a cache line.
pub(super) struct Entry {
    /// The key's bytes, then the value's if they are in memory: one allocation.
    pub(super) data: Box<[u8]>,
    pub(super) version: u64,
    /// Unix milliseconds, 0 for never.
    pub(super) expires_at_ms: u64,
    /// Neighbours in the order of use; the free list runs through `older`.
    pub(super) newer: u32,
    pub(super) older: u32,
    pub(super) key_size: u32,
    pub(super) slot: u16,
    /// The value's bytes are in `data`.
    pub(super) resident: bool,
}

const _: () = assert!(size_of::<Entry>() == 48);

impl Entry {
    pub(super) fn key(&self) -> &[u8] {
        &self.data[..self.key_size as usize]
    }

    pub(super) fn value(&self) -> &[u8] {
        debug_assert!(self.resident);
        &self.data[self.key_size as usize..]
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.slot == VACANT
    }
}

/// Where a value lies in the log; kept beside the entry, in stores that are backed by one.
#[derive(Clone, Copy)]
pub(super) struct Home {
    pub(super) location: Location,
    pub(super) operation: u32,
    pub(super) value_size: u32,
}

pub(super) struct Slab {
    entries: Pages<Entry>,
    /// Parallel to `entries`; empty when values live in memory only.
    homes: Pages<Home>,
    free: u32,
    len: usize,
}

impl Slab {
    pub(super) fn new() -> Slab {
        Slab { entries: Pages::new(), homes: Pages::new(), free: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One past the highest id ever given out.
    pub(super) fn id_end(&self) -> u32 {
        self.entries.len
    }

    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        assert!(entry.slot != VACANT, "an entry belongs to a slot");
        self.len += 1;
        if self.free == NONE {
            return self.entries.push(entry);
        }
        let id = self.free;
        assert!(self[id].is_vacant(), "the free list holds vacant entries");
        self.free = self[id].older;
        self[id] = entry;
        id
    }

    pub(super) fn remove(&mut self, id: u32) {
        let free = self.free;
        let entry = &mut self[id];
        assert!(!entry.is_vacant(), "an entry is removed once");
        entry.data = Box::default();
        entry.slot = VACANT;
        entry.older = free;
        self.free = id;
        self.len -= 1;
    }

    pub(super) fn home(&self, id: u32) -> &Home {
        self.homes.get(id)
    }

    pub(super) fn set_home(&mut self, id: u32, home: Home) {
        if id == self.homes.len {
            self.homes.push(home);
        } else {
            *self.homes.get_mut(id) = home;
        }
    }
}

impl Index<u32> for Slab {
    type Output = Entry;

    fn index(&self, id: u32) -> &Entry {
        self.entries.get(id)
    }
}

impl IndexMut<u32> for Slab {
    fn index_mut(&mut self, id: u32) -> &mut Entry {
        self.entries.get_mut(id)
    }
}

/// A vector that grows without moving what it has: no pause, no moment of twice the memory.
struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: u32,
}

impl<T> Pages<T> {
    fn new() -> Pages<T> {
        Pages { pages: Vec::new(), len: 0 }
    }

    fn push(&mut self, item: T) -> u32 {
        let id = self.len;
        assert!(id < NONE, "memory ends before ids do");
        if (id as usize).is_multiple_of(PAGE_LEN) {
            self.pages.push(Vec::with_capacity(PAGE_LEN));
        }
        self.pages.last_mut().expect("pushed with the page's first item").push(item);
        self.len += 1;
        id
    }

    fn get(&self, id: u32) -> &T {
        &self.pages[(id >> PAGE_BITS) as usize][id as usize % PAGE_LEN]
    }

    fn get_mut(&mut self, id: u32) -> &mut T {
        &mut self.pages[(id >> PAGE_BITS) as usize][id as usize % PAGE_LEN]
    }
}
