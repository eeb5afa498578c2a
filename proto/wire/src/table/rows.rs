//! The rows. A command that is not here is not supported, and every client can see that.

use super::{
    CommandInfo, FLAG_ADMIN as ADMIN, FLAG_BLOCKING as BLOCKING, FLAG_DANGEROUS as DANGEROUS,
    FLAG_DENYOOM as DENYOOM, FLAG_FAST as FAST, FLAG_LOADING as LOADING, FLAG_NO_AUTH as NO_AUTH,
    FLAG_NO_MULTI as NO_MULTI, FLAG_READONLY as READONLY, FLAG_WRITE as WRITE, Group, KeyPositions,
    names::Name,
};

const NONE: KeyPositions = KeyPositions { first: 0, last: 0, step: 0 };
const ONE: KeyPositions = KeyPositions { first: 1, last: 1, step: 1 };
const TWO: KeyPositions = KeyPositions { first: 1, last: 2, step: 1 };
const ALL: KeyPositions = KeyPositions { first: 1, last: -1, step: 1 };
const PAIRS: KeyPositions = KeyPositions { first: 1, last: -1, step: 2 };
const SECOND: KeyPositions = KeyPositions { first: 2, last: 2, step: 1 };

/// All commands, by group and name.
#[rustfmt::skip] // A row is a line.
pub static COMMANDS: [CommandInfo; 76] = [
    row("append", Name::Append, 3, WRITE | DENYOOM | FAST, ONE, Group::String, "2.0.0", "Adds bytes at the end of a value."),
    row("decr", Name::Decr, 2, WRITE | DENYOOM | FAST, ONE, Group::String, "1.0.0", "Takes one from a number."),
    row("decrby", Name::DecrBy, 3, WRITE | DENYOOM | FAST, ONE, Group::String, "1.0.0", "Takes a number from a number."),
    row("get", Name::Get, 2, READONLY | FAST, ONE, Group::String, "1.0.0", "Returns a key's value."),
    row("getdel", Name::GetDel, 2, WRITE | FAST, ONE, Group::String, "6.2.0", "Returns a key's value and deletes the key."),
    row("getex", Name::GetEx, -2, WRITE | FAST, ONE, Group::String, "6.2.0", "Returns a key's value and sets its expiry."),
    row("getrange", Name::GetRange, 4, READONLY, ONE, Group::String, "2.4.0", "Returns a part of a value."),
    row("getset", Name::GetSet, 3, WRITE | DENYOOM | FAST, ONE, Group::String, "1.0.0", "Sets a key and returns its old value."),
    row("incr", Name::Incr, 2, WRITE | DENYOOM | FAST, ONE, Group::String, "1.0.0", "Adds one to a number."),
    row("incrby", Name::IncrBy, 3, WRITE | DENYOOM | FAST, ONE, Group::String, "1.0.0", "Adds a number to a number."),
    row("incrbyfloat", Name::IncrByFloat, 3, WRITE | DENYOOM | FAST, ONE, Group::String, "2.6.0", "Adds a fraction to a number."),
    row("mget", Name::MGet, -2, READONLY | FAST, ALL, Group::String, "1.0.0", "Returns the values of keys."),
    row("mset", Name::MSet, -3, WRITE | DENYOOM, PAIRS, Group::String, "1.0.1", "Sets keys. Atomic for keys of one shard."),
    row("msetnx", Name::MSetNx, -3, WRITE | DENYOOM, PAIRS, Group::String, "1.0.1", "Sets keys of one shard, if none of them is there."),
    row("psetex", Name::PSetEx, 4, WRITE | DENYOOM, ONE, Group::String, "2.6.0", "Sets a key that expires after milliseconds."),
    row("set", Name::Set, -3, WRITE | DENYOOM, ONE, Group::String, "1.0.0", "Sets a key."),
    row("setex", Name::SetEx, 4, WRITE | DENYOOM, ONE, Group::String, "2.0.0", "Sets a key that expires after seconds."),
    row("setnx", Name::SetNx, 3, WRITE | DENYOOM | FAST, ONE, Group::String, "1.0.0", "Sets a key if it is not there."),
    row("setrange", Name::SetRange, 4, WRITE | DENYOOM, ONE, Group::String, "2.2.0", "Writes over a part of a value."),
    row("strlen", Name::StrLen, 2, READONLY | FAST, ONE, Group::String, "2.2.0", "Returns the size of a value."),
    row("substr", Name::SubStr, 4, READONLY, ONE, Group::String, "1.0.0", "Returns a part of a value."),
    row("copy", Name::Copy, -3, WRITE | DENYOOM, TWO, Group::Generic, "6.2.0", "Copies a key within its shard."),
    row("del", Name::Del, -2, WRITE, ALL, Group::Generic, "1.0.0", "Deletes keys."),
    row("exists", Name::Exists, -2, READONLY | FAST, ALL, Group::Generic, "1.0.0", "Counts the keys that are there."),
    row("expire", Name::Expire, -3, WRITE | FAST, ONE, Group::Generic, "1.0.0", "Lets a key expire after seconds."),
    row("expireat", Name::ExpireAt, -3, WRITE | FAST, ONE, Group::Generic, "1.2.0", "Lets a key expire at a time, in seconds."),
    row("expiretime", Name::ExpireTime, 2, READONLY | FAST, ONE, Group::Generic, "7.0.0", "Returns when a key expires, in seconds."),
    row("keys", Name::Keys, 2, READONLY | DANGEROUS, NONE, Group::Generic, "1.0.0", "Returns every key that matches a pattern. Expensive."),
    row("object", Name::Object, -2, 0, NONE, Group::Generic, "2.2.3", "Tells what is inside a key.").with(&OBJECT),
    row("persist", Name::Persist, 2, WRITE | FAST, ONE, Group::Generic, "2.2.0", "Takes a key's expiry away."),
    row("pexpire", Name::PExpire, -3, WRITE | FAST, ONE, Group::Generic, "2.6.0", "Lets a key expire after milliseconds."),
    row("pexpireat", Name::PExpireAt, -3, WRITE | FAST, ONE, Group::Generic, "2.6.0", "Lets a key expire at a time, in milliseconds."),
    row("pexpiretime", Name::PExpireTime, 2, READONLY | FAST, ONE, Group::Generic, "7.0.0", "Returns when a key expires, in milliseconds."),
    row("pttl", Name::PTtl, 2, READONLY | FAST, ONE, Group::Generic, "2.6.0", "Returns how long a key lives, in milliseconds."),
    row("randomkey", Name::RandomKey, 1, READONLY, NONE, Group::Generic, "1.0.0", "Returns some key."),
    row("rename", Name::Rename, 3, WRITE, TWO, Group::Generic, "1.0.0", "Renames a key within its shard."),
    row("renamenx", Name::RenameNx, 3, WRITE | FAST, TWO, Group::Generic, "1.0.0", "Renames a key within its shard, if the new name is free."),
    row("scan", Name::Scan, -2, READONLY, NONE, Group::Generic, "2.8.0", "Walks over all keys, some at a time."),
    row("touch", Name::Touch, -2, READONLY | FAST, ALL, Group::Generic, "3.2.1", "Marks keys as just used."),
    row("ttl", Name::Ttl, 2, READONLY | FAST, ONE, Group::Generic, "1.0.0", "Returns how long a key lives, in seconds."),
    row("type", Name::Type, 2, READONLY | FAST, ONE, Group::Generic, "1.0.0", "Returns the type of a value."),
    row("unlink", Name::Unlink, -2, WRITE | FAST, ALL, Group::Generic, "4.0.0", "Deletes keys."),
    row("wait", Name::Wait, 3, BLOCKING, NONE, Group::Generic, "3.0.0", "Waits until replicas have this connection's writes."),
    row("discard", Name::Discard, 1, LOADING | FAST, NONE, Group::Transactions, "2.0.0", "Calls a transaction off."),
    row("exec", Name::Exec, 1, LOADING, NONE, Group::Transactions, "1.2.0", "Runs a transaction."),
    row("multi", Name::Multi, 1, LOADING | FAST | NO_MULTI, NONE, Group::Transactions, "1.2.0", "Starts a transaction."),
    row("unwatch", Name::Unwatch, 1, LOADING | FAST, NONE, Group::Transactions, "2.2.0", "Forgets the watched keys."),
    row("watch", Name::Watch, -2, LOADING | FAST | NO_MULTI, ALL, Group::Transactions, "2.2.0", "Calls the next transaction off if a key changes."),
    row("auth", Name::Auth, -2, LOADING | FAST | NO_AUTH, NONE, Group::Connection, "1.0.0", "Says who the client is."),
    row("client", Name::Client, -2, 0, NONE, Group::Connection, "2.4.0", "Connections.").with(&CLIENT),
    row("echo", Name::Echo, 2, LOADING | FAST, NONE, Group::Connection, "1.0.0", "Returns its argument."),
    row("hello", Name::Hello, -1, LOADING | FAST | NO_AUTH, NONE, Group::Connection, "6.0.0", "Chooses the version of the protocol."),
    row("ping", Name::Ping, -1, LOADING | FAST, NONE, Group::Connection, "1.0.0", "Returns PONG, or its argument."),
    row("quit", Name::Quit, -1, LOADING | FAST | NO_AUTH, NONE, Group::Connection, "1.0.0", "Ends the connection."),
    row("reset", Name::Reset, 1, LOADING | FAST | NO_AUTH, NONE, Group::Connection, "6.2.0", "Makes the connection as new."),
    row("select", Name::Select, 2, LOADING | FAST, NONE, Group::Connection, "1.0.0", "Chooses the keyspace: 0 is `default`, 1 is `cache`."),
    row("asking", Name::Asking, 1, LOADING | FAST, NONE, Group::Cluster, "3.0.0", "Accepted; slots move without it."),
    row("cluster", Name::Cluster, -2, 0, NONE, Group::Cluster, "3.0.0", "The cluster.").with(&CLUSTER),
    row("evenkeel", Name::Evenkeel, -2, 0, NONE, Group::Cluster, "7.2.0", "What an operator asks of the cluster.").with(&EVENKEEL),
    row("readonly", Name::ReadOnly, 1, LOADING | FAST, NONE, Group::Cluster, "3.0.0", "Allows this connection to read from replicas."),
    row("readwrite", Name::ReadWrite, 1, LOADING | FAST, NONE, Group::Cluster, "3.0.0", "Takes `READONLY` back."),
    row("acl", Name::Acl, -2, 0, NONE, Group::Server, "6.0.0", "Users.").with(&ACL),
    row("command", Name::Command, -1, LOADING, NONE, Group::Server, "2.8.13", "Describes all commands.").with(&COMMAND),
    row("config", Name::Config, -2, 0, NONE, Group::Server, "2.0.0", "Settings.").with(&CONFIG),
    row("dbsize", Name::DbSize, 1, READONLY | FAST, NONE, Group::Server, "1.0.0", "Counts the keys of the keyspace."),
    row("debug", Name::Debug, -2, 0, NONE, Group::Server, "1.0.0", "For tests of clients.").with(&DEBUG),
    row("flushall", Name::FlushAll, -1, WRITE | DANGEROUS, NONE, Group::Server, "1.0.0", "Deletes all keys of all keyspaces."),
    row("flushdb", Name::FlushDb, -1, WRITE | DANGEROUS, NONE, Group::Server, "1.0.0", "Deletes all keys of the keyspace."),
    row("info", Name::Info, -1, LOADING | DANGEROUS, NONE, Group::Server, "1.0.0", "Tells how the server is."),
    row("lastsave", Name::LastSave, 1, LOADING | FAST | ADMIN | DANGEROUS, NONE, Group::Server, "1.0.0", "Returns the time; what is acknowledged is saved."),
    row("latency", Name::Latency, -2, 0, NONE, Group::Server, "2.8.13", "Latency.").with(&LATENCY),
    row("memory", Name::Memory, -2, 0, NONE, Group::Server, "4.0.0", "Memory.").with(&MEMORY),
    row("module", Name::Module, -2, 0, NONE, Group::Server, "4.0.0", "Modules: there are none.").with(&MODULE),
    row("role", Name::Role, 1, LOADING | FAST | ADMIN | DANGEROUS, NONE, Group::Server, "2.8.12", "Tells whether this node leads."),
    row("slowlog", Name::SlowLog, -2, 0, NONE, Group::Server, "2.2.12", "Slow commands.").with(&SLOWLOG),
    row("time", Name::Time, 1, LOADING | FAST, NONE, Group::Server, "2.6.0", "Returns the time."),
];

