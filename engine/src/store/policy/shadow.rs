//! What would another policy hit? A cache of hashes and sizes only, ruled by the real policy's code.
//!
//! Invariant: every hash inside stands in one queue, once.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Filled, Policy, Rule, Verdict};
use crate::store::arena::Queue;

/// Once an item was given so many chances in one call, the next one has to go.
const CHANCES_MAX: usize = 64;
/// What one item takes, in bytes: in the table, two thirds full, and in a queue.
pub(super) const ITEM_BYTES: u64 = 48;

struct Item {
    hash: u64,
    size: u32,
    usage: u8,
    queue: Queue,
}

/// See the module's text.
pub(super) struct Shadow {
    policy: Policy,
    budget: u64,
    items: HashTable<Item>,
    queues: [VecDeque<u64>; 2],
    filled: Filled,
}

impl Shadow {
    pub(super) fn new(rule: Rule, budget: u64) -> Shadow {
        Shadow {
            policy: Policy::new(rule),
            budget,
            items: HashTable::new(),
            queues: [VecDeque::new(), VecDeque::new()],
            filled: Filled::default(),
        }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.items.len() as u64 * ITEM_BYTES + self.policy.bytes()
    }

    /// A key was asked for. Whether it would have been there; `size` is what it takes, if the real
    /// cache has it: then no `store` will follow, as it would have here.
    pub(super) fn ask(&mut self, hash: u64, size: Option<u32>) -> bool {
        self.policy.seen(hash);
        let rule = self.policy.rule();
        if let Some(item) = self.items.find_mut(hash, |item| item.hash == hash) {
            item.usage = rule.used(item.usage);
            return true;
        }
        if let Some(size) = size {
            self.store(hash, size);
        }
        false
    }

    /// A key was stored. If it is there already, then its `ask` was a hit here.
    pub(super) fn store(&mut self, hash: u64, size: u32) {
        if let Some(item) = self.items.find_mut(hash, |item| item.hash == hash) {
            let old = std::mem::replace(&mut item.size, size);
            let queue = item.queue;
            *self.bytes_in(queue) -= u64::from(old);
            *self.bytes_in(queue) += u64::from(size);
        } else if u64::from(size) <= self.budget {
            let queue = self.policy.admit(hash, self.items.len(), self.filled, self.budget);
            let item = Item { hash, size, usage: 0, queue };
            self.items.insert_unique(hash, item, |item| item.hash);
            self.queues[queue as usize].push_back(hash);
            *self.bytes_in(queue) += u64::from(size);
        }
        let mut chances = CHANCES_MAX;
        while self.budget < self.filled.young + self.filled.main {
            self.judge(&mut chances);
        }
    }

    fn judge(&mut self, chances: &mut usize) {
        let mut queue = self.policy.next(self.filled, self.budget);
        if self.queues[queue as usize].is_empty() {
            queue = if queue == Queue::Main { Queue::Young } else { Queue::Main };
        }
        let mut rival = None;
        if matches!(self.policy.rule(), Rule::Lfu(_)) && queue == Queue::Young {
            rival = self.queues[Queue::Main as usize].front().copied();
            let is_used = |hash| {
                self.items.find(hash, |item| item.hash == hash).is_some_and(|item| 0 < item.usage)
            };
            if rival.is_some_and(is_used) {
                queue = Queue::Main;
            }
        }
        let hash = self.queues[queue as usize].pop_front().expect("somebody is there");
        let len = self.items.len();
        let Entry::Occupied(mut entry) =
            self.items.entry(hash, |item| item.hash == hash, |item| item.hash)
        else {
            unreachable!("who stands in a queue is inside");
        };
        let item = entry.get_mut();
        let size = u64::from(item.size);
        let verdict = self.policy.judge(queue, item.usage, hash, rival, len);
        match verdict {
            Verdict::Again(to, usage) if 0 < *chances => {
                *chances -= 1;
                (item.queue, item.usage) = (to, usage);
                self.queues[to as usize].push_back(hash);
                *self.bytes_in(to) += size;
            }
            Verdict::Again(..) | Verdict::Out => drop(entry.remove()),
        }
        *self.bytes_in(queue) -= size;
    }

    fn bytes_in(&mut self, queue: Queue) -> &mut u64 {
        match queue {
            Queue::Young => &mut self.filled.young,
            Queue::Main | Queue::Keys => &mut self.filled.main,
        }
    }
}
