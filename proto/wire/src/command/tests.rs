use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arguments::Arguments;
use crate::reply::Protocol;
use crate::resp::{self, Parse};
use crate::table::{self, COMMANDS};

/// Runs `look` on the command in `line`, which is written as somebody would type it.
fn with<T>(line: &str, look: impl FnOnce(Result<Command<'_>, CommandError>) -> T) -> T {
    let line = format!("{line}\n");
    match resp::parse(line.as_bytes(), &resp::Limits::DEFAULT) {
        Parse::Command { arguments, .. } => {
            // Kept, it is the same command.
            let kept = OwnedCommand::new(&arguments);
            assert_eq!(parse(&kept.arguments()), parse(&arguments));
            look(parse(&arguments))
        }
        other => panic!("{line:?}: {other:?}"),
    }
}

fn good(line: &str, expected: Command<'_>) {
    with(line, |command| assert_eq!(command, Ok(expected), "{line:?}"));
}

/// For commands with lists: compared as text.
fn shown(line: &str, expected: &str) {
    let show = |command: Result<Command<'_>, CommandError>| format!("{:?}", command.expect(line));
    assert_eq!(with(line, show), expected, "{line:?}");
}

fn bad(line: &str, expected: &str) {
    let tell = |command: Result<Command<'_>, CommandError>| command.expect_err(line).to_string();
    assert_eq!(with(line, tell), expected, "{line:?}");
}

const KEY: &[u8] = b"k";

fn set(condition: Option<SetCondition>, get: bool, expiry: Expiry) -> Command<'static> {
    Command::Set { key: KEY, value: b"v", options: SetOptions { condition, get, expiry } }
}

fn expire(deadline: Deadline, condition: Option<ExpireCondition>) -> Command<'static> {
    Command::Expire { key: KEY, deadline, condition }
}

#[test]
fn set_takes_the_options_of_redis() {
    let (absent, present) = (Some(SetCondition::Absent), Some(SetCondition::Present));
    let in_10_s = Expiry::At(Deadline::InMs(10_000));
    good("SET k v", set(None, false, Expiry::Clear));
    good("set k v nx", set(absent, false, Expiry::Clear));
    good("SET k v XX GET KEEPTTL", set(present, true, Expiry::Keep));
    good("SET k v NX GET", set(absent, true, Expiry::Clear));
    good("SET k v ex 10", set(None, false, in_10_s));
    good("SET k v GET PX 10000 NX", set(absent, true, in_10_s));
    good("SET k v EXAT 5", set(None, false, Expiry::At(Deadline::AtMs(5000))));
    good("SET k v PXAT 5", set(None, false, Expiry::At(Deadline::AtMs(5))));
    good("SETEX k 10 v", set(None, false, in_10_s));
    good("PSETEX k 10000 v", set(None, false, in_10_s));
    good("GETSET k v", set(None, true, Expiry::Clear));
    good("SETNX k v", Command::SetNx { key: KEY, value: b"v" });
    for line in ["NX XX", "XX NX", "EX 1 PX 1", "EX 1 KEEPTTL", "KEEPTTL EX 1", "EX", "what", "1"] {
        bad(&format!("SET k v {line}"), "ERR syntax error");
    }
    for line in ["EX 0", "EX -1", "PX 0", "EXAT 0", "EX 9223372036854775807"] {
        bad(&format!("SET k v {line}"), "ERR invalid expire time in 'set' command");
    }
    bad("SET k v PX 9223372036854775807", "ERR invalid expire time in 'set' command");
    bad("SET k v EX a", "ERR value is not an integer or out of range");
    bad("SET k v EX 1.5", "ERR value is not an integer or out of range");
    bad("SETEX k 0 v", "ERR invalid expire time in 'setex' command");
    bad("PSETEX k -1 v", "ERR invalid expire time in 'psetex' command");
    bad("SET k", "ERR wrong number of arguments for 'set' command");
}

