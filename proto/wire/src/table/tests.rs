use alloc::string::String;
use alloc::vec::Vec;
use std::println;

use super::*;
use crate::arguments::Arguments;
use crate::command::CommandQuestion;
use crate::reply::{Protocol, Reply};

#[test]
fn every_name_is_found_in_any_case_and_nothing_else() {
    for info in &COMMANDS {
        for name in [info.name.into(), info.name.to_uppercase()] {
            let found = lookup(name.as_bytes()).expect("it has a row");
            assert_eq!(found.name, info.name);
        }
        let mut mixed = Vec::from(info.name.as_bytes());
        mixed[0] = mixed[0].to_ascii_uppercase();
        assert_eq!(lookup(&mixed).expect("it has a row").name, info.name);
        // Every byte but the letter's own two cases is another name.
        for at in 0..mixed.len() {
            for byte in 0..=255u8 {
                let mut other = mixed.clone();
                other[at] = byte;
                let same = other.eq_ignore_ascii_case(&mixed);
                let found = lookup(&other).is_some_and(|found| found.name == info.name);
                assert_eq!(found, same, "{}", other.escape_ascii());
            }
        }
    }
    for name in ["", " ", "\0", " get", "get ", "\0get", "gett", "ge", "averyveryverylongname"] {
        assert!(lookup(name.as_bytes()).is_none(), "{name:?}");
    }
}

#[test]
fn rows_are_sound() {
    for info in COMMANDS.iter().flat_map(|info| core::iter::once(info).chain(info.subcommands)) {
        assert_ne!(info.arity, 0, "{}", info.name);
        assert!(!(info.has(FLAG_WRITE) && info.has(FLAG_READONLY)), "{}", info.name);
        assert!(info.summary.ends_with('.'), "{}", info.name);
        assert!(info.keys.first == 0 || info.keys.step > 0, "{}", info.name);
        let most = i64::from(info.arity).abs();
        assert!(i64::from(info.keys.first) < most && i64::from(info.keys.last) < most);
    }
    for info in &COMMANDS {
        assert!(info.subcommands.is_sorted_by_key(|info| info.name), "{}", info.name);
        for subcommand in info.subcommands {
            let (prefix, name) = subcommand.name.split_once('|').expect("two words");
            assert_eq!(prefix, info.name);
            assert!(info.subcommand(name.to_uppercase().as_bytes()).is_some());
        }
    }
}

fn ask(command: &str) -> Reply {
    let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
    let arguments = Arguments::from_slices(&words);
    let question = match crate::command::parse(&arguments).expect("a command") {
        crate::command::Command::Command(question) => question,
        other => panic!("{other:?}"),
    };
    answer(&question)
}

fn check(command: &str, expected: &str) {
    let mut bytes = Vec::new();
    ask(command).encode(Protocol::Resp3, &mut bytes);
    let text = String::from_utf8(bytes).expect("text").replace("\r\n", " ");
    assert_eq!(text.trim_end(), expected, "{command}");
}

#[test]
fn keys_are_where_clients_expect_them() {
    check("COMMAND GETKEYS get a", "*1 $1 a");
    check("COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b");
    check("COMMAND GETKEYS del a b c", "*3 $1 a $1 b $1 c");
    check("COMMAND GETKEYS rename a b", "*2 $1 a $1 b");
    check("COMMAND GETKEYS object encoding a", "*1 $1 a");
    check("COMMAND GETKEYS set a 1 ex 10", "*1 $1 a");
    check("COMMAND GETKEYS ping", "-ERR The command has no key arguments");
    check("COMMAND GETKEYS nothing", "-ERR Invalid command specified");
    check("COMMAND GETKEYS get", "-ERR Invalid number of arguments specified for command");
}

#[test]
fn entries_have_the_shape_of_redis_7() {
    check(
        "COMMAND INFO get nothing",
        "*2 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@string +@read +@fast *0 \
         *1 %3 $5 flags ~2 +RO +ACCESS $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
         $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 *0 _",
    );
    check(
        "COMMAND INFO client|id",
        "*1 *10 $9 client|id :2 ~2 +loading +stale :0 :0 :0 ~2 +@connection +@slow *0 *0 *0",
    );
    check(
        "COMMAND DOCS echo nothing",
        "%1 $4 echo %3 $7 summary $21 Returns its argument. $5 since $5 1.0.0 \
         $5 group $10 connection",
    );
    check(
        "COMMAND LIST FILTERBY PATTERN GET*",
        "*5 $3 get $6 getdel $5 getex $8 getrange $6 getset",
    );
    check("COMMAND LIST FILTERBY MODULE x", "*0");
    check("COMMAND LIST FILTERBY ACLCAT blocking", "*1 $4 wait");
    let Reply::Array(all) = ask("COMMAND") else { panic!("an array") };
    assert_eq!(ask("COMMAND COUNT"), Reply::Integer(all.len() as i64));
    let Reply::Array(info) = ask("COMMAND INFO") else { panic!("an array") };
    assert_eq!(info.len(), all.len());
    let Reply::Map(docs) =
        answer(&CommandQuestion::Docs { names: Arguments::from_slices(&[]).list(0) })
    else {
        panic!("a map")
    };
    assert_eq!(docs.len(), all.len());
}

#[test]
fn categories_and_help_name_what_is_there() {
    let Reply::Array(names) = categories(None) else { panic!("an array") };
    for name in names {
        let Reply::Bulk(name) = name else { panic!("a name") };
        let Reply::Array(commands) = categories(Some(&name)) else { panic!("an array") };
        assert!(!commands.is_empty(), "{name:?}");
    }
    assert_eq!(categories(Some(b"x\n")), Reply::error("ERR Unknown category 'x\\n'"));
    let Reply::Array(lines) = help("memory") else { panic!("an array") };
    let expected = [
        "MEMORY <subcommand> [<argument> ...]:",
        "HELP",
        "    Lists the subcommands.",
        "USAGE",
        "    Returns how many bytes a key takes.",
    ];
    assert_eq!(lines, expected.map(Reply::simple));
}

/// Not a measurement, a fence: prints what a lookup costs, for whoever runs it with `--ignored`.
#[test]
#[ignore = "prints a time; run by hand"]
#[expect(clippy::disallowed_methods, reason = "this test is about real time")]
fn cost_of_a_lookup() {
    let started = std::time::Instant::now();
    let mut found = 0u128;
    for _ in 0..10_000 {
        for info in &COMMANDS {
            found += u128::from(lookup(core::hint::black_box(info.name.as_bytes())).is_some());
        }
    }
    let longest = (0..SLOT_COUNT)
        .filter(|&slot| SLOTS[slot].0 != 0)
        .map(|slot| (slot + SLOT_COUNT - hash(SLOTS[slot].0)) % SLOT_COUNT);
    println!("{} ns a lookup", started.elapsed().as_nanos() / found);
    println!("longest probe {:?}", longest.max());
}