#[rustfmt::skip] // A row is a line.
const OBJECT: [CommandInfo; 5] = [
    row("object|encoding", Name::ObjectEncoding, 3, READONLY, SECOND, Group::Generic, "2.2.3", "Returns how a value is stored."),
    row("object|freq", Name::ObjectFreq, 3, READONLY, SECOND, Group::Generic, "4.0.0", "Returns how often a key is used."),
    row("object|help", Name::ObjectHelp, 2, LOADING, NONE, Group::Generic, "6.2.0", "Lists the subcommands."),
    row("object|idletime", Name::ObjectIdleTime, 3, READONLY, SECOND, Group::Generic, "2.2.3", "Returns for how many seconds a key was not used."),
    row("object|refcount", Name::ObjectRefCount, 3, READONLY, SECOND, Group::Generic, "2.2.3", "Returns 1."),
];

#[rustfmt::skip] // A row is a line.
const CLIENT: [CommandInfo; 11] = [
    row("client|getname", Name::ClientGetName, 2, LOADING, NONE, Group::Connection, "2.6.9", "Returns this connection's name."),
    row("client|help", Name::ClientHelp, 2, LOADING, NONE, Group::Connection, "5.0.0", "Lists the subcommands."),
    row("client|id", Name::ClientId, 2, LOADING, NONE, Group::Connection, "5.0.0", "Returns this connection's number."),
    row("client|info", Name::ClientInfo, 2, LOADING, NONE, Group::Connection, "6.2.0", "Describes this connection."),
    row("client|kill", Name::ClientKill, -3, LOADING | ADMIN | DANGEROUS, NONE, Group::Connection, "2.4.0", "Ends connections."),
    row("client|list", Name::ClientList, -2, LOADING | ADMIN | DANGEROUS, NONE, Group::Connection, "2.4.0", "Describes all connections."),
    row("client|no-evict", Name::ClientNoEvict, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Connection, "7.0.0", "Accepted; no connection is evicted."),
    row("client|no-touch", Name::ClientNoTouch, 3, LOADING, NONE, Group::Connection, "7.2.0", "Accepted; reads count as use all the same."),
    row("client|reply", Name::ClientReply, 3, LOADING, NONE, Group::Connection, "3.2.0", "Turns replies off and on."),
    row("client|setinfo", Name::ClientSetInfo, 4, LOADING, NONE, Group::Connection, "7.2.0", "Names the client library."),
    row("client|setname", Name::ClientSetName, 3, LOADING, NONE, Group::Connection, "2.6.9", "Names this connection."),
];

