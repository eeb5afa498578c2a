//! Arguments to a command: who it is, by the table; then what it says, by its group.

use alloc::format;
use alloc::string::String;

use super::{Command, CommandError};
use crate::arguments::{Arguments, List, Pairs};
use crate::limits::KEY_SIZE_MAX;
use crate::number::parse_integer;
use crate::table::{self, CommandInfo, Group, Name};

mod connection;
mod keys;
mod server;
mod strings;

/// How much of a stranger's words comes back in an error.
const ECHO_SIZE_MAX: usize = 128;

/// Reads a command. No allocation, unless it ends in an error.
///
/// # Errors
///
/// See `CommandError`; its text is the reply.
#[inline]
pub fn parse<'a>(arguments: &'a Arguments<'_>) -> Result<Command<'a>, CommandError> {
    parse_as(recognise(arguments)?, arguments)
}

/// Which command it is, by its name alone: the first half of `parse`.
///
/// # Errors
///
/// There is no such command, or no such subcommand.
#[inline]
pub fn recognise(arguments: &Arguments<'_>) -> Result<&'static CommandInfo, CommandError> {
    let name = arguments.get(0).unwrap_or_default();
    let info = table::lookup(name).ok_or_else(|| unknown(name, arguments))?;
    if info.subcommands.is_empty() { Ok(info) } else { subcommand(info, arguments) }
}

/// Reads a command that was recognised as `info`: the second half of `parse`.
///
/// # Errors
///
/// See `CommandError`; its text is the reply.
#[inline]
pub fn parse_as<'a>(
    info: &'static CommandInfo,
    arguments: &'a Arguments<'_>,
) -> Result<Command<'a>, CommandError> {
    let words = Words { info, arguments };
    if !info.takes(arguments.count()) {
        return Err(words.wrong_count());
    }
    match info.group {
        Group::String => strings::parse(words),
        Group::Generic => keys::parse(words),
        Group::Transactions => transaction(words),
        Group::Connection => connection::parse(words),
        Group::Server | Group::Cluster => server::parse(words),
    }
}

fn transaction<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    Ok(match words.info.id {
        Name::Multi => Command::Multi,
        Name::Exec => Command::Exec,
        Name::Discard => Command::Discard,
        Name::Unwatch => Command::Unwatch,
        Name::Watch => Command::Watch { keys: words.keys(1)? },
        other => unreachable!("{other:?} is not of this group"),
    })
}

fn subcommand(
    info: &'static CommandInfo,
    arguments: &Arguments<'_>,
) -> Result<&'static CommandInfo, CommandError> {
    let Some(name) = arguments.get(1) else {
        // Of those, `COMMAND` alone means something by itself.
        return Ok(info);
    };
    info.subcommand(name).ok_or_else(|| CommandError::UnknownSubcommand {
        name: table::printable(name, ECHO_SIZE_MAX),
        command: info.name.to_ascii_uppercase(),
    })
}

#[cold]
fn unknown(name: &[u8], arguments: &Arguments<'_>) -> CommandError {
    let mut beginning = String::new();
    for argument in arguments.list(1) {
        if ECHO_SIZE_MAX <= beginning.len() {
            break;
        }
        let word = table::printable(argument, ECHO_SIZE_MAX - beginning.len());
        beginning += &format!("'{word}' ");
    }
    CommandError::Unknown { name: table::printable(name, ECHO_SIZE_MAX), arguments: beginning }
}

/// A command's arguments, and the row they were checked against.
#[derive(Clone, Copy)]
struct Words<'a> {
    info: &'static CommandInfo,
    arguments: &'a Arguments<'a>,
}

impl<'a> Words<'a> {
    fn count(&self) -> usize {
        self.arguments.count()
    }

    #[inline]
    fn word(&self, index: usize) -> Result<&'a [u8], CommandError> {
        self.arguments.get(index).ok_or_else(|| self.wrong_count())
    }

    /// The word after an option: without one, the option is wrong, not the count.
    fn value(&self, index: usize) -> Result<&'a [u8], CommandError> {
        self.arguments.get(index).ok_or(CommandError::Syntax)
    }

    #[inline]
    fn key(&self, index: usize) -> Result<&'a [u8], CommandError> {
        let key = self.word(index)?;
        if KEY_SIZE_MAX < key.len() {
            return Err(CommandError::KeySize { size: key.len() });
        }
        Ok(key)
    }

    fn keys(&self, first: usize) -> Result<List<'a>, CommandError> {
        let keys = self.arguments.list(first);
        match keys.iter().map(<[u8]>::len).find(|&size| KEY_SIZE_MAX < size) {
            Some(size) => Err(CommandError::KeySize { size }),
            None => Ok(keys),
        }
    }

    fn list(&self, first: usize) -> List<'a> {
        self.arguments.list(first)
    }

    fn pairs(&self, first: usize) -> Result<Pairs<'a>, CommandError> {
        let list = self.arguments.list(first);
        if list.count().is_multiple_of(2) { Ok(Pairs::new(list)) } else { Err(self.wrong_count()) }
    }

    fn integer(&self, index: usize) -> Result<i64, CommandError> {
        parse_integer(self.word(index)?).ok_or(CommandError::NotInteger)
    }

    #[cold]
    fn wrong_count(&self) -> CommandError {
        CommandError::ArgumentCount { name: self.info.name.into() }
    }
}

/// Whether two words are the same, whatever their case.
fn is(word: &[u8], expected: &str) -> bool {
    word.eq_ignore_ascii_case(expected.as_bytes())
}

/// On or off.
fn switch(word: &[u8]) -> Result<bool, CommandError> {
    match word {
        word if is(word, "on") => Ok(true),
        word if is(word, "off") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

/// `… HELP`: the command before the bar.
fn help(info: &'static CommandInfo) -> Command<'static> {
    let command = info.name.split_once('|').map_or(info.name, |(command, _)| command);
    Command::Help { command }
}

/// A name may be seen in lists whose words are divided by spaces.
fn check_name(name: &[u8], error: &'static str) -> Result<(), CommandError> {
    if name.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(CommandError::Other(error)) }
}
