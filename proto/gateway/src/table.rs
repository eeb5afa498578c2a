//! Gives every command a small number, to count by.

use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::table::{COMMANDS, CommandInfo, lookup};

/// What is counted under the number after the last command's.
const UNKNOWN: &str = "unknown";

/// The names of all commands and subcommands, by their numbers; the last one is for what has none.
pub(crate) fn names() -> Vec<&'static str> {
    let infos = || COMMANDS.iter().flat_map(|info| std::iter::once(info).chain(info.subcommands));
    let count = infos().map(|info| number_of(info) + 1).max().unwrap_or(0);
    let mut names = vec![UNKNOWN; count + 1];
    infos().for_each(|info| names[number_of(info)] = info.name);
    names
}

/// The number of the command that these words ask for, if not quite: an unknown subcommand is counted
/// as its command. `None` if there is no such command.
pub(crate) fn number(arguments: &Arguments<'_>) -> Option<usize> {
    let info = lookup(arguments.get(0)?)?;
    if info.subcommands.is_empty() {
        return Some(number_of(info));
    }
    let subcommand = arguments.get(1).and_then(|name| info.subcommand(name));
    Some(number_of(subcommand.unwrap_or(info)))
}

/// The number of a command.
#[inline]
pub(crate) fn number_of(info: &CommandInfo) -> usize {
    info.id as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_number_of_its_own() {
        let names = names();
        let named: Vec<&&str> = names.iter().filter(|name| **name != UNKNOWN).collect();
        let count: usize = COMMANDS.iter().map(|info| 1 + info.subcommands.len()).sum();
        assert_eq!(named.len(), count);
        assert_eq!(names.last(), Some(&UNKNOWN));
    }

    #[test]
    fn a_subcommand_is_counted_by_itself_and_an_unknown_one_by_its_command() {
        let names = names();
        let name =
            |words: &[&[u8]]| number(&Arguments::from_slices(words)).map(|number| names[number]);
        assert_eq!(name(&[b"gEt", b"key"]), Some("get"));
        assert_eq!(name(&[b"CLIENT", b"setname", b"x"]), Some("client|setname"));
        assert_eq!(name(&[b"CLIENT", b"MAINT_NOTIFICATIONS"]), Some("client"));
        assert_eq!(name(&[b"LPUSH", b"a", b"b"]), None);
        assert_eq!(name(&[]), None);
    }
}
