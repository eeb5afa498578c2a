//! Each line says: after these commands, this command has this reply. The replies are those of a real
//! Redis 7.0.15, unless a comment says why not.

use std::cell::RefCell;
use std::collections::BTreeMap;

use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command;

use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

/// A keyspace as a map; `elsewhere` plays the SSD.
#[derive(Default)]
struct Keyspace {
    keys: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
    elsewhere: bool,
    /// Brought back from there.
    fetched: RefCell<Vec<Vec<u8>>>,
}

impl View for Keyspace {
    fn get(&self, key: &[u8]) -> Seen<'_> {
        let Some((value, expires_at_ms)) = self.keys.get(key) else { return Seen::Absent };
        let (version, expires_at_ms) = (1, *expires_at_ms);
        if self.elsewhere && !self.fetched.borrow().iter().any(|fetched| fetched == key) {
            return Seen::PresentElsewhere { version, expires_at_ms, size: value.len() as u32 };
        }
        Seen::Present { version, expires_at_ms, value }
    }
}

impl Keyspace {
    fn apply(&mut self, writes: Vec<Write<'_>>) {
        for write in writes {
            match write {
                Write::Put { key, value, expires_at_ms } => {
                    self.keys.insert(key.to_vec(), (value.into_owned(), expires_at_ms));
                }
                Write::Delete { key } => drop(self.keys.remove(key)),
            }
        }
    }

    /// Runs one line. `at +500` sets the clock.
    fn run(&mut self, line: &str, now_ms: &mut u64) -> String {
        if let Some(ms) = line.strip_prefix("at +") {
            *now_ms = NOW_MS + ms.parse::<u64>().unwrap();
            return String::new();
        }
        let words: Vec<Vec<u8>> = line.split(' ').map(unquoted).collect();
        let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
        let arguments = Arguments::from_slices(&words);
        let command = match command::parse(&arguments) {
            Ok(command) => command,
            Err(error) => return rendered(&Reply::error(error.to_string())),
        };
        self.fetched.borrow_mut().clear();
        loop {
            match evaluate(&command, self, *now_ms) {
                Outcome::Done { reply, writes, reads } => {
                    for write in &writes {
                        let (Write::Put { key, .. } | Write::Delete { key }) = write;
                        assert_eq!(access(&command), Access::Write, "{line}");
                        assert!(keys(&command).any(|named| named == *key), "{line}");
                    }
                    assert!(!reply.is_error() || writes.is_empty(), "{line}: failed and wrote");
                    assert!(reads.iter().all(|(read, _)| keys(&command).any(|key| key == *read)));
                    self.apply(writes);
                    return rendered(&reply);
                }
                Outcome::NeedValues { keys } => {
                    assert!(self.elsewhere, "{line}: {keys:?} are here");
                    let mut fetched = self.fetched.borrow_mut();
                    for key in keys {
                        assert!(!fetched.iter().any(|other| other == key), "{line}: asked twice");
                        fetched.push(key.to_vec());
                    }
                }
            }
        }
    }
}

/// After `setup` (lines separated by `;`), the reply to `line` is `expected`, be the values in memory or
/// not.
fn check(setup: &str, line: &str, expected: &str) {
    for elsewhere in [false, true] {
        let mut keyspace = Keyspace { elsewhere, ..Keyspace::default() };
        let mut now_ms = NOW_MS;
        for line in setup.split(';').map(str::trim).filter(|line| !line.is_empty()) {
            let reply = keyspace.run(line, &mut now_ms);
            assert!(!reply.starts_with("(error)"), "setup `{line}`: {reply}");
        }
        assert_eq!(keyspace.run(line, &mut now_ms), expected, "{setup}; {line}");
    }
}

