//! The arguments of one command: slices of the bytes they came in, or of a list somebody kept.
//!
//! Sixteen arguments fit without an allocation; more make one.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::limits::ARGUMENT_COUNT_INLINE;

/// A command as a list of byte strings; the first is its name.
#[derive(Clone)]
pub struct Arguments<'a> {
    source: Source<'a>,
    ranges: Ranges,
}

#[derive(Clone)]
enum Source<'a> {
    /// `ranges` point into a connection's buffer.
    Buffer(&'a [u8]),
    /// `ranges` point into bytes of our own: an inline command whose quotes were resolved.
    Unquoted(Vec<u8>),
    /// No ranges: one argument per element.
    Kept(&'a [Bytes]),
    /// The same, for a caller who holds slices.
    Slices(&'a [&'a [u8]]),
}

/// (start, end) of each argument in the source.
#[derive(Debug, Clone)]
pub(crate) struct Ranges {
    inline: [(u32, u32); ARGUMENT_COUNT_INLINE],
    heap: Vec<(u32, u32)>,
    count: usize,
}

impl Ranges {
    pub(crate) const EMPTY: Ranges =
        Ranges { inline: [(0, 0); ARGUMENT_COUNT_INLINE], heap: Vec::new(), count: 0 };

    /// Both ends are below 4 GiB: `limits` sees to it.
    #[inline]
    pub(crate) fn push(&mut self, start: usize, end: usize) {
        let range = (start as u32, end as u32);
        if self.count < ARGUMENT_COUNT_INLINE {
            self.inline[self.count] = range;
        } else {
            self.heap.push(range);
        }
        self.count += 1;
    }

    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    #[inline]
    fn get(&self, index: usize) -> Option<(u32, u32)> {
        if self.count <= index {
            None
        } else if index < ARGUMENT_COUNT_INLINE {
            Some(self.inline[index])
        } else {
            self.heap.get(index - ARGUMENT_COUNT_INLINE).copied()
        }
    }
}

impl<'a> Arguments<'a> {
    #[inline]
    pub(crate) fn from_ranges(buffer: &'a [u8], ranges: Ranges) -> Arguments<'a> {
        Arguments { source: Source::Buffer(buffer), ranges }
    }

    pub(crate) fn from_unquoted(bytes: Vec<u8>, ranges: Ranges) -> Arguments<'a> {
        Arguments { source: Source::Unquoted(bytes), ranges }
    }

    /// A view of slices that lie anywhere.
    pub fn from_slices(slices: &'a [&'a [u8]]) -> Arguments<'a> {
        Arguments { source: Source::Slices(slices), ranges: Ranges::EMPTY }
    }

    /// A view of arguments kept earlier.
    pub fn from_kept(arguments: &'a [Bytes]) -> Arguments<'a> {
        Arguments { source: Source::Kept(arguments), ranges: Ranges::EMPTY }
    }

    /// How many, the name included.
    #[inline]
    pub fn count(&self) -> usize {
        match &self.source {
            Source::Kept(arguments) => arguments.len(),
            Source::Slices(slices) => slices.len(),
            Source::Buffer(_) | Source::Unquoted(_) => self.ranges.count,
        }
    }

    /// The argument at `index`; the name is at 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let bytes: &[u8] = match &self.source {
            Source::Buffer(bytes) => bytes,
            Source::Unquoted(bytes) => bytes,
            Source::Kept(arguments) => return arguments.get(index).map(|argument| &argument[..]),
            Source::Slices(slices) => return slices.get(index).copied(),
        };
        let (start, end) = self.ranges.get(index)?;
        bytes.get(start as usize..end as usize)
    }

    /// All of them, the name first.
    pub fn iter(&self) -> ListIterator<'_> {
        self.list(0).iter()
    }

    /// The arguments from `first` on.
    pub fn list(&self, first: usize) -> List<'_> {
        let end = self.count();
        List { arguments: self, first: first.min(end), end }
    }

    /// Copies every argument; all of them share one piece of memory.
    pub fn keep(&self) -> Vec<Bytes> {
        let size = self.iter().map(<[u8]>::len).sum();
        let mut bytes = Vec::with_capacity(size);
        self.iter().for_each(|argument| bytes.extend_from_slice(argument));
        let mut bytes = Bytes::from(bytes);
        self.iter().map(|argument| bytes.split_to(argument.len())).collect()
    }
}

impl fmt::Debug for Arguments<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list(0).fmt(formatter)
    }
}

impl PartialEq for Arguments<'_> {
    fn eq(&self, other: &Arguments<'_>) -> bool {
        self.list(0) == other.list(0)
    }
}

/// Some consecutive arguments of a command: its keys, say. Copying it copies a reference.
#[derive(Clone, Copy)]
pub struct List<'a> {
    arguments: &'a Arguments<'a>,
    first: usize,
    end: usize,
}

impl<'a> List<'a> {
    /// How many.
    pub fn count(&self) -> usize {
        self.end - self.first
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The one at `index`, counted from this list's own start.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let index = self.first.checked_add(index)?;
        if index < self.end { self.arguments.get(index) } else { None }
    }

    /// Each of them, in order.
    pub fn iter(&self) -> ListIterator<'a> {
        ListIterator { list: *self }
    }
}

impl<'a> IntoIterator for List<'a> {
    type Item = &'a [u8];
    type IntoIter = ListIterator<'a>;

    fn into_iter(self) -> ListIterator<'a> {
        self.iter()
    }
}

impl PartialEq for List<'_> {
    fn eq(&self, other: &List<'_>) -> bool {
        self.count() == other.count() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter().map(Printed)).finish()
    }
}

struct Printed<'a>(&'a [u8]);

impl fmt::Debug for Printed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

/// See `List::iter`.
#[derive(Debug, Clone)]
pub struct ListIterator<'a> {
    list: List<'a>,
}

impl<'a> Iterator for ListIterator<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let argument = self.list.get(0)?;
        self.list.first += 1;
        Some(argument)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.list.count(), Some(self.list.count()))
    }
}

impl ExactSizeIterator for ListIterator<'_> {}

/// Key and value, key and value: what `MSET` has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairs<'a> {
    list: List<'a>,
}

impl<'a> Pairs<'a> {
    /// `list` must hold whole pairs.
    pub(crate) fn new(list: List<'a>) -> Pairs<'a> {
        assert!(list.count().is_multiple_of(2), "the parser checked the count");
        Pairs { list }
    }

    /// How many pairs.
    pub fn count(&self) -> usize {
        self.list.count() / 2
    }

    /// Each pair, in order. A key may come twice; the last one wins.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let list = self.list;
        (0..self.count()).map(move |index| {
            let key = list.get(2 * index).expect("the count says so");
            (key, list.get(2 * index + 1).expect("pairs are whole"))
        })
    }
}
