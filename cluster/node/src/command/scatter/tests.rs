use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command;

use super::*;

/// A key's shard is its first digit.
fn shard_of(key: &[u8]) -> u32 {
    u32::from(key.iter().find(|byte| byte.is_ascii_digit()).expect("test keys have a digit") - b'0')
}

fn split_line(line: &str) -> Split {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let arguments = Arguments::from_slices(&words);
    split(&command::parse(&arguments).unwrap(), shard_of)
}

fn parts_of(line: &str) -> (Vec<(u32, String)>, Plan) {
    let Split::Many { parts, plan } = split_line(line) else { panic!("{line} is for one shard") };
    let text = |part: Part| {
        let words = part.command.arguments.iter().map(|word| str::from_utf8(word).unwrap());
        (part.shard, words.collect::<Vec<_>>().join(" "))
    };
    (parts.into_iter().map(text).collect(), plan)
}

fn check(line: &str, parts: &[(u32, &str)], replies: Vec<Reply>, expected: Reply) {
    let (split, plan) = parts_of(line);
    let parts: Vec<(u32, String)> =
        parts.iter().map(|(shard, line)| (*shard, line.to_string())).collect();
    assert_eq!(split, parts);
    assert_eq!(merge(&plan, replies), expected);
}

fn texts(texts: &[&'static str]) -> Reply {
    Reply::Array(texts.iter().map(|text| Reply::text(text)).collect())
}

#[test]
fn values_come_back_where_their_keys_were() {
    check(
        "mget a1 b2 c1 b2 d3 a1",
        &[(1, "MGET a1 c1 a1"), (2, "MGET b2 b2"), (3, "MGET d3")],
        vec![texts(&["A", "C", "A"]), texts(&["B", "B"]), Reply::Array(vec![Reply::Null])],
        Reply::Array(
            [texts(&["A", "B", "C", "B"]), Reply::Array(vec![Reply::Null]), texts(&["A"])]
                .into_iter()
                .flat_map(|reply| if let Reply::Array(values) = reply { values } else { vec![] })
                .collect(),
        ),
    );
}

#[test]
fn counts_add_up() {
    let replies = || vec![Reply::Integer(2), Reply::Integer(1)];
    for (line, name) in
        [("del", "DEL"), ("UNLINK", "DEL"), ("exists", "EXISTS"), ("touch", "TOUCH")]
    {
        let parts = [(2, format!("{name} a2 c2")), (1, format!("{name} b1"))];
        let parts: Vec<(u32, &str)> =
            parts.iter().map(|(shard, line)| (*shard, &line[..])).collect();
        check(&format!("{line} a2 b1 c2"), &parts, replies(), Reply::Integer(3));
    }
}

#[test]
fn pairs_stay_together() {
    check(
        "MSET a1 x b2 y a1 z",
        &[(1, "MSET a1 x a1 z"), (2, "MSET b2 y")],
        vec![Reply::OK, Reply::OK],
        Reply::OK,
    );
}

#[test]
fn the_first_error_wins() {
    let (_, plan) = parts_of("DEL a1 b2 c3");
    let replies = vec![Reply::Integer(1), Reply::error("ERR first"), Reply::error("ERR second")];
    assert_eq!(merge(&plan, replies), Reply::error("ERR first"));
}

#[test]
fn replies_of_another_shape_are_an_error() {
    for (line, reply) in [
        ("MGET a1 b2", Reply::Integer(1)),
        ("MGET a1 b2", texts(&["one", "too many"])),
        ("DEL a1 b2", Reply::OK),
        ("MSET a1 x b2 y", Reply::Null),
    ] {
        let (_, plan) = parts_of(line);
        assert!(merge(&plan, vec![reply.clone(), reply]).is_error(), "{line}");
    }
}

#[test]
fn what_must_be_atomic_is_refused() {
    for (line, beside) in [
        ("MSETNX a1 x b2 y", "MSETNX a1 x b1 y"),
        ("RENAME a1 b2", "RENAME a1 b1"),
        ("RENAMENX a1 b2", "RENAMENX a1 b1"),
        ("COPY a1 b2", "COPY a1 b1"),
    ] {
        let Split::Refused(Reply::Error(text)) = split_line(line) else { panic!("{line}") };
        assert!(text.starts_with("CROSSSLOT "), "{text}");
        assert_eq!(split_line(beside), Split::One { shard: 1 });
    }
}

#[test]
fn what_is_of_one_shard_goes_there_as_it_is() {
    for line in ["GET a3", "SET a3 x", "MGET a3 b3 a3", "MSET a3 x b3 y", "DEL a3", "TTL a3"] {
        assert_eq!(split_line(line), Split::One { shard: 3 }, "{line}");
    }
    for line in ["PING", "DBSIZE", "SCAN 0", "KEYS *", "FLUSHALL", "MULTI"] {
        assert_eq!(split_line(line), Split::NoKeys, "{line}");
    }
}