#[test]
fn strings_are_read() {
    good("gEt k", Command::Get { key: KEY });
    good("GET \"\"", Command::Get { key: b"" });
    good("INCR k", Command::IncrBy { key: KEY, delta: 1 });
    good("DECR k", Command::IncrBy { key: KEY, delta: -1 });
    good("INCRBY k -9223372036854775808", Command::IncrBy { key: KEY, delta: i64::MIN });
    good("DECRBY k 5", Command::IncrBy { key: KEY, delta: -5 });
    good("INCRBYFLOAT k 5.0e3", Command::IncrByFloat { key: KEY, delta: 5000.0 });
    good("GETEX k", Command::GetEx { key: KEY, expiry: Expiry::Keep });
    good("GETEX k PERSIST", Command::GetEx { key: KEY, expiry: Expiry::Clear });
    let expiry = Expiry::At(Deadline::InMs(1000));
    good("GETEX k EX 1", Command::GetEx { key: KEY, expiry });
    good("SUBSTR k 0 -1", Command::GetRange { key: KEY, start: 0, end: -1 });
    good("SETRANGE k 7 v", Command::SetRange { key: KEY, offset: 7, value: b"v" });
    shown("MGET a b", r#"MGet { keys: ["a", "b"] }"#);
    bad("DECRBY k -9223372036854775808", "ERR decrement would overflow");
    bad("INCRBY k 9223372036854775808", "ERR value is not an integer or out of range");
    bad("INCRBYFLOAT k inf", "ERR value is not a valid float");
    bad("GETEX k EX 1 PX 1", "ERR syntax error");
    bad("GETEX k PERSIST x", "ERR syntax error");
    bad("GETEX k EX -1", "ERR invalid expire time in 'getex' command");
    bad("SETRANGE k -1 v", "ERR offset is out of range");
    bad("MSET a 1 b", "ERR wrong number of arguments for 'mset' command");
    bad("MSETNX a 1 b", "ERR wrong number of arguments for 'msetnx' command");
    bad("get", "ERR wrong number of arguments for 'get' command");
    bad("GET a b", "ERR wrong number of arguments for 'get' command");
    with("MSET a 1 b 2 a 3", |command| {
        let Ok(Command::MSet { pairs }) = command else { panic!("{command:?}") };
        let pairs: Vec<_> = pairs.iter().collect();
        assert_eq!(pairs, [(&b"a"[..], &b"1"[..]), (b"b", b"2"), (b"a", b"3")]);
    });
}

#[test]
fn keys_are_read() {
    use ExpireCondition::{Absent, Earlier, Later, Present};
    good("EXPIRE k 10", expire(Deadline::InMs(10_000), None));
    good("PEXPIRE k -5 NX", expire(Deadline::InMs(-5), Some(Absent)));
    good("EXPIREAT k 10 xx", expire(Deadline::AtMs(10_000), Some(Present)));
    good("PEXPIREAT k 0 GT", expire(Deadline::AtMs(0), Some(Later)));
    good("EXPIRE k 1 XX GT", expire(Deadline::InMs(1000), Some(Later)));
    good("EXPIRE k 1 LT", expire(Deadline::InMs(1000), Some(Earlier)));
    good("COPY a b REPLACE", Command::Copy { from: b"a", to: b"b", replace: true });
    let scan = Command::Scan { cursor: 0, pattern: None, count: 10, kind: None };
    good("SCAN 0", scan);
    let (cursor, pattern, kind) = (u64::MAX, Some(&b"a*"[..]), Some(&b"string"[..]));
    let scan = Command::Scan { cursor, pattern, count: 7, kind };
    good("SCAN 18446744073709551615 MATCH a* COUNT 7 TYPE string", scan);
    good("OBJECT freq k", Command::Object { question: ObjectQuestion::Frequency, key: KEY });
    good("MEMORY USAGE k SAMPLES 5", Command::MemoryUsage { key: KEY });
    good("WAIT 1 0", Command::Wait { replica_count: 1, timeout_ms: 0 });
    shown("UNLINK a b", r#"Del { keys: ["a", "b"] }"#);
    shown("WATCH a b", r#"Watch { keys: ["a", "b"] }"#);
    bad("EXPIRE k 9223372036854775807", "ERR invalid expire time in 'expire' command");
    bad("EXPIREAT k -9223372036854775807", "ERR invalid expire time in 'expireat' command");
    bad("EXPIRE k x", "ERR value is not an integer or out of range");
    bad("EXPIRE k 1 what", "ERR Unsupported option what");
    bad("EXPIRE k 1 NX XX", "ERR NX and XX, GT or LT options at the same time are not compatible");
    bad("EXPIRE k 1 GT LT", "ERR GT and LT options at the same time are not compatible");
    bad("SCAN x", "ERR invalid cursor");
    bad("SCAN -1", "ERR invalid cursor");
    bad("SCAN 0 COUNT 0", "ERR syntax error");
    bad("SCAN 0 COUNT x", "ERR value is not an integer or out of range");
    bad("SCAN 0 COUNT", "ERR syntax error");
    bad("COPY a b DB 1", "ERR COPY to another database is not supported");
    bad("WAIT 1 -1", "ERR timeout is negative");
    let long = "k".repeat(4097);
    let error = "ERR a key is 4097 bytes, at most 4096 are allowed";
    for line in ["GET _", "DEL a _", "MSET a 1 _ 2", "RENAME a _", "OBJECT FREQ _", "WATCH a _"] {
        bad(&line.replace('_', &long), error);
    }
}

#[test]
fn connections_are_read() {
    good("PING", Command::Ping { message: None });
    good("ping \"a b\"", Command::Ping { message: Some(b"a b") });
    good("HELLO", Command::Hello(Hello::default()));
    let auth = Some((&b"u"[..], &b"p"[..]));
    let hello = Hello { protocol: Some(Protocol::Resp3), auth, name: Some(b"n") };
    good("hello 3 auth u p setname n", Command::Hello(hello));
    good("AUTH p", Command::Auth { user: b"default", password: b"p" });
    good("AUTH u p", Command::Auth { user: b"u", password: b"p" });
    good("SELECT 1", Command::Select { index: 1 });
    good("CLIENT ID", Command::Client(ClientCommand::Id));
    good("client list type normal", Command::Client(ClientCommand::List));
    good("CLIENT SETNAME \"\"", Command::Client(ClientCommand::SetName { name: b"" }));
    let (attribute, value) = (ClientAttribute::LibraryVersion, &b"1.0"[..]);
    let info = ClientCommand::SetInfo { attribute, value };
    good("CLIENT SETINFO lib-ver 1.0", Command::Client(info));
    let filter = KillFilter::AddressOnly(b"a:1");
    good("CLIENT KILL a:1", Command::Client(ClientCommand::Kill { filter }));
    let address = Some(&b"a:1"[..]);
    let (id, local_address, user) = (Some(7), None, None);
    let filter = KillFilter::All { id, address, local_address, user, skip_me: false };
    let kill = Command::Client(ClientCommand::Kill { filter });
    good("CLIENT KILL ID 7 ADDR a:1 SKIPME no", kill);
    good("CLIENT HELP", Command::Help { command: "client" });
    bad("PING a b", "ERR wrong number of arguments for 'ping' command");
    bad("HELLO 4", "NOPROTO unsupported protocol version");
    bad("HELLO x", "ERR Protocol version is not an integer or out of range");
    bad("HELLO 3 AUTH u", "ERR Syntax error in HELLO option 'AUTH'");
    bad("HELLO 3 what", "ERR Syntax error in HELLO option 'what'");
    bad("AUTH a b c", "ERR syntax error");
    bad("CLIENT", "ERR wrong number of arguments for 'client' command");
    bad("CLIENT SETNAME", "ERR wrong number of arguments for 'client|setname' command");
    bad("CLIENT TRACKING on", "ERR unknown subcommand 'TRACKING'. Try CLIENT HELP.");
    bad(
        "CLIENT SETNAME \"a b\"",
        "ERR Client names cannot contain spaces, newlines or special characters.",
    );
    bad("CLIENT SETINFO lib x", "ERR Unrecognized option 'lib'");
    bad("CLIENT KILL ID 0 SKIPME no", "ERR client-id should be greater than 0");
    bad("CLIENT KILL ID 1 SKIPME", "ERR syntax error");
}

#[test]
fn server_commands_are_read() {
    shown("INFO server all", r#"Info { sections: ["server", "all"] }"#);
    shown("COMMAND", "Command(All)");
    shown("command docs get", r#"Command(Docs { names: ["get"] })"#);
    shown("CONFIG GET a b", r#"Config(Get { patterns: ["a", "b"] })"#);
    shown("CONFIG SET a 1", r#"Config(Set { pairs: Pairs { list: ["a", "1"] } })"#);
    shown("LATENCY RESET", "Latency(Reset { events: [] })");
    good("FLUSHALL async", Command::FlushAll);
    good("CLUSTER KEYSLOT k", Command::Cluster(ClusterCommand::KeySlot { key: KEY }));
    let keys = ClusterCommand::GetKeysInSlot { slot: 16_383, count: 5 };
    good("CLUSTER GETKEYSINSLOT 16383 5", Command::Cluster(keys));
    good("SLOWLOG GET", Command::SlowLog(SlowLogCommand::Get { count: 10 }));
    good("SLOWLOG GET -1", Command::SlowLog(SlowLogCommand::Get { count: -1 }));
    good("DEBUG SLEEP 0.5", Command::DebugSleep { ms: 500 });
    good("ACL CAT", Command::Acl(AclCommand::Cat { category: None }));
    good("CONFIG HELP", Command::Help { command: "config" });
    bad("FLUSHALL now", "ERR syntax error");
    bad("CLUSTER", "ERR wrong number of arguments for 'cluster' command");
    bad("CLUSTER MEET a 1", "ERR unknown subcommand 'MEET'. Try CLUSTER HELP.");
    bad("CLUSTER COUNTKEYSINSLOT 16384", "ERR Invalid slot");
    bad("CLUSTER GETKEYSINSLOT 0 -1", "ERR Invalid slot or number of keys");
    let count = "ERR wrong number of arguments for 'evenkeel|transfer' command";
    bad("EVENKEEL TRANSFER 0 a b", count);
    let next = "Evenkeel(Snapshot(Next { token: [97], index: 7 }))";
    shown("EVENKEEL SNAPSHOT next a 7", next);
    let begin = EvenkeelCommand::Snapshot(SnapshotCommand::Begin { shard: 9 });
    good("EVENKEEL SNAPSHOT BEGIN 9", Command::Evenkeel(begin));
    let end = EvenkeelCommand::Snapshot(SnapshotCommand::End { token: KEY });
    good("EVENKEEL SNAPSHOT END k", Command::Evenkeel(end));
    bad("EVENKEEL SNAPSHOT NEXT a -1", "ERR the parts of a snapshot count from 0");
    bad("EVENKEEL SNAPSHOT BEGIN all", "ERR a shard is a number: see EVENKEEL SHARDS");
    bad("EVENKEEL SNAPSHOT END", "ERR wrong number of arguments for 'evenkeel|snapshot' command");
    bad("EVENKEEL SNAPSHOT STOP a", "ERR syntax error");
    good("EVENKEEL SCRUB", Command::Evenkeel(EvenkeelCommand::Scrub { begin: true }));
    good("EVENKEEL SCRUB Status", Command::Evenkeel(EvenkeelCommand::Scrub { begin: false }));
    bad("EVENKEEL SCRUB STOP", "ERR syntax error");
    bad("CONFIG SET a 1 b", "ERR wrong number of arguments for 'config|set' command");
    bad("SLOWLOG GET -2", "ERR count should be greater than or equal to -1");
    bad("DEBUG SLEEP -1", "ERR a sleep is 0 to 3600 seconds");
    bad("ACL CAT a b", "ERR wrong number of arguments for 'acl|cat' command");
    bad("MODULE", "ERR wrong number of arguments for 'module' command");
}

#[test]
fn unknown_commands_are_named_with_their_arguments() {
    bad("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
    bad("foo", "ERR unknown command 'foo', with args beginning with: ");
    bad("\"\\r\\n\\xff\" a", "ERR unknown command '  \u{fffd}', with args beginning with: 'a' ");
    let (name, argument) = ("f".repeat(1000), "a".repeat(1000));
    let (cut_name, cut_argument) = ("f".repeat(128), "a".repeat(128));
    let error = format!("'{cut_name}', with args beginning with: '{cut_argument}' ");
    bad(&format!("{name} {argument} b"), &format!("ERR unknown command {error}"));
    let nothing = Arguments::from_slices(&[]);
    assert!(matches!(parse(&nothing), Err(CommandError::Unknown { .. })));
}

#[test]
fn deadlines_become_times_without_overflow() {
    for (deadline, expected) in [
        (Deadline::InMs(5), 1005),
        (Deadline::InMs(-5), 995),
        (Deadline::InMs(-1000), 1),
        (Deadline::InMs(i64::MIN), 1),
        (Deadline::AtMs(7), 7),
        (Deadline::AtMs(0), 1),
        (Deadline::AtMs(-7), 1),
        (Deadline::AtMs(i64::MAX), i64::MAX as u64),
    ] {
        assert_eq!(deadline.at_ms(1000), expected, "{deadline:?}");
    }
}

/// Every row with every number of words that it might take: no arm of a parser is missing.
#[test]
fn every_row_of_the_table_is_parsed() {
    let words = ["1", "2", "3", "4", "5", "6"];
    let all = COMMANDS.iter().flat_map(|info| core::iter::once(info).chain(info.subcommands));
    for info in all {
        for count in 0..=words.len() {
            let names = info.name.split('|');
            let arguments: Vec<&[u8]> =
                names.chain(words.into_iter().take(count)).map(str::as_bytes).collect();
            let arguments = Arguments::from_slices(&arguments);
            let takes = info.takes(arguments.count()) && info.subcommands.is_empty();
            let wrong = match parse(&arguments) {
                Err(CommandError::ArgumentCount { name }) => name == info.name,
                Err(CommandError::UnknownSubcommand { .. }) => !info.subcommands.is_empty(),
                _ => false,
            };
            // Some commands look closer than the table does, never less close.
            assert!(takes || wrong || info.name == "command", "{} {count}", info.name);
        }
    }
}

proptest! {
    #[test]
    fn any_words_are_a_command_or_an_error(
        name in prop_oneof![
            prop::sample::select(COMMANDS.iter().map(|info| info.name.to_string()).collect::<Vec<_>>()),
            "[a-z]{0,12}",
        ],
        words in proptest::collection::vec(
            prop_oneof![
                prop::sample::select(["EX", "px", "NX", "XX", "GET", "MATCH", "COUNT", "AUTH", "ID"]
                    .map(String::from).to_vec()),
                prop::sample::select(COMMANDS.iter().flat_map(|info| info.subcommands)
                    .map(|info| String::from(info.name.rsplit('|').next().unwrap_or_default()))
                    .collect::<Vec<_>>()),
                any::<i64>().prop_map(|number| number.to_string()),
                ".{0,5}",
            ],
            0..8,
        ),
    ) {
        let mut arguments: Vec<&[u8]> = [name.as_bytes()].to_vec();
        arguments.extend(words.iter().map(String::as_bytes));
        let arguments = Arguments::from_slices(&arguments);
        match parse(&arguments) {
            Ok(_) => prop_assert!(table::find(arguments.list(0)).is_some()),
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.starts_with("ERR ") || text.starts_with("NOPROTO "), "{}", text);
                prop_assert!(text.len() < 1000, "{}", text);
            }
        }
    }
}
