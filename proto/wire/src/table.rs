//! Every command there is: its name, how many arguments it takes, where its keys are, what it may do.
//!
//! One row a command, in `rows`. Names are found by hash, in any case, without an allocation; the hash
//! table is made when this crate is compiled.

use crate::arguments::List;

mod answers;
mod names;
mod rows;

pub(crate) use answers::printable;
pub use answers::{answer, categories, help};
pub use names::Name;
pub use rows::COMMANDS;

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct CommandInfo {
    /// In lower case; a subcommand's with its command's: `client|id`.
    pub name: &'static str,
    /// What to compare with.
    pub id: Name,
    /// How many arguments, the name included (and the subcommand's); negative: at least so many.
    pub arity: i8,
    /// A set of `FLAG_…`.
    pub flags: u16,
    /// Where keys are.
    pub keys: KeyPositions,
    /// What kind of command it is.
    pub group: Group,
    /// The release of Redis that had it first.
    pub since: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// `CLIENT ID` and its like.
    pub subcommands: &'static [CommandInfo],
}

/// May change keys.
pub const FLAG_WRITE: u16 = 1 << 0;
/// Reads keys, changes none.
pub const FLAG_READONLY: u16 = 1 << 1;
/// Needs memory: refused when there is none.
pub const FLAG_DENYOOM: u16 = 1 << 2;
/// For operators.
pub const FLAG_ADMIN: u16 = 1 << 3;
/// Constant time, or logarithmic.
pub const FLAG_FAST: u16 = 1 << 4;
/// Allowed before `AUTH`.
pub const FLAG_NO_AUTH: u16 = 1 << 5;
/// Allowed while the node has no quorum, or still loads.
pub const FLAG_LOADING: u16 = 1 << 6;
/// Not allowed within `MULTI`.
pub const FLAG_NO_MULTI: u16 = 1 << 7;
/// Makes its client wait.
pub const FLAG_BLOCKING: u16 = 1 << 8;
/// Can hurt.
pub const FLAG_DANGEROUS: u16 = 1 << 9;

/// Where a command's keys are among its arguments; all zeros if it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPositions {
    /// The first key; 0 for none.
    pub first: u8,
    /// The last key; negative counts from the end.
    pub last: i8,
    /// From key to key.
    pub step: u8,
}

/// Kinds of commands, as `COMMAND DOCS` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Values.
    String,
    /// Keys, whatever their value.
    Generic,
    /// `MULTI` and its like.
    Transactions,
    /// The client's own connection.
    Connection,
    /// The server.
    Server,
    /// The cluster.
    Cluster,
}

impl CommandInfo {
    /// Whether all of these flags are set.
    pub const fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// Whether a command of `count` arguments, names included, may be this one.
    pub const fn takes(&self, count: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { arity <= count } else { arity == count }
    }

    /// The keys among a command's arguments (the name at 0).
    pub fn keys_of<'a>(&self, command: List<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let KeyPositions { first, last, step } = self.keys;
        let count = command.count();
        let end = match last {
            0.. => usize::from(last.unsigned_abs()) + 1,
            ..0 => (count + 1).saturating_sub(usize::from(last.unsigned_abs())),
        };
        let end = if first == 0 { 0 } else { end.min(count) };
        let positions = (usize::from(first)..end).step_by(usize::from(step.max(1)));
        positions.filter_map(move |position| command.get(position))
    }

    /// The subcommand of this name, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static CommandInfo> {
        let prefix = self.name.len() + 1;
        self.subcommands
            .iter()
            .find(|info| info.name.as_bytes()[prefix..].eq_ignore_ascii_case(name))
    }
}

/// The command of this name, in any case. A dozen nanoseconds.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static CommandInfo> {
    let packed = pack(name)?;
    let mut slot = hash(packed);
    loop {
        let (candidate, index) = SLOTS[slot];
        if candidate == packed {
            return Some(&COMMANDS[usize::from(index)]);
        }
        if candidate == 0 {
            return None;
        }
        slot = (slot + 1) % SLOT_COUNT;
    }
}

/// The row of a whole command: its subcommand's, if it has one.
pub fn find(command: List<'_>) -> Option<&'static CommandInfo> {
    let info = lookup(command.get(0)?)?;
    match command.get(1) {
        Some(name) if !info.subcommands.is_empty() => info.subcommand(name),
        _ => Some(info),
    }
}

/// More than twice as many slots as names: a search ends soon.
const SLOT_COUNT: usize = 256;

/// The sixteenth byte of a packed name is its size.
const NAME_SIZE_MAX: usize = 15;

/// (name, row); a name of zero is an empty slot.
static SLOTS: [(u128, u8); SLOT_COUNT] = slots();

const fn slots() -> [(u128, u8); SLOT_COUNT] {
    assert!(2 * COMMANDS.len() < SLOT_COUNT && COMMANDS.len() <= u8::MAX as usize);
    let mut slots = [(0, 0); SLOT_COUNT];
    let mut index = 0;
    while index < COMMANDS.len() {
        let name = COMMANDS[index].name.as_bytes();
        let mut letter = 0;
        while letter < name.len() {
            assert!(name[letter].is_ascii_lowercase(), "only letters can be folded by a mask");
            letter += 1;
        }
        let packed = match pack(name) {
            Some(packed) => packed,
            None => panic!("a name has at most fifteen letters"),
        };
        let mut slot = hash(packed);
        while slots[slot].0 != 0 {
            assert!(slots[slot].0 != packed, "a name has one row");
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = (packed, index as u8);
        index += 1;
    }
    slots
}

/// A name as one number, never zero, without case. Of all bytes, only a letter's two cases become that
/// letter: what is not a letter becomes something that is in no name.
#[inline]
const fn pack(name: &[u8]) -> Option<u128> {
    if name.is_empty() || NAME_SIZE_MAX < name.len() {
        return None;
    }
    let mut packed = name.len() as u128;
    let mut index = 0;
    while index < name.len() {
        packed = packed << 8 | (name[index] & !0x20) as u128;
        index += 1;
    }
    Some(packed)
}

#[inline]
const fn hash(packed: u128) -> usize {
    let folded = packed as u64 ^ (packed >> 64) as u64;
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize
}

const _: () = assert!(SLOT_COUNT == 1 << (64 - 56));

#[cfg(test)]
mod tests;
