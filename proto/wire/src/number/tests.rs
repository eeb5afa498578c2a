use super::*;

#[test]
fn integers_are_read_strictly() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("18446744073709551616", None),
        ("99999999999999999999", None),
        ("", None),
        ("-", None),
        ("-0", None),
        ("01", None),
        ("-01", None),
        ("+1", None),
        (" 1", None),
        ("1 ", None),
        ("1a", None),
        ("\u{ff11}", None),
    ] {
        assert_eq!(parse_integer(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn fractions_are_finite_and_without_words() {
    for (text, expected) in [
        ("1.5", Some(1.5)),
        ("-3", Some(-3.0)),
        ("5.0e3", Some(5000.0)),
        (".5", Some(0.5)),
        ("inf", None),
        ("nan", None),
        ("1e999", None),
        ("", None),
        (" 1", None),
        ("0x10", None),
    ] {
        assert_eq!(parse_float(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn fractions_are_written_without_exponent() {
    for (number, expected) in
        [(10.6, "10.6"), (5000.0, "5000"), (-0.0, "0"), (1e20, "100000000000000000000")]
    {
        assert_eq!(float_text(number), expected);
    }
}
