//! `GET`, `SET` and what else works on values.

use super::{Words, is};
use crate::command::{Command, CommandError, Deadline, Expiry, SetCondition, SetOptions};
use crate::number::{parse_float, parse_integer};
use crate::table::Name;

/// 31 December 9999: no clock of ours will be behind this, so adding a clock does not overflow.
const CLOCK_MS_MAX: i64 = 253_402_300_799_999;

pub(super) fn parse<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    let key = words.key(1)?;
    Ok(match words.info.id {
        Name::Get => Command::Get { key },
        Name::Set => Command::Set { key, value: words.word(2)?, options: set_options(words)? },
        Name::Incr => Command::IncrBy { key, delta: 1 },
        Name::Decr => Command::IncrBy { key, delta: -1 },
        Name::IncrBy => Command::IncrBy { key, delta: words.integer(2)? },
        Name::DecrBy => Command::IncrBy { key, delta: negated(words.integer(2)?)? },
        Name::IncrByFloat => {
            let delta = parse_float(words.word(2)?).ok_or(CommandError::NotFloat)?;
            Command::IncrByFloat { key, delta }
        }
        Name::MGet => Command::MGet { keys: words.keys(1)? },
        Name::MSet => Command::MSet { pairs: pairs(words)? },
        Name::MSetNx => Command::MSetNx { pairs: pairs(words)? },
        Name::SetNx => Command::SetNx { key, value: words.word(2)? },
        Name::SetEx | Name::PSetEx => {
            let unit = if words.info.id == Name::SetEx { Unit::Seconds } else { Unit::Ms };
            let deadline = positive_deadline(words, 2, unit, false)?;
            let options = SetOptions { expiry: Expiry::At(deadline), ..SetOptions::default() };
            Command::Set { key, value: words.word(3)?, options }
        }
        Name::GetSet => {
            let options = SetOptions { get: true, ..SetOptions::default() };
            Command::Set { key, value: words.word(2)?, options }
        }
        Name::GetDel => Command::GetDel { key },
        Name::GetEx => Command::GetEx { key, expiry: getex_expiry(words)? },
        Name::Append => Command::Append { key, value: words.word(2)? },
        Name::StrLen => Command::StrLen { key },
        Name::GetRange | Name::SubStr => {
            Command::GetRange { key, start: words.integer(2)?, end: words.integer(3)? }
        }
        Name::SetRange => {
            let offset = u64::try_from(words.integer(2)?)
                .map_err(|_| CommandError::Other("ERR offset is out of range"))?;
            Command::SetRange { key, offset, value: words.word(3)? }
        }
        other => unreachable!("{other:?} is not of this group"),
    })
}

#[derive(Clone, Copy)]
pub(super) enum Unit {
    Seconds,
    Ms,
}

/// A deadline that the client gave as a number of `unit`s, from now or from 1970.
pub(super) fn deadline(
    words: Words<'_>,
    number: i64,
    unit: Unit,
    absolute: bool,
) -> Result<Deadline, CommandError> {
    let invalid = CommandError::InvalidExpire { command: words.info.name };
    let ms = match unit {
        Unit::Seconds => number.checked_mul(1000),
        Unit::Ms => Some(number),
    };
    match (ms, absolute) {
        (Some(ms), true) => Ok(Deadline::AtMs(ms)),
        (Some(ms), false) if ms <= i64::MAX - CLOCK_MS_MAX => Ok(Deadline::InMs(ms)),
        (Some(_) | None, _) => Err(invalid),
    }
}

/// As `deadline`, of the number at `index`, where zero and less make no sense.
fn positive_deadline(
    words: Words<'_>,
    index: usize,
    unit: Unit,
    absolute: bool,
) -> Result<Deadline, CommandError> {
    let number = parse_integer(words.value(index)?).ok_or(CommandError::NotInteger)?;
    if number <= 0 {
        return Err(CommandError::InvalidExpire { command: words.info.name });
    }
    deadline(words, number, unit, absolute)
}

/// The option at `index`, if it is one of the four that say when a key ends.
fn expiry_option(words: Words<'_>, index: usize) -> Result<Option<Deadline>, CommandError> {
    let (unit, absolute) = match words.word(index)? {
        word if is(word, "ex") => (Unit::Seconds, false),
        word if is(word, "px") => (Unit::Ms, false),
        word if is(word, "exat") => (Unit::Seconds, true),
        word if is(word, "pxat") => (Unit::Ms, true),
        _ => return Ok(None),
    };
    positive_deadline(words, index + 1, unit, absolute).map(Some)
}

#[inline]
fn set_options(words: Words<'_>) -> Result<SetOptions, CommandError> {
    let mut options = SetOptions::default();
    let mut index = 3;
    while index < words.count() {
        let word = words.word(index)?;
        if is(word, "nx") && options.condition.is_none_or(|is| is == SetCondition::Absent) {
            options.condition = Some(SetCondition::Absent);
        } else if is(word, "xx") && options.condition.is_none_or(|is| is == SetCondition::Present) {
            options.condition = Some(SetCondition::Present);
        } else if is(word, "get") {
            options.get = true;
        } else if is(word, "keepttl") && !matches!(options.expiry, Expiry::At(_)) {
            options.expiry = Expiry::Keep;
        } else if options.expiry == Expiry::Clear {
            let deadline = expiry_option(words, index)?.ok_or(CommandError::Syntax)?;
            options.expiry = Expiry::At(deadline);
            index += 1;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 1;
    }
    Ok(options)
}

fn getex_expiry(words: Words<'_>) -> Result<Expiry, CommandError> {
    match words.count() {
        2 => Ok(Expiry::Keep),
        3 if is(words.word(2)?, "persist") => Ok(Expiry::Clear),
        4 => expiry_option(words, 2)?.map(Expiry::At).ok_or(CommandError::Syntax),
        _ => Err(CommandError::Syntax),
    }
}

fn pairs<'a>(words: Words<'a>) -> Result<crate::arguments::Pairs<'a>, CommandError> {
    let pairs = words.pairs(1)?;
    match pairs.iter().map(|(key, _)| key.len()).find(|&size| crate::limits::KEY_SIZE_MAX < size) {
        Some(size) => Err(CommandError::KeySize { size }),
        None => Ok(pairs),
    }
}

fn negated(number: i64) -> Result<i64, CommandError> {
    number.checked_neg().ok_or(CommandError::Other("ERR decrement would overflow"))
}
