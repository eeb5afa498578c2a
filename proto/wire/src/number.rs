//! Numbers as Redis reads and writes them: strict, so that what is stored reads back as it was sent.

use alloc::string::String;
use core::fmt::Write;

/// Digits of `i64::MIN`, and its sign.
const INTEGER_SIZE_MAX: usize = 20;

/// Longest fraction we read: shortest forms of any `f64` have fewer than 400 characters.
const FLOAT_SIZE_MAX: usize = 512;

/// A decimal integer: no leading zeros, no `+`, no spaces. Redis: `string2ll`.
#[inline]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    if text.is_empty() || INTEGER_SIZE_MAX < text.len() {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if !negative => return Some(0),
        [b'0', ..] => return None,
        _ => (),
    }
    let mut number: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if negative { 0i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

/// A finite decimal fraction, with an exponent or without; no spaces.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    if FLOAT_SIZE_MAX < text.len() {
        return None;
    }
    let text = core::str::from_utf8(text).ok()?;
    // Rust also reads words ("inf", "nan"): those are not fractions here.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A fraction as `INCRBYFLOAT` stores it: no exponent, no trailing zeros, and an integer without a dot.
pub fn float_text(number: f64) -> String {
    let mut text = String::new();
    // `{}` is the shortest text that reads back as the same number, and never has an exponent.
    let number = if number == 0.0 { 0.0 } else { number };
    write!(text, "{number}").expect("writing to a string does not fail");
    text
}

#[cfg(test)]
mod tests;
