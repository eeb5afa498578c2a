//! `COMMAND`, `CONFIG`, `CLUSTER` and what else is about the server.

use super::{Words, help, is};
use crate::command::{
    AclCommand, ClusterCommand, Command, CommandError, CommandQuestion, ConfigCommand,
    EvenkeelCommand, LatencyCommand, ListFilter, SlowLogCommand, SnapshotCommand,
};
use crate::limits::SLOT_COUNT;
use crate::number::{parse_float, parse_integer};
use crate::table::{Group, Name};

/// An hour: who sleeps longer has another problem.
const SLEEP_MS_MAX: f64 = 3_600_000.0;

pub(super) fn parse<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    if words.info.name.ends_with("|help") {
        return Ok(help(words.info));
    }
    Ok(match words.info.id {
        Name::Info => Command::Info { sections: words.list(1) },
        Name::DbSize => Command::DbSize,
        Name::FlushDb => flush(words, Command::FlushDb)?,
        Name::FlushAll => flush(words, Command::FlushAll)?,
        Name::Time => Command::Time,
        Name::Role => Command::Role,
        Name::LastSave => Command::LastSave,
        Name::ReadOnly => Command::ReadOnly,
        Name::ReadWrite => Command::ReadWrite,
        Name::Asking => Command::Asking,
        Name::ModuleList => Command::ModuleList,
        Name::MemoryUsage => memory_usage(words)?,
        Name::DebugSleep => Command::DebugSleep { ms: sleep_ms(words)? },
        Name::ConfigGet => Command::Config(ConfigCommand::Get { patterns: words.list(2) }),
        Name::ConfigSet => Command::Config(ConfigCommand::Set { pairs: words.pairs(2)? }),
        Name::ConfigResetStat => Command::Config(ConfigCommand::ResetStat),
        Name::SlowLogGet => Command::SlowLog(SlowLogCommand::Get { count: slow_count(words)? }),
        Name::SlowLogLen => Command::SlowLog(SlowLogCommand::Len),
        Name::SlowLogReset => Command::SlowLog(SlowLogCommand::Reset),
        Name::LatencyLatest => Command::Latency(LatencyCommand::Latest),
        Name::LatencyHistory => Command::Latency(LatencyCommand::History { event: words.word(2)? }),
        Name::LatencyReset => Command::Latency(LatencyCommand::Reset { events: words.list(2) }),
        Name::LatencyHistogram => {
            Command::Latency(LatencyCommand::Histogram { commands: words.list(2) })
        }
        Name::AclWhoAmI => Command::Acl(AclCommand::WhoAmI),
        Name::AclList => Command::Acl(AclCommand::List),
        Name::AclUsers => Command::Acl(AclCommand::Users),
        Name::AclCat if 3 < words.count() => return Err(words.wrong_count()),
        Name::AclCat => Command::Acl(AclCommand::Cat { category: words.list(2).get(0) }),
        Name::EvenkeelShards
        | Name::EvenkeelTransfer
        | Name::EvenkeelMove
        | Name::EvenkeelDrain
        | Name::EvenkeelJoin
        | Name::EvenkeelRemove
        | Name::EvenkeelNodes
        | Name::EvenkeelBalance
        | Name::EvenkeelScrub
        | Name::EvenkeelSnapshot => Command::Evenkeel(evenkeel(words)?),
        _ if words.info.group == Group::Cluster => Command::Cluster(cluster(words)?),
        _ => Command::Command(command(words)?),
    })
}

fn evenkeel<'a>(words: Words<'a>) -> Result<EvenkeelCommand<'a>, CommandError> {
    let shard = || shard(words, 2);
    Ok(match words.info.id {
        Name::EvenkeelTransfer if 4 < words.count() => return Err(words.wrong_count()),
        Name::EvenkeelTransfer => {
            EvenkeelCommand::Transfer { shard: shard()?, node: words.list(3).get(0) }
        }
        Name::EvenkeelMove => EvenkeelCommand::Move { shard: shard()?, voters: words.list(3) },
        Name::EvenkeelDrain => EvenkeelCommand::Drain { node: words.word(2)? },
        Name::EvenkeelJoin => EvenkeelCommand::Join { node: words.word(2)? },
        Name::EvenkeelRemove => EvenkeelCommand::Remove { node: words.word(2)? },
        Name::EvenkeelNodes => EvenkeelCommand::Nodes,
        Name::EvenkeelBalance if words.count() == 2 => {
            EvenkeelCommand::Balance { without: words.list(2) }
        }
        Name::EvenkeelBalance if is(words.word(2)?, "without") && 3 < words.count() => {
            EvenkeelCommand::Balance { without: words.list(3) }
        }
        Name::EvenkeelBalance => return Err(CommandError::Syntax),
        Name::EvenkeelScrub if words.count() == 2 => EvenkeelCommand::Scrub { begin: true },
        Name::EvenkeelScrub if words.count() == 3 && is(words.word(2)?, "status") => {
            EvenkeelCommand::Scrub { begin: false }
        }
        Name::EvenkeelScrub => return Err(CommandError::Syntax),
        Name::EvenkeelSnapshot => EvenkeelCommand::Snapshot(snapshot(words)?),
        _ => EvenkeelCommand::Shards,
    })
}

