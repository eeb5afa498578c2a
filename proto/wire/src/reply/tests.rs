use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use std::println;

use proptest::prelude::*;

use super::*;

fn encoded(reply: &Reply, protocol: Protocol) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(protocol, &mut bytes);
    bytes
}

fn check(reply: &Reply, resp2: &str, resp3: &str) {
    for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
        let bytes = encoded(reply, protocol);
        assert_eq!(bytes.escape_ascii().to_string(), expected, "{reply:?} {protocol:?}");
    }
}

#[test]
fn each_type_is_said_in_both_protocols() {
    let (one, a) = (Reply::Integer(1), Reply::text("a"));
    let map = Reply::Map(vec![(a.clone(), one.clone())]);
    check(&Reply::OK, "+OK\\r\\n", "+OK\\r\\n");
    check(&Reply::error("ERR a\r\nb"), "-ERR a  b\\r\\n", "-ERR a  b\\r\\n");
    check(&Reply::Integer(i64::MIN), ":-9223372036854775808\\r\\n", ":-9223372036854775808\\r\\n");
    check(&Reply::Integer(1234567890), ":1234567890\\r\\n", ":1234567890\\r\\n");
    check(&a, "$1\\r\\na\\r\\n", "$1\\r\\na\\r\\n");
    check(&Reply::text(""), "$0\\r\\n\\r\\n", "$0\\r\\n\\r\\n");
    check(&Reply::Null, "$-1\\r\\n", "_\\r\\n");
    check(&Reply::NullArray, "*-1\\r\\n", "_\\r\\n");
    check(&Reply::Array(vec![]), "*0\\r\\n", "*0\\r\\n");
    check(&map, "*2\\r\\n$1\\r\\na\\r\\n:1\\r\\n", "%1\\r\\n$1\\r\\na\\r\\n:1\\r\\n");
    check(&Reply::Set(vec![one.clone()]), "*1\\r\\n:1\\r\\n", "~1\\r\\n:1\\r\\n");
    check(&Reply::Push(vec![one]), "*1\\r\\n:1\\r\\n", ">1\\r\\n:1\\r\\n");
    check(&Reply::Double(1.5), "$3\\r\\n1.5\\r\\n", ",1.5\\r\\n");
    check(&Reply::Double(3.0), "$1\\r\\n3\\r\\n", ",3\\r\\n");
    check(&Reply::Double(f64::NEG_INFINITY), "$4\\r\\n-inf\\r\\n", ",-inf\\r\\n");
    check(&Reply::Double(f64::NAN), "$3\\r\\nnan\\r\\n", ",nan\\r\\n");
    check(&Reply::Double(1e300), "$5\\r\\n1e300\\r\\n", ",1e300\\r\\n");
    check(&Reply::Boolean(true), ":1\\r\\n", "#t\\r\\n");
    check(&Reply::BigNumber("12".into()), "$2\\r\\n12\\r\\n", "(12\\r\\n");
    let verbatim = Reply::Verbatim { format: *b"txt", text: Bytes::from_static(b"hi") };
    check(&verbatim, "$2\\r\\nhi\\r\\n", "=6\\r\\ntxt:hi\\r\\n");
}

#[test]
fn bytes_are_read_refused_or_waited_for() {
    fn read(bytes: &str) -> Result<Option<(Reply, usize)>, ReplyError> {
        let limits =
            Limits { depth_max: 2, value_count_max: 9, bulk_size_max: 9, line_size_max: 40 };
        decode(bytes.as_bytes(), &limits)
    }
    let read_whole = |bytes: &str| read(bytes).map(|found| found.map(|(reply, _)| reply));
    let refused = |bytes: &str, expected: &str| {
        assert_eq!(read(bytes).expect_err(bytes).to_string(), expected, "{bytes:?}");
    };
    // Waited for: every prefix of something good.
    let good = "*3\r\n$3\r\nabc\r\n|1\r\n+a\r\n:1\r\n#t\r\n%1\r\n_\r\n,1.5\r\n";
    for end in 0..good.len() {
        assert_eq!(read(&good[..end]), Ok(None), "{:?}", &good[..end]);
    }
    let expected = Reply::Array(vec![
        Reply::text("abc"),
        Reply::Boolean(true),
        Reply::Map(vec![(Reply::Null, Reply::Double(1.5))]),
    ]);
    assert_eq!(read(good), Ok(Some((expected, good.len()))));
    // Only what belongs to the first reply is taken.
    assert_eq!(read(":1\r\n:2\r\n"), Ok(Some((Reply::Integer(1), 4))));
    assert_eq!(read_whole("$-1\r\n"), Ok(Some(Reply::Null)));
    assert_eq!(read_whole("*-1\r\n"), Ok(Some(Reply::NullArray)));
    assert_eq!(read_whole("!5\r\nERR a\r\n"), Ok(Some(Reply::error("ERR a"))));
    assert_eq!(read_whole("(-12\r\n"), Ok(Some(Reply::BigNumber("-12".into()))));
    assert_eq!(read_whole("+a\rb\r\n"), Ok(Some(Reply::Simple("a\rb".into()))));
    // Refused.
    refused("hello\r\n", "a reply cannot start with h");
    refused("\0", "a reply cannot start with \\x00");
    refused("$10\r\n", "the reply's bulk length exceeds 9");
    refused("$x\r\n", "the reply's bulk length is malformed");
    refused("$-2\r\n", "the reply's bulk length is malformed");
    refused("$1\r\nabc", "the reply's bulk string is malformed");
    refused("*10\r\n", "the reply's array length exceeds 9");
    refused("*5\r\n*4\r\n", "the reply's value count exceeds 9");
    refused("*1\r\n*1\r\n*1\r\n:1\r\n", "the reply's depth exceeds 2");
    refused(":1x\r\n", "the reply's integer is malformed");
    refused("#x\r\n", "the reply's boolean is malformed");
    refused(",x\r\n", "the reply's double is malformed");
    refused("(1.5\r\n", "the reply's big number is malformed");
    refused("=3\r\ntxt\r\n", "the reply's verbatim string is malformed");
    refused(&"+".repeat(41), "the reply's line size exceeds 40");
}

