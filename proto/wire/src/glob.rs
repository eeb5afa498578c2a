//! Patterns of keys, as `KEYS`, `SCAN` and `CONFIG GET` take them. Redis: `stringmatch`.
//!
//! ```text
//! *        any bytes, or none
//! ?        one byte
//! [ab-d]   one of these; [^…] one that is none of these
//! \x       x itself
//! ```

/// Whether all of `text` is what `pattern` says. At most the product of their sizes in steps.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on if what follows the last star does not match here: one byte further.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            pattern = behind;
            retry = Some((behind, text));
            continue;
        }
        match (one(pattern, text), text, retry) {
            (Some(behind), [_, rest @ ..], _) => (pattern, text) = (behind, rest),
            (_, [], _) if pattern.is_empty() => return true,
            (_, _, Some((behind, [_, rest @ ..]))) => {
                retry = Some((behind, rest));
                (pattern, text) = (behind, rest);
            }
            _ => return false,
        }
    }
}

/// What is left of the pattern after its first element, if that is the first byte of `text`.
fn one<'a>(pattern: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    let &byte = text.first()?;
    match pattern {
        [] => None,
        [b'?', behind @ ..] => Some(behind),
        [b'[', behind @ ..] => class(behind, byte),
        [b'\\', escaped, behind @ ..] => (*escaped == byte).then_some(behind),
        [literal, behind @ ..] => (*literal == byte).then_some(behind),
    }
}

/// As `one`, behind an opening bracket. A class that does not end, ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match pattern {
        [b'^', behind @ ..] => (true, behind),
        _ => (false, pattern),
    };
    let mut found = false;
    let behind = loop {
        rest = match rest {
            [] => break rest,
            [b']', behind @ ..] => break behind,
            [b'\\', escaped, behind @ ..] => {
                found |= *escaped == byte;
                behind
            }
            [start, b'-', end, behind @ ..] if *end != b']' => {
                found |= (*start.min(end)..=*start.max(end)).contains(&byte);
                behind
            }
            [literal, behind @ ..] => {
                found |= *literal == byte;
                behind
            }
        };
    };
    (found != negated).then_some(behind)
}

#[cfg(test)]
mod tests;
