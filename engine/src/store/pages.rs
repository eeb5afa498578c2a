//! The index on disk: pages of keys with their versions, deadlines and places, as of a checkpoint.
//!
//! ```text
//! a page: one entry after another, each
//!      0     1  tag            0 gone, 1 there, 2 there with a deadline
//!      1     …  slot           varint
//!      …     …  key_size       varint, then the key; tags 1 and 2 go on:
//!      …     …  version        varint
//!      …     …  expires_at_ms  tag 2 only: varint
//!      …     …  segment, offset, size, operation, value_size   five varints
//!
//! a list of pages, for the buckets of a shard, each:
//!      …     …  base_count     varint, then so many places: segment, offset, size (varints)
//!      …     …  delta_count    varint, then so many places
//! ```
//!
//! A bucket's keys are its base, then its deltas, oldest first: a later entry of a key replaces an
//! earlier one. When the deltas outweigh the base, the base is written anew and says nothing of keys
//! that are gone: no older page is left in which they could be found. So a tombstone goes by proof.

use std::ops::Range;

use super::census::Changes;
use super::index::{Place, Tag};
use super::item::{self, Header, Home};
use super::{Store, Value};
use crate::bugs::{Bug, planted};
use crate::error::EngineError;
use crate::format::varint;
use crate::{Location, batch};

/// A page is closed when it holds this much, in bytes.
const PAGE_SIZE: usize = 32 * 1024;
/// Deltas lighter than this are never a reason to write a base anew, in bytes.
const DELTA_SIZE_MIN: u64 = 1024;
/// So many of them always are: a restart fetches each by itself.
const DELTA_COUNT_MAX: usize = 16;

const TAG_GONE: u8 = 0;
const TAG_THERE: u8 = 1;
const TAG_EXPIRING: u8 = 2;

/// How much one checkpoint may write anew that has not changed.
#[derive(Debug)]
pub struct Rebase {
    bytes_left: u64,
    is_untouched: bool,
}

impl Rebase {
    /// At most so many bytes, or a single bucket.
    pub fn up_to(bytes: u64) -> Rebase {
        Rebase { bytes_left: bytes, is_untouched: true }
    }

    fn allows(&mut self, bytes: u64) -> bool {
        let allowed = self.is_untouched || bytes <= self.bytes_left;
        if allowed {
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.is_untouched = false;
        }
        allowed
    }
}

impl Store {
    /// From now on the store notes what changes, for `write_pages`; `shards` are the ranges of slots
    /// that checkpoints are taken of.
    pub fn track_changes(&mut self, shards: &[Range<u16>]) {
        self.census.track(shards);
    }

    /// How much has changed since pages were written: keys, about.
    pub fn change_count(&self) -> usize {
        self.census.change_count()
    }

    /// Bytes by segment of what the index refers to; segments that are not in it are not needed.
    pub fn live_bytes(&self) -> &std::collections::BTreeMap<u32, u64> {
        self.census.live()
    }

    /// Writes what has changed in the buckets of these slots, and nothing else, unless a base is due.
    /// `append` puts a page into the log. Returns the bytes of pages.
    ///
    /// Bases are written only as far as `rebase` allows: they come due all at once.
    ///
    /// # Errors
    /// Those of `append`; nothing has changed for the bucket whose page could not be written.
    pub fn write_pages(
        &mut self,
        slots: &Range<u16>,
        rebase: &mut Rebase,
        append: &mut dyn FnMut(&[u8]) -> Result<Location, EngineError>,
    ) -> Result<u64, EngineError> {
        let mut bytes = 0;
        for number in self.census.buckets_of(slots) {
            let bucket = self.census.bucket(number);
            if bucket.changes.is_empty() && !bucket.is_spoiled {
                continue;
            }
            let weigh = |pages: &[Location]| pages.iter().map(|page| u64::from(page.size)).sum();
            let (base, deltas): (u64, u64) = (weigh(&bucket.base), weigh(&bucket.deltas));
            let due = base.max(DELTA_SIZE_MIN) < deltas || DELTA_COUNT_MAX <= bucket.deltas.len();
            let is_base = (bucket.is_spoiled || due) && rebase.allows(base + deltas);
            if bucket.changes.is_empty() && !is_base {
                continue; // Spoiled, and not its turn yet.
            }
            let pages = self.write_bucket(number, is_base, append)?;
            bytes += weigh(&pages);
            if is_base {
                self.census.set_pages(number, pages, Vec::new());
                self.census.renewed(number);
            } else {
                let bucket = self.census.bucket(number);
                let (base, mut deltas) = (bucket.base.clone(), bucket.deltas.clone());
                deltas.extend(pages);
                self.census.set_pages(number, base, deltas);
            }
        }
        Ok(bytes)
    }

