use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use std::println;

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits {
    argument_count_max: 20,
    bulk_size_max: 20,
    inline_size_max: 40,
    command_size_max: 120,
};

/// What a parse amounts to, as text: `[GET] [a] /12` for a command of twelve bytes.
fn told(parse: &Parse<'_>) -> String {
    match parse {
        Parse::Incomplete => "incomplete".into(),
        Parse::Nothing { consumed } => format!("nothing /{consumed}"),
        Parse::Error(error) => error.to_string(),
        Parse::Command { arguments, consumed } => {
            let words: Vec<_> =
                arguments.iter().map(|word| format!("[{}]", word.escape_ascii())).collect();
            format!("{} /{consumed}", words.join(" "))
        }
    }
}

fn check(bytes: &str, expected: &str) {
    assert_eq!(told(&parse(bytes.as_bytes(), &SMALL)), expected, "{bytes:?}");
}

#[test]
fn arrays_of_bulk_strings_are_commands() {
    check("*1\r\n$4\r\nPING\r\n", "[PING] /14");
    check("*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n", "[GET] [] /19");
    check("*1\r\n$12\r\na\r\nb\0é $*'\"\r\n", r#"[a\r\nb\x00\xc3\xa9 $*\'\"] /23"#);
    check("*0\r\n*1\r\n", "nothing /4");
    check("*-1\r\n", "nothing /5");
    check("", "incomplete");
    check("*1", "incomplete");
    check("*1\r\n$4\r\nPING\r", "incomplete");
}

#[test]
fn broken_arrays_are_refused_in_the_words_of_redis() {
    check("*a\r\n", "ERR Protocol error: invalid multibulk length");
    check("*1\r1", "ERR Protocol error: invalid multibulk length");
    check("*99999999999999999999\r\n", "ERR Protocol error: invalid multibulk length");
    check(
        "*21\r\n",
        "ERR Protocol error: invalid multibulk length: 21 arguments, at most 20 are allowed",
    );
    check("*1\r\nPING\r\n", "ERR Protocol error: expected '$', got 'P'");
    check("*1\r\n\x01", "ERR Protocol error: expected '$', got '\\x01'");
    check("*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length");
    check("*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length");
    check("*1\r\n$04\r\nPING\r\n", "ERR Protocol error: invalid bulk length");
    check("*1\r\n$3\r\nPING\r\n", "ERR Protocol error: invalid bulk length");
    check(
        "*1\r\n$21\r\n",
        "ERR Protocol error: invalid bulk length: 21 bytes, at most 20 are allowed",
    );
    let six = format!("*6\r\n{}", "$20\r\n01234567890123456789\r\n".repeat(5));
    check(&six, "ERR Protocol error: too big command: at most 120 bytes are allowed");
    check(&format!("*{}", "1".repeat(32)), "ERR Protocol error: too big mbulk count string");
    check(&format!("*1\r\n${}", "1".repeat(32)), "ERR Protocol error: too big bulk count string");
}

#[test]
fn typed_lines_are_commands() {
    check("PING\r\n", "[PING] /6");
    check("PING\n", "[PING] /5");
    check("  SET  a\tb  \r\n", "[SET] [a] [b] /14");
    check("\r\n", "nothing /2");
    check("   \n", "nothing /4");
    check("GET", "incomplete");
    check(r#"SET "a b" 'c d'"#.to_string().as_str(), "incomplete");
    check("SET \"a b\" 'c d'\r\n", "[SET] [a b] [c d] /17");
    check("SET \"\" ''\n", "[SET] [] [] /10");
    check("\x0b\x0cSET\x0b\"a\"\x0b\x0c\n", "[SET] [a] /12");
    check("\"\"\x0b\x0bx\n", "[] [x] /6");
    check("a\"b c\" d\n", "[ab c] [d] /9");
    check(r#"X "\x41\x4g\n\"\\\q" '\n\''"#.to_string().as_str(), "incomplete");
    check("X \"\\x41\\x4g\\n\\\"\\\\\\q\" '\\n\\''\n", r#"[X] [Ax4g\n\"\\q] [\\n\'] /28"#);
    check("X \"a\n", "ERR Protocol error: unbalanced quotes in request");
    check("X 'a\\'\n", "ERR Protocol error: unbalanced quotes in request");
    check("X \"a\"b\n", "ERR Protocol error: unbalanced quotes in request");
    check("X \"a\\\n", "ERR Protocol error: unbalanced quotes in request");
    check(&"a".repeat(41), "ERR Protocol error: too big inline request");
    check(&format!("{}\n", "a".repeat(41)), "ERR Protocol error: too big inline request");
    check(
        &format!("{}\n", " a".repeat(20).replacen("a", "a b", 1).split_at(38).0),
        "[a] [b] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] [a] /39",
    );
}

#[test]
fn the_parser_goes_on_where_it_stopped() {
    let mut command = String::from("*1000\r\n");
    (0..1000).for_each(|index| command += &format!("${}\r\n{index}\r\n", index.to_string().len()));
    let bytes = command.as_bytes();
    let mut parser = Parser::default();
    for end in 0..bytes.len() {
        let before = parser.pending.as_ref().map_or(0, |pending| pending.position);
        let result = parser.parse(&bytes[..end], &Limits::DEFAULT);
        assert!(matches!(result, Parse::Incomplete), "{end}: {result:?}");
        let after = parser.pending.as_ref().map_or(0, |pending| pending.position);
        assert!(before <= after && end < after + 12, "it neither starts over nor falls behind");
        assert!(parser.missing(&bytes[..end]) <= bytes.len() - end);
    }
    let Parse::Command { arguments, consumed } = parser.parse(bytes, &Limits::DEFAULT) else {
        panic!("it is all there")
    };
    assert_eq!((arguments.count(), consumed), (1000, bytes.len()));
    assert!(arguments.iter().enumerate().all(|(index, word)| word == index.to_string().as_bytes()));
    assert!(parser.pending.is_none(), "the next command starts anew");
}

#[test]
fn what_is_missing_of_a_large_value_is_known_at_once() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$1000\r\nabc";
    let mut parser = Parser::default();
    assert!(matches!(parser.parse(bytes, &Limits::DEFAULT), Parse::Incomplete));
    assert_eq!(parser.missing(bytes), 997 + 2);
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        commands in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 1..20), 1..5),
        cuts in proptest::collection::vec(1usize..40, 1..40),
    ) {
        let mut sent = Vec::new();
        for command in &commands {
            let slices: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            write_command(&slices, &mut sent);
        }
        let mut parser = Parser::default();
        let mut read: Vec<Vec<Vec<u8>>> = vec![];
        let (mut start, mut end) = (0, 0);
        for cut in cuts.iter().cycle() {
            match parser.parse(&sent[start..end], &Limits::DEFAULT) {
                Parse::Command { arguments, consumed } => {
                    read.push(arguments.iter().map(<[u8]>::to_vec).collect());
                    // Kept arguments are the same arguments.
                    let kept = arguments.keep();
                    prop_assert_eq!(&Arguments::from_kept(&kept), &arguments);
                    start += consumed;
                }
                Parse::Incomplete if end == sent.len() => break,
                Parse::Incomplete => end = (end + cut).min(sent.len()),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(start, sent.len());
        prop_assert_eq!(read, commands);
    }

    #[test]
    fn hostile_bytes_do_no_harm(
        bytes in proptest::collection::vec(
            prop_oneof![
                5 => prop::sample::select(b"*$0123456789-\r\n\"'\\x ".to_vec()),
                1 => any::<u8>(),
            ],
            0..150,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = told(&parse(&bytes, &SMALL));
        let mut parser = Parser::default();
        let first = told(&parser.parse(&bytes[..cut.index(bytes.len() + 1)], &SMALL));
        if first == "incomplete" {
            prop_assert_eq!(told(&parser.parse(&bytes, &SMALL)), whole);
        } else if !first.contains("too big") {
            prop_assert_eq!(first, whole);
        }
    }

    #[test]
    fn typed_words_are_read_as_they_were_quoted(words in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..20), 1..30))
    {
        let mut line = Vec::new();
        for word in &words {
            line.push(b'"');
            word.iter().for_each(|byte| line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()));
            line.extend_from_slice(b"\" ");
        }
        line.extend_from_slice(b"\r\n");
        let Parse::Command { arguments, consumed } = parse(&line, &Limits::DEFAULT) else {
            return Err(TestCaseError::fail("not a command"));
        };
        prop_assert_eq!(consumed, line.len());
        prop_assert_eq!(arguments.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), words);
    }
}

