//! Commands that have subcommands: `CLIENT`, `CONFIG`, `CLUSTER` and the like.

use crate::arguments::{List, Pairs};

/// `CLIENT`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClientCommand<'a> {
    /// `ID`.
    Id,
    /// `INFO`: this connection's line.
    Info,
    /// `LIST`: all lines.
    List,
    /// `GETNAME`.
    GetName,
    /// `SETNAME`: printable, without spaces; empty unsets.
    SetName {
        /// The name.
        name: &'a [u8],
    },
    /// `SETINFO LIB-NAME|LIB-VER`.
    SetInfo {
        /// Which of the two.
        attribute: ClientAttribute,
        /// Printable, without spaces.
        value: &'a [u8],
    },
    /// `KILL`.
    Kill {
        /// Whom.
        filter: KillFilter<'a>,
    },
    /// `NO-EVICT`.
    NoEvict {
        /// On or off.
        on: bool,
    },
    /// `NO-TOUCH`.
    NoTouch {
        /// On or off.
        on: bool,
    },
    /// `REPLY`.
    Reply(ReplyMode),
}

/// What a client library tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAttribute {
    /// `LIB-NAME`.
    LibraryName,
    /// `LIB-VER`.
    LibraryVersion,
}

/// Which connections `CLIENT KILL` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillFilter<'a> {
    /// `KILL address:port`: the reply is `OK` or `ERR No such client`.
    AddressOnly(&'a [u8]),
    /// Every filter that is given must match; the reply counts.
    All {
        /// `ID`.
        id: Option<u64>,
        /// `ADDR`.
        address: Option<&'a [u8]>,
        /// `LADDR`.
        local_address: Option<&'a [u8]>,
        /// `USER`.
        user: Option<&'a [u8]>,
        /// `SKIPME`, yes unless told.
        skip_me: bool,
    },
}

/// `CLIENT REPLY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// Answer; the reply is `OK`.
    On,
    /// Answer nothing from now on, not this either.
    Off,
    /// Answer neither this nor the next command.
    Skip,
}

/// `COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CommandQuestion<'a> {
    /// `COMMAND`.
    All,
    /// `COUNT`.
    Count,
    /// `INFO`.
    Info {
        /// None means all.
        names: List<'a>,
    },
    /// `DOCS`.
    Docs {
        /// None means all.
        names: List<'a>,
    },
    /// `LIST`.
    List {
        /// `FILTERBY`.
        filter: Option<ListFilter<'a>>,
    },
    /// `GETKEYS`.
    GetKeys {
        /// A whole command.
        command: List<'a>,
    },
}

/// `COMMAND LIST FILTERBY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFilter<'a> {
    /// `MODULE`: nothing is in a module.
    Module,
    /// `ACLCAT`.
    Category(&'a [u8]),
    /// `PATTERN`.
    Pattern(&'a [u8]),
}

/// `CONFIG`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ConfigCommand<'a> {
    /// `GET`.
    Get {
        /// Globs, in any case.
        patterns: List<'a>,
    },
    /// `SET`.
    Set {
        /// Names and values.
        pairs: Pairs<'a>,
    },
    /// `RESETSTAT`.
    ResetStat,
}

/// `CLUSTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterCommand<'a> {
    /// `INFO`.
    Info,
    /// `NODES`.
    Nodes,
    /// `SLOTS`.
    Slots,
    /// `SHARDS`.
    Shards,
    /// `MYID`.
    MyId,
    /// `MYSHARDID`.
    MyShardId,
    /// `KEYSLOT`.
    KeySlot {
        /// Of which.
        key: &'a [u8],
    },
    /// `COUNTKEYSINSLOT`.
    CountKeysInSlot {
        /// Below 16,384.
        slot: u16,
    },
    /// `GETKEYSINSLOT`.
    GetKeysInSlot {
        /// Below 16,384.
        slot: u16,
        /// At most so many.
        count: u64,
    },
    /// `REPLICAS`, `SLAVES`.
    Replicas {
        /// 40 hexadecimal digits, unchecked.
        node: &'a [u8],
    },
    /// `LINKS`.
    Links,
}

/// `EVENKEEL`: nodes by name, shards by number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EvenkeelCommand<'a> {
    /// `SHARDS`.
    Shards,
    /// `TRANSFER shard [node]`.
    Transfer {
        /// Which shard.
        shard: u16,
        /// To whom; `None` for whoever is best.
        node: Option<&'a [u8]>,
    },
    /// `MOVE shard node [node ...]`.
    Move {
        /// Which shard.
        shard: u16,
        /// Its voters, all of them.
        voters: List<'a>,
    },
    /// `DRAIN node`.
    Drain {
        /// Which node.
        node: &'a [u8],
    },
    /// `JOIN node`.
    Join {
        /// Its name.
        node: &'a [u8],
    },
    /// `REMOVE node`.
    Remove {
        /// Which node.
        node: &'a [u8],
    },
    /// `NODES`.
    Nodes,
    /// `BALANCE [WITHOUT node [node ...]]`.
    Balance {
        /// These get nothing.
        without: List<'a>,
    },
    /// `SCRUB [STATUS]`.
    Scrub {
        /// A pass is to begin; otherwise only say how far the last one got.
        begin: bool,
    },
    /// `SNAPSHOT`.
    Snapshot(SnapshotCommand<'a>),
}

/// `EVENKEEL SNAPSHOT`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SnapshotCommand<'a> {
    /// `BEGIN shard`.
    Begin {
        /// Which shard.
        shard: u16,
    },
    /// `NEXT token index`.
    Next {
        /// From the reply to `BEGIN`.
        token: &'a [u8],
        /// Of the part: 0, 1, 2, …; the same one may be asked for again.
        index: u64,
    },
    /// `END token`.
    End {
        /// From the reply to `BEGIN`.
        token: &'a [u8],
    },
}

/// `SLOWLOG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowLogCommand {
    /// `GET`.
    Get {
        /// At most so many; all with `-1`, 10 unless told.
        count: i64,
    },
    /// `LEN`.
    Len,
    /// `RESET`.
    Reset,
}

/// `LATENCY`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LatencyCommand<'a> {
    /// `LATEST`.
    Latest,
    /// `HISTORY`.
    History {
        /// Of what.
        event: &'a [u8],
    },
    /// `RESET`.
    Reset {
        /// None means all.
        events: List<'a>,
    },
    /// `HISTOGRAM`.
    Histogram {
        /// None means all.
        commands: List<'a>,
    },
}

/// `ACL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclCommand<'a> {
    /// `WHOAMI`.
    WhoAmI,
    /// `LIST`.
    List,
    /// `USERS`.
    Users,
    /// `CAT`; `table::categories` has the reply.
    Cat {
        /// None means the categories themselves.
        category: Option<&'a [u8]>,
    },
}
