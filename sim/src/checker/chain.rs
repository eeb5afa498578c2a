//! A list from which elements leave and to which they come back, last out first in.

/// Doubly linked over element numbers; Knuth's "dancing links". Every operation is O(1).
#[derive(Debug)]
pub(super) struct Chain {
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Chain {
    /// `elements`, in their order, out of the numbers below `count`.
    pub(super) fn new(count: usize, elements: &[usize]) -> Chain {
        // The number `count` stands for both ends.
        let mut chain = Chain { next: vec![count; count + 1], previous: vec![count; count + 1] };
        let mut last = count;
        for &element in elements {
            assert!(element < count, "elements are below the count");
            chain.next[last] = element;
            chain.previous[element] = last;
            last = element;
        }
        chain.next[last] = count;
        chain.previous[count] = last;
        chain
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.after(self.next.len() - 1)
    }

    pub(super) fn after(&self, element: usize) -> Option<usize> {
        let next = self.next[element];
        (next < self.next.len() - 1).then_some(next)
    }

    pub(super) fn remove(&mut self, element: usize) {
        let (previous, next) = (self.previous[element], self.next[element]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    /// Undoes `remove`, provided that everything removed since is back.
    pub(super) fn restore(&mut self, element: usize) {
        let (previous, next) = (self.previous[element], self.next[element]);
        self.next[previous] = element;
        self.previous[next] = element;
    }
}
