//! The order of use, as a list through the slab's entries: no memory of its own, every step O(1).

use super::slab::{NONE, Slab};

/// Holds exactly the entries whose bytes may be evicted.
pub(super) struct Recency {
    newest: u32,
    oldest: u32,
}

impl Recency {
    pub(super) fn new() -> Recency {
        Recency { newest: NONE, oldest: NONE }
    }

    /// The entry that was not used for longest.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Adds an entry as the newest.
    pub(super) fn push(&mut self, slab: &mut Slab, id: u32) {
        slab[id].newer = NONE;
        slab[id].older = self.newest;
        match self.newest {
            NONE => self.oldest = id,
            newest => slab[newest].newer = id,
        }
        self.newest = id;
    }

    pub(super) fn remove(&mut self, slab: &mut Slab, id: u32) {
        let (newer, older) = (slab[id].newer, slab[id].older);
        match newer {
            NONE => self.newest = older,
            newer => slab[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => slab[older].newer = newer,
        }
    }

    /// Makes an entry the newest. Free if it already is.
    pub(super) fn touch(&mut self, slab: &mut Slab, id: u32) {
        if self.newest != id {
            self.remove(slab, id);
            self.push(slab, id);
        }
    }
}
