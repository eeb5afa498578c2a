//! Key → place, at 8 bytes a key and a little: one sorted run of words per hash slot.
//!
//! ```text
//! word   63 … 40  tag     24 bits of the key's hash
//!        39 …  0  place   where the item lies
//!
//! runs[slot] ─► [word, word, word, …]            up to RUN_LEN_MAX words, in order of their tags
//!            or  starts[…], runs[…]              of a slot with more: runs that share the tags out
//! ```
//!
//! Tags are evenly spread, so a tag says about where its word is: a lookup looks at one or two cache
//! lines. A run grows by a sixteenth, and is cut in two when it is full: no insertion ever moves more
//! than `RUN_LEN_MAX` words twice, however large the index is. The tag decides nothing but where to
//! look: whoever asks compares keys.
//!
//! Invariant: the words of a slot are in order of their tags, each place once.

/// Where an item lies; at most 40 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u64);

/// The part of a key's hash that the index keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag(u32);

const TAG_BITS: u32 = 24;
const PLACE_BITS: u32 = 40;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
/// A run with more words than this is cut in two: 4 KiB.
const RUN_LEN_MAX: usize = 512;
/// What an allocator adds to a run: its header.
const ALLOCATION_BYTES: u64 = 8;
/// What a slot's second and every further run takes beside its words.
const RUN_BYTES: u64 = (size_of::<Run>() + size_of::<u32>()) as u64;

const _: () = assert!(TAG_BITS + PLACE_BITS == u64::BITS);

impl Tag {
    /// The highest bits of a hash.
    pub(super) fn of(hash: u64) -> Tag {
        Tag((hash >> (u64::BITS - TAG_BITS)) as u32)
    }

    /// As a number below 2^24.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// From such a number.
    pub(super) fn from_number(number: u32) -> Tag {
        Tag(number)
    }
}

/// See the module's text.
pub(super) struct Index {
    slots: Vec<Words>,
    len: usize,
    bytes: u64,
}

/// The words of one slot.
enum Words {
    One(Run),
    Many(Box<Runs>),
}

/// Words in order of their tags.
#[derive(Default)]
struct Run(Vec<u64>);

/// More words than one run may have.
struct Runs {
    /// The lowest tag that each run may have; the first is 0.
    starts: Vec<u32>,
    runs: Vec<Run>,
}

/// What an empty index of so many slots takes, in bytes.
pub(super) const fn base_bytes(slot_count: usize) -> usize {
    slot_count * size_of::<Words>()
}

impl Index {
    pub(super) fn new(slot_count: usize) -> Index {
        let slots = (0..slot_count).map(|_| Words::One(Run::default())).collect();
        Index { slots, len: 0, bytes: 0 }
    }

    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What the words take, room for more included, in bytes; `base_bytes` comes on top.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The places that keys with this tag may have.
    pub(super) fn candidates(&self, slot: u16, tag: Tag) -> impl Iterator<Item = Place> {
        let words = &self.run(slot, tag).0;
        let first = lower_bound(words, tag, self.guess(slot, tag, words.len()));
        words[first..].iter().take_while(move |word| tag_of(**word) == tag).map(|word| place(*word))
    }

    /// About the word that `candidates` will find, from memory that it will look at.
    pub(super) fn glance(&self, slot: u16, tag: Tag) -> u64 {
        let words = &self.run(slot, tag).0;
        words.get(self.guess(slot, tag, words.len())).copied().unwrap_or(0)
    }

    /// Adds a word. Returns how many words had to move for it.
    pub(super) fn insert(&mut self, slot: u16, tag: Tag, place: Place) -> usize {
        assert!(place.0 <= PLACE_MASK, "a place has 40 bits");
        let guess = self.guess(slot, tag, self.run(slot, tag).0.len());
        let words = &mut self.slots[usize::from(slot)];
        let run = words.run_mut(tag);
        let before = run.bytes();
        let at = lower_bound(&run.0, tag, guess);
        let mut moved = run.grow() + run.0.len() - at;
        run.0.insert(at, u64::from(tag.0) << PLACE_BITS | place.0);
        self.len += 1;
        self.bytes = self.bytes + run.bytes() - before;
        if RUN_LEN_MAX < run.0.len() {
            moved += words.cut(tag, &mut self.bytes);
        }
        moved
    }

