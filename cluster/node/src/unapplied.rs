//! Where the entries of one group lie in the log that are not applied yet.
//!
//! The next checkpoint appends every one of them again, whatever else happens, so room for that is not
//! room for anything else: see `Node::room`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use evenkeel_core::consensus::Slot;
use evenkeel_engine::Location;

/// What all groups of a node have in the log and not applied yet, in bytes.
pub(crate) type UnappliedBytes = Rc<Cell<u64>>;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Unapplied {
    places: BTreeMap<Slot, Location>,
    total: UnappliedBytes,
}

impl Unapplied {
    pub(crate) fn new(places: BTreeMap<Slot, Location>, total: UnappliedBytes) -> Unapplied {
        let bytes: u64 = places.values().map(|place| u64::from(place.size)).sum();
        total.set(total.get() + bytes);
        Unapplied { places, total }
    }

    /// An entry was appended; one that it replaces is not needed any more.
    pub(crate) fn insert(&mut self, slot: Slot, place: Location) {
        let old = self.places.insert(slot, place).map_or(0, |old| old.size);
        self.total.set(self.total.get() + u64::from(place.size) - u64::from(old));
    }

    /// An entry is being applied. `None`: it was never appended.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Location> {
        let place = self.places.remove(&slot)?;
        self.total.set(self.total.get() - u64::from(place.size));
        Some(place)
    }

    /// A snapshot has taken the place of the entries up to here.
    pub(crate) fn forget_up_to(&mut self, slot: Slot) {
        let kept = self.places.split_off(&slot.next());
        let bytes: u64 = self.places.values().map(|place| u64::from(place.size)).sum();
        self.total.set(self.total.get() - bytes);
        self.places = kept;
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.places.contains_key(&slot)
    }

    pub(crate) fn touches(&self, segment: u32) -> bool {
        self.places.values().any(|place| place.segment == segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(size: u32) -> Location {
        Location { segment: size, offset: 0, size }
    }

    /// Goal: the bytes of a node are those of the entries of all its groups, whatever becomes of them.
    /// Method: two groups; entries come, are replaced, applied, and passed over by a snapshot.
    #[test]
    fn bytes_are_those_of_what_is_there() {
        let total = UnappliedBytes::default();
        let recovered = BTreeMap::from([(Slot(4), place(10)), (Slot(5), place(20))]);
        let mut one = Unapplied::new(recovered, Rc::clone(&total));
        let mut other = Unapplied::new(BTreeMap::new(), Rc::clone(&total));
        assert_eq!(total.get(), 30);
        other.insert(Slot(1), place(100));
        one.insert(Slot(5), place(25)); // In a higher ballot.
        one.insert(Slot(6), place(1_000));
        assert_eq!(total.get(), 10 + 25 + 1_000 + 100);
        assert!(one.touches(25) && !one.touches(20) && !one.touches(100));
        assert_eq!(one.remove(Slot(4)), Some(place(10)));
        assert_eq!(one.remove(Slot(4)), None);
        one.forget_up_to(Slot(5));
        assert_eq!(total.get(), 1_000 + 100);
        one.forget_up_to(Slot(9));
        assert_eq!(other.remove(Slot(1)), Some(place(100)));
        assert_eq!(total.get(), 0);
    }
}
