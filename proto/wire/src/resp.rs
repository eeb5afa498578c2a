//! Bytes of a connection to commands, in place.
//!
//! A command is an array of bulk strings, or a line that somebody typed:
//!
//! ```text
//! *2\r\n$3\r\nGET\r\n$3\r\nkey\r\n
//! GET "a key"\r\n
//! ```
//!
//! A large command arrives in many pieces. `Parser` remembers where it stopped, so that each byte is
//! looked at once, however small the pieces are.

use alloc::boxed::Box;

use bytes::BufMut;

use crate::arguments::{Arguments, Ranges};
use crate::limits;
use crate::number::parse_integer;
use crate::reply;

mod ahead;
mod inline;

pub use ahead::second_words;

/// What one connection may make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of a command, its name included.
    pub argument_count_max: usize,
    /// Bytes of an argument.
    pub bulk_size_max: usize,
    /// Bytes of a typed line.
    pub inline_size_max: usize,
    /// Bytes of a command, framing included. A connection's buffer needs no more.
    pub command_size_max: usize,
}

impl Limits {
    /// For clients that have said who they are.
    pub const DEFAULT: Limits = Limits {
        argument_count_max: limits::ARGUMENT_COUNT_MAX,
        bulk_size_max: limits::BULK_SIZE_MAX,
        inline_size_max: limits::INLINE_SIZE_MAX,
        command_size_max: limits::COMMAND_SIZE_MAX,
    };

    /// For clients that have not: enough for `HELLO` with all its options.
    pub const UNAUTHENTICATED: Limits = Limits {
        argument_count_max: 10,
        bulk_size_max: 16 * 1024,
        inline_size_max: limits::INLINE_SIZE_MAX,
        command_size_max: 256 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// What the bytes at the start of a buffer are.
#[derive(Debug)]
pub enum Parse<'a> {
    /// The start of a command, as far as it goes.
    Incomplete,
    /// A command of at least one argument.
    Command {
        /// Its name first.
        arguments: Arguments<'a>,
        /// How many bytes it took.
        consumed: usize,
    },
    /// Nothing that wants an answer: an empty line, an empty array.
    Nothing {
        /// How many bytes it took.
        consumed: usize,
    },
    /// Nothing that can be read: answer with the error's text and close the connection.
    Error(ProtocolError),
}

/// The client does not speak the protocol, or asks for too much at once. `Display` is the reply, its
/// code included, in the words of Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Not a number, or one too large.
    #[error("ERR Protocol error: invalid multibulk length")]
    ArgumentCount,
    /// More arguments than allowed.
    #[error(
        "ERR Protocol error: invalid multibulk length: {count} arguments, at most {max} are allowed"
    )]
    TooManyArguments {
        /// As announced.
        count: i64,
        /// `argument_count_max`.
        max: usize,
    },
    /// Not a number, or negative, or another one than the string has.
    #[error("ERR Protocol error: invalid bulk length")]
    BulkSize,
    /// An argument larger than allowed.
    #[error("ERR Protocol error: invalid bulk length: {size} bytes, at most {max} are allowed")]
    BulkTooLarge {
        /// As announced.
        size: i64,
        /// `bulk_size_max`.
        max: usize,
    },
    /// All arguments together are larger than allowed.
    #[error("ERR Protocol error: too big command: at most {max} bytes are allowed")]
    CommandTooLarge {
        /// `command_size_max`.
        max: usize,
    },
    /// An argument must come next.
    #[error("ERR Protocol error: expected '$', got '{}'", core::ascii::escape_default(*.0))]
    ExpectedBulk(u8),
    /// The line that says how many arguments there are does not end.
    #[error("ERR Protocol error: too big mbulk count string")]
    ArgumentCountLine,
    /// The line that says how long an argument is does not end.
    #[error("ERR Protocol error: too big bulk count string")]
    BulkSizeLine,
    /// A typed line that does not end.
    #[error("ERR Protocol error: too big inline request")]
    InlineTooLarge,
    /// A typed line with a quote that does not end, or ends within a word.
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// Reads the commands of one connection, one after the other.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Option<Box<Pending>>,
    /// No line break among the first so many bytes.
    searched: usize,
}

/// A command of which not all is there yet.
#[derive(Debug)]
struct Pending {
    ranges: Ranges,
    expected: usize,
    position: usize,
}

/// Reads a command that may be there as a whole. Whoever has more bytes later should keep a `Parser`.
pub fn parse<'a>(buffer: &'a [u8], limits: &Limits) -> Parse<'a> {
    Parser::default().parse(buffer, limits)
}

/// Appends a command as an array of bulk strings: what a client sends.
pub fn write_command<B: BufMut>(arguments: &[&[u8]], target: &mut B) {
    reply::write_array_header(arguments.len(), target);
    arguments.iter().for_each(|argument| reply::write_bulk(argument, target));
}

