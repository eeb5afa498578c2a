//! Keeps one connection's commands in order where it can be seen.
//!
//! Commands of a pipeline start before earlier ones have ended. Writes may run side by side (a shard's
//! log keeps them in the order they started), and so may reads; but a read must not overtake an earlier
//! write of its own connection, nor a write an earlier read. So a connection's commands take turns in
//! phases of one kind, first come, first served.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::oneshot;

/// One connection's memory of what it has under way. Kept by the door, used by the node.
#[derive(Debug, Clone, Default)]
pub struct Order {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is running now; meaningless while `running` is 0.
    phase: Option<Kind>,
    running: u32,
    queue: VecDeque<(Kind, oneshot::Sender<Turn>)>,
}

/// What a command does to what it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// A command's permission to run; its turn ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    shared: Rc<RefCell<Shared>>,
}

/// A turn, now or later.
pub(crate) enum Entry {
    Now(Turn),
    Later(oneshot::Receiver<Turn>),
}

impl Order {
    /// Nothing under way.
    pub fn new() -> Order {
        Order::default()
    }

    /// Takes the next place in the queue, or a turn at once if nobody stands in the way.
    pub(crate) fn enter(&self, kind: Kind) -> Entry {
        let mut shared = self.shared.borrow_mut();
        let fits = shared.running == 0 || shared.phase == Some(kind);
        if shared.queue.is_empty() && fits {
            shared.phase = Some(kind);
            shared.running += 1;
            return Entry::Now(Turn { shared: Rc::clone(&self.shared) });
        }
        let (sender, receiver) = oneshot::channel();
        shared.queue.push_back((kind, sender));
        Entry::Later(receiver)
    }
}

impl Order {
    /// Whether a read that waits for nothing may run between two others.
    pub(crate) fn reads_may_run(&self) -> bool {
        let shared = self.shared.borrow();
        shared.queue.is_empty() && (shared.running == 0 || shared.phase == Some(Kind::Read))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut refused = Vec::new(); // Turns nobody waits for any more; dropped outside the borrow.
        let mut shared = self.shared.borrow_mut();
        assert!(shared.running > 0, "a turn ends once");
        shared.running -= 1;
        if shared.running > 0 {
            return;
        }
        shared.phase = shared.queue.front().map(|(kind, _)| *kind);
        while shared.queue.front().is_some_and(|(kind, _)| Some(*kind) == shared.phase) {
            let (_, sender) = shared.queue.pop_front().expect("looked at just now");
            shared.running += 1;
            if let Err(turn) = sender.send(Turn { shared: Rc::clone(&self.shared) }) {
                refused.push(turn);
            }
        }
        drop(shared);
        drop(refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(entry: Entry) -> Turn {
        match entry {
            Entry::Now(turn) => turn,
            Entry::Later(_) => panic!("somebody stands in the way"),
        }
    }

    fn later(entry: Entry) -> oneshot::Receiver<Turn> {
        match entry {
            Entry::Now(_) => panic!("nobody stands in the way"),
            Entry::Later(receiver) => receiver,
        }
    }

    /// Goal: SET, GET, SET in one pipeline: the GET sees the first write and not the second.
    #[test]
    fn kinds_take_turns_in_the_order_they_came() {
        let order = Order::new();
        let first = now(order.enter(Kind::Write));
        let beside = now(order.enter(Kind::Write));
        let mut read = later(order.enter(Kind::Read));
        let mut write = later(order.enter(Kind::Write));
        drop(first);
        assert!(read.try_recv().is_err());
        drop(beside);
        let reading = read.try_recv().expect("all writes before it have ended");
        assert!(write.try_recv().is_err());
        drop(reading);
        drop(write.try_recv().expect("the read before it has ended"));
        drop(now(order.enter(Kind::Read)));
    }

    #[test]
    fn a_command_that_gave_up_does_not_block_those_behind_it() {
        let order = Order::new();
        let write = now(order.enter(Kind::Write));
        drop(later(order.enter(Kind::Read)));
        let mut last = later(order.enter(Kind::Write));
        drop(write);
        assert!(last.try_recv().is_ok());
    }
}
