//! Where items lie: segments of 64 KiB, filled from the front, in three chains by age.
//!
//! ```text
//! chain   oldest ─► segment ─► segment ─► … ─► newest
//!         [consumed|item|item|dead|item…]      [item|item|… room]
//!                  ▲ tail: what the policy judges next       ▲ where new items go
//! ```
//!
//! An allocation an item would cost 24 bytes and leave holes that only other items of that size fit.
//! Here items lie side by side, the order of age costs nothing, and what dies in the middle is squeezed
//! out (`squeeze`) segment by segment, keeping the order. A large item has a segment of its own.
//!
//! Invariant: `bytes` of a chain counts every byte between its tail and its end, dead ones included;
//! what is allocated beyond that is at most `SLACK_BYTES`.

use super::Tier;
use super::index::Place;
use super::item::{self, Header};
use crate::bugs::{Bug, planted};

/// What a segment holds, in bytes, unless it holds one large item.
const SEGMENT_BYTES: usize = 64 * 1024;
/// An item larger than this gets a segment of its own.
const SHARED_ITEM_BYTES_MAX: usize = 8 * 1024;
/// What may be allocated and is not counted in any chain's `bytes`: room in the newest segment, what
/// is consumed of the oldest, and what `squeeze` fills and empties, of each chain.
pub(super) const SLACK_BYTES: u64 = 3 * 4 * SEGMENT_BYTES as u64;
/// `squeeze` leaves segments alone of which less than one part in so many is dead.
const DEAD_PARTS_MIN: u32 = 8;
/// How many segments one `squeeze` looks at, at most.
const LOOKED_AT_MAX: usize = 32;

const OFFSET_BITS: u32 = 16;
const NONE: u32 = u32::MAX;

/// What is left of a place's 40 bits.
const SEGMENT_COUNT_MAX: usize = 1 << 24;

const _: () = assert!(SEGMENT_BYTES == 1 << OFFSET_BITS);

/// Which chain an item is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Where a policy may put newcomers on trial.
    Young = 0,
    /// The others.
    Main = 1,
    /// Keys whose values only the log has: never evicted.
    Keys = 2,
}

/// All of them.
pub(super) const QUEUES: [Queue; 3] = [Queue::Young, Queue::Main, Queue::Keys];

/// See the module's text.
pub(super) struct Arena {
    tier: Tier,
    segments: Vec<Segment>,
    /// Numbers of segments that are not used.
    vacant: Vec<u32>,
    chains: [Chain; 3],
}

struct Segment {
    items: Vec<u8>,
    queue: Queue,
    /// Nothing more goes in here; `waste` bytes at the end stay empty.
    is_closed: bool,
    waste: u32,
    /// How many bytes from the front the policy is done with.
    consumed: u32,
    /// Bytes behind those that nothing points at.
    dead: u32,
    older: u32,
    newer: u32,
}

#[derive(Clone, Copy)]
struct Chain {
    oldest: u32,
    newest: u32,
    /// From what is consumed to the end of each segment, waste included.
    bytes: u64,
    /// Of dead items.
    dead: u64,
    /// How many items are alive.
    len: usize,
    /// The segment that `squeeze` looks at next, and the one that it fills.
    cursor: u32,
    output: u32,
}

const EMPTY: Chain =
    Chain { oldest: NONE, newest: NONE, bytes: 0, dead: 0, len: 0, cursor: NONE, output: NONE };

impl Arena {
    pub(super) fn new(tier: Tier) -> Arena {
        Arena { tier, segments: Vec::new(), vacant: Vec::new(), chains: [EMPTY; 3] }
    }

    /// Bytes of a chain, dead ones included.
    pub(super) fn bytes(&self, queue: Queue) -> u64 {
        self.chains[queue as usize].bytes
    }

    /// Bytes of a chain that nothing points at.
    pub(super) fn dead(&self, queue: Queue) -> u64 {
        self.chains[queue as usize].dead
    }

