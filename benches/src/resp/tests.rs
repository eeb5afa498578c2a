use super::*;

fn check(bytes: &[u8], expected: Option<(Outcome, usize)>) {
    let expected = expected.map(|(outcome, size)| Answer { outcome, size });
    assert_eq!(answer(bytes).unwrap(), expected, "{}", excerpt(bytes));
    // What is cut short is never taken for complete.
    if let Some(Answer { size, .. }) = expected {
        for cut in 0..size {
            assert_eq!(answer(&bytes[..cut]).unwrap(), None, "{cut} bytes of {}", excerpt(bytes));
        }
    }
}

#[test]
fn a_reply_ends_where_the_next_begins() {
    check(b"+OK\r\n+OK\r\n", Some((Outcome::Done, 5)));
    check(b"$3\r\na\r\n\r\n:1\r\n", Some((Outcome::Done, 9)));
    check(b"$0\r\n\r\n", Some((Outcome::Done, 6)));
    check(b"$-1\r\n", Some((Outcome::Miss, 5)));
    check(b"_\r\n", Some((Outcome::Miss, 3)));
    check(b":-7\r\n", Some((Outcome::Number(-7), 5)));
    check(b"-ERR no\r\n", Some((Outcome::Refused, 9)));
}

#[test]
fn what_is_no_reply_is_an_error() {
    for bytes in [&b"HTTP/1.1 400\r\n"[..], b"$x\r\n", b"$-2\r\n", b":\r\n", b"\r\n", b"\n"] {
        assert!(answer(bytes).is_err(), "{}", excerpt(bytes));
    }
}

#[test]
fn a_command_is_an_array_of_bulk_strings() {
    let mut output = Vec::new();
    command(&[b"SET", b"", b"a\r\nb"], &mut output);
    assert_eq!(output, b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
}
