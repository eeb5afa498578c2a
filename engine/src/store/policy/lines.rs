//! Cache lines that many keys share, growing one at a time.
//!
//! A key's line is found by linear hashing (Litwin, 1980): `len` lines need not be a power of two. A new
//! line begins as a copy of the one that its keys had before, so nothing that a key had is lost, and
//! growing costs the same however many there are.
//!
//! Invariant: a key that had line `i` before a growth has afterwards line `i`, or its copy.

/// Lines that are allocated together.
const PAGE_LEN: usize = 64;

/// See the module's text.
pub(super) struct Lines<L> {
    pages: Vec<Vec<L>>,
    len: usize,
    bytes: u64,
}

impl<L: Copy> Lines<L> {
    pub(super) fn new() -> Lines<L> {
        Lines { pages: Vec::new(), len: 0, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One line more; `empty` is the first.
    pub(super) fn grow(&mut self, empty: L) {
        let line = match self.len {
            0 => empty,
            len => *self.line(parent(len)),
        };
        if self.len.is_multiple_of(PAGE_LEN) {
            // The first page begins small: so do many keyspaces.
            let page = Vec::with_capacity(if self.len == 0 { 1 } else { PAGE_LEN });
            self.bytes += (page.capacity() * size_of::<L>()) as u64;
            self.pages.push(page);
        }
        let page = self.pages.last_mut().expect("pushed with the page's first line");
        let before = page.capacity();
        page.push(line);
        self.bytes += ((page.capacity() - before) * size_of::<L>()) as u64;
        self.len += 1;
    }

    /// The line of a key, by its hash; `None` if there is no line at all.
    pub(super) fn get(&self, hash: u64) -> Option<&L> {
        (0 < self.len).then(|| self.line(self.index(hash)))
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, hash: u64) -> Option<&mut L> {
        (0 < self.len).then(|| self.line_mut(self.index(hash)))
    }

    /// A line by its number.
    pub(super) fn line_mut(&mut self, index: usize) -> &mut L {
        &mut self.pages[index / PAGE_LEN][index % PAGE_LEN]
    }

    fn line(&self, index: usize) -> &L {
        &self.pages[index / PAGE_LEN][index % PAGE_LEN]
    }

    fn index(&self, hash: u64) -> usize {
        let bits = (hash >> 4) as usize;
        let index = bits & (self.len.next_power_of_two() - 1);
        if index < self.len { index } else { parent(index) }
    }
}

/// The line whose keys a new one shares: the same number without its highest bit.
fn parent(index: usize) -> usize {
    index & ((index + 1).next_power_of_two() / 2 - 1)
}
