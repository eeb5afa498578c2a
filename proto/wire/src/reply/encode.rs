//! Replies to bytes. The `write_*` functions are for replies that are not worth a `Reply`; none of them
//! goes through the formatting machinery, except for fractions.

use alloc::string::String;
use core::fmt::Write;

use bytes::BufMut;

use super::{Protocol, Reply};

/// Digits of `u64::MAX`, and a sign.
const DECIMAL_SIZE_MAX: usize = 21;

impl Reply {
    /// Appends this reply as `protocol` says it.
    pub fn encode<B: BufMut>(&self, protocol: Protocol, target: &mut B) {
        match self {
            Reply::Simple(text) => write_simple(text, target),
            Reply::Error(text) => write_error(text, target),
            Reply::Integer(number) => write_integer(*number, target),
            Reply::Bulk(bytes) => write_bulk(bytes, target),
            Reply::Null => write_null(protocol, target),
            Reply::NullArray => write_null_array(protocol, target),
            Reply::Array(values) => {
                write_array_header(values.len(), target);
                values.iter().for_each(|value| value.encode(protocol, target));
            }
            Reply::Map(pairs) => {
                write_map_header(protocol, pairs.len(), target);
                for (key, value) in pairs {
                    key.encode(protocol, target);
                    value.encode(protocol, target);
                }
            }
            Reply::Set(values) => {
                write_header(if protocol == Protocol::Resp3 { b'~' } else { b'*' }, values, target);
                values.iter().for_each(|value| value.encode(protocol, target));
            }
            Reply::Push(values) => {
                write_push_header(protocol, values.len(), target);
                values.iter().for_each(|value| value.encode(protocol, target));
            }
            Reply::Double(number) => write_double(*number, protocol, target),
            Reply::Boolean(value) => write_boolean(*value, protocol, target),
            Reply::BigNumber(digits) if protocol == Protocol::Resp3 => {
                write_line(b'(', digits, target);
            }
            Reply::BigNumber(digits) => write_bulk(digits.as_bytes(), target),
            Reply::Verbatim { format, text } if protocol == Protocol::Resp3 => {
                write_number(b'=', text.len() as u64 + 4, target);
                target.put_slice(format);
                target.put_u8(b':');
                target.put_slice(text);
                target.put_slice(b"\r\n");
            }
            Reply::Verbatim { text, .. } => write_bulk(text, target),
        }
    }
}

/// A bulk string: `$3\r\nfoo\r\n`.
#[inline]
pub fn write_bulk<B: BufMut>(bytes: &[u8], target: &mut B) {
    write_number(b'$', bytes.len() as u64, target);
    target.put_slice(bytes);
    target.put_slice(b"\r\n");
}

/// An integer: `:-12\r\n`.
#[inline]
pub fn write_integer<B: BufMut>(number: i64, target: &mut B) {
    if 0 <= number {
        write_number(b':', number.unsigned_abs(), target);
    } else {
        target.put_u8(b':');
        write_number(b'-', number.unsigned_abs(), target);
    }
}

/// A simple string: `+OK\r\n`. Line breaks become spaces: they would end the reply early.
#[inline]
pub fn write_simple<B: BufMut>(text: &str, target: &mut B) {
    write_line(b'+', text, target);
}

/// An error: `-ERR why\r\n`. `text` starts with its code; line breaks become spaces.
pub fn write_error<B: BufMut>(text: &str, target: &mut B) {
    write_line(b'-', text, target);
}

/// Nothing, where bytes could have been.
#[inline]
pub fn write_null<B: BufMut>(protocol: Protocol, target: &mut B) {
    match protocol {
        Protocol::Resp2 => target.put_slice(b"$-1\r\n"),
        Protocol::Resp3 => target.put_slice(b"_\r\n"),
    }
}

fn write_null_array<B: BufMut>(protocol: Protocol, target: &mut B) {
    match protocol {
        Protocol::Resp2 => target.put_slice(b"*-1\r\n"),
        Protocol::Resp3 => target.put_slice(b"_\r\n"),
    }
}

/// The start of an array; `count` replies must follow.
#[inline]
pub fn write_array_header<B: BufMut>(count: usize, target: &mut B) {
    write_number(b'*', count as u64, target);
}

/// The start of a map; `count` keys, each with its value, must follow.
pub fn write_map_header<B: BufMut>(protocol: Protocol, count: usize, target: &mut B) {
    match protocol {
        Protocol::Resp2 => write_number(b'*', 2 * count as u64, target),
        Protocol::Resp3 => write_number(b'%', count as u64, target),
    }
}

/// The start of a message that answers nothing; `count` replies must follow.
pub fn write_push_header<B: BufMut>(protocol: Protocol, count: usize, target: &mut B) {
    match protocol {
        Protocol::Resp2 => write_number(b'*', count as u64, target),
        Protocol::Resp3 => write_number(b'>', count as u64, target),
    }
}

/// A fraction, in the fewest digits that read back as the same number.
pub fn write_double<B: BufMut>(number: f64, protocol: Protocol, target: &mut B) {
    let text = double_text(number);
    match protocol {
        Protocol::Resp2 => write_bulk(text.as_bytes(), target),
        Protocol::Resp3 => write_line(b',', &text, target),
    }
}

fn double_text(number: f64) -> String {
    let mut text = String::new();
    let size = number.abs();
    let result = if number.is_nan() {
        text.write_str("nan")
    } else if number.is_infinite() {
        text.write_str(if 0.0 < number { "inf" } else { "-inf" })
    } else if size == 0.0 || (1e-5..1e17).contains(&size) {
        write!(text, "{number}")
    } else {
        write!(text, "{number:e}")
    };
    result.expect("writing to a string does not fail");
    text
}

fn write_boolean<B: BufMut>(value: bool, protocol: Protocol, target: &mut B) {
    match (protocol, value) {
        (Protocol::Resp2, _) => write_integer(i64::from(value), target),
        (Protocol::Resp3, true) => target.put_slice(b"#t\r\n"),
        (Protocol::Resp3, false) => target.put_slice(b"#f\r\n"),
    }
}

fn write_header<B: BufMut>(mark: u8, values: &[Reply], target: &mut B) {
    write_number(mark, values.len() as u64, target);
}

/// `mark`, `number` in decimal, and a line break, in one piece.
#[inline]
pub(crate) fn write_number<B: BufMut>(mark: u8, mut number: u64, target: &mut B) {
    let mut line = [0; DECIMAL_SIZE_MAX + 2];
    let end = line.len();
    line[end - 2] = b'\r';
    line[end - 1] = b'\n';
    let mut start = end - 2;
    loop {
        start -= 1;
        line[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    start -= 1;
    line[start] = mark;
    target.put_slice(&line[start..]);
}

#[inline]
fn write_line<B: BufMut>(mark: u8, text: &str, target: &mut B) {
    target.put_u8(mark);
    if text.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
        for byte in text.bytes() {
            target.put_u8(if byte == b'\r' || byte == b'\n' { b' ' } else { byte });
        }
    } else {
        target.put_slice(text.as_bytes());
    }
    target.put_slice(b"\r\n");
}