fn snapshot<'a>(words: Words<'a>) -> Result<SnapshotCommand<'a>, CommandError> {
    let what = words.word(2)?;
    match words.count() {
        4 if is(what, "begin") => Ok(SnapshotCommand::Begin { shard: shard(words, 3)? }),
        4 if is(what, "end") => Ok(SnapshotCommand::End { token: words.word(3)? }),
        5 if is(what, "next") => {
            let index = u64::try_from(words.integer(4)?).map_err(|_| PART_ERROR)?;
            Ok(SnapshotCommand::Next { token: words.word(3)?, index })
        }
        _ => Err(CommandError::Syntax),
    }
}

const PART_ERROR: CommandError = CommandError::Other("ERR the parts of a snapshot count from 0");

fn shard(words: Words<'_>, at: usize) -> Result<u16, CommandError> {
    let number = words.integer(at).ok().and_then(|number| u16::try_from(number).ok());
    number.ok_or(CommandError::Other("ERR a shard is a number: see EVENKEEL SHARDS"))
}

fn cluster<'a>(words: Words<'a>) -> Result<ClusterCommand<'a>, CommandError> {
    Ok(match words.info.id {
        Name::ClusterInfo => ClusterCommand::Info,
        Name::ClusterNodes => ClusterCommand::Nodes,
        Name::ClusterSlots => ClusterCommand::Slots,
        Name::ClusterShards => ClusterCommand::Shards,
        Name::ClusterMyId => ClusterCommand::MyId,
        Name::ClusterMyShardId => ClusterCommand::MyShardId,
        Name::ClusterKeySlot => ClusterCommand::KeySlot { key: words.word(2)? },
        Name::ClusterCountKeysInSlot => {
            ClusterCommand::CountKeysInSlot { slot: slot(words, "ERR Invalid slot")? }
        }
        Name::ClusterGetKeysInSlot => {
            let error = "ERR Invalid slot or number of keys";
            let slot = slot(words, error)?;
            let count = u64::try_from(words.integer(3)?).map_err(|_| CommandError::Other(error))?;
            ClusterCommand::GetKeysInSlot { slot, count }
        }
        Name::ClusterReplicas | Name::ClusterSlaves => {
            ClusterCommand::Replicas { node: words.word(2)? }
        }
        Name::ClusterLinks => ClusterCommand::Links,
        // The command without a subcommand.
        _ => return Err(words.wrong_count()),
    })
}

fn command<'a>(words: Words<'a>) -> Result<CommandQuestion<'a>, CommandError> {
    Ok(match words.info.id {
        Name::Command => CommandQuestion::All,
        Name::CommandCount => CommandQuestion::Count,
        Name::CommandInfo => CommandQuestion::Info { names: words.list(2) },
        Name::CommandDocs => CommandQuestion::Docs { names: words.list(2) },
        Name::CommandGetKeys => CommandQuestion::GetKeys { command: words.list(2) },
        Name::CommandList => CommandQuestion::List { filter: list_filter(words)? },
        // Another command, without the subcommand it needs.
        _ => return Err(words.wrong_count()),
    })
}

fn list_filter<'a>(words: Words<'a>) -> Result<Option<ListFilter<'a>>, CommandError> {
    if words.count() == 2 {
        return Ok(None);
    }
    if words.count() != 5 || !is(words.word(2)?, "filterby") {
        return Err(CommandError::Syntax);
    }
    match (words.word(3)?, words.word(4)?) {
        (by, _) if is(by, "module") => Ok(Some(ListFilter::Module)),
        (by, category) if is(by, "aclcat") => Ok(Some(ListFilter::Category(category))),
        (by, pattern) if is(by, "pattern") => Ok(Some(ListFilter::Pattern(pattern))),
        _ => Err(CommandError::Syntax),
    }
}

/// Whether the flush happens in the background is ours to decide.
fn flush<'a>(words: Words<'a>, command: Command<'a>) -> Result<Command<'a>, CommandError> {
    match (words.count(), words.list(1).get(0)) {
        (1, _) => Ok(command),
        (2, Some(word)) if is(word, "async") || is(word, "sync") => Ok(command),
        _ => Err(CommandError::Syntax),
    }
}

fn memory_usage<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    match (words.count(), words.list(3).get(0)) {
        (3, _) => (),
        (5, Some(word)) if is(word, "samples") => {
            words.integer(4)?;
        }
        _ => return Err(CommandError::Syntax),
    }
    Ok(Command::MemoryUsage { key: words.key(2)? })
}

fn sleep_ms(words: Words<'_>) -> Result<u64, CommandError> {
    let seconds = parse_float(words.word(2)?).ok_or(CommandError::NotFloat)?;
    let ms = seconds * 1000.0;
    if !(0.0..=SLEEP_MS_MAX).contains(&ms) {
        return Err(CommandError::Other("ERR a sleep is 0 to 3600 seconds"));
    }
    Ok(ms as u64)
}

fn slow_count(words: Words<'_>) -> Result<i64, CommandError> {
    match (words.count(), words.list(2).get(0)) {
        (2, _) => Ok(10),
        (3, Some(word)) => parse_integer(word)
            .ok_or(CommandError::NotInteger)
            .and_then(|count| if count < -1 { Err(SLOW_COUNT_ERROR) } else { Ok(count) }),
        _ => Err(words.wrong_count()),
    }
}

const SLOW_COUNT_ERROR: CommandError =
    CommandError::Other("ERR count should be greater than or equal to -1");

fn slot(words: Words<'_>, error: &'static str) -> Result<u16, CommandError> {
    let slot = u16::try_from(words.integer(2)?).ok().filter(|&slot| slot < SLOT_COUNT);
    slot.ok_or(CommandError::Other(error))
}