/// Cost is counted in bytes looked at, not in time: the scanner may not start over.
#[test]
fn a_large_reply_in_small_pieces_is_scanned_once() {
    let reply = Reply::Array(vec![Reply::text("0123456789"); 20_000]);
    let bytes = encoded(&reply, Protocol::Resp2);
    let limits = Limits::default();
    let mut scanner = Scanner::default();
    for end in (0..bytes.len()).step_by(7) {
        let before = scanner.position;
        assert_eq!(scanner.scan(&bytes[..end], &limits), Ok(None));
        assert!(before <= scanner.position && end < scanner.position + 24, "it keeps up");
    }
    assert_eq!(scanner.scan(&bytes, &limits), Ok(Some(bytes.len())));
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(|text| Reply::Simple(text.into())),
        "[A-Z]{3} [ -~]{0,20}".prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Reply::Bulk(bytes.into())),
        Just(Reply::Null),
        (-1e300..1e300f64).prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        "-?[1-9][0-9]{0,30}".prop_map(Reply::BigNumber),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|text| Reply::Verbatim { format: *b"txt", text: text.into() }),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let list = || proptest::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            list().prop_map(Reply::Array),
            list().prop_map(Reply::Set),
            list().prop_map(Reply::Push),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Reply::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_said_in_resp3_is_read_back(reply in any_reply(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&reply, Protocol::Resp3);
        let limits = Limits::default();
        prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())], &limits), Ok(None));
        prop_assert_eq!(decode(&bytes, &limits), Ok(Some((reply, bytes.len()))));
    }

    #[test]
    fn what_is_said_in_resp2_can_be_read(reply in any_reply()) {
        let bytes = encoded(&reply, Protocol::Resp2);
        let (read, size) = decode(&bytes, &Limits::default()).expect("ours").expect("whole");
        prop_assert_eq!(size, bytes.len());
        // And means the same when said again.
        prop_assert_eq!(encoded(&read, Protocol::Resp2), bytes);
    }

    #[test]
    fn hostile_bytes_do_no_harm(
        bytes in proptest::collection::vec(
            prop_oneof![
                4 => prop::sample::select(b"+-:$*_#,(=!%~>|0123456789\r\n".to_vec()),
                1 => any::<u8>(),
            ],
            0..200,
        )
    ) {
        let limits = Limits { depth_max: 4, value_count_max: 50, bulk_size_max: 50, line_size_max: 50 };
        if let Ok(Some((_, size))) = decode(&bytes, &limits) {
            prop_assert!(size <= bytes.len());
        }
    }

    #[test]
    fn a_damaged_reply_does_no_harm(reply in any_reply(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encoded(&reply, Protocol::Resp3);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Some((_, size))) = decode(&bytes, &Limits::default()) {
            prop_assert!(size <= bytes.len());
        }
    }
}

/// Not a measurement, a fence: prints what a reply costs, for whoever runs it with `--ignored`.
#[test]
#[ignore = "prints a time; run by hand"]
#[expect(clippy::disallowed_methods, reason = "this test is about real time")]
fn cost_of_a_bulk_reply() {
    let mut bytes = Vec::with_capacity(1 << 20);
    let started = std::time::Instant::now();
    for round in 0..1_000_000u32 {
        if round % 1000 == 0 {
            bytes.clear();
        }
        write_bulk(b"0123456789abcdef", &mut bytes);
    }
    println!("{} ns a reply", started.elapsed().as_nanos() / 1_000_000);
}
