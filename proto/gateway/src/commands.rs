//! The commands that the door answers itself: they are about connections, clients, and the server as
//! tools see it. Everything about keys goes to the service.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_node::api::{KEYSPACE_NAMES, PendingReply, slots};
use evenkeel_runtime::{clock, sleep};
use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command::{
    AclCommand, ClusterCommand, Command, ConfigCommand, LatencyCommand, SlowLogCommand,
};
use evenkeel_wire::reply::Reply;
use evenkeel_wire::table;

use crate::clients::Client;
use crate::commands::cluster::View;
use crate::door::Door;
use crate::service::Service;
use crate::session::Session;
use crate::settings;

mod client;
pub(crate) mod cluster;
mod connect;
mod extras;
pub(crate) mod info;
mod operate;
pub(crate) mod transaction;

/// How the door answers.
pub(crate) enum Outcome {
    /// This is the reply.
    Reply(Reply),
    /// This is the reply, encoded for the connection's protocol.
    Encoded(Bytes),
    /// The reply comes later.
    Later(PendingReply),
    /// There is no reply (`CLIENT REPLY OFF`).
    Nothing,
}

impl Outcome {
    fn error(text: impl Into<String>) -> Outcome {
        Outcome::Reply(Reply::error(text))
    }
}

/// Everything a command of the door may look at and change.
pub(crate) struct Scene<'a, S> {
    pub(crate) door: &'a Door<S>,
    pub(crate) client: &'a Rc<Client>,
    pub(crate) session: &'a mut Session,
    /// As they came: for the few commands whose typed form says too little.
    pub(crate) arguments: &'a Arguments<'a>,
}

/// Whether the service answers this command, not the door.
#[inline]
pub(crate) fn is_data(command: &Command<'_>) -> bool {
    !matches!(
        command,
        Command::Multi
            | Command::Exec
            | Command::Discard
            | Command::Watch { .. }
            | Command::Unwatch
            | Command::Ping { .. }
            | Command::Echo { .. }
            | Command::Hello(_)
            | Command::Auth { .. }
            | Command::Select { .. }
            | Command::Quit
            | Command::Reset
            | Command::Client(_)
            | Command::ReadOnly
            | Command::ReadWrite
            | Command::Asking
            | Command::Command(_)
            | Command::Config(_)
            | Command::Info { .. }
            | Command::Cluster(_)
            | Command::Evenkeel(_)
            | Command::Time
            | Command::Role
            | Command::LastSave
            | Command::Wait { .. }
            | Command::SlowLog(_)
            | Command::Latency(_)
            | Command::Acl(_)
            | Command::ModuleList
            | Command::DebugSleep { .. }
            | Command::Help { .. }
    )
}

