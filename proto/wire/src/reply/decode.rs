//! Bytes to replies, of either protocol, from a peer that may say anything.
//!
//! A large array may come in thousands of pieces. `Scanner` finds its end without starting over at each
//! piece, and without an allocation; `decode` then reads it once.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Reply;
use crate::limits;
use crate::number::{parse_float, parse_integer};

/// What a reply may cost us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arrays within arrays.
    pub depth_max: usize,
    /// Values at all depths together.
    pub value_count_max: usize,
    /// Bytes of one string.
    pub bulk_size_max: usize,
    /// Bytes of a line: errors, simple strings, lengths.
    pub line_size_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            depth_max: limits::REPLY_DEPTH_MAX,
            value_count_max: limits::REPLY_VALUE_COUNT_MAX,
            bulk_size_max: limits::BULK_SIZE_MAX,
            line_size_max: limits::INLINE_SIZE_MAX,
        }
    }
}

/// The bytes are not a reply, and no later byte will make them one: close the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// No reply starts like this.
    #[error("a reply cannot start with {}", core::ascii::escape_default(*.0))]
    Mark(u8),
    /// A length, a number or a boolean that is none.
    #[error("the reply's {0} is malformed")]
    Malformed(&'static str),
    /// More than we are ready to hold.
    #[error("the reply's {what} exceeds {max}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// What is allowed.
        max: usize,
    },
}

/// Reads the reply at the start of `bytes`; `None` if it is not all there yet. Also says how many bytes
/// it took. Attributes (`|`) are read and dropped.
///
/// # Errors
///
/// See `ReplyError`.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Option<(Reply, usize)>, ReplyError> {
    let mut scanner = Scanner::default();
    let Some(size) = scanner.scan(bytes, limits)? else { return Ok(None) };
    let mut reader = Reader { bytes, position: 0, limits };
    let reply = reader.value(0)?;
    assert_eq!(reader.position, size, "the scanner and the reader agree on where a reply ends");
    Ok(Some((reply, size)))
}

/// Where a reply ends, found in one pass however many pieces it comes in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scanner {
    /// Behind the last whole value.
    pub(super) position: usize,
    /// Behind the last byte that was searched for a line break.
    searched: usize,
    /// Values begun and not yet seen; the first call makes it 1.
    pending: usize,
    value_count: usize,
}

impl Scanner {
    /// Looks on where the last call stopped. `bytes` are those of the last call, and more behind.
    /// Returns the size of the reply once all of it is there; the scanner is then as new.
    ///
    /// # Errors
    ///
    /// See `ReplyError`. Depth is checked by `decode` only.
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, ReplyError> {
        if self.value_count == 0 {
            *self = Scanner { position: 0, searched: 0, pending: 1, value_count: 1 };
        }
        while self.pending > 0 {
            let Some(step) = self.value(bytes, limits)? else { return Ok(None) };
            let children = step.children;
            self.value_count = self.value_count.saturating_add(children);
            if limits.value_count_max < self.value_count {
                return Err(too_many(limits));
            }
            self.pending = self.pending - 1 + children;
            self.position = step.end;
            self.searched = step.end;
        }
        let size = self.position;
        *self = Scanner::default();
        Ok(Some(size))
    }

    fn value(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Step>, ReplyError> {
        let Some(&mark) = bytes.get(self.position) else { return Ok(None) };
        check_mark(mark)?;
        let searched = self.searched.max(self.position + 1);
        let Some(line_end) = line_end(bytes, searched) else {
            // The last byte may be the first half of a line break.
            self.searched = bytes.len().saturating_sub(1).max(searched);
            return check_line(bytes.len() - self.position, limits).map(|()| None);
        };
        check_line(line_end - self.position, limits)?;
        let line = &bytes[self.position + 1..line_end];
        let end = line_end + 2;
        match mark {
            b'$' | b'=' | b'!' => match length(line, "bulk length", limits.bulk_size_max)? {
                Some(size) if bytes.len() < end + size + 2 => Ok(None),
                Some(size) => Ok(Some(Step { end: end + size + 2, children: 0 })),
                None => Ok(Some(Step { end, children: 0 })),
            },
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let count = length(line, "array length", limits.value_count_max)?.unwrap_or(0);
                // An attribute stands before the value it is about: one more value follows.
                let children = match mark {
                    b'%' => 2 * count,
                    b'|' => 2 * count + 1,
                    _ => count,
                };
                Ok(Some(Step { end, children }))
            }
            _ => Ok(Some(Step { end, children: 0 })),
        }
    }
}

struct Step {
    end: usize,
    children: usize,
}

