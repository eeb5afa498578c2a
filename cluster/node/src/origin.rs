//! The sessions this node uses: how it numbers the writes it passes to each group.

use std::collections::BTreeSet;
use std::rc::Rc;

use evenkeel_core::consensus::ReplicaId;

use crate::bugs::{Bug, planted};
use crate::entry::SessionStamp;
use crate::node::Node;

/// This node's session with one group.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The open session, if any.
    pub(crate) session: Option<u64>,
    /// Somebody is opening one.
    pub(crate) opening: bool,
    /// Who led the group when this node last asked; for groups it has no vote in.
    pub(crate) leader: Option<ReplicaId>,
    next: u64,
    outstanding: BTreeSet<(u64, u64)>,
}

impl Origin {
    /// Numbers a write. `None`: open a session first.
    pub(crate) fn stamp(&mut self) -> Option<SessionStamp> {
        let session = self.session?;
        self.next += 1;
        let sequence = self.next;
        self.outstanding.insert((session, sequence));
        let oldest = self.outstanding.range((session, 0)..).next();
        let acknowledged_below = oldest.expect("just inserted").1;
        Some(SessionStamp { session, sequence, acknowledged_below })
    }

    /// The write has its answer, or nobody will ask for it again.
    pub(crate) fn answered(&mut self, stamp: SessionStamp) {
        self.outstanding.remove(&(stamp.session, stamp.sequence));
    }

    /// How many writes have no answer yet.
    pub(crate) fn awaited(&self) -> usize {
        self.outstanding.len()
    }

    /// The group does not know this session any more.
    pub(crate) fn forget(&mut self, session: u64) {
        if self.session == Some(session) {
            self.session = None;
        }
    }
}

/// While it lives, somebody is opening this node's session with a group. A client that goes away takes
/// its request with it, wherever that is: others must be able to open the session then.
pub(crate) struct Opening {
    node: Rc<Node>,
    group: u32,
    has_answer: bool,
}

impl Opening {
    pub(crate) fn begin(node: &Rc<Node>, group: u32) -> Opening {
        node.origins.borrow_mut()[group as usize].opening = true;
        Opening { node: Rc::clone(node), group, has_answer: false }
    }

    /// The group has answered, or had its time.
    pub(crate) fn answered(mut self) {
        self.has_answer = true;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if self.has_answer || !planted(Bug::OpeningLeftOpen) {
            self.node.origins.borrow_mut()[self.group as usize].opening = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_earlier_write_has_answered_is_acknowledged() {
        let mut origin = Origin { session: Some(9), ..Origin::default() };
        let first = origin.stamp().expect("a session is open");
        let second = origin.stamp().expect("a session is open");
        origin.answered(second);
        let third = origin.stamp().expect("a session is open");
        assert_eq!((third.sequence, third.acknowledged_below), (3, first.sequence));
        origin.answered(first);
        let fourth = origin.stamp().expect("a session is open");
        assert_eq!(fourth.acknowledged_below, third.sequence);
    }

    #[test]
    fn a_forgotten_session_is_not_used_again() {
        let mut origin = Origin { session: Some(9), ..Origin::default() };
        origin.forget(8);
        assert!(origin.stamp().is_some());
        origin.forget(9);
        assert!(origin.stamp().is_none());
    }
}
