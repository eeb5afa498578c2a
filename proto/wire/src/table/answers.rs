//! What the `COMMAND` family, `ACL CAT` and `… HELP` answer, in the shapes that clients expect.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{
    COMMANDS, CommandInfo, FLAG_ADMIN, FLAG_BLOCKING, FLAG_DANGEROUS, FLAG_DENYOOM, FLAG_FAST,
    FLAG_LOADING, FLAG_NO_AUTH, FLAG_NO_MULTI, FLAG_READONLY, FLAG_WRITE, Group, find, lookup,
};
use crate::arguments::List;
use crate::command::{CommandQuestion, ListFilter};
use crate::glob;
use crate::reply::Reply;

/// What a flag is called in `COMMAND INFO`.
const FLAG_NAMES: [(u16, &str); 10] = [
    (FLAG_WRITE, "write"),
    (FLAG_READONLY, "readonly"),
    (FLAG_DENYOOM, "denyoom"),
    (FLAG_ADMIN, "admin"),
    (FLAG_LOADING, "loading"),
    (FLAG_LOADING, "stale"),
    (FLAG_FAST, "fast"),
    (FLAG_NO_AUTH, "no_auth"),
    (FLAG_NO_MULTI, "no_multi"),
    (FLAG_BLOCKING, "blocking"),
];

/// Categories that have a command.
const CATEGORIES: [&str; 11] = [
    "keyspace",
    "read",
    "write",
    "string",
    "fast",
    "slow",
    "blocking",
    "admin",
    "dangerous",
    "connection",
    "transaction",
];

/// The reply to `COMMAND` and its subcommands.
pub fn answer(question: &CommandQuestion<'_>) -> Reply {
    match question {
        CommandQuestion::All => Reply::Array(COMMANDS.iter().map(entry).collect()),
        CommandQuestion::Count => Reply::Integer(COMMANDS.len() as i64),
        CommandQuestion::Info { names } if names.is_empty() => answer(&CommandQuestion::All),
        CommandQuestion::Info { names } => Reply::Array(
            names.iter().map(|name| by_name(name).map_or(Reply::Null, entry)).collect(),
        ),
        CommandQuestion::Docs { names } if names.is_empty() => {
            Reply::Map(COMMANDS.iter().map(documentation).collect())
        }
        CommandQuestion::Docs { names } => {
            Reply::Map(names.iter().filter_map(by_name).map(documentation).collect())
        }
        CommandQuestion::List { filter } => list(*filter),
        CommandQuestion::GetKeys { command } => keys(*command),
    }
}

/// The reply to `ACL CAT`.
pub fn categories(category: Option<&[u8]>) -> Reply {
    let Some(name) = category else {
        return Reply::Array(CATEGORIES.iter().map(|name| Reply::text(name)).collect());
    };
    let Some(category) = category_named(name) else {
        return Reply::error(format!("ERR Unknown category '{}'", name.escape_ascii()));
    };
    Reply::Array(names_where(&|info| categories_of(info).contains(&category)))
}

/// The reply to `… HELP`: what the command's subcommands do.
pub fn help(command: &str) -> Reply {
    let subcommands = lookup(command.as_bytes()).map_or(&[][..], |info| info.subcommands);
    let title = format!("{} <subcommand> [<argument> ...]:", command.to_ascii_uppercase());
    let lines = subcommands.iter().flat_map(|info| {
        let name = info.name.split_once('|').map_or(info.name, |(_, name)| name);
        [name.to_ascii_uppercase(), format!("    {}", info.summary)]
    });
    let lines = core::iter::once(title).chain(lines);
    Reply::Array(lines.map(|line| Reply::Simple(line.into())).collect())
}

/// `get`, or `client|id`.
fn by_name(name: &[u8]) -> Option<&'static CommandInfo> {
    match name.iter().position(|&byte| byte == b'|') {
        Some(at) => lookup(&name[..at])?.subcommand(&name[at + 1..]),
        None => lookup(name),
    }
}

/// As Redis 7: name, arity, flags, first key, last key, step, categories, tips, key specifications,
/// subcommands.
fn entry(info: &CommandInfo) -> Reply {
    let flags = FLAG_NAMES.iter().filter(|(flag, _)| info.has(*flag));
    let categories = categories_of(info).into_iter();
    Reply::Array(vec![
        Reply::text(info.name),
        Reply::Integer(i64::from(info.arity)),
        Reply::Set(flags.map(|(_, name)| Reply::simple(name)).collect()),
        Reply::Integer(i64::from(info.keys.first)),
        Reply::Integer(i64::from(info.keys.last)),
        Reply::Integer(i64::from(info.keys.step)),
        Reply::Set(categories.map(|name| Reply::Simple(format!("@{name}").into())).collect()),
        Reply::Array(vec![]),
        Reply::Array(key_specification(info).into_iter().collect()),
        Reply::Array(info.subcommands.iter().map(entry).collect()),
    ])
}

