//! A look ahead at the commands in a buffer, before any of them is carried out.

use super::{Line, line};
use crate::limits::ARGUMENT_COUNT_INLINE;

/// The second word of each whole command at the start of `buffer`, in order: of most commands, the key.
///
/// It ends at the first command that is not all there, is typed as a line, or is anything but small and
/// plain. So the words are good for guesses about what comes next, and for nothing else.
pub fn second_words(buffer: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = buffer;
    core::iter::from_fn(move || {
        let (word, end) = second_word(rest)?;
        rest = &rest[end..];
        Some(word)
    })
}

/// The second word of the command at the start of `buffer`, and where the command ends.
#[inline]
fn second_word(buffer: &[u8]) -> Option<(&[u8], usize)> {
    let (count, mut end) = header(buffer, 0, b'*')?;
    if !(2..=ARGUMENT_COUNT_INLINE).contains(&count) {
        return None;
    }
    let mut word = None;
    for index in 0..count {
        let (size, start) = header(buffer, end, b'$')?;
        end = start.checked_add(size)?.checked_add(2)?;
        if index == 1 {
            word = buffer.get(start..start + size);
        }
    }
    if end <= buffer.len() { word.map(|word| (word, end)) } else { None }
}

/// The number behind `mark`, and where its line ends.
#[inline]
fn header(buffer: &[u8], start: usize, mark: u8) -> Option<(usize, usize)> {
    if *buffer.get(start)? != mark {
        return None;
    }
    match line(buffer, start + 1) {
        Line::Whole { number: Some(number), end } => Some((usize::try_from(number).ok()?, end)),
        Line::Whole { number: None, .. } | Line::Incomplete | Line::TooLong => None,
    }
}
