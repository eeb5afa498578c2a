//! Which of this replica's writes its disk has reported.

use alloc::collections::VecDeque;

use crate::consensus::{Micros, Token};

/// **Invariant.** `durable` never passes `issued`, and neither ever goes back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Flushes {
    issued: Token,
    durable: Token,
    outstanding: VecDeque<(Token, Micros)>,
}

impl Flushes {
    pub(super) fn issue(&mut self, now: Micros) -> Token {
        assert!(self.durable <= self.issued, "the disk reported a write that was never asked for");
        self.issued = Token(self.issued.0 + 1);
        self.outstanding.push_back((self.issued, now));
        self.issued
    }

    pub(super) fn persisted(&mut self, token: Token) {
        assert!(token <= self.issued, "the driver reported a write that was never asked for");
        self.durable = self.durable.max(token);
        while self.outstanding.front().is_some_and(|&(oldest, _)| oldest <= token) {
            self.outstanding.pop_front();
        }
    }

    /// What a message that vouches for anything must wait for: everything, in its order.
    pub(super) fn pending(&self) -> Option<Token> {
        (self.durable < self.issued).then_some(self.issued)
    }

    /// Whether a write has been out for longer than this.
    pub(super) fn hang(&self, now: Micros, patience: Micros) -> bool {
        self.outstanding.front().is_some_and(|&(_, since)| patience < now.since(since))
    }
}
