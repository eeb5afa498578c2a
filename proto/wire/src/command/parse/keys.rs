//! `DEL`, `EXPIRE`, `SCAN` and what else works on keys, whatever their values.

use super::strings::{Unit, deadline};
use super::{ECHO_SIZE_MAX, Words, help, is};
use crate::command::{Command, CommandError, ExpireCondition, ObjectQuestion};
use crate::number::parse_integer;
use crate::table::{self, Name};

pub(super) fn parse<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    Ok(match words.info.id {
        Name::Del | Name::Unlink => Command::Del { keys: words.keys(1)? },
        Name::Exists => Command::Exists { keys: words.keys(1)? },
        Name::Touch => Command::Touch { keys: words.keys(1)? },
        Name::Expire => expire(words, Unit::Seconds, false)?,
        Name::PExpire => expire(words, Unit::Ms, false)?,
        Name::ExpireAt => expire(words, Unit::Seconds, true)?,
        Name::PExpireAt => expire(words, Unit::Ms, true)?,
        Name::Ttl => Command::Ttl { key: words.key(1)? },
        Name::PTtl => Command::PTtl { key: words.key(1)? },
        Name::ExpireTime => Command::ExpireTime { key: words.key(1)? },
        Name::PExpireTime => Command::PExpireTime { key: words.key(1)? },
        Name::Persist => Command::Persist { key: words.key(1)? },
        Name::Type => Command::Type { key: words.key(1)? },
        Name::Rename => Command::Rename { from: words.key(1)?, to: words.key(2)? },
        Name::RenameNx => Command::RenameNx { from: words.key(1)?, to: words.key(2)? },
        Name::Copy => copy(words)?,
        Name::Scan => scan(words)?,
        Name::Keys => Command::Keys { pattern: words.word(1)? },
        Name::RandomKey => Command::RandomKey,
        Name::ObjectEncoding => object(words, ObjectQuestion::Encoding)?,
        Name::ObjectFreq => object(words, ObjectQuestion::Frequency)?,
        Name::ObjectIdleTime => object(words, ObjectQuestion::IdleTime)?,
        Name::ObjectRefCount => object(words, ObjectQuestion::ReferenceCount)?,
        Name::ObjectHelp => help(words.info),
        Name::Wait => wait(words)?,
        other => unreachable!("{other:?} is not of this group"),
    })
}

fn object<'a>(words: Words<'a>, question: ObjectQuestion) -> Result<Command<'a>, CommandError> {
    Ok(Command::Object { question, key: words.key(2)? })
}

fn expire<'a>(words: Words<'a>, unit: Unit, absolute: bool) -> Result<Command<'a>, CommandError> {
    let condition = expire_condition(words)?;
    let deadline = deadline(words, words.integer(2)?, unit, absolute)?;
    Ok(Command::Expire { key: words.key(1)?, deadline, condition })
}

fn expire_condition(words: Words<'_>) -> Result<Option<ExpireCondition>, CommandError> {
    let (mut absent, mut present, mut later, mut earlier) = (false, false, false, false);
    for word in words.list(3) {
        match word {
            word if is(word, "nx") => absent = true,
            word if is(word, "xx") => present = true,
            word if is(word, "gt") => later = true,
            word if is(word, "lt") => earlier = true,
            word => {
                let option = table::printable(word, ECHO_SIZE_MAX);
                return Err(CommandError::UnsupportedOption { option });
            }
        }
    }
    match (absent, present, later, earlier) {
        (false, false, false, false) => Ok(None),
        (true, false, false, false) => Ok(Some(ExpireCondition::Absent)),
        (false, true, false, false) => Ok(Some(ExpireCondition::Present)),
        // A key without expiry ends never: nothing is later than that, so `XX` adds nothing to `GT`.
        (false, _, true, false) => Ok(Some(ExpireCondition::Later)),
        (false, false, false, true) => Ok(Some(ExpireCondition::Earlier)),
        (false, true, false, true) => {
            Err(CommandError::Other("ERR XX and LT options at the same time are not supported"))
        }
        (true, _, _, _) => Err(CommandError::Other(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        )),
        (false, _, true, true) => {
            Err(CommandError::Other("ERR GT and LT options at the same time are not compatible"))
        }
    }
}

fn copy<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    let mut replace = false;
    for word in words.list(3) {
        match word {
            word if is(word, "replace") => replace = true,
            word if is(word, "db") => {
                return Err(CommandError::Other("ERR COPY to another database is not supported"));
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(Command::Copy { from: words.key(1)?, to: words.key(2)?, replace })
}

fn scan<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    let cursor = words.word(1)?;
    let cursor = core::str::from_utf8(cursor).ok().filter(|text| !text.starts_with('+'));
    let cursor = cursor.and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or(CommandError::Other("ERR invalid cursor"))?;
    let (mut pattern, mut count, mut kind) = (None, 10, None);
    let mut index = 2;
    while index < words.count() {
        let value = words.value(index + 1)?;
        match words.word(index)? {
            word if is(word, "match") => pattern = Some(value),
            word if is(word, "type") => kind = Some(value),
            word if is(word, "count") => {
                let number = parse_integer(value).ok_or(CommandError::NotInteger)?;
                let positive = u64::try_from(number).ok().filter(|&number| 0 < number);
                count = positive.ok_or(CommandError::Syntax)?;
            }
            _ => return Err(CommandError::Syntax),
        }
        index += 2;
    }
    Ok(Command::Scan { cursor, pattern, count, kind })
}

fn wait<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    let replica_count = words.integer(1)?;
    let timeout = parse_integer(words.word(2)?)
        .ok_or(CommandError::Other("ERR timeout is not an integer or out of range"))?;
    let timeout_ms =
        u64::try_from(timeout).map_err(|_| CommandError::Other("ERR timeout is negative"))?;
    Ok(Command::Wait { replica_count, timeout_ms })
}
