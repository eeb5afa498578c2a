//! What `INCRBYFLOAT` adds.

use std::borrow::Cow;
use std::str;

use evenkeel_wire::number::{float_text, parse_float};

/// Decimal places that are kept, as many as Redis keeps.
const PLACES: usize = 17;
const ONE: i128 = 10i128.pow(PLACES as u32);

/// `value + delta`, without exponent and without trailing zeros.
///
/// Where Redis adds 80-bit floats, this adds decimal fractions with 17 places, exactly: 0.1 + 0.2 is
/// 0.3 as there, and 10000000000 + 0.1 has no odd digits at its end. Numbers from 10^21 on, for which
/// 17 places do not fit, are added as 64-bit floats.
///
/// # Errors
/// `value` is no number, or the sum is not finite; the text is for the client.
pub(super) fn add_float(value: &[u8], delta: f64) -> Result<String, Cow<'static, str>> {
    assert!(delta.is_finite(), "the parser lets nothing else in");
    let number = parse_float(value).ok_or("ERR value is not a valid float")?;
    let sum = number + delta;
    if !sum.is_finite() {
        return Err("ERR increment would produce NaN or Infinity".into());
    }
    let text = str::from_utf8(value).expect("it was a number");
    let exact = fixed(text).zip(fixed(&float_text(delta))).and_then(|(a, b)| a.checked_add(b));
    Ok(exact.map_or_else(|| float_text(sum), fixed_to_string))
}

/// A finite decimal number as a multiple of 10^-17, rounded. `None` if it is too large.
fn fixed(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (unsigned, 0i64),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // How many digits, counted from the first one, are worth 10^-17 or more.
    let kept = (whole.len() as i64).checked_add(exponent)?.checked_add(PLACES as i64)?;

    let mut sum: i128 = 0;
    let mut count = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if kept <= count {
            sum += i128::from(kept == count && b'5' <= digit);
            break;
        }
        sum = sum.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        count += 1;
    }
    while count < kept && sum != 0 {
        sum = sum.checked_mul(10)?;
        count += 1;
    }
    Some(if text.starts_with('-') { -sum } else { sum })
}

fn fixed_to_string(number: i128) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let (whole, fraction) = ((number / ONE).unsigned_abs(), (number % ONE).unsigned_abs());
    let text = format!("{sign}{whole}.{fraction:0PLACES$}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests;