    fn write_bucket(
        &mut self,
        number: usize,
        is_base: bool,
        append: &mut dyn FnMut(&[u8]) -> Result<Location, EngineError>,
    ) -> Result<Vec<Location>, EngineError> {
        let mut changes = self.census.take_changes(number);
        changes.hints.sort_unstable();
        changes.hints.dedup();
        let written = if is_base {
            self.write_base(number, append)
        } else {
            self.write_delta(&changes, append)
        };
        match written {
            Ok(_) => self.settle(&changes),
            Err(_) => self.census.put_back(number, changes),
        }
        written
    }

    /// Pages have these keys as they are.
    fn settle(&mut self, changes: &Changes) {
        for &(slot, tag) in &changes.hints {
            let places: Vec<Place> = self.index.candidates(slot, tag).collect();
            places.into_iter().for_each(|place| item::clear_changed(self.arena.item_mut(place)));
        }
    }

    fn write_base(
        &self,
        number: usize,
        append: &mut dyn FnMut(&[u8]) -> Result<Location, EngineError>,
    ) -> Result<Vec<Location>, EngineError> {
        let mut writer = Writer::new(append);
        for slot in self.census.bucket(number).slots.clone() {
            for place in self.index.places(slot) {
                writer.there(slot, self.key(place), &self.header(place))?;
            }
        }
        writer.finish()
    }

    fn write_delta(
        &self,
        changes: &Changes,
        append: &mut dyn FnMut(&[u8]) -> Result<Location, EngineError>,
    ) -> Result<Vec<Location>, EngineError> {
        let mut writer = Writer::new(append);
        for (slot, key) in &changes.gone {
            // Who came back is marked as changed.
            if self.peek(*slot, key).is_none() && !planted(Bug::TombstoneForgotten) {
                writer.gone(*slot, key)?;
            }
        }
        for &(slot, tag) in &changes.hints {
            for place in self.index.candidates(slot, tag) {
                let header = self.header(place);
                if header.is_changed {
                    writer.there(slot, self.key(place), &header)?;
                }
            }
        }
        writer.finish()
    }

    /// The list of pages of these slots' buckets, for a checkpoint to keep.
    pub fn page_list(&self, slots: &Range<u16>) -> Vec<u8> {
        let mut target = Vec::new();
        for number in self.census.buckets_of(slots) {
            let bucket = self.census.bucket(number);
            let mut deltas = &bucket.deltas[..];
            if planted(Bug::PageListOffByOne) {
                deltas = &deltas[..deltas.len().saturating_sub(1)];
            }
            for pages in [&bucket.base[..], deltas] {
                varint::write(pages.len() as u64, &mut target);
                for page in pages {
                    for field in [page.segment, page.offset, page.size] {
                        varint::write(u64::from(field), &mut target);
                    }
                }
            }
        }
        target
    }

    /// Forgets the keys of these slots and takes over a list of pages: returns them all, in the order
    /// in which `restore_page` wants them. `None` if it is no such list.
    pub fn adopt_pages(&mut self, slots: &Range<u16>, mut list: &[u8]) -> Option<Vec<Location>> {
        self.clear_slots(slots.clone());
        let mut wanted = Vec::new();
        for number in self.census.buckets_of(slots) {
            let (base, deltas) = (locations(&mut list)?, locations(&mut list)?);
            wanted.extend(base.iter().chain(&deltas));
            self.census.set_pages(number, base, deltas);
        }
        list.is_empty().then_some(wanted)
    }

    /// Takes the keys of a page over. `None` if it is not a page.
    pub fn restore_page(&mut self, mut page: &[u8]) -> Option<()> {
        while let Some((&tag, rest)) = page.split_first() {
            page = rest;
            let slot = u16::try_from(varint::read(&mut page)?).ok()?;
            let key_size = usize::try_from(varint::read(&mut page)?).ok()?;
            let key = page.split_off(..key_size)?;
            if super::SLOT_COUNT <= slot || batch::KEY_SIZE_MAX < key_size {
                return None;
            }
            let index_tag = Tag::of(self.hash(key));
            if let Some(place) = self.find(slot, index_tag, key) {
                self.drop_key(slot, index_tag, place);
            }
            match tag {
                TAG_GONE => continue,
                TAG_THERE | TAG_EXPIRING => (),
                _ => return None,
            }
            let version = varint::read(&mut page)?;
            let expires_at_ms = if tag == TAG_EXPIRING { varint::read(&mut page)? } else { 0 };
            let mut field = || u32::try_from(varint::read(&mut page)?).ok();
            let location = Location { segment: field()?, offset: field()?, size: field()? };
            let home = Home { location, operation: field()? };
            let value_size = field()? as usize;
            let header = Header::new(key, value_size, version, expires_at_ms, home);
            self.insert(slot, self.hash(key), header, key, None);
        }
        while self.tidy() {}
        Some(())
    }