/// Reads a reply that the scanner has seen the end of.
struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Reply, ReplyError> {
        if self.limits.depth_max < depth {
            return Err(ReplyError::Limit { what: "depth", max: self.limits.depth_max });
        }
        loop {
            let (mark, line) = self.line()?;
            if mark != b'|' {
                return self.rest_of(mark, line, depth);
            }
            let count = self.count(line)?.unwrap_or(0);
            for _ in 0..2 * count {
                self.value(depth + 1)?;
            }
        }
    }

    fn rest_of(&mut self, mark: u8, line: &[u8], depth: usize) -> Result<Reply, ReplyError> {
        Ok(match mark {
            b'+' => Reply::Simple(simple(line)),
            b'-' => Reply::Error(text(line)),
            b':' => Reply::Integer(parse_integer(line).ok_or(ReplyError::Malformed("integer"))?),
            b'$' => self.bulk(line)?.map_or(Reply::Null, Reply::Bulk),
            b'!' => self.bulk(line)?.map_or(Reply::Null, |bytes| Reply::Error(text(&bytes))),
            b'=' => self.verbatim(line)?,
            b'_' if line.is_empty() => Reply::Null,
            b'_' => return Err(ReplyError::Malformed("null")),
            b'#' => match line {
                b"t" => Reply::Boolean(true),
                b"f" => Reply::Boolean(false),
                _ => return Err(ReplyError::Malformed("boolean")),
            },
            b',' => Reply::Double(parse_double(line).ok_or(ReplyError::Malformed("double"))?),
            b'(' => Reply::BigNumber(big_number(line)?),
            b'*' => match self.count(line)? {
                Some(count) => Reply::Array(self.values(count, depth)?),
                None => Reply::NullArray,
            },
            b'~' => match self.count(line)? {
                Some(count) => Reply::Set(self.values(count, depth)?),
                None => Reply::Null,
            },
            b'>' => match self.count(line)? {
                Some(count) => Reply::Push(self.values(count, depth)?),
                None => return Err(ReplyError::Malformed("push")),
            },
            b'%' => match self.count(line)? {
                Some(count) => Reply::Map(self.pairs(count, depth)?),
                None => Reply::Null,
            },
            mark => return Err(ReplyError::Mark(mark)),
        })
    }

    fn values(&mut self, count: usize, depth: usize) -> Result<Vec<Reply>, ReplyError> {
        // The scanner has seen every one of them: the capacity is backed by bytes received.
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    fn pairs(&mut self, count: usize, depth: usize) -> Result<Vec<(Reply, Reply)>, ReplyError> {
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(pairs)
    }

    fn bulk(&mut self, line: &[u8]) -> Result<Option<Bytes>, ReplyError> {
        let Some(size) = length(line, "bulk length", self.limits.bulk_size_max)? else {
            return Ok(None);
        };
        let end = self.position + size;
        if self.bytes.get(end..end + 2) != Some(b"\r\n") {
            return Err(ReplyError::Malformed("bulk string"));
        }
        let bytes = Bytes::copy_from_slice(&self.bytes[self.position..end]);
        self.position = end + 2;
        Ok(Some(bytes))
    }

    fn verbatim(&mut self, line: &[u8]) -> Result<Reply, ReplyError> {
        let Some(mut text) = self.bulk(line)? else { return Ok(Reply::Null) };
        match text.first_chunk::<4>() {
            Some(&[first, second, third, b':']) => {
                let _ = text.split_to(4);
                Ok(Reply::Verbatim { format: [first, second, third], text })
            }
            _ => Err(ReplyError::Malformed("verbatim string")),
        }
    }

    fn count(&self, line: &[u8]) -> Result<Option<usize>, ReplyError> {
        length(line, "array length", self.limits.value_count_max)
    }

    fn line(&mut self) -> Result<(u8, &'a [u8]), ReplyError> {
        let bytes = self.bytes;
        let start = self.position;
        // The scanner has been here; the errors are for whoever calls without one.
        let &mark = bytes.get(start).ok_or(ReplyError::Malformed("line"))?;
        let end = line_end(bytes, start + 1).ok_or(ReplyError::Malformed("line"))?;
        self.position = end + 2;
        Ok((mark, &bytes[start + 1..end]))
    }
}

/// Where the `\r\n` at or behind `from` starts.
fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|&byte| byte == b'\r')?;
        match bytes.get(at + 1) {
            Some(b'\n') => return Some(at),
            Some(_) => from = at + 1,
            None => return None,
        }
    }
}

fn check_mark(mark: u8) -> Result<(), ReplyError> {
    if b"+-:$*_#,(=!%~>|".contains(&mark) { Ok(()) } else { Err(ReplyError::Mark(mark)) }
}

fn check_line(size: usize, limits: &Limits) -> Result<(), ReplyError> {
    let max = limits.line_size_max;
    if size <= max { Ok(()) } else { Err(ReplyError::Limit { what: "line size", max }) }
}

fn too_many(limits: &Limits) -> ReplyError {
    ReplyError::Limit { what: "value count", max: limits.value_count_max }
}

/// A length of at most `max`; `None` for the null that RESP2 writes as -1.
fn length(line: &[u8], what: &'static str, max: usize) -> Result<Option<usize>, ReplyError> {
    match parse_integer(line) {
        Some(-1) => Ok(None),
        Some(length) => {
            let length = usize::try_from(length).map_err(|_| ReplyError::Malformed(what))?;
            if length <= max { Ok(Some(length)) } else { Err(ReplyError::Limit { what, max }) }
        }
        None => Err(ReplyError::Malformed(what)),
    }
}

fn parse_double(line: &[u8]) -> Option<f64> {
    match line {
        b"inf" | b"+inf" => Some(f64::INFINITY),
        b"-inf" => Some(f64::NEG_INFINITY),
        b"nan" | b"-nan" => Some(f64::NAN),
        _ => parse_float(line),
    }
}

fn big_number(line: &[u8]) -> Result<String, ReplyError> {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::Malformed("big number"));
    }
    Ok(text(line))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn simple(line: &[u8]) -> Cow<'static, str> {
    match line {
        b"OK" => Cow::Borrowed("OK"),
        b"QUEUED" => Cow::Borrowed("QUEUED"),
        b"PONG" => Cow::Borrowed("PONG"),
        _ => Cow::Owned(text(line)),
    }
}