/// Not a measurement, a fence: prints what a command costs, for whoever runs it with `--ignored`.
#[test]
#[ignore = "prints a time; run by hand"]
#[expect(clippy::disallowed_methods, reason = "this test is about real time")]
fn cost_of_a_command() {
    let bytes = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$5\r\nvalue\r\n".repeat(1000);
    let started = std::time::Instant::now();
    let mut parsed = 0u64;
    for _ in 0..1000 {
        let mut rest = &bytes[..];
        let mut parser = Parser::default();
        while let Parse::Command { arguments, consumed } = parser.parse(rest, &Limits::DEFAULT) {
            parsed += u64::from(arguments.count() == 3);
            rest = &rest[consumed..];
        }
    }
    println!("{} ns a command", started.elapsed().as_nanos() / u128::from(parsed));
}

#[test]
fn a_look_ahead_names_the_keys_of_whole_commands_and_stops_at_anything_odd() {
    let words = |buffer: &'static [u8]| second_words(buffer).collect::<Vec<_>>();
    let get = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$2\r\nbb\r\n$0\r\n\r\n";
    assert_eq!(words(get), [b"a".as_slice(), b"bb"]);
    assert_eq!(words(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb"), [b"a"]);
    for odd in [
        b"".as_slice(),
        b"GET a\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*x\r\n",
        b"*2\r\n$3\r\nGET\r\n",
        b"*2\r\n$3\r\nGET\r\n$-1\r\n",
        b"*2\r\n$3\r\nGET\r\n$9223372036854775807\r\na\r\n",
        b"*2\r\n$3\r\nGET\r\n:1\r\n",
        b"*17\r\n$3\r\nGET\r\n$1\r\na\r\n",
    ] {
        assert_eq!(second_words(odd).count(), 0, "{:?}", String::from_utf8_lossy(odd));
    }
}
