//! A command that outlives the buffer it came in: queued by `MULTI`, or sent on to another node.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::arguments::Arguments;

/// A command's arguments, kept. `command::parse(&owned.arguments())` reads it again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedCommand {
    /// The name first.
    pub arguments: Vec<Bytes>,
}

impl OwnedCommand {
    /// Copies the arguments, into one piece of memory.
    pub fn new(arguments: &Arguments<'_>) -> OwnedCommand {
        OwnedCommand { arguments: arguments.keep() }
    }

    /// For code that makes a command itself: `OwnedCommand::of(&[b"GET", key])`.
    pub fn of(arguments: &[&[u8]]) -> OwnedCommand {
        OwnedCommand::new(&Arguments::from_slices(arguments))
    }

    /// The arguments, to be parsed.
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments::from_kept(&self.arguments)
    }
}
