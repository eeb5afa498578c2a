use proptest::prelude::*;

use super::*;

fn check(value: &str, delta: f64, expected: &str) {
    assert_eq!(add_float(value.as_bytes(), delta).as_deref(), Ok(expected), "{value} + {delta}");
}

#[test]
fn sums_are_exact_to_seventeen_places() {
    check("0.1", 0.2, "0.3");
    check("-0.1", 0.1, "0");
    check("-0.0", 0.0, "0");
    check("1.", 1.0, "2");
    check(".5", 0.25, "0.75");
    check("+1", 1.0, "2");
    check("3.14159265358979323846", 0.0, "3.14159265358979324");
    check("0.000000000000000005", 0.0, "0.00000000000000001");
    check("0.000000000000000004", 0.0, "0");
    check("1e-18", 1.0, "1");
    check("1E3", 0.5, "1000.5");
    check("123456789012345678901", 0.5, "123456789012345678901.5");
    check("0e999999999", 1.0, "1");
    check("0000000000000000000000000000000000000000000000000000000000001", 1.0, "2");
}

#[test]
fn what_seventeen_places_cannot_hold_is_added_as_floats() {
    check("1e300", 1.0, &format!("1{}", "0".repeat(300)));
    check("1", -1e25, "-10000000000000000000000000");
    assert!(add_float(b"1e308", 1e308).unwrap_err().contains("Infinity"));
}

#[test]
fn what_is_no_number_is_refused() {
    for value in ["", " 1", "1 ", "nan", "inf", "-infinity", "0x10", "1e", "e5", ".", "--1", "1_0"]
    {
        assert!(add_float(value.as_bytes(), 1.0).is_err(), "{value}");
    }
    assert!(add_float(b"1\0", 1.0).is_err());
    assert!(add_float(b"\xff", 1.0).is_err());
}

proptest! {
    /// Of two numbers with few places the sum is that of the integers they are multiples of.
    #[test]
    fn thousandths_add_up(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000) {
        let text = |n: i64| {
            let sign = if n < 0 { "-" } else { "" };
            format!("{sign}{}.{:03}", n.abs() / 1000, n.abs() % 1000)
        };
        let sum = add_float(text(a).as_bytes(), text(b).parse().unwrap()).unwrap();
        prop_assert_eq!(fixed(&sum), fixed(&text(a + b)));
        prop_assert!(!sum.contains('.') || !sum.ends_with('0'));
    }

    #[test]
    fn any_bytes_are_a_number_or_refused(
        value in prop_oneof!["[0-9.eE+-]{0,12}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..9)],
        delta in any::<f64>().prop_filter("finite", |delta| delta.is_finite()),
    ) {
        if let Ok(sum) = add_float(&value, delta) {
            prop_assert!(parse_float(sum.as_bytes()).is_some(), "{}", sum);
        }
    }
}