/// Answers a command for which `is_data` says no.
pub(crate) fn answer<S: Service>(scene: &mut Scene<'_, S>, command: &Command<'_>) -> Outcome {
    match command {
        Command::Multi => transaction::multi(scene.session),
        Command::Exec => transaction::exec(scene),
        Command::Discard => transaction::discard(scene.session),
        Command::Watch { keys } => {
            transaction::watch(scene, keys.iter().map(Bytes::copy_from_slice).collect())
        }
        Command::Unwatch => transaction::unwatch(scene.session),
        Command::Ping { message: None } => Outcome::Reply(Reply::simple("PONG")),
        Command::Ping { message: Some(message) } | Command::Echo { message } => {
            Outcome::Reply(Reply::bulk(message))
        }
        Command::Hello(hello) => connect::hello(scene, hello),
        Command::Auth { user, .. } => connect::auth(user, scene.arguments.count() == 2),
        Command::Select { index } => connect::select(scene.session, *index),
        Command::Quit => {
            scene.session.ended = true;
            Outcome::Reply(Reply::OK)
        }
        Command::Reset => connect::reset(scene),
        Command::Client(command) => client::answer(scene, command),
        Command::ReadOnly | Command::ReadWrite => {
            scene.client.read_only.set(matches!(command, Command::ReadOnly));
            Outcome::Reply(Reply::OK)
        }
        Command::Asking => Outcome::Reply(Reply::OK),
        Command::Command(question) => Outcome::Reply(table::answer(question)),
        Command::Config(command) => config(scene, command),
        Command::Info { sections } => {
            Outcome::Reply(cluster::text(scene.door.info(sections.iter())))
        }
        Command::Cluster(command) => cluster_command(scene, command),
        Command::Evenkeel(command) => operate::answer(scene, command),
        Command::Time => Outcome::Reply(time(clock::wall_ms())),
        Command::Role => Outcome::Reply(role(scene.door.service.status().proposals)),
        Command::LastSave => Outcome::Reply(Reply::Integer((scene.door.started_ms / 1000) as i64)),
        Command::Wait { .. } => {
            let count = scene.door.service.replicas_in_sync(scene.session.keyspace);
            Outcome::Reply(Reply::Integer(count as i64))
        }
        Command::SlowLog(command) => slow_log(scene.door, command),
        Command::Latency(command) => Outcome::Reply(latency(command)),
        Command::Acl(command) => acl(command),
        Command::ModuleList => Outcome::Reply(Reply::Array(Vec::new())),
        Command::DebugSleep { ms } => {
            let pause = Duration::from_millis(*ms);
            Outcome::Later(Box::pin(async move {
                sleep(pause).await;
                Reply::OK
            }))
        }
        Command::Help { command } => Outcome::Reply(table::help(command)),
        _ => unreachable!("the service answers it"),
    }
}

/// Answers what `wire` does not know as a command: a few subcommands that only a server with clients
/// can answer, or the parser's own error.
pub(crate) fn answer_unparsed<S: Service>(scene: &mut Scene<'_, S>, error: String) -> Outcome {
    extras::answer(scene).unwrap_or_else(|| Outcome::error(error))
}

fn config<S: Service>(scene: &Scene<'_, S>, command: &ConfigCommand<'_>) -> Outcome {
    let door = scene.door;
    match command {
        ConfigCommand::Get { patterns } => {
            let patterns: Vec<&[u8]> = patterns.iter().collect();
            let rows = settings::get(&door.settings.borrow(), &door.surroundings(), &patterns);
            let row = |(name, value): (&'static str, String)| {
                (Reply::text(name), Reply::Bulk(Bytes::from(value)))
            };
            Outcome::Reply(Reply::Map(rows.into_iter().map(row).collect()))
        }
        ConfigCommand::Set { pairs } => {
            let pairs: Vec<(&[u8], &[u8])> = pairs.iter().collect();
            let mut settings = door.settings.borrow_mut();
            match settings::set(&mut settings, &pairs) {
                Ok(()) => {
                    door.slowlog.borrow_mut().set_count_max(settings.slowlog_count_max);
                    Outcome::Reply(Reply::OK)
                }
                Err(error) => Outcome::error(format!("ERR {error}")),
            }
        }
        ConfigCommand::ResetStat => {
            door.metrics.reset();
            Outcome::Reply(Reply::OK)
        }
    }
}