#[rustfmt::skip] // A row is a line.
const CLUSTER: [CommandInfo; 13] = [
    row("cluster|countkeysinslot", Name::ClusterCountKeysInSlot, 3, LOADING, NONE, Group::Cluster, "3.0.0", "Counts the keys of a hash slot."),
    row("cluster|getkeysinslot", Name::ClusterGetKeysInSlot, 4, LOADING, NONE, Group::Cluster, "3.0.0", "Returns keys of a hash slot."),
    row("cluster|help", Name::ClusterHelp, 2, LOADING, NONE, Group::Cluster, "5.0.0", "Lists the subcommands."),
    row("cluster|info", Name::ClusterInfo, 2, LOADING, NONE, Group::Cluster, "3.0.0", "Tells how the cluster is."),
    row("cluster|keyslot", Name::ClusterKeySlot, 3, LOADING, NONE, Group::Cluster, "3.0.0", "Returns a key's hash slot."),
    row("cluster|links", Name::ClusterLinks, 2, LOADING, NONE, Group::Cluster, "7.0.0", "Lists the connections between nodes."),
    row("cluster|myid", Name::ClusterMyId, 2, LOADING, NONE, Group::Cluster, "3.0.0", "Returns this node's id."),
    row("cluster|myshardid", Name::ClusterMyShardId, 2, LOADING, NONE, Group::Cluster, "7.2.0", "Returns the id of a shard of this node."),
    row("cluster|nodes", Name::ClusterNodes, 2, LOADING, NONE, Group::Cluster, "3.0.0", "Lists the nodes, a line each."),
    row("cluster|replicas", Name::ClusterReplicas, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "5.0.0", "Lists the replicas of a node's slots."),
    row("cluster|shards", Name::ClusterShards, 2, LOADING, NONE, Group::Cluster, "7.0.0", "Lists the shards and their nodes."),
    row("cluster|slaves", Name::ClusterSlaves, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "3.0.0", "Lists the replicas of a node's slots."),
    row("cluster|slots", Name::ClusterSlots, 2, LOADING, NONE, Group::Cluster, "3.0.0", "Lists which node has which hash slots."),
];