    /// Takes a word out. False if it is not there.
    pub(super) fn remove(&mut self, slot: u16, tag: Tag, place: Place) -> bool {
        let Some(at) = self.position(slot, tag, place) else { return false };
        let words = &mut self.slots[usize::from(slot)];
        let run = words.run_mut(tag);
        let before = run.bytes();
        run.0.remove(at);
        run.shrink();
        self.len -= 1;
        self.bytes = self.bytes + run.bytes() - before;
        words.join(tag, &mut self.bytes);
        true
    }

    /// Points a word at another place. False if it is not there.
    pub(super) fn replace(&mut self, slot: u16, tag: Tag, old: Place, new: Place) -> bool {
        assert!(new.0 <= PLACE_MASK, "a place has 40 bits");
        let Some(at) = self.position(slot, tag, old) else { return false };
        let run = self.slots[usize::from(slot)].run_mut(tag);
        run.0[at] = u64::from(tag.0) << PLACE_BITS | new.0;
        true
    }

    /// All places of a slot, in order of their tags.
    pub(super) fn places(&self, slot: u16) -> impl Iterator<Item = Place> {
        let runs = match &self.slots[usize::from(slot)] {
            Words::One(run) => std::slice::from_ref(run),
            Words::Many(many) => &many.runs[..],
        };
        runs.iter().flat_map(|run| run.0.iter().map(|word| place(*word)))
    }

    /// How many words a slot has.
    pub(super) fn len_in(&self, slot: u16) -> usize {
        match &self.slots[usize::from(slot)] {
            Words::One(run) => run.0.len(),
            Words::Many(many) => many.runs.iter().map(|run| run.0.len()).sum(),
        }
    }

    fn run(&self, slot: u16, tag: Tag) -> &Run {
        match &self.slots[usize::from(slot)] {
            Words::One(run) => run,
            Words::Many(many) => &many.runs[many.of(tag)],
        }
    }

    /// About where a tag's words are in its run.
    fn guess(&self, slot: u16, tag: Tag, len: usize) -> usize {
        let (start, end) = match &self.slots[usize::from(slot)] {
            Words::One(_) => (0, 1 << TAG_BITS),
            Words::Many(many) => many.range(many.of(tag)),
        };
        ((u64::from(tag.0 - start) * len as u64) / u64::from(end - start)) as usize
    }

    fn position(&self, slot: u16, tag: Tag, place: Place) -> Option<usize> {
        let words = &self.run(slot, tag).0;
        let first = lower_bound(words, tag, self.guess(slot, tag, words.len()));
        let wanted = u64::from(tag.0) << PLACE_BITS | place.0;
        let same = words[first..].iter().take_while(|word| tag_of(**word) == tag);
        same.enumerate().find(|(_, word)| **word == wanted).map(|(index, _)| first + index)
    }
}