fn key_specification(info: &CommandInfo) -> Option<Reply> {
    if info.keys.first == 0 {
        return None;
    }
    let (first, last) = (i64::from(info.keys.first), i64::from(info.keys.last));
    let flags: &[&'static str] =
        if info.has(FLAG_WRITE) { &["RW", "UPDATE"] } else { &["RO", "ACCESS"] };
    // The last key counts from the first one, unless it counts from the end.
    let last = if last < 0 { last } else { last - first };
    let range = [("lastkey", last), ("keystep", i64::from(info.keys.step)), ("limit", 0)];
    Some(map([
        ("flags", Reply::Set(flags.iter().map(|flag| Reply::simple(flag)).collect())),
        ("begin_search", search("index", map([("index", Reply::Integer(first))]))),
        ("find_keys", search("range", map(range.map(|(name, at)| (name, Reply::Integer(at)))))),
    ]))
}

fn search(kind: &'static str, specification: Reply) -> Reply {
    map([("type", Reply::text(kind)), ("spec", specification)])
}

fn map<const N: usize>(fields: [(&'static str, Reply); N]) -> Reply {
    Reply::Map(fields.map(|(name, value)| (Reply::text(name), value)).into())
}

fn documentation(info: &'static CommandInfo) -> (Reply, Reply) {
    let group = match info.group {
        Group::String => "string",
        Group::Generic => "generic",
        Group::Transactions => "transactions",
        Group::Connection => "connection",
        Group::Server => "server",
        Group::Cluster => "cluster",
    };
    let mut fields = vec![
        (Reply::text("summary"), Reply::text(info.summary)),
        (Reply::text("since"), Reply::text(info.since)),
        (Reply::text("group"), Reply::text(group)),
    ];
    if !info.subcommands.is_empty() {
        let subcommands = info.subcommands.iter().map(documentation).collect();
        fields.push((Reply::text("subcommands"), Reply::Map(subcommands)));
    }
    (Reply::text(info.name), Reply::Map(fields))
}

fn list(filter: Option<ListFilter<'_>>) -> Reply {
    Reply::Array(match filter {
        None => names_where(&|_| true),
        Some(ListFilter::Module) => vec![],
        Some(ListFilter::Category(name)) => match category_named(name) {
            Some(category) => names_where(&|info| categories_of(info).contains(&category)),
            None => vec![],
        },
        Some(ListFilter::Pattern(pattern)) => {
            let pattern = pattern.to_ascii_lowercase();
            names_where(&|info| glob::matches(&pattern, info.name.as_bytes()))
        }
    })
}

/// Commands, and subcommands behind their command.
fn names_where(holds: &dyn Fn(&CommandInfo) -> bool) -> Vec<Reply> {
    let all = COMMANDS.iter().flat_map(|info| core::iter::once(info).chain(info.subcommands));
    all.filter(|info| holds(info)).map(|info| Reply::text(info.name)).collect()
}

fn keys(command: List<'_>) -> Reply {
    let Some(info) = find(command) else { return Reply::error("ERR Invalid command specified") };
    if info.keys.first == 0 {
        return Reply::error("ERR The command has no key arguments");
    }
    if !info.takes(command.count()) {
        return Reply::error("ERR Invalid number of arguments specified for command");
    }
    Reply::Array(info.keys_of(command).map(Reply::bulk).collect())
}

fn category_named(name: &[u8]) -> Option<&'static str> {
    CATEGORIES.into_iter().find(|category| category.as_bytes().eq_ignore_ascii_case(name))
}

/// A command that holds subcommands has none of its own.
fn categories_of(info: &CommandInfo) -> Vec<&'static str> {
    let group = match info.group {
        Group::String => Some("string"),
        Group::Generic => Some("keyspace"),
        Group::Transactions => Some("transaction"),
        Group::Connection => Some("connection"),
        Group::Server | Group::Cluster => None,
    };
    let flags = [
        (FLAG_READONLY, "read"),
        (FLAG_WRITE, "write"),
        (FLAG_FAST, "fast"),
        (FLAG_BLOCKING, "blocking"),
        (FLAG_ADMIN, "admin"),
        (FLAG_DANGEROUS, "dangerous"),
    ];
    let flags = flags.into_iter().filter(|(flag, _)| info.has(*flag)).map(|(_, name)| name);
    let slow = if info.has(FLAG_FAST) { None } else { Some("slow") };
    group.into_iter().chain(flags).chain(slow).collect()
}

/// Bytes that a client sent, cut to `size_max` and made printable, for an error.
pub(crate) fn printable(bytes: &[u8], size_max: usize) -> String {
    let cut = &bytes[..bytes.len().min(size_max)];
    String::from_utf8_lossy(cut).replace(|letter: char| letter.is_control(), " ").to_string()
}