    /// A page of these slots was moved. False if it is none of theirs.
    pub fn move_page(&mut self, slots: &Range<u16>, from: Location, to: Location) -> bool {
        self.census.move_page(slots, from, to)
    }

    /// Whether this is a page of these slots that a checkpoint needs.
    pub fn has_page(&self, slots: &Range<u16>, page: Location) -> bool {
        self.census.has_page(slots, page)
    }

    /// Pages in this segment that are not `sound` are superfluous once what they say was written anew,
    /// which the next checkpoints do as far as their `Rebase` allows. How many there are.
    pub fn replace_pages(&mut self, segment: u32, sound: impl Fn(Location) -> bool) -> usize {
        self.census.spoil(segment, sound)
    }

    /// Whether pages are left that a checkpoint is to write anew.
    pub fn has_spoiled_pages(&self) -> bool {
        self.census.has_spoiled()
    }

    /// A key's value was copied: if its place is still `from`, it is `to` now. False if not.
    pub fn move_home(
        &mut self,
        slot: u16,
        key: &[u8],
        from: (Location, u32),
        to: (Location, u32),
    ) -> bool {
        let hash = self.hash(key);
        let Some(place) = self.find(slot, Tag::of(hash), key) else { return false };
        let mut header = self.header(place);
        if (header.home.location, header.home.operation) != from {
            return false;
        }
        header.home = Home { location: to.0, operation: to.1 };
        header.is_changed = self.census.is_tracking();
        let value = match self.found(place).value {
            Value::Memory(bytes) => Some(bytes.to_vec()),
            Value::Log(..) => None,
        };
        self.replace(slot, hash, place, header, key, value.as_deref());
        self.evict();
        self.tidy();
        true
    }
}

fn locations(list: &mut &[u8]) -> Option<Vec<Location>> {
    let count = usize::try_from(varint::read(list)?).ok()?;
    let mut pages = Vec::new();
    for _ in 0..count {
        let mut field = || u32::try_from(varint::read(list)?).ok();
        pages.push(Location { segment: field()?, offset: field()?, size: field()? });
    }
    Some(pages)
}

struct Writer<'a> {
    append: &'a mut dyn FnMut(&[u8]) -> Result<Location, EngineError>,
    page: Vec<u8>,
    pages: Vec<Location>,
}

impl<'a> Writer<'a> {
    fn new(append: &'a mut dyn FnMut(&[u8]) -> Result<Location, EngineError>) -> Writer<'a> {
        Writer { append, page: Vec::new(), pages: Vec::new() }
    }

    fn there(&mut self, slot: u16, key: &[u8], header: &Header) -> Result<(), EngineError> {
        let expires = header.expires_at_ms != 0;
        self.start(if expires { TAG_EXPIRING } else { TAG_THERE }, slot, key);
        varint::write(header.version, &mut self.page);
        if expires {
            varint::write(header.expires_at_ms, &mut self.page);
        }
        let Location { segment, offset, size } = header.home.location;
        for field in [segment, offset, size, header.home.operation, header.value_size] {
            varint::write(u64::from(field), &mut self.page);
        }
        self.close_at(PAGE_SIZE)
    }

    fn gone(&mut self, slot: u16, key: &[u8]) -> Result<(), EngineError> {
        self.start(TAG_GONE, slot, key);
        self.close_at(PAGE_SIZE)
    }

    fn start(&mut self, tag: u8, slot: u16, key: &[u8]) {
        self.page.push(tag);
        varint::write(u64::from(slot), &mut self.page);
        varint::write(key.len() as u64, &mut self.page);
        self.page.extend_from_slice(key);
    }

    fn close_at(&mut self, size: usize) -> Result<(), EngineError> {
        if size <= self.page.len() {
            self.pages.push((self.append)(&self.page)?);
            self.page.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Location>, EngineError> {
        self.close_at(1)?;
        Ok(self.pages)
    }
}

#[cfg(test)]
mod tests;