#[rustfmt::skip] // A row is a line.
const EVENKEEL: [CommandInfo; 11] = [
    row("evenkeel|balance", Name::EvenkeelBalance, -2, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "7.2.0", "Spreads votes evenly over the nodes."),
    row("evenkeel|drain", Name::EvenkeelDrain, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "7.2.0", "Moves every vote of a node to others."),
    row("evenkeel|help", Name::EvenkeelHelp, 2, LOADING, NONE, Group::Cluster, "7.2.0", "Lists the subcommands."),
    row("evenkeel|join", Name::EvenkeelJoin, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "7.2.0", "Lets a node of this name join."),
    row("evenkeel|move", Name::EvenkeelMove, -4, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "7.2.0", "Gives a shard these voters."),
    row("evenkeel|nodes", Name::EvenkeelNodes, 2, LOADING, NONE, Group::Cluster, "7.2.0", "Lists the nodes, and those that are expected."),
    row("evenkeel|remove", Name::EvenkeelRemove, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "7.2.0", "Removes a node that has no votes."),
    row("evenkeel|scrub", Name::EvenkeelScrub, -2, LOADING | ADMIN, NONE, Group::Cluster, "7.2.0", "Reads all that this node has on its disk, and mends what is damaged."),
    row("evenkeel|shards", Name::EvenkeelShards, 2, LOADING, NONE, Group::Cluster, "7.2.0", "Lists the shards with leaders and voters."),
    row("evenkeel|snapshot", Name::EvenkeelSnapshot, -4, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "7.2.0", "Hands a shard out as it is now, part by part."),
    row("evenkeel|transfer", Name::EvenkeelTransfer, -3, LOADING | ADMIN | DANGEROUS, NONE, Group::Cluster, "7.2.0", "Has another node lead a shard."),
];

