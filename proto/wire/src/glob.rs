//! Patterns of `KEYS`, `SCAN MATCH`, `CONFIG GET` and `ACL CAT`, by Redis's rules (`stringmatchlen`): the only matcher there is.
//!
//! ```text
//! *      any bytes, none included        [abc]   one of these
//! ?      any one byte                    [a-z]   one from here to there, in either order
//! \x     x itself, also within [ ]       [^a]    one that is not
//! ```
//!
//! A class that does not end ends with the pattern; a `\` at the end is itself. Bytes are unsigned.

/// Whether all of `text` matches `pattern`.
///
/// Cost: at most the product of the two sizes, whatever the pattern: only the last `*` is tried again,
/// since an earlier one could only leave less for it.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern_at, mut text_at) = (0, 0);
    // Behind the last star, and how far it reaches.
    let mut star: Option<(usize, usize)> = None;
    while text_at < text.len() {
        let rest = &pattern[pattern_at..];
        if rest.first() == Some(&b'*') {
            pattern_at += 1;
            star = Some((pattern_at, text_at));
        } else if let Some(size) = match_one(rest, text[text_at]) {
            pattern_at += size;
            text_at += 1;
        } else if let Some((behind, reach)) = star {
            (pattern_at, text_at) = (behind, reach + 1);
            star = Some((behind, reach + 1));
        } else {
            return false;
        }
    }
    pattern[pattern_at..].iter().all(|&byte| byte == b'*')
}

/// The size of what matches `byte` at the pattern's start.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (matched, size) = match_class(class, byte);
            matched.then_some(1 + size)
        }
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether `byte` is in the class whose first byte behind the bracket is given, and the class's size.
fn match_class(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        let size = match &class[at..] {
            [] => return (found != negated, at),
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                2
            }
            [b']', ..] => return (found != negated, at + 1),
            [first, b'-', last, ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                3
            }
            [literal, ..] => {
                found |= *literal == byte;
                1
            }
        };
        at += size;
    }
}

#[cfg(test)]
mod tests;