impl Words {
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        match self {
            Words::One(run) => run.bytes(),
            Words::Many(many) => {
                let runs: u64 = many.runs.iter().map(Run::bytes).sum();
                runs + (many.runs.len() as u64 - 1) * RUN_BYTES
            }
        }
    }

    fn run_mut(&mut self, tag: Tag) -> &mut Run {
        match self {
            Words::One(run) => run,
            Words::Many(many) => {
                let index = many.of(tag);
                &mut many.runs[index]
            }
        }
    }

    /// Cuts the run that a tag belongs to in two, if it is too long. Returns how many words that moved.
    fn cut(&mut self, tag: Tag, bytes: &mut u64) -> usize {
        let lower = self.run_mut(tag);
        let before = lower.bytes();
        let Some((start, upper)) = lower.cut() else { return 0 };
        let moved = upper.0.len() + lower.0.len();
        *bytes = *bytes + upper.bytes() + lower.bytes() + RUN_BYTES - before;
        match self {
            Words::One(lower) => {
                let runs = vec![std::mem::take(lower), upper];
                *self = Words::Many(Box::new(Runs { starts: vec![0, start], runs }));
            }
            Words::Many(many) => {
                let index = many.of(tag) + 1;
                many.starts.insert(index, start);
                many.runs.insert(index, upper);
            }
        }
        moved
    }

    /// Gives up the run that a tag belongs to, if it is empty.
    fn join(&mut self, tag: Tag, bytes: &mut u64) {
        let Words::Many(many) = self else { return };
        let index = many.of(tag);
        if many.runs[index].0.is_empty() {
            many.runs.remove(index);
            many.starts.remove(index);
            *bytes -= RUN_BYTES;
            many.starts[0] = 0;
            if many.runs.len() == 1 {
                let run = many.runs.pop().expect("there is one");
                *self = Words::One(run);
            }
        }
    }
}

impl Runs {
    /// The run that a tag belongs to.
    fn of(&self, tag: Tag) -> usize {
        self.starts.partition_point(|start| *start <= tag.0) - 1
    }

    /// The tags that a run may have.
    fn range(&self, index: usize) -> (u32, u32) {
        (self.starts[index], self.starts.get(index + 1).copied().unwrap_or(1 << TAG_BITS))
    }
}

impl Run {
    fn bytes(&self) -> u64 {
        match self.0.capacity() {
            0 => 0,
            capacity => capacity as u64 * 8 + ALLOCATION_BYTES,
        }
    }

    /// Makes room for one word more. Returns how many words that moved.
    fn grow(&mut self) -> usize {
        let len = self.0.len();
        if len < self.0.capacity() {
            return 0;
        }
        // An odd number of words, and the allocator's own, fill whole units of 16 bytes.
        self.0.reserve_exact(((len + 1 + len / 16) | 1) - len);
        len
    }

    /// Gives room back that is not needed any more.
    fn shrink(&mut self) {
        let len = self.0.len();
        if len == 0 {
            self.0 = Vec::new();
        } else if len + len / 4 + 4 < self.0.capacity() {
            self.0.shrink_to(len | 1);
        }
    }

    /// The upper half, and the lowest tag of it, if there are too many words. Words with the same tag
    /// stay together.
    fn cut(&mut self) -> Option<(u32, Run)> {
        let words = &self.0;
        if words.len() <= RUN_LEN_MAX {
            return None;
        }
        let middle = tag_of(words[words.len() / 2]);
        let mut at = words.partition_point(|word| tag_of(*word) < middle);
        if at == 0 {
            at = words.partition_point(|word| tag_of(*word) <= middle);
        }
        let start = tag_of(*words.get(at)?).0;
        let upper = Run(words[at..].to_vec());
        self.0.truncate(at);
        self.shrink();
        Some((start, upper))
    }
}

/// The first word with this tag or a higher one, found from where it should be.
fn lower_bound(words: &[u64], tag: Tag, guess: usize) -> usize {
    let wanted = u64::from(tag.0) << PLACE_BITS;
    let mut step = 1;
    if words.get(guess).is_some_and(|word| *word < wanted) {
        let mut low = guess + 1; // Everything before it is lower.
        while words.get(low + step - 1).is_some_and(|word| *word < wanted) {
            low += step;
            step *= 2;
        }
        let high = words.len().min(low + step - 1);
        low + words[low..high].partition_point(|word| *word < wanted)
    } else {
        let mut high = guess.min(words.len()); // Nothing from it on is lower.
        while step <= high && wanted <= words[high - step] {
            high -= step;
            step *= 2;
        }
        let low = high.saturating_sub(step);
        low + words[low..high].partition_point(|word| *word < wanted)
    }
}

fn tag_of(word: u64) -> Tag {
    Tag((word >> PLACE_BITS) as u32)
}

fn place(word: u64) -> Place {
    Place(word & PLACE_MASK)
}

#[cfg(test)]
mod tests;
