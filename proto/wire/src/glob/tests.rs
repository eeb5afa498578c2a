use super::matches;

#[test]
fn patterns_mean_what_they_mean_in_redis() {
    for (pattern, matching, others) in [
        ("", &[""][..], &["a"][..]),
        ("*", &["", "a", "abc"], &[]),
        ("a*", &["a", "ab"], &["", "ba"]),
        ("*a*b*", &["ab", "xaxbx"], &["ba", "a"]),
        ("a?c", &["abc", "a?c"], &["ac", "abbc"]),
        ("[ab]x", &["ax", "bx"], &["cx", "x", "abx"]),
        ("[^ab]x", &["cx"], &["ax", "x"]),
        ("[a-c]", &["a", "b", "c"], &["d", "-"]),
        ("[c-a]", &["b"], &["d"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[\\]]", &["]"], &["\\"]),
        ("[ab", &["a", "b"], &["["]),
        ("a\\*b", &["a*b"], &["aab"]),
        ("a\\", &["a\\"], &["a"]),
        ("*foo*bar", &["foobarfoobar", "xfooybar"], &["foobarx"]),
    ] {
        for text in matching {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} {text:?}");
        }
        for text in others {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} {text:?}");
        }
    }
}

/// Exponential matchers would never finish this one.
#[test]
fn a_hostile_pattern_is_soon_done() {
    let pattern = b"*a".repeat(200);
    assert!(!matches(&pattern, &[b'a'; 199]));
    assert!(matches(&pattern, &[b'a'; 2000]));
    assert!(!matches(&[&pattern[..], b"b"].concat(), &[b'a'; 2000]));
}
