//! One name a row.

/// What a command is called, for code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `ACL`.
    Acl,
    /// `ACL CAT`.
    AclCat,
    /// `ACL HELP`.
    AclHelp,
    /// `ACL LIST`.
    AclList,
    /// `ACL USERS`.
    AclUsers,
    /// `ACL WHOAMI`.
    AclWhoAmI,
    /// `APPEND`.
    Append,
    /// `ASKING`.
    Asking,
    /// `AUTH`.
    Auth,
    /// `CLIENT`.
    Client,
    /// `CLIENT GETNAME`.
    ClientGetName,
    /// `CLIENT HELP`.
    ClientHelp,
    /// `CLIENT ID`.
    ClientId,
    /// `CLIENT INFO`.
    ClientInfo,
    /// `CLIENT KILL`.
    ClientKill,
    /// `CLIENT LIST`.
    ClientList,
    /// `CLIENT NO-EVICT`.
    ClientNoEvict,
    /// `CLIENT NO-TOUCH`.
    ClientNoTouch,
    /// `CLIENT REPLY`.
    ClientReply,
    /// `CLIENT SETINFO`.
    ClientSetInfo,
    /// `CLIENT SETNAME`.
    ClientSetName,
    /// `CLUSTER`.
    Cluster,
    /// `CLUSTER COUNTKEYSINSLOT`.
    ClusterCountKeysInSlot,
    /// `CLUSTER GETKEYSINSLOT`.
    ClusterGetKeysInSlot,
    /// `CLUSTER HELP`.
    ClusterHelp,
    /// `CLUSTER INFO`.
    ClusterInfo,
    /// `CLUSTER KEYSLOT`.
    ClusterKeySlot,
    /// `CLUSTER LINKS`.
    ClusterLinks,
    /// `CLUSTER MYID`.
    ClusterMyId,
    /// `CLUSTER MYSHARDID`.
    ClusterMyShardId,
    /// `CLUSTER NODES`.
    ClusterNodes,
    /// `CLUSTER REPLICAS`.
    ClusterReplicas,
    /// `CLUSTER SHARDS`.
    ClusterShards,
    /// `CLUSTER SLAVES`.
    ClusterSlaves,
    /// `CLUSTER SLOTS`.
    ClusterSlots,
    /// `EVENKEEL`.
    Evenkeel,
    /// `EVENKEEL BALANCE`.
    EvenkeelBalance,
    /// `EVENKEEL DRAIN`.
    EvenkeelDrain,
    /// `EVENKEEL HELP`.
    EvenkeelHelp,
    /// `EVENKEEL JOIN`.
    EvenkeelJoin,
    /// `EVENKEEL MOVE`.
    EvenkeelMove,
    /// `EVENKEEL NODES`.
    EvenkeelNodes,
    /// `EVENKEEL REMOVE`.
    EvenkeelRemove,
    /// `EVENKEEL SCRUB`.
    EvenkeelScrub,
    /// `EVENKEEL SHARDS`.
    EvenkeelShards,
    /// `EVENKEEL SNAPSHOT`.
    EvenkeelSnapshot,
    /// `EVENKEEL TRANSFER`.
    EvenkeelTransfer,
    /// `COMMAND`.
    Command,
    /// `COMMAND COUNT`.
    CommandCount,
    /// `COMMAND DOCS`.
    CommandDocs,
    /// `COMMAND GETKEYS`.
    CommandGetKeys,
    /// `COMMAND HELP`.
    CommandHelp,
    /// `COMMAND INFO`.
    CommandInfo,
    /// `COMMAND LIST`.
    CommandList,
    /// `CONFIG`.
    Config,
    /// `CONFIG GET`.
    ConfigGet,
    /// `CONFIG HELP`.
    ConfigHelp,
    /// `CONFIG RESETSTAT`.
    ConfigResetStat,
    /// `CONFIG SET`.
    ConfigSet,
    /// `COPY`.
    Copy,
    /// `DBSIZE`.
    DbSize,
    /// `DEBUG`.
    Debug,
    /// `DEBUG HELP`.
    DebugHelp,
    /// `DEBUG SLEEP`.
    DebugSleep,
    /// `DECR`.
    Decr,
    /// `DECRBY`.
    DecrBy,
    /// `DEL`.
    Del,
    /// `DISCARD`.
    Discard,
    /// `ECHO`.
    Echo,
    /// `EXEC`.
    Exec,
    /// `EXISTS`.
    Exists,
    /// `EXPIRE`.
    Expire,
    /// `EXPIREAT`.
    ExpireAt,
    /// `EXPIRETIME`.
    ExpireTime,
    /// `FLUSHALL`.
    FlushAll,
    /// `FLUSHDB`.
    FlushDb,
    /// `GET`.
    Get,
    /// `GETDEL`.
    GetDel,
    /// `GETEX`.
    GetEx,
    /// `GETRANGE`.
    GetRange,
    /// `GETSET`.
    GetSet,
    /// `HELLO`.
    Hello,
    /// `INCR`.
    Incr,
    /// `INCRBY`.
    IncrBy,
    /// `INCRBYFLOAT`.
    IncrByFloat,
    /// `INFO`.
    Info,
    /// `KEYS`.
    Keys,
    /// `LASTSAVE`.
    LastSave,
    /// `LATENCY`.
    Latency,
    /// `LATENCY HELP`.
    LatencyHelp,
    /// `LATENCY HISTOGRAM`.
    LatencyHistogram,
    /// `LATENCY HISTORY`.
    LatencyHistory,
    /// `LATENCY LATEST`.
    LatencyLatest,
    /// `LATENCY RESET`.
    LatencyReset,
    /// `MEMORY`.
    Memory,
    /// `MEMORY HELP`.
    MemoryHelp,
    /// `MEMORY USAGE`.
    MemoryUsage,
    /// `MGET`.
    MGet,
    /// `MODULE`.
    Module,
    /// `MODULE HELP`.
    ModuleHelp,
    /// `MODULE LIST`.
    ModuleList,
    /// `MSET`.
    MSet,
    /// `MSETNX`.
    MSetNx,
    /// `MULTI`.
    Multi,
    /// `OBJECT`.
    Object,
    /// `OBJECT ENCODING`.
    ObjectEncoding,
    /// `OBJECT FREQ`.
    ObjectFreq,
    /// `OBJECT HELP`.
    ObjectHelp,
    /// `OBJECT IDLETIME`.
    ObjectIdleTime,
    /// `OBJECT REFCOUNT`.
    ObjectRefCount,
    /// `PERSIST`.
    Persist,
    /// `PEXPIRE`.
    PExpire,
    /// `PEXPIREAT`.
    PExpireAt,
    /// `PEXPIRETIME`.
    PExpireTime,
    /// `PING`.
    Ping,
    /// `PSETEX`.
    PSetEx,
    /// `PTTL`.
    PTtl,
    /// `QUIT`.
    Quit,
    /// `RANDOMKEY`.
    RandomKey,
    /// `READONLY`.
    ReadOnly,
    /// `READWRITE`.
    ReadWrite,
    /// `RENAME`.
    Rename,
    /// `RENAMENX`.
    RenameNx,
    /// `RESET`.
    Reset,
    /// `ROLE`.
    Role,
    /// `SCAN`.
    Scan,
    /// `SELECT`.
    Select,
    /// `SET`.
    Set,
    /// `SETEX`.
    SetEx,
    /// `SETNX`.
    SetNx,
    /// `SETRANGE`.
    SetRange,
    /// `SLOWLOG`.
    SlowLog,
    /// `SLOWLOG GET`.
    SlowLogGet,
    /// `SLOWLOG HELP`.
    SlowLogHelp,
    /// `SLOWLOG LEN`.
    SlowLogLen,
    /// `SLOWLOG RESET`.
    SlowLogReset,
    /// `STRLEN`.
    StrLen,
    /// `SUBSTR`.
    SubStr,
    /// `TIME`.
    Time,
    /// `TOUCH`.
    Touch,
    /// `TTL`.
    Ttl,
    /// `TYPE`.
    Type,
    /// `UNLINK`.
    Unlink,
    /// `UNWATCH`.
    Unwatch,
    /// `WAIT`.
    Wait,
    /// `WATCH`.
    Watch,
}
