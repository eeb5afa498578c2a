//! Keys that commands are about to name, fetched ahead of them. See `evenkeel_engine::store::Store::warm`.

use evenkeel_core::placement::slots;
use evenkeel_engine::store;

use crate::api::{Hint, KEYSPACE_CACHE, KEYSPACE_DEFAULT};
use crate::node::Node;

impl Node {
    /// What `warm` needs to know of a key; `None` if its commands will not be carried out here.
    #[inline]
    pub fn hint(&self, keyspace: u8, key: &[u8]) -> Option<Hint> {
        let slot = slots::slot(key);
        let here = match keyspace {
            KEYSPACE_CACHE => true,
            KEYSPACE_DEFAULT => self.groups[self.group_of(slot) as usize].borrow().is_leader(),
            _ => false,
        };
        here.then(|| Hint { keyspace, hint: store::Hint::new(slot, key) })
    }

    /// Fetches what commands about these keys will read. Changes nothing.
    pub fn warm(&self, hints: &[Hint]) {
        for (keyspace, store) in [(KEYSPACE_CACHE, &self.cache), (KEYSPACE_DEFAULT, &self.store)] {
            let of_store = hints.iter().filter(|hint| hint.keyspace == keyspace);
            store.borrow().warm(of_store.map(|hint| hint.hint));
        }
    }
}
