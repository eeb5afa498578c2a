//! Commands that somebody typed: words between blanks, quotes around blanks. Redis: `sdssplitargs`.

use alloc::vec::Vec;

use super::{Limits, Parse, ProtocolError};
use crate::arguments::{Arguments, Ranges};

/// Reads the line at the start of `buffer`. `searched` remembers how far a line break was looked for.
pub(super) fn parse<'a>(buffer: &'a [u8], searched: &mut usize, limits: &Limits) -> Parse<'a> {
    let from = core::mem::take(searched).min(buffer.len());
    let Some(size) = buffer[from..].iter().position(|&byte| byte == b'\n') else {
        if limits.inline_size_max < buffer.len() {
            return Parse::Error(ProtocolError::InlineTooLarge);
        }
        *searched = buffer.len();
        return Parse::Incomplete;
    };
    let end = from + size;
    if limits.inline_size_max < end {
        return Parse::Error(ProtocolError::InlineTooLarge);
    }
    let line = &buffer[..end];
    let consumed = end + 1;
    let arguments = if line.iter().any(|&byte| byte == b'"' || byte == b'\'') {
        match unquote(line) {
            Some((bytes, ranges)) => Arguments::from_unquoted(bytes, ranges),
            None => return Parse::Error(ProtocolError::UnbalancedQuotes),
        }
    } else {
        Arguments::from_ranges(buffer, words(line))
    };
    // A line of 64 KiB has at most half as many words.
    if limits.argument_count_max < arguments.count() {
        let count = arguments.count() as i64;
        let max = limits.argument_count_max;
        return Parse::Error(ProtocolError::TooManyArguments { count, max });
    }
    match arguments.count() {
        0 => Parse::Nothing { consumed },
        _ => Parse::Command { arguments, consumed },
    }
}

fn words(line: &[u8]) -> Ranges {
    let mut ranges = Ranges::EMPTY;
    let mut start = None;
    for (index, &byte) in line.iter().enumerate() {
        match (is_blank(byte), start) {
            (true, Some(word)) => {
                ranges.push(word, index);
                start = None;
            }
            (false, None) => start = Some(index),
            (true, None) | (false, Some(_)) => (),
        }
    }
    if let Some(word) = start {
        ranges.push(word, line.len());
    }
    ranges
}

/// The words without their quotes, one behind the other; `None` if a quote does not end well.
fn unquote(line: &[u8]) -> Option<(Vec<u8>, Ranges)> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut ranges = Ranges::EMPTY;
    let mut rest = line;
    loop {
        // The same blanks that end a word, or this would not go on: Rust's own trim knows fewer.
        let Some(next) = rest.iter().position(|&byte| !is_blank(byte)) else {
            return Some((bytes, ranges));
        };
        rest = &rest[next..];
        let start = bytes.len();
        rest = unquote_word(rest, &mut bytes)?;
        ranges.push(start, bytes.len());
    }
}

/// Appends the first word of `line`; returns what is behind it.
fn unquote_word<'a>(line: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = line;
    loop {
        match rest {
            [] => return Some(rest),
            [blank, ..] if is_blank(*blank) => return Some(rest),
            [quote @ (b'"' | b'\''), quoted @ ..] => {
                let behind = unquote_string(*quote, quoted, bytes)?;
                let ends_word = behind.first().is_none_or(|&byte| is_blank(byte));
                return ends_word.then_some(behind);
            }
            [byte, behind @ ..] => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
}

/// Appends what is up to the closing `quote`; returns what is behind it.
fn unquote_string<'a>(quote: u8, quoted: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = quoted;
    loop {
        let (byte, behind) = match (quote, rest) {
            (_, []) => return None,
            (_, [byte, behind @ ..]) if *byte == quote => return Some(behind),
            (b'\'', [b'\\', b'\'', behind @ ..]) => (b'\'', behind),
            (b'"', [b'\\', b'x', high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (digit(*high) * 16 + digit(*low), behind)
            }
            (b'"', [b'\\', escaped, behind @ ..]) => (unescape(*escaped), behind),
            (_, [byte, behind @ ..]) => (*byte, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn digit(hexadecimal: u8) -> u8 {
    match hexadecimal {
        b'0'..=b'9' => hexadecimal - b'0',
        b'a'..=b'f' => hexadecimal - b'a' + 10,
        _ => hexadecimal - b'A' + 10,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C)
}