#[rustfmt::skip] // A row is a line.
const ACL: [CommandInfo; 5] = [
    row("acl|cat", Name::AclCat, -2, LOADING, NONE, Group::Server, "6.0.0", "Lists categories, or a category's commands."),
    row("acl|help", Name::AclHelp, 2, LOADING, NONE, Group::Server, "6.0.0", "Lists the subcommands."),
    row("acl|list", Name::AclList, 2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "6.0.0", "Lists users with what they may do."),
    row("acl|users", Name::AclUsers, 2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "6.0.0", "Lists users."),
    row("acl|whoami", Name::AclWhoAmI, 2, LOADING, NONE, Group::Server, "6.0.0", "Returns this connection's user."),
];

#[rustfmt::skip] // A row is a line.
const COMMAND: [CommandInfo; 6] = [
    row("command|count", Name::CommandCount, 2, LOADING, NONE, Group::Server, "2.8.13", "Counts the commands."),
    row("command|docs", Name::CommandDocs, -2, LOADING, NONE, Group::Server, "7.0.0", "Describes commands for people."),
    row("command|getkeys", Name::CommandGetKeys, -3, LOADING, NONE, Group::Server, "2.8.13", "Returns the keys of a command."),
    row("command|help", Name::CommandHelp, 2, LOADING, NONE, Group::Server, "5.0.0", "Lists the subcommands."),
    row("command|info", Name::CommandInfo, -2, LOADING, NONE, Group::Server, "2.8.13", "Describes commands for programs."),
    row("command|list", Name::CommandList, -2, LOADING, NONE, Group::Server, "7.0.0", "Lists the commands' names."),
];