    /// How many items have their value in memory.
    pub(super) fn resident_len(&self) -> usize {
        self.chains[Queue::Young as usize].len + self.chains[Queue::Main as usize].len
    }

    /// What the system was asked for, in bytes. Looks at every segment.
    pub(super) fn allocated(&self) -> u64 {
        self.segments.iter().map(|segment| segment.items.capacity() as u64).sum()
    }

    /// An item, and whatever follows it.
    pub(super) fn item(&self, place: Place) -> &[u8] {
        let (number, offset) = split(place);
        &self.segments[number as usize].items[offset..]
    }

    /// The same, to change it where it is.
    pub(super) fn item_mut(&mut self, place: Place) -> &mut [u8] {
        let (number, offset) = split(place);
        &mut self.segments[number as usize].items[offset..]
    }

    /// The chain that an item is in.
    pub(super) fn queue(&self, place: Place) -> Queue {
        self.segments[split(place).0 as usize].queue
    }

    /// Adds an item of `size` bytes as the newest of its chain; `write` appends it.
    pub(super) fn push(
        &mut self,
        queue: Queue,
        size: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Place {
        let number = self.room(queue, size);
        self.chains[queue as usize].add(size);
        let items = &mut self.segments[number as usize].items;
        let offset = items.len();
        write(items);
        assert!(items.len() == offset + size, "an item has the size that was reckoned");
        join(number, offset)
    }

    /// Nothing points at this item any more.
    pub(super) fn kill(&mut self, place: Place) {
        let (number, offset) = split(place);
        let segment = &mut self.segments[number as usize];
        let header = Header::read(self.tier, &segment.items[offset..]);
        let size = header.item_size(self.tier, segment.queue != Queue::Keys);
        item::kill(&mut segment.items[offset..]);
        segment.dead += size as u32;
        let queue = segment.queue;
        let chain = &mut self.chains[queue as usize];
        chain.dead += size as u64;
        chain.len -= 1;
        if segment.dead == segment.used() {
            self.free(number);
        } else if chain.oldest == number && segment.consumed as usize == offset {
            let _next = self.oldest(queue);
        }
    }

    /// The oldest item of a chain that is alive. Dead ones before it are consumed.
    pub(super) fn oldest(&mut self, queue: Queue) -> Option<Place> {
        loop {
            let Chain { oldest: number, newest, .. } = self.chains[queue as usize];
            let segment = self.segments.get(number as usize)?;
            if segment.used() == 0 {
                if number == newest && !segment.is_closed {
                    return None;
                }
                self.free(number);
                continue;
            }
            let offset = segment.consumed as usize;
            let header = Header::read(self.tier, &segment.items[offset..]);
            if !header.is_dead {
                return Some(join(number, offset));
            }
            self.consume(queue, header.item_size(self.tier, queue != Queue::Keys));
        }
    }

    /// Steps over the oldest item, dead by now.
    fn consume(&mut self, queue: Queue, size: usize) {
        let chain = &mut self.chains[queue as usize];
        let segment = &mut self.segments[chain.oldest as usize];
        segment.consumed += size as u32;
        segment.dead -= size as u32;
        chain.bytes -= size as u64;
        chain.dead -= size as u64;
    }

    /// Copies an item to the young end of a chain, with another usage. The old one is dead then.
    pub(super) fn renew(&mut self, place: Place, to: Queue, usage: u8) -> Place {
        let (number, offset) = split(place);
        let header = Header::read(self.tier, self.item(place));
        let size = header.item_size(self.tier, self.queue(place) != Queue::Keys);
        let target = self.room(to, size);
        self.chains[to as usize].add(size);
        let at = self.segments[target as usize].items.len();
        if number == target {
            self.segments[number as usize].items.extend_from_within(offset..offset + size);
        } else {
            let items = std::mem::take(&mut self.segments[number as usize].items);
            self.segments[target as usize].items.extend_from_slice(&items[offset..offset + size]);
            self.segments[number as usize].items = items;
        }
        let new = join(target, at);
        item::set_usage(self.item_mut(new), usage);
        self.kill(place);
        new
    }

    /// Squeezes the dead bytes out of one segment, if there is one that is worth it; what is alive
    /// moves to a segment at the same place in the chain, and `moved` hears of each item. Copies less
    /// than a segment. False if there was nothing to do.
    pub(super) fn squeeze(
        &mut self,
        queue: Queue,
        mut moved: impl FnMut(&[u8], Place, Place),
    ) -> bool {
        let Some(number) = self.dirty(queue) else { return false };
        let segment = &mut self.segments[number as usize];
        let items = std::mem::take(&mut segment.items);
        let mut offset = segment.consumed as usize;
        while offset < items.len() {
            let header = Header::read(self.tier, &items[offset..]);
            let size = header.item_size(self.tier, queue != Queue::Keys);
            if !header.is_dead {
                let item = &items[offset..offset + size];
                let output = self.output(queue, number, size);
                let target = &mut self.segments[output as usize].items;
                let new = join(output, target.len());
                target.extend_from_slice(item);
                let chain = &mut self.chains[queue as usize];
                chain.add(size);
                chain.len -= 1; // The old one.
                moved(item, join(number, offset), new);
            }
            offset += size;
        }
        self.segments[number as usize].items = items;
        // What was alive lies elsewhere now.
        let chain = &mut self.chains[queue as usize];
        let segment = &mut self.segments[number as usize];
        chain.dead += u64::from(segment.used() - segment.dead);
        segment.dead = segment.used();
        self.free(number);
        true
    }

    /// The segment that `squeeze` should empty: it moves through the chain from old to new, again and
    /// again.
    fn dirty(&mut self, queue: Queue) -> Option<u32> {
        for _ in 0..LOOKED_AT_MAX {
            let chain = self.chains[queue as usize];
            let number = match chain.cursor {
                NONE => chain.oldest,
                cursor => cursor,
            };
            if number == NONE {
                return None;
            }
            let segment = &self.segments[number as usize];
            let newer = segment.newer;
            let worth = 0 < segment.dead && segment.used() <= segment.dead * DEAD_PARTS_MIN;
            if worth && number != chain.output {
                return Some(number);
            }
            if number != chain.output {
                self.close_output(queue);
            }
            self.chains[queue as usize].cursor = newer; // `NONE` after the newest: from the start.
        }
        None
    }

    /// A segment with room for what `squeeze` moves out of segment `before`.
    fn output(&mut self, queue: Queue, before: u32, size: usize) -> u32 {
        let output = self.chains[queue as usize].output;
        if output != NONE {
            if size <= self.segments[output as usize].room() {
                return output;
            }
            self.close_output(queue);
        }
        let number = self.allocate(queue, SEGMENT_BYTES);
        self.link_before(number, before);
        self.chains[queue as usize].output = number;
        number
    }

    fn close_output(&mut self, queue: Queue) {
        let output = std::mem::replace(&mut self.chains[queue as usize].output, NONE);
        if output != NONE {
            // Often far from full: what is left of it would count as used.
            let segment = &mut self.segments[output as usize];
            segment.items.shrink_to_fit();
            segment.is_closed = true;
        }
    }

    /// What is left in a segment will not be filled.
    fn close(&mut self, number: u32) {
        let segment = &mut self.segments[number as usize];
        segment.waste = segment.room() as u32;
        segment.is_closed = true;
        self.chains[segment.queue as usize].bytes += u64::from(segment.waste);
    }

    /// The newest segment, if it has room, or another one that has.
    fn room(&mut self, queue: Queue, size: usize) -> u32 {
        let newest = self.chains[queue as usize].newest;
        let is_large = SHARED_ITEM_BYTES_MAX < size;
        if newest != NONE {
            if !is_large && size <= self.segments[newest as usize].room() {
                return newest;
            }
            if is_large {
                // Behind the newest, which goes on being filled.
                let number = self.allocate(queue, size);
                self.link_before(number, newest);
                return number;
            }
            if !self.segments[newest as usize].is_closed {
                self.close(newest);
            }
        }
        let number = self.allocate(queue, if is_large { size } else { SEGMENT_BYTES });
        let segment = &mut self.segments[number as usize];
        (segment.older, segment.newer) = (newest, NONE);
        let chain = &mut self.chains[queue as usize];
        chain.newest = number;
        match newest {
            NONE => chain.oldest = number,
            older => self.segments[older as usize].newer = number,
        }
        number
    }

    /// A segment in no chain yet.
    fn allocate(&mut self, queue: Queue, size: usize) -> u32 {
        let segment = Segment {
            items: Vec::with_capacity(size),
            queue,
            is_closed: false,
            waste: 0,
            consumed: 0,
            dead: 0,
            older: NONE,
            newer: NONE,
        };
        match self.vacant.pop() {
            Some(number) => {
                self.segments[number as usize] = segment;
                number
            }
            None => {
                assert!(self.segments.len() < SEGMENT_COUNT_MAX, "memory ends before places do");
                self.segments.push(segment);
                self.segments.len() as u32 - 1
            }
        }
    }

    fn link_before(&mut self, number: u32, newer: u32) {
        let older = std::mem::replace(&mut self.segments[newer as usize].older, number);
        let segment = &mut self.segments[number as usize];
        (segment.older, segment.newer) = (older, newer);
        let queue = segment.queue;
        match older {
            NONE => self.chains[queue as usize].oldest = number,
            older => self.segments[older as usize].newer = number,
        }
    }

    /// Gives a segment back in which nothing is alive.
    fn free(&mut self, number: u32) {
        let segment = &mut self.segments[number as usize];
        let (queue, used) = (segment.queue, segment.used());
        assert!(segment.dead == used, "what is alive keeps its segment");
        let chain = &mut self.chains[queue as usize];
        chain.bytes -= u64::from(used + segment.waste);
        chain.dead -= u64::from(used);
        if number == chain.newest && !segment.is_closed && segment.items.capacity() == SEGMENT_BYTES
        {
            // The next item would ask for another one at once.
            segment.items.clear();
            (segment.consumed, segment.dead) = (0, 0);
            if chain.cursor == number {
                chain.cursor = NONE;
            }
            return;
        }
        if !planted(Bug::BudgetLeak) {
            segment.items = Vec::new();
        }
        let (older, newer) = (segment.older, segment.newer);
        match newer {
            NONE => chain.newest = older,
            newer => self.segments[newer as usize].older = older,
        }
        let chain = &mut self.chains[queue as usize];
        match older {
            NONE => chain.oldest = newer,
            older => self.segments[older as usize].newer = newer,
        }
        if chain.cursor == number {
            chain.cursor = newer;
        }
        if chain.output == number {
            chain.output = NONE;
        }
        self.vacant.push(number);
    }
}

impl Chain {
    /// One item more.
    fn add(&mut self, size: usize) {
        self.bytes += size as u64;
        self.len += 1;
    }
}

impl Segment {
    /// Bytes of items that are not consumed.
    fn used(&self) -> u32 {
        self.items.len() as u32 - self.consumed
    }

    /// How many bytes more may go in.
    fn room(&self) -> usize {
        if self.is_closed { 0 } else { self.items.capacity() - self.items.len() }
    }
}

fn join(number: u32, offset: usize) -> Place {
    Place(u64::from(number) << OFFSET_BITS | offset as u64)
}

fn split(place: Place) -> (u32, usize) {
    ((place.0 >> OFFSET_BITS) as u32, place.0 as usize & (SEGMENT_BYTES - 1))
}

#[cfg(test)]
mod tests;