impl Parser {
    /// Reads the command at the start of `buffer`.
    ///
    /// After `Incomplete`, the next call must get the same bytes and more behind them (they may have
    /// moved); after anything else, the bytes behind those consumed. Without an allocation, as long as
    /// the command is all there and has at most `ARGUMENT_COUNT_INLINE` arguments.
    #[inline]
    pub fn parse<'a>(&mut self, buffer: &'a [u8], limits: &Limits) -> Parse<'a> {
        if let Some(pending) = self.pending.take() {
            return self.arguments(buffer, *pending, limits);
        }
        match buffer.first() {
            None => Parse::Incomplete,
            Some(b'*') => self.array(buffer, limits),
            Some(_) => inline::parse(buffer, &mut self.searched, limits),
        }
    }

    /// A lower bound of the bytes that are still missing after `Incomplete`: worth reserving.
    pub fn missing(&self, buffer: &[u8]) -> usize {
        let Some(pending) = &self.pending else { return 1 };
        let size = match line(buffer, pending.position + 1) {
            Line::Whole { number: Some(size), end } => end + usize::try_from(size).unwrap_or(0) + 2,
            Line::Whole { .. } | Line::Incomplete | Line::TooLong => buffer.len() + 1,
        };
        size.saturating_sub(buffer.len()).max(1)
    }

    #[inline]
    fn array<'a>(&mut self, buffer: &'a [u8], limits: &Limits) -> Parse<'a> {
        let (number, end) = match line(buffer, 1) {
            Line::Whole { number, end } => (number, end),
            Line::Incomplete => return Parse::Incomplete,
            Line::TooLong => return Parse::Error(ProtocolError::ArgumentCountLine),
        };
        let Some(count) = number else { return Parse::Error(ProtocolError::ArgumentCount) };
        let Ok(expected @ 1..) = usize::try_from(count) else {
            return Parse::Nothing { consumed: end };
        };
        let max = limits.argument_count_max;
        if max < expected {
            return Parse::Error(ProtocolError::TooManyArguments { count, max });
        }
        self.arguments(buffer, Pending { ranges: Ranges::EMPTY, expected, position: end }, limits)
    }

    #[inline]
    fn arguments<'a>(
        &mut self,
        buffer: &'a [u8],
        mut pending: Pending,
        limits: &Limits,
    ) -> Parse<'a> {
        while pending.ranges.count() < pending.expected {
            match argument(buffer, pending.position, limits) {
                Ok(Some((start, end))) => {
                    pending.ranges.push(start, end);
                    pending.position = end + 2;
                }
                Ok(None) => {
                    self.pending = Some(Box::new(pending));
                    return Parse::Incomplete;
                }
                Err(error) => return Parse::Error(error),
            }
        }
        let consumed = pending.position;
        Parse::Command { arguments: Arguments::from_ranges(buffer, pending.ranges), consumed }
    }
}

/// Where the argument whose `$` is at `position` lies; `None` if it is not all there yet.
#[inline]
fn argument(
    buffer: &[u8],
    position: usize,
    limits: &Limits,
) -> Result<Option<(usize, usize)>, ProtocolError> {
    match buffer.get(position) {
        None => return Ok(None),
        Some(b'$') => (),
        Some(&byte) => return Err(ProtocolError::ExpectedBulk(byte)),
    }
    let (number, start) = match line(buffer, position + 1) {
        Line::Whole { number, end } => (number, end),
        Line::Incomplete => return Ok(None),
        Line::TooLong => return Err(ProtocolError::BulkSizeLine),
    };
    let length = number.ok_or(ProtocolError::BulkSize)?;
    let size = usize::try_from(length).map_err(|_| ProtocolError::BulkSize)?;
    if limits.bulk_size_max < size {
        return Err(ProtocolError::BulkTooLarge { size: length, max: limits.bulk_size_max });
    }
    let end = start + size;
    if limits.command_size_max < end + 2 {
        return Err(ProtocolError::CommandTooLarge { max: limits.command_size_max });
    }
    match buffer.get(end..end + 2) {
        Some(b"\r\n") => Ok(Some((start, end))),
        Some(_) => Err(ProtocolError::BulkSize),
        None => Ok(None),
    }
}

/// A line with a number.
enum Line {
    Whole {
        /// Unless it is not a number.
        number: Option<i64>,
        /// Behind the line break.
        end: usize,
    },
    Incomplete,
    TooLong,
}

/// Digits of any number we accept, with room to spare: no number is that long.
const NUMBER_SIZE_MAX: usize = 32;

/// The rest of the line from `start` on.
#[inline]
fn line(buffer: &[u8], start: usize) -> Line {
    // Nearly every length has one digit or two.
    match buffer.get(start..) {
        Some(&[digit @ b'0'..=b'9', b'\r', b'\n', ..]) => {
            Line::Whole { number: Some(i64::from(digit - b'0')), end: start + 3 }
        }
        Some(&[tens @ b'1'..=b'9', digit @ b'0'..=b'9', b'\r', b'\n', ..]) => {
            let number = i64::from(tens - b'0') * 10 + i64::from(digit - b'0');
            Line::Whole { number: Some(number), end: start + 4 }
        }
        Some(rest) => long_line(rest, start),
        None => Line::Incomplete,
    }
}

fn long_line(rest: &[u8], start: usize) -> Line {
    match rest.iter().take(NUMBER_SIZE_MAX).position(|&byte| byte == b'\r') {
        Some(size) => match rest.get(size + 1) {
            Some(b'\n') => {
                Line::Whole { number: parse_integer(&rest[..size]), end: start + size + 2 }
            }
            Some(_) => Line::Whole { number: None, end: start + size + 2 },
            None => Line::Incomplete,
        },
        None if rest.len() < NUMBER_SIZE_MAX => Line::Incomplete,
        None => Line::TooLong,
    }
}

#[cfg(test)]
mod tests;
