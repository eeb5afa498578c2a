//! A command as the rest of the house sees it: typed, checked, and borrowed from the bytes it came in.
//!
//! Commands that differ only in spelling are one variant (`INCR`, `DECR`, `DECRBY` are `IncrBy`);
//! times are milliseconds, whatever unit the client chose. A `Command` that exists has valid options.

use crate::arguments::{List, Pairs};

mod administration;
mod error;
mod kept;
mod parse;

pub use administration::{
    AclCommand, ClientAttribute, ClientCommand, ClusterCommand, CommandQuestion, ConfigCommand,
    EvenkeelCommand, KillFilter, LatencyCommand, ListFilter, ReplyMode, SlowLogCommand,
    SnapshotCommand,
};
pub use error::CommandError;
pub use kept::OwnedCommand;
pub use parse::{parse, parse_as, recognise};

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command<'a> {
    // Strings.
    /// `GET`.
    Get {
        /// Which.
        key: &'a [u8],
    },
    /// `SET`, `SETEX`, `PSETEX`, `GETSET`. With `options.get` the reply is the old value or null,
    /// otherwise `OK`, or null if the condition did not hold.
    Set {
        /// Which.
        key: &'a [u8],
        /// The new value.
        value: &'a [u8],
        /// Conditions, expiry, and whether the old value is the reply.
        options: SetOptions,
    },
    /// `SETNX`: `SET` with `NX` whose reply is 1 or 0.
    SetNx {
        /// Which.
        key: &'a [u8],
        /// The new value.
        value: &'a [u8],
    },
    /// `GETDEL`.
    GetDel {
        /// Which.
        key: &'a [u8],
    },
    /// `GETEX`.
    GetEx {
        /// Which.
        key: &'a [u8],
        /// What becomes of its expiry.
        expiry: Expiry,
    },
    /// `APPEND`. The reply is the new size.
    Append {
        /// Which.
        key: &'a [u8],
        /// Added at the end.
        value: &'a [u8],
    },
    /// `STRLEN`.
    StrLen {
        /// Which.
        key: &'a [u8],
    },
    /// `GETRANGE`, `SUBSTR`. Both ends are included; negative ones count from the end.
    GetRange {
        /// Which.
        key: &'a [u8],
        /// First byte.
        start: i64,
        /// Last byte.
        end: i64,
    },
    /// `SETRANGE`. The reply is the new size.
    SetRange {
        /// Which.
        key: &'a [u8],
        /// Where `value` goes; zeros fill the gap before it.
        offset: u64,
        /// Written over what is there.
        value: &'a [u8],
    },
    /// `INCR`, `INCRBY`, `DECR`, `DECRBY`. The reply is the new number.
    IncrBy {
        /// Which.
        key: &'a [u8],
        /// Added.
        delta: i64,
    },
    /// `INCRBYFLOAT`. The reply is the new number as a bulk string, in both protocols.
    IncrByFloat {
        /// Which.
        key: &'a [u8],
        /// Added; finite.
        delta: f64,
    },
    /// `MGET`.
    MGet {
        /// One or more.
        keys: List<'a>,
    },
    /// `MSET`.
    MSet {
        /// One or more.
        pairs: Pairs<'a>,
    },
    /// `MSETNX`: all or none. The reply is 1 or 0.
    MSetNx {
        /// One or more.
        pairs: Pairs<'a>,
    },

    // Keys.
    /// `DEL`, `UNLINK`. The reply counts the keys that were there.
    Del {
        /// One or more.
        keys: List<'a>,
    },
    /// `EXISTS`. A key named twice counts twice.
    Exists {
        /// One or more.
        keys: List<'a>,
    },
    /// `TOUCH`.
    Touch {
        /// One or more.
        keys: List<'a>,
    },
    /// `EXPIRE`, `PEXPIRE`, `EXPIREAT`, `PEXPIREAT`. A deadline that has passed deletes the key. The
    /// reply is 1 or 0.
    Expire {
        /// Which.
        key: &'a [u8],
        /// When it ends.
        deadline: Deadline,
        /// Only if this holds.
        condition: Option<ExpireCondition>,
    },
    /// `TTL`, seconds, rounded; -1 without expiry, -2 without key.
    Ttl {
        /// Which.
        key: &'a [u8],
    },
    /// `PTTL`, milliseconds.
    PTtl {
        /// Which.
        key: &'a [u8],
    },
    /// `EXPIRETIME`, Unix seconds.
    ExpireTime {
        /// Which.
        key: &'a [u8],
    },
    /// `PEXPIRETIME`, Unix milliseconds.
    PExpireTime {
        /// Which.
        key: &'a [u8],
    },
    /// `PERSIST`.
    Persist {
        /// Which.
        key: &'a [u8],
    },
    /// `TYPE`: `string` or `none`.
    Type {
        /// Which.
        key: &'a [u8],
    },
    /// `RENAME`: the error `ERR no such key` if there is no `from`.
    Rename {
        /// Which.
        from: &'a [u8],
        /// Replaced if it is there.
        to: &'a [u8],
    },
    /// `RENAMENX`. The reply is 1 or 0.
    RenameNx {
        /// Which.
        from: &'a [u8],
        /// Left alone if it is there.
        to: &'a [u8],
    },
    /// `COPY` within a keyspace. The reply is 1 or 0.
    Copy {
        /// Which.
        from: &'a [u8],
        /// The copy.
        to: &'a [u8],
        /// Whether `to` may be there already.
        replace: bool,
    },
    /// `SCAN`.
    Scan {
        /// 0 starts; what the last reply said continues.
        cursor: u64,
        /// `MATCH`: only keys like this.
        pattern: Option<&'a [u8]>,
        /// `COUNT`: how much work to do at once; at least 1.
        count: u64,
        /// `TYPE`: only keys of this type, in any case.
        kind: Option<&'a [u8]>,
    },
    /// `KEYS`.
    Keys {
        /// A glob.
        pattern: &'a [u8],
    },
    /// `RANDOMKEY`.
    RandomKey,
    /// `DBSIZE`.
    DbSize,
    /// `FLUSHDB`: this keyspace.
    FlushDb,
    /// `FLUSHALL`: every keyspace.
    FlushAll,
    /// `OBJECT`.
    Object {
        /// What to tell.
        question: ObjectQuestion,
        /// Of which.
        key: &'a [u8],
    },
    /// `MEMORY USAGE`. The reply is bytes, or null without key.
    MemoryUsage {
        /// Which.
        key: &'a [u8],
    },

    // Transactions.
    /// `MULTI`.
    Multi,
    /// `EXEC`.
    Exec,
    /// `DISCARD`.
    Discard,
    /// `WATCH`.
    Watch {
        /// One or more.
        keys: List<'a>,
    },
    /// `UNWATCH`.
    Unwatch,

    // The connection.
    /// `PING`: `+PONG`, or `message` as a bulk string.
    Ping {
        /// To be sent back.
        message: Option<&'a [u8]>,
    },
    /// `ECHO`.
    Echo {
        /// To be sent back.
        message: &'a [u8],
    },
    /// `HELLO`.
    Hello(Hello<'a>),
    /// `AUTH`.
    Auth {
        /// `default` if the client gave a password only.
        user: &'a [u8],
        /// In the clear.
        password: &'a [u8],
    },
    /// `SELECT`.
    Select {
        /// The keyspace's number, unchecked.
        index: i64,
    },
    /// `QUIT`: `+OK`, then the connection closes.
    Quit,
    /// `RESET`: `+RESET`, RESP2 again, no transaction, no name.
    Reset,
    /// `CLIENT`.
    Client(ClientCommand<'a>),
    /// `READONLY`.
    ReadOnly,
    /// `READWRITE`.
    ReadWrite,
    /// `ASKING`.
    Asking,

    // The server.
    /// `COMMAND`; `table::answer` has the reply.
    Command(CommandQuestion<'a>),
    /// `CONFIG`.
    Config(ConfigCommand<'a>),
    /// `INFO`.
    Info {
        /// Names in any case; none means the usual ones.
        sections: List<'a>,
    },
    /// `CLUSTER`.
    Cluster(ClusterCommand<'a>),
    /// `EVENKEEL`.
    Evenkeel(EvenkeelCommand<'a>),
    /// `TIME`.
    Time,
    /// `ROLE`.
    Role,
    /// `LASTSAVE`.
    LastSave,
    /// `WAIT`.
    Wait {
        /// How many replicas must have what this connection wrote.
        replica_count: i64,
        /// 0 means for ever.
        timeout_ms: u64,
    },
    /// `SLOWLOG`.
    SlowLog(SlowLogCommand),
    /// `LATENCY`.
    Latency(LatencyCommand<'a>),
    /// `ACL`.
    Acl(AclCommand<'a>),
    /// `MODULE LIST`: always empty.
    ModuleList,
    /// `DEBUG SLEEP`: this connection's reply comes later; nobody else waits.
    DebugSleep {
        /// How long.
        ms: u64,
    },
    /// `CLIENT HELP` and the like; `table::help` has the reply.
    Help {
        /// The command that was asked about, in lower case.
        command: &'static str,
    },
}

/// Options of `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetOptions {
    /// Only if this holds.
    pub condition: Option<SetCondition>,
    /// `GET`: the reply is the old value.
    pub get: bool,
    /// Without any option: `Clear`.
    pub expiry: Expiry,
}

/// When a `SET` happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetCondition {
    /// `NX`: only if the key is absent.
    Absent,
    /// `XX`: only if it is there.
    Present,
}

/// What becomes of a key's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// The key will not expire.
    #[default]
    Clear,
    /// As it was (`KEEPTTL`; `GETEX` without options).
    Keep,
    /// It ends then. Of a `SET`, always positive.
    At(Deadline),
}

/// When a key ends, as the client put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// `EX`, `PX`: so many milliseconds from now. Never so many that adding a clock overflows.
    InMs(i64),
    /// `EXAT`, `PXAT`: Unix milliseconds.
    AtMs(i64),
}

impl Deadline {
    /// Unix milliseconds, at least 1: zero means "never" wherever expiries are stored.
    pub fn at_ms(self, now_ms: u64) -> u64 {
        let at_ms = match self {
            Deadline::InMs(ms) => now_ms.saturating_add_signed(ms),
            Deadline::AtMs(ms) => u64::try_from(ms).unwrap_or(0),
        };
        at_ms.max(1)
    }
}

/// When an `EXPIRE` happens. A key without expiry counts as one that ends never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpireCondition {
    /// `NX`: only if it has no expiry.
    Absent,
    /// `XX`: only if it has one.
    Present,
    /// `GT`: only if the new one is later.
    Later,
    /// `LT`: only if the new one is earlier.
    Earlier,
}

/// What `OBJECT` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectQuestion {
    /// `ENCODING`.
    Encoding,
    /// `FREQ`.
    Frequency,
    /// `IDLETIME`.
    IdleTime,
    /// `REFCOUNT`.
    ReferenceCount,
}

/// `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hello<'a> {
    /// 2 or 3; absent means "stay". Others are `CommandError::ProtocolVersion`.
    pub protocol: Option<crate::reply::Protocol>,
    /// `AUTH`: user and password.
    pub auth: Option<(&'a [u8], &'a [u8])>,
    /// `SETNAME`.
    pub name: Option<&'a [u8]>,
}

#[cfg(test)]
mod tests;
