//! As much of RESP as a load generator needs: commands out, and where a reply ends and what it means.

use std::io::Write;

/// What a reply means to a client that knows what it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// `+OK`, or a value.
    Done,
    /// A number.
    Number(i64),
    /// There is no such key.
    Miss,
    /// The server refused.
    Refused,
}

/// A reply at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub outcome: Outcome,
    /// How many bytes it takes.
    pub size: usize,
}

/// The first reply of a buffer; `Ok(None)` if it is not complete.
///
/// # Errors
/// The first bytes of what is no simple string, error, number or bulk string.
pub(crate) fn answer(buffer: &[u8]) -> Result<Option<Answer>, String> {
    let Some(end) = buffer.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
    let line = buffer[..end].strip_suffix(b"\r").unwrap_or_default();
    let complete = |outcome| Ok(Some(Answer { outcome, size: end + 1 }));
    match line.first() {
        Some(b'+') => complete(Outcome::Done),
        Some(b'-') => complete(Outcome::Refused),
        Some(b'_') => complete(Outcome::Miss),
        Some(b':') => complete(Outcome::Number(number(line)?)),
        Some(b'$') => match number(line)? {
            -1 => complete(Outcome::Miss),
            size => {
                let size = usize::try_from(size).map_err(|_| excerpt(line))?;
                let size = end + 1 + size + 2;
                let answer = Answer { outcome: Outcome::Done, size };
                Ok((size <= buffer.len()).then_some(answer))
            }
        },
        _ => Err(excerpt(buffer)),
    }
}

fn number(line: &[u8]) -> Result<i64, String> {
    let text = std::str::from_utf8(&line[1..]).map_err(|_| excerpt(line))?;
    text.parse().map_err(|_| excerpt(line))
}

/// For messages: bytes may be anything.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(100)].escape_ascii().to_string()
}

/// Appends a command.
pub(crate) fn command(arguments: &[&[u8]], output: &mut Vec<u8>) {
    write!(output, "*{}\r\n", arguments.len()).expect("memory takes every write");
    for argument in arguments {
        write!(output, "${}\r\n", argument.len()).expect("memory takes every write");
        output.extend_from_slice(argument);
        output.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