/// `\x00` is a byte, `\_` a space, and `""` nothing.
fn unquoted(word: &str) -> Vec<u8> {
    let word = word.replace(r"\_", " ").replace("\"\"", "");
    let mut bytes = Vec::new();
    let mut rest = &word[..];
    while let Some(at) = rest.find(r"\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap());
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn rendered(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) => text.to_string(),
        Reply::Error(text) => format!("(error) {text}"),
        Reply::Integer(number) => format!("(integer) {number}"),
        Reply::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Reply::Null => "(nil)".to_string(),
        Reply::Array(replies) => {
            format!("[{}]", replies.iter().map(rendered).collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn set_and_get() {
    check("", "GET k", "(nil)");
    check("", "SET k v", "OK");
    check("SET k v", "GET k", r#""v""#);
    check("SET k v; SET k w", "GET k", r#""w""#);
    check(r#"SET k """#, "GET k", r#""""#);
    check(r#"SET "" v"#, r#"GET """#, r#""v""#);
    check(r"SET k\x00\xff \x00\x0d\x0a", r"GET k\x00\xff", r#""\x00\r\n""#);
    check("", "SET k v NX", "OK");
    check("SET k v", "SET k w NX", "(nil)");
    check("SET k v; SET k w NX", "GET k", r#""v""#);
    check("", "SET k v XX", "(nil)");
    check("SET k v XX", "EXISTS k", "(integer) 0");
    check("SET k v", "SET k w XX", "OK");
    check("", "SET k v GET", "(nil)");
    check("SET k v GET", "GET k", r#""v""#);
    check("SET k v", "SET k w GET", r#""v""#);
    check("SET k v; SET k w GET", "GET k", r#""w""#);
    check("SET k v", "SET k w NX GET", r#""v""#);
    check("SET k v; SET k w NX GET", "GET k", r#""v""#);
    check("", "SET k w NX GET", "(nil)");
    check("SET k w NX GET", "GET k", r#""w""#);
    check("", "SET k w XX GET", "(nil)");
    check("SET k w XX GET", "EXISTS k", "(integer) 0");
    check("", "SETNX k v", "(integer) 1");
    check("SETNX k v", "SETNX k w", "(integer) 0");
    check("SETNX k v; SETNX k w", "GET k", r#""v""#);
    check("", "GETSET k v", "(nil)");
    check("SET k v EX 100", "GETSET k w", r#""v""#);
    check("SET k v EX 100; GETSET k w", "TTL k", "(integer) -1");
    check("", "GETDEL k", "(nil)");
    check("SET k v", "GETDEL k", r#""v""#);
    check("SET k v; GETDEL k", "EXISTS k", "(integer) 0");
}

#[test]
fn set_and_time() {
    check("SET k v EX 100", "TTL k", "(integer) 100");
    check("SET k v PX 100500", "TTL k", "(integer) 101");
    check("SET k v PX 100499", "TTL k", "(integer) 100");
    check("SETEX k 100 v", "TTL k", "(integer) 100");
    check("PSETEX k 100000 v", "TTL k", "(integer) 100");
    check("SET k v EXAT 33177117420", "EXPIRETIME k", "(integer) 33177117420");
    check("SET k v PXAT 33177117420500", "PEXPIRETIME k", "(integer) 33177117420500");
    check("SET k v PXAT 33177117420500", "EXPIRETIME k", "(integer) 33177117421");
    check("SET k v EX 100; SET k w", "TTL k", "(integer) -1");
    check("SET k v EX 100; SET k w KEEPTTL", "TTL k", "(integer) 100");
    check("SET k v EX 100; SET k w KEEPTTL", "GET k", r#""w""#);
    check("SET k v KEEPTTL", "TTL k", "(integer) -1");
    check("SET k v EX 100; SET k w XX KEEPTTL GET", "TTL k", "(integer) 100");
    // Its time is over before it begins.
    check("SET old v", "SET k v PXAT 1", "OK");
    check("SET k v PXAT 1", "GET k", "(nil)");
    check("SET k v; SET k w EXAT 1", "EXISTS k", "(integer) 0");
}

#[test]
fn a_key_past_its_deadline_is_absent() {
    let gone = |line, expected| check("SET k 5 PX 500; SET l 1; at +500", line, expected);
    check("SET k 5 PX 500; at +499", "GET k", r#""5""#);
    check("SET k 5 PX 500; at +499", "PTTL k", "(integer) 1");
    gone("GET k", "(nil)");
    gone("EXISTS k l", "(integer) 1");
    gone("DEL k l", "(integer) 1");
    gone("TTL k", "(integer) -2");
    gone("PEXPIRETIME k", "(integer) -2");
    gone("TYPE k", "none");
    gone("SET k v NX", "OK");
    gone("SET k v XX", "(nil)");
    gone("SET k v GET", "(nil)");
    gone("GETDEL k", "(nil)");
    gone("INCR k", "(integer) 1");
    gone("APPEND k v", "(integer) 1");
    gone("STRLEN k", "(integer) 0");
    gone("EXPIRE k 10", "(integer) 0");
    gone("PERSIST k", "(integer) 0");
    gone("RENAME k l", "(error) ERR no such key");
    gone("RENAMENX l k", "(integer) 1");
    gone("COPY l k", "(integer) 1");
    gone("MSETNX k v", "(integer) 1");
    gone("MGET k l", r#"[(nil) "1"]"#);
    gone("OBJECT ENCODING k", "(nil)");
    gone("MEMORY USAGE k", "(nil)");
    check("SET k 5 PX 500; at +500; INCR k", "TTL k", "(integer) -1");
    check("SET k 5 PX 500; at +500; SET k 6 KEEPTTL", "TTL k", "(integer) -1");
}

#[test]
fn get_ex() {
    check("", "GETEX k", "(nil)");
    check("", "GETEX k EX 10", "(nil)");
    check("SET k v EX 100", "GETEX k", r#""v""#);
    check("SET k v EX 100; GETEX k", "TTL k", "(integer) 100");
    check("SET k v", "GETEX k EX 50", r#""v""#);
    check("SET k v; GETEX k EX 50", "TTL k", "(integer) 50");
    check("SET k v; GETEX k PX 50000", "TTL k", "(integer) 50");
    check("SET k v; GETEX k EXAT 33177117420", "EXPIRETIME k", "(integer) 33177117420");
    check("SET k v EX 100; GETEX k PERSIST", "TTL k", "(integer) -1");
    check("SET k v; GETEX k PERSIST", "GET k", r#""v""#);
    check("SET k v", "GETEX k PXAT 1", r#""v""#);
    check("SET k v; GETEX k PXAT 1", "EXISTS k", "(integer) 0");
}

#[test]
fn ranges() {
    let k = "SET k 0123456789";
    check("", "STRLEN k", "(integer) 0");
    check(k, "STRLEN k", "(integer) 10");
    check(k, "GETRANGE k 0 3", r#""0123""#);
    check(k, "GETRANGE k 0 -1", r#""0123456789""#);
    check(k, "GETRANGE k -3 -1", r#""789""#);
    check(k, "GETRANGE k -1 -3", r#""""#);
    check(k, "GETRANGE k 8 100", r#""89""#);
    check(k, "GETRANGE k 10 100", r#""""#);
    check(k, "GETRANGE k 5 3", r#""""#);
    check(k, "GETRANGE k -100 1", r#""01""#);
    check(k, "GETRANGE k -100 -50", r#""0""#);
    check(k, "GETRANGE k -50 -100", r#""""#);
    check(k, "GETRANGE k 0 -100", r#""0""#);
    check(k, "GETRANGE k 1 -100", r#""""#);
    check(k, "GETRANGE k -9223372036854775808 9223372036854775807", r#""0123456789""#);
    check(k, "GETRANGE k 9223372036854775807 -9223372036854775808", r#""""#);
    check("", "GETRANGE k 0 -1", r#""""#);
    check(r#"SET k """#, "GETRANGE k 0 -1", r#""""#);
    check(r#"SET k """#, "GETRANGE k 0 0", r#""""#);
    check(k, "SUBSTR k 2 4", r#""234""#);

    check(k, "SETRANGE k 2 ab", "(integer) 10");
    check("SET k 0123456789; SETRANGE k 2 ab", "GET k", r#""01ab456789""#);
    check("SET k 0123456789; SETRANGE k 9 ab", "GET k", r#""012345678ab""#);
    check("", "SETRANGE k 3 ab", "(integer) 5");
    check("SETRANGE k 3 ab", "GET k", r#""\x00\x00\x00ab""#);
    check(k, r#"SETRANGE k 20 """#, "(integer) 10");
    check("", r#"SETRANGE k 20 """#, "(integer) 0");
    check(r#"SETRANGE k 20 """#, "EXISTS k", "(integer) 0");
    check("SET k abc EX 100; SETRANGE k 0 d", "TTL k", "(integer) 100");
    check("", "SETRANGE k -1 a", "(error) ERR offset is out of range");

    check("", "APPEND k ab", "(integer) 2");
    check("APPEND k ab", "APPEND k cd", "(integer) 4");
    check("APPEND k ab; APPEND k cd", "GET k", r#""abcd""#);
    check(r#"APPEND k """#, "EXISTS k", "(integer) 1");
    check("SET k abc EX 100; APPEND k d", "TTL k", "(integer) 100");
}

#[test]
fn integers() {
    let no_integer = "(error) ERR value is not an integer or out of range";
    check("", "INCR k", "(integer) 1");
    check("", "DECR k", "(integer) -1");
    check("SET k 10", "INCRBY k 5", "(integer) 15");
    check("SET k 10", "DECRBY k 5", "(integer) 5");
    check("SET k 10; DECRBY k 15", "GET k", r#""-5""#);
    check("SET k 10 EX 100; INCR k", "TTL k", "(integer) 100");
    check("SET k 9223372036854775806", "INCR k", "(integer) 9223372036854775807");
    let overflow = "(error) ERR increment or decrement would overflow";
    check("SET k 9223372036854775807", "INCR k", overflow);
    check("SET k -9223372036854775808", "DECR k", overflow);
    check("SET k -1", "INCRBY k -9223372036854775808", overflow);
    check("SET k -1", "DECRBY k 9223372036854775807", "(integer) -9223372036854775808");
    check("SET k -1", "DECRBY k -9223372036854775808", "(error) ERR decrement would overflow");
    check("SET k 9223372036854775808", "INCR k", no_integer);
    check("SET k abc", "INCR k", no_integer);
    check(r#"SET k """#, "INCR k", no_integer);
    check(r"SET k \_1", "INCR k", no_integer);
    check(r"SET k 1\_", "INCR k", no_integer);
    check("SET k +1", "INCR k", no_integer);
    check("SET k 01", "INCR k", no_integer);
    check("SET k -0", "INCR k", no_integer);
    check("SET k 1.0", "INCR k", no_integer);
    check("SET k abc; SET l 1", "GET k", r#""abc""#);
    check("", "INCRBY k x", no_integer);
}

#[test]
fn floats() {
    check("", "INCRBYFLOAT k 10.5", r#""10.5""#);
    check("SET k 10.50", "INCRBYFLOAT k 0.1", r#""10.6""#);
    check("SET k 5.0e3", "INCRBYFLOAT k 2.0e2", r#""5200""#);
    check("SET k 0.1", "INCRBYFLOAT k 0.2", r#""0.3""#);
    check("SET k 3", "INCRBYFLOAT k 1.1", r#""4.1""#);
    check("SET k 3", "INCRBYFLOAT k -1.5", r#""1.5""#);
    check("SET k 1.5", "INCRBYFLOAT k -1.5", r#""0""#);
    check("SET k 1", "INCRBYFLOAT k -1.25", r#""-0.25""#);
    check("SET k -1", "INCRBYFLOAT k -1", r#""-2""#);
    check("SET k 1e17", "INCRBYFLOAT k 1", r#""100000000000000001""#);
    check("SET k 9007199254740993", "INCRBYFLOAT k 2", r#""9007199254740995""#);
    check("SET k 1e-10", "INCRBYFLOAT k 1", r#""1.0000000001""#);
    check("SET k 1", "INCRBYFLOAT k 1e-30", r#""1""#);
    check("SET k 1 EX 100; INCRBYFLOAT k 1", "TTL k", "(integer) 100");
    check("SET k 1; INCRBYFLOAT k 0.5", "GET k", r#""1.5""#);
    check("SET k abc", "INCRBYFLOAT k 1", "(error) ERR value is not a valid float");
    check(r#"SET k """#, "INCRBYFLOAT k 1", "(error) ERR value is not a valid float");
    check("SET k nan", "INCRBYFLOAT k 1", "(error) ERR value is not a valid float");
    check(r"SET k \_1", "INCRBYFLOAT k 1", "(error) ERR value is not a valid float");
    check("SET k 1", "INCRBYFLOAT k abc", "(error) ERR value is not a valid float");
    // Redis: 10000000000.09999999962747097, since 80 bits do not have more.
    check("SET k 10000000000", "INCRBYFLOAT k 0.1", r#""10000000000.1""#);
    // Redis has a larger range, and no error here.
    let infinite = "(error) ERR increment would produce NaN or Infinity";
    check("SET k 1e308", "INCRBYFLOAT k 1e308", infinite);
}

#[test]
fn many_keys() {
    check("SET a 1; SET c 3", "MGET a b c a", r#"["1" (nil) "3" "1"]"#);
    check("", "MSET a 1 b 2 a 3", "OK");
    check("MSET a 1 b 2 a 3", "MGET a b", r#"["3" "2"]"#);
    check("SET a 0 EX 100; MSET a 1", "TTL a", "(integer) -1");
    check("", "MSETNX a 1 b 2", "(integer) 1");
    check("SET b 0", "MSETNX a 1 b 2", "(integer) 0");
    check("SET b 0; MSETNX a 1 b 2", "MGET a b", r#"[(nil) "0"]"#);
    check("", "MSETNX a 1 a 2", "(integer) 1");
    check("MSETNX a 1 a 2", "GET a", r#""2""#);
    check("SET a 1; SET b 2", "DEL a b c", "(integer) 2");
    check("SET a 1", "DEL a a", "(integer) 1");
    check("SET a 1; SET b 2; DEL a", "EXISTS a b", "(integer) 1");
    check("SET a 1", "UNLINK a b", "(integer) 1");
    check("SET a 1", "EXISTS a a b", "(integer) 2");
    check("SET a 1", "TOUCH a a b", "(integer) 2");
}

#[test]
fn expiry() {
    check("", "EXPIRE k 10", "(integer) 0");
    check("SET k v", "EXPIRE k 100", "(integer) 1");
    check("SET k v; EXPIRE k 100", "TTL k", "(integer) 100");
    check("SET k v; EXPIRE k 100", "GET k", r#""v""#);
    check("SET k v; PEXPIRE k 100499", "TTL k", "(integer) 100");
    check("SET k v; EXPIREAT k 33177117420", "EXPIRETIME k", "(integer) 33177117420");
    check("SET k v; PEXPIREAT k 33177117420001", "PEXPIRETIME k", "(integer) 33177117420001");
    check("SET k v", "EXPIRE k 0", "(integer) 1");
    check("SET k v; EXPIRE k 0", "EXISTS k", "(integer) 0");
    check("SET k v; EXPIRE k -1", "EXISTS k", "(integer) 0");
    check("SET k v; EXPIREAT k 1", "EXISTS k", "(integer) 0");
    check("SET k v; PEXPIREAT k -5", "EXISTS k", "(integer) 0");
    check("", "TTL k", "(integer) -2");
    check("SET k v", "TTL k", "(integer) -1");
    check("SET k v", "PTTL k", "(integer) -1");
    check("", "EXPIRETIME k", "(integer) -2");
    check("SET k v", "PEXPIRETIME k", "(integer) -1");
    check("", "PERSIST k", "(integer) 0");
    check("SET k v", "PERSIST k", "(integer) 0");
    check("SET k v EX 100", "PERSIST k", "(integer) 1");
    check("SET k v EX 100; PERSIST k", "TTL k", "(integer) -1");
    check("SET k v EX 100; PERSIST k", "GET k", r#""v""#);

    check("SET k v", "EXPIRE k 100 NX", "(integer) 1");
    check("SET k v EX 50", "EXPIRE k 100 NX", "(integer) 0");
    check("SET k v", "EXPIRE k 100 XX", "(integer) 0");
    check("SET k v EX 50", "EXPIRE k 100 XX", "(integer) 1");
    check("SET k v EX 50", "EXPIRE k 100 GT", "(integer) 1");
    check("SET k v PXAT 33177117420001", "PEXPIREAT k 33177117420001 GT", "(integer) 0");
    check("SET k v EX 50", "EXPIRE k 10 GT", "(integer) 0");
    check("SET k v", "EXPIRE k 100 GT", "(integer) 0");
    check("SET k v EX 50", "EXPIRE k 100 LT", "(integer) 0");
    check("SET k v PXAT 33177117420001", "PEXPIREAT k 33177117420001 LT", "(integer) 0");
    check("SET k v EX 50", "EXPIRE k 10 LT", "(integer) 1");
    check("SET k v", "EXPIRE k 100 LT", "(integer) 1");
    check("SET k v EX 50", "EXPIRE k -1 GT", "(integer) 0");
    check("SET k v EX 50; EXPIRE k -1 LT", "EXISTS k", "(integer) 0");
    check("SET k v EX 50; EXPIRE k 10 GT", "TTL k", "(integer) 50");
}

#[test]
fn names() {
    check("", "RENAME a b", "(error) ERR no such key");
    check("", "RENAME a a", "(error) ERR no such key");
    check("SET a 1", "RENAME a a", "OK");
    check("SET a 1; RENAME a a", "GET a", r#""1""#);
    check("SET a 1", "RENAME a b", "OK");
    check("SET a 1; RENAME a b", "MGET a b", r#"[(nil) "1"]"#);
    check("SET a 1; SET b 2 EX 100; RENAME a b", "TTL b", "(integer) -1");
    check("SET a 1 EX 100; SET b 2; RENAME a b", "TTL b", "(integer) 100");
    check("", "RENAMENX a b", "(error) ERR no such key");
    check("SET a 1", "RENAMENX a a", "(integer) 0");
    check("SET a 1", "RENAMENX a b", "(integer) 1");
    check("SET a 1; SET b 2", "RENAMENX a b", "(integer) 0");
    check("SET a 1; SET b 2; RENAMENX a b", "MGET a b", r#"["1" "2"]"#);
    check("SET a 1; RENAMENX a b", "MGET a b", r#"[(nil) "1"]"#);

    check("", "COPY a b", "(integer) 0");
    check("SET a 1 EX 100", "COPY a b", "(integer) 1");
    check("SET a 1 EX 100; COPY a b", "MGET a b", r#"["1" "1"]"#);
    check("SET a 1 EX 100; COPY a b", "TTL b", "(integer) 100");
    check("SET a 1; SET b 2", "COPY a b", "(integer) 0");
    check("SET a 1; SET b 2", "COPY a b REPLACE", "(integer) 1");
    check("SET a 1; SET b 2; COPY a b REPLACE", "GET b", r#""1""#);
    let same = "(error) ERR source and destination objects are the same";
    check("SET a 1", "COPY a a", same);
}

#[test]
fn what_a_key_is() {
    check("", "TYPE k", "none");
    check("SET k v", "TYPE k", "string");
    check("", "OBJECT ENCODING k", "(nil)");
    check("SET k 123", "OBJECT ENCODING k", r#""int""#);
    check("SET k -9223372036854775808", "OBJECT ENCODING k", r#""int""#);
    check("SET k 9223372036854775808", "OBJECT ENCODING k", r#""embstr""#);
    check("SET k 012", "OBJECT ENCODING k", r#""embstr""#);
    check(r#"SET k """#, "OBJECT ENCODING k", r#""embstr""#);
    check(&format!("SET k {}", "x".repeat(44)), "OBJECT ENCODING k", r#""embstr""#);
    check(&format!("SET k {}", "x".repeat(45)), "OBJECT ENCODING k", r#""raw""#);
    check("SET k v", "OBJECT REFCOUNT k", "(integer) 1");
    check("", "OBJECT FREQ k", "(nil)");
    check("", "MEMORY USAGE k", "(nil)");
}

#[test]
fn sizes_over_the_limits_are_refused_by_name() {
    let large = "x".repeat(VALUE_SIZE_MAX);
    let over = format!("{large}x");
    let refused = "(error) ERR value is 1048577 bytes, at most 1048576 are allowed \
                   (`value_size_max`)";
    check("", &format!("SET k {large}"), "OK");
    check("", &format!("SET k {over}"), refused);
    check("", &format!("MSET k v l {over}"), refused);
    check("", &format!("APPEND k {over}"), refused);
    let string = |size: usize| {
        format!(
            "(error) ERR string exceeds maximum allowed size: it would be {size} bytes, at most \
             1048576 are allowed (`value_size_max`)"
        )
    };
    check(&format!("SET k {large}"), "APPEND k yz", &string(VALUE_SIZE_MAX + 2));
    check("", "SETRANGE k 1048575 x", "(integer) 1048576");
    check("", "SETRANGE k 1048576 x", &string(VALUE_SIZE_MAX + 1));
    check("", "SETRANGE k 536870911 x", &string(536_870_912));
}

#[test]
fn a_large_value_named_often_is_refused_before_it_is_copied() {
    let large = format!("SET k {}", "x".repeat(VALUE_SIZE_MAX));
    let refused = "(error) ERR the reply would be more than 15728640 bytes (`reply_size_max`): ask \
                   for fewer keys at once";
    check(&large, &format!("MGET{}", " k".repeat(15)), refused);
    check(&large, &format!("MGET{}", " k".repeat(1_000_000)), refused);
}

#[test]
fn memory_usage_counts_key_value_and_overhead() {
    let usage = |line: &str| -> u64 {
        let mut keyspace = Keyspace::default();
        let mut now_ms = NOW_MS;
        keyspace.run(line, &mut now_ms);
        let reply = keyspace.run("MEMORY USAGE k", &mut now_ms);
        reply.strip_prefix("(integer) ").unwrap().parse().unwrap()
    };
    let empty = usage(r#"SET k """#);
    assert!((50..150).contains(&empty), "{empty}");
    assert_eq!(usage(&format!("SET k {}", "x".repeat(1000))), empty + 1000);
}

#[test]
fn commands_depend_on_what_they_looked_at_and_nothing_else() {
    let reads = |line: &str| -> Vec<String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let arguments = Arguments::from_slices(&words);
        let command = command::parse(&arguments).unwrap();
        match evaluate(&command, &Keyspace::default(), NOW_MS) {
            Outcome::Done { reads, .. } => {
                reads.iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
            }
            needs => panic!("{line}: {needs:?}"),
        }
    };
    let nothing: [&str; 0] = [];
    assert_eq!(reads("SET k v"), nothing);
    assert_eq!(reads("SET k v EX 10"), nothing);
    assert_eq!(reads("SET k v PXAT 1"), ["k"]);
    assert_eq!(reads("MSET k v l w"), nothing);
    assert_eq!(reads("SET k v KEEPTTL"), ["k"]);
    assert_eq!(reads("SET k v NX"), ["k"]);
    assert_eq!(reads("SET k v GET"), ["k"]);
    assert_eq!(reads("INCR k"), ["k"]);
    assert_eq!(reads("DEL k l"), ["k", "l"]);
    assert_eq!(reads("MSETNX k v l w"), ["k", "l"]);
}

#[test]
fn a_command_asks_for_all_the_values_it_needs_at_once() {
    let mut keyspace = Keyspace { elsewhere: true, ..Keyspace::default() };
    for key in ["a", "b", "c"] {
        keyspace.keys.insert(key.into(), ("v".into(), 0));
    }
    let words: Vec<&[u8]> = "MGET b x a b".split(' ').map(str::as_bytes).collect();
    let arguments = Arguments::from_slices(&words);
    let command = command::parse(&arguments).unwrap();
    let outcome = evaluate(&command, &keyspace, NOW_MS);
    assert_eq!(outcome, Outcome::NeedValues { keys: vec![b"a", b"b"] });
}

/// A keyspace in which times to live end up to a fifth earlier.
struct Jittered;

impl View for Jittered {
    fn get(&self, _: &[u8]) -> Seen<'_> {
        Seen::Present { version: 1, expires_at_ms: 0, value: b"there" }
    }

    fn ttl_jitter_percent(&self) -> u8 {
        20
    }
}

fn deadline_of(line: &str) -> u64 {
    let words: Vec<Vec<u8>> = line.split(' ').map(unquoted).collect();
    let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
    let arguments = Arguments::from_slices(&words);
    let command = command::parse(&arguments).unwrap();
    match evaluate(&command, &Jittered, NOW_MS) {
        Outcome::Done { writes, .. } => match &writes[..] {
            [Write::Put { expires_at_ms, .. }] => *expires_at_ms,
            other => panic!("{line} writes {other:?}"),
        },
        Outcome::NeedValues { .. } => panic!("{line} needs values"),
    }
}

/// Goal: times to live end earlier by up to the jitter and never later, spread evenly, and a moment that a
/// client names stays what it is.
#[test]
fn times_to_live_are_spread() {
    let mut counts = [0; 4];
    for key in 0..4_000 {
        for line in [
            format!("SET key-{key} v EX 100"),
            format!("SETEX key-{key} 100 v"),
            format!("EXPIRE key-{key} 100"),
            format!("GETEX key-{key} PX 100000"),
        ] {
            let ttl_ms = deadline_of(&line) - NOW_MS;
            assert!((80_000..=100_000).contains(&ttl_ms), "{line}: {ttl_ms}");
            counts[(ttl_ms.min(99_999) - 80_000) as usize / 5_000] += 1;
        }
    }
    assert!(counts.iter().all(|count| (3_600..=4_400).contains(count)), "{counts:?}");
    assert_eq!(deadline_of("SET key v PX 1"), NOW_MS + 1, "too short to be shorter");
    let at_ms = NOW_MS + 50_000;
    assert_eq!(deadline_of(&format!("SET key v PXAT {at_ms}")), at_ms);
    assert_eq!(deadline_of(&format!("PEXPIREAT key {at_ms}")), at_ms);
    assert_eq!(deadline_of("SET key v"), 0);
}