fn cluster_command<S: Service>(scene: &Scene<'_, S>, command: &ClusterCommand<'_>) -> Outcome {
    let (door, keyspace) = (scene.door, scene.session.keyspace);
    let cached = |view| Outcome::Encoded(door.topology_reply(view, scene.session.protocol));
    match command {
        ClusterCommand::Slots => cached(View::Slots),
        ClusterCommand::Shards => cached(View::Shards),
        ClusterCommand::Nodes => cached(View::Nodes),
        ClusterCommand::Info => cached(View::Info),
        ClusterCommand::MyId | ClusterCommand::MyShardId => {
            let topology = door.service.topology();
            Outcome::Reply(Reply::bulk(&topology.members[topology.me].id))
        }
        ClusterCommand::KeySlot { key } => {
            Outcome::Reply(Reply::Integer(i64::from(slots::slot(key))))
        }
        ClusterCommand::CountKeysInSlot { slot } => {
            let count = door.service.count_keys_in_slot(keyspace, *slot);
            Outcome::Reply(Reply::Integer(count as i64))
        }
        ClusterCommand::GetKeysInSlot { slot, count } => {
            let count_max = usize::try_from(*count).unwrap_or(usize::MAX);
            let keys = door.service.keys_in_slot(keyspace, *slot, count_max);
            Outcome::Reply(Reply::Array(keys.into_iter().map(Reply::Bulk).collect()))
        }
        ClusterCommand::Replicas { node } => {
            match cluster::replicas(&door.service.topology(), node) {
                Some(reply) => Outcome::Reply(reply),
                None => {
                    Outcome::error(format!("ERR Unknown node {}", String::from_utf8_lossy(node)))
                }
            }
        }
        ClusterCommand::Links => Outcome::Reply(cluster::links(&door.service.topology())),
    }
}

fn time(wall_ms: u64) -> Reply {
    let us = wall_ms % 1000 * 1000;
    Reply::Array(vec![Reply::bulk((wall_ms / 1000).to_string()), Reply::bulk(us.to_string())])
}

/// Every node is a primary; who follows whom differs from shard to shard, see `CLUSTER SHARDS`.
fn role(offset: u64) -> Reply {
    Reply::Array(vec![
        Reply::text("master"),
        Reply::Integer(offset as i64),
        Reply::Array(Vec::new()),
    ])
}

fn slow_log<S: Service>(door: &Door<S>, command: &SlowLogCommand) -> Outcome {
    let mut log = door.slowlog.borrow_mut();
    match command {
        SlowLogCommand::Len => Outcome::Reply(Reply::Integer(log.len() as i64)),
        SlowLogCommand::Reset => {
            log.clear();
            Outcome::Reply(Reply::OK)
        }
        SlowLogCommand::Get { count } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            let entries = log.newest(count).map(|entry| {
                Reply::Array(vec![
                    Reply::Integer(entry.id as i64),
                    Reply::Integer(entry.ended_at_s as i64),
                    Reply::Integer(entry.duration_us as i64),
                    Reply::Array(entry.arguments.iter().cloned().map(Reply::Bulk).collect()),
                    Reply::bulk(&entry.address),
                    Reply::bulk(&entry.name),
                ])
            });
            Outcome::Reply(Reply::Array(entries.collect()))
        }
    }
}

/// The latency monitor is off and stays off: latencies are in `INFO commandstats`.
fn latency(command: &LatencyCommand<'_>) -> Reply {
    match command {
        LatencyCommand::Latest | LatencyCommand::History { .. } => Reply::Array(Vec::new()),
        LatencyCommand::Reset { .. } => Reply::Integer(0),
        LatencyCommand::Histogram { .. } => Reply::Map(Vec::new()),
    }
}

/// One user, who may do everything: this server has no accounts yet.
fn acl(command: &AclCommand<'_>) -> Outcome {
    match command {
        AclCommand::WhoAmI => Outcome::Reply(Reply::text("default")),
        AclCommand::Users => Outcome::Reply(Reply::Array(vec![Reply::text("default")])),
        AclCommand::List => {
            Outcome::Reply(Reply::Array(vec![Reply::text("user default on nopass ~* &* +@all")]))
        }
        AclCommand::Cat { category } => Outcome::Reply(table::categories(*category)),
    }
}

/// What `SELECT` says to a number that is no keyspace.
fn keyspace_error(index: i64) -> String {
    let known: Vec<String> = KEYSPACE_NAMES
        .iter()
        .enumerate()
        .map(|(number, name)| format!("{number} ({name})"))
        .collect();
    format!(
        "ERR DB index is out of range: {index} is no keyspace, there are {}",
        known.join(" and ")
    )
}