#[rustfmt::skip] // A row is a line.
const CONFIG: [CommandInfo; 4] = [
    row("config|get", Name::ConfigGet, -3, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.0.0", "Returns settings."),
    row("config|help", Name::ConfigHelp, 2, LOADING, NONE, Group::Server, "5.0.0", "Lists the subcommands."),
    row("config|resetstat", Name::ConfigResetStat, 2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.0.0", "Sets counters to zero."),
    row("config|set", Name::ConfigSet, -4, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.0.0", "Changes settings."),
];

#[rustfmt::skip] // A row is a line.
const DEBUG: [CommandInfo; 2] = [
    row("debug|help", Name::DebugHelp, 2, LOADING, NONE, Group::Server, "5.0.0", "Lists the subcommands."),
    row("debug|sleep", Name::DebugSleep, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "1.0.0", "Answers this connection later."),
];

#[rustfmt::skip] // A row is a line.
const LATENCY: [CommandInfo; 5] = [
    row("latency|help", Name::LatencyHelp, 2, LOADING, NONE, Group::Server, "2.8.13", "Lists the subcommands."),
    row("latency|histogram", Name::LatencyHistogram, -2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "7.0.0", "Returns how long commands take."),
    row("latency|history", Name::LatencyHistory, 3, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.8.13", "Returns an event's latencies."),
    row("latency|latest", Name::LatencyLatest, 2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.8.13", "Returns the latest latencies."),
    row("latency|reset", Name::LatencyReset, -2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.8.13", "Forgets latencies."),
];

#[rustfmt::skip] // A row is a line.
const MEMORY: [CommandInfo; 2] = [
    row("memory|help", Name::MemoryHelp, 2, LOADING, NONE, Group::Server, "4.0.0", "Lists the subcommands."),
    row("memory|usage", Name::MemoryUsage, -3, READONLY, SECOND, Group::Server, "4.0.0", "Returns how many bytes a key takes."),
];

#[rustfmt::skip] // A row is a line.
const MODULE: [CommandInfo; 2] = [
    row("module|help", Name::ModuleHelp, 2, LOADING, NONE, Group::Server, "5.0.0", "Lists the subcommands."),
    row("module|list", Name::ModuleList, 2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "4.0.0", "Returns an empty list."),
];

#[rustfmt::skip] // A row is a line.
const SLOWLOG: [CommandInfo; 4] = [
    row("slowlog|get", Name::SlowLogGet, -2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.2.12", "Returns slow commands."),
    row("slowlog|help", Name::SlowLogHelp, 2, LOADING, NONE, Group::Server, "6.2.0", "Lists the subcommands."),
    row("slowlog|len", Name::SlowLogLen, 2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.2.12", "Counts slow commands."),
    row("slowlog|reset", Name::SlowLogReset, 2, LOADING | ADMIN | DANGEROUS, NONE, Group::Server, "2.2.12", "Forgets slow commands."),
];

#[expect(clippy::too_many_arguments, reason = "a table's row has as many as the table has columns")]
const fn row(
    name: &'static str,
    id: Name,
    arity: i8,
    flags: u16,
    keys: KeyPositions,
    group: Group,
    since: &'static str,
    summary: &'static str,
) -> CommandInfo {
    CommandInfo { name, id, arity, flags, keys, group, since, summary, subcommands: &[] }
}

impl CommandInfo {
    const fn with(mut self, subcommands: &'static [CommandInfo]) -> CommandInfo {
        self.subcommands = subcommands;
        self
    }
}
