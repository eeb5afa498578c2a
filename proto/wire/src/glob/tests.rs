use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    for text in matching {
        assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} matches {text}");
    }
    for text in others {
        assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} does not match {text}");
    }
}

#[test]
fn patterns_follow_redis() {
    check("", &[""], &["a"]);
    check("*", &["", "a", "abc"], &[]);
    check("**", &["", "a", "abc"], &[]);
    check("?", &["a"], &["", "ab"]);
    check("a*", &["a", "abc"], &["", "ba"]);
    check("*c", &["c", "abc", "cc"], &["", "ca"]);
    check("a*b*c", &["abc", "aXbYc", "abbcc"], &["acb", "ab"]);
    check("h?llo", &["hello", "hallo"], &["hllo", "heello", "Hello"]);
    check("h[ae]llo", &["hello", "hallo"], &["hillo"]);
    check("h[^e]llo", &["hallo"], &["hello", "hllo"]);
    check("h[a-b]llo", &["hallo", "hbllo"], &["hcllo"]);
    check("h[b-a]llo", &["hallo", "hbllo"], &["hcllo"]);
    check("[a-c]*[0-9]", &["a1", "bxx9"], &["d1", "a"]);
    check(r"a\*b", &["a*b"], &["axb", r"a\*b"]);
    check(r"a\?", &["a?"], &["ab"]);
    check(r"[\]]", &["]"], &[r"\", "["]);
    check(r"[\^a]", &["^", "a"], &["b"]);
    check("[]", &[], &["", "]", "a"]);
    check("[]a]", &[], &["a]", "a", "]"]);
    check("[^]", &["a", "]"], &["", "ab"]);
    check("[abc", &["a", "c"], &["d", "["]);
    check("x[", &[], &["x", "x["]);
    check("[a-", &["a", "-"], &["b"]);
    // The bracket is the range's end, so the class ends with the pattern.
    check("[a-]", &["a", "]", "^", "_"], &["-", "b"]);
    check(r"a\", &[r"a\"], &["a"]);
    check("user:*:name", &["user:1:name", "user::name"], &["user:1:names"]);
}

#[test]
fn bytes_are_unsigned() {
    assert!(matches(b"[\x80-\xff]", b"\xc0"));
    assert!(!matches(b"[\x80-\xff]", b"a"));
    assert!(matches(b"?\0*", b"\xff\0\n"));
}

/// The product of the sizes is 4 million; trying every star again would take longer than the universe.
#[test]
fn many_stars_take_no_time() {
    let pattern = b"a*".repeat(1000);
    let text = b"a".repeat(2000);
    assert!(matches(&pattern, &text));
    assert!(!matches(&[&pattern[..], b"b"].concat(), &text));
}

/// The definition, word for word; exponential.
fn slowly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', behind @ ..], _) => {
            slowly(behind, text) || (!text.is_empty() && slowly(pattern, &text[1..]))
        }
        (_, []) => false,
        (_, [byte, rest @ ..]) => {
            match_one(pattern, *byte).is_some_and(|size| slowly(&pattern[size..], rest))
        }
    }
}

proptest! {
    #[test]
    fn the_fast_way_is_the_slow_way(pattern in r"[ab*?\[\]\\^-]{0,8}", text in "[ab]{0,8}") {
        let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(matches(pattern, text), slowly(pattern, text));
    }

    #[test]
    fn any_bytes_are_a_pattern(
        pattern in prop::collection::vec(any::<u8>(), 0..20),
        text in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let _matched = matches(&pattern, &text);
        let escaped: Vec<u8> = text.iter().flat_map(|&byte| [b'\\', byte]).collect();
        prop_assert!(matches(&escaped, &text));
    }
}
