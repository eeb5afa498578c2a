//! Commands on values.

use evenkeel_engine::limits::VALUE_SIZE_MAX;
use evenkeel_wire::arguments::{List, Pairs};
use evenkeel_wire::command::{Expiry, SetCondition, SetOptions};
use evenkeel_wire::number::parse_integer;
use evenkeel_wire::reply::Reply;

use super::number;
use super::{Evaluated, Evaluation, Held, PresentBytes, REPLY_SIZE_MAX, Stop, refused};

/// What a reply adds to each value at most, in bytes: its type, its size, two line ends.
const VALUE_FRAMING_SIZE: usize = 16;

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn get(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        let held = self.hold(key)?;
        Ok(bulk_or_null(held.as_ref()))
    }

    pub(super) fn set(
        &mut self,
        key: &'a [u8],
        value: &'a [u8],
        options: SetOptions,
    ) -> Evaluated<'a> {
        // What is there is looked at only if it matters: a plain SET depends on nothing.
        let (present, old) = if options.get {
            let held = self.hold(key)?;
            (held.as_ref().map(|held| held.expires_at_ms), bulk_or_null(held.as_ref()))
        } else if options.condition.is_some() || options.expiry == Expiry::Keep {
            (self.look(key).map(|present| present.expires_at_ms), Reply::Null)
        } else {
            (None, Reply::Null)
        };
        let allowed = match options.condition {
            None => true,
            Some(SetCondition::Absent) => present.is_none(),
            Some(SetCondition::Present) => present.is_some(),
        };
        if !allowed {
            return Ok(old);
        }
        let expires_at_ms = match options.expiry {
            Expiry::Clear => 0,
            Expiry::Keep => present.unwrap_or(0),
            Expiry::At(deadline) => self.at_ms(key, deadline),
        };
        self.put(key, value, expires_at_ms);
        Ok(if options.get { old } else { Reply::OK })
    }

    pub(super) fn set_nx(&mut self, key: &'a [u8], value: &'a [u8]) -> Evaluated<'a> {
        let absent = self.look(key).is_none();
        if absent {
            self.put(key, value, 0);
        }
        Ok(Reply::Integer(i64::from(absent)))
    }

    pub(super) fn get_del(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        let held = self.hold(key)?;
        if held.is_some() {
            self.delete(key);
        }
        Ok(bulk_or_null(held.as_ref()))
    }

    pub(super) fn get_ex(&mut self, key: &'a [u8], expiry: Expiry) -> Evaluated<'a> {
        let Some(held) = self.hold(key)? else { return Ok(Reply::Null) };
        let expires_at_ms = match expiry {
            Expiry::Keep => held.expires_at_ms,
            Expiry::Clear => 0,
            Expiry::At(deadline) => self.at_ms(key, deadline),
        };
        if expires_at_ms != held.expires_at_ms {
            self.put(key, held.value.to_vec(), expires_at_ms);
        }
        Ok(Reply::bulk(held.value))
    }

    pub(super) fn append(&mut self, key: &'a [u8], value: &'a [u8]) -> Evaluated<'a> {
        let Some(held) = self.hold(key)? else {
            self.put(key, value, 0);
            return Ok(integer(value.len()));
        };
        let size = held.value.len() + value.len();
        check_size(size)?;
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(held.value);
        bytes.extend_from_slice(value);
        self.put(key, bytes, held.expires_at_ms);
        Ok(integer(size))
    }

    pub(super) fn str_len(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        Ok(integer(self.look(key).map_or(0, |present| present.size())))
    }

    pub(super) fn get_range(&mut self, key: &'a [u8], start: i64, end: i64) -> Evaluated<'a> {
        let held = self.hold(key)?;
        Ok(Reply::bulk(held.map_or(&[][..], |held| range(held.value, start, end))))
    }

    pub(super) fn set_range(
        &mut self,
        key: &'a [u8],
        offset: u64,
        value: &'a [u8],
    ) -> Evaluated<'a> {
        if value.is_empty() {
            return self.str_len(key); // Nothing to write, not even zeros.
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.saturating_add(value.len());
        check_size(end)?;
        let (mut bytes, expires_at_ms) = match self.hold(key)? {
            Some(held) => (held.value.to_vec(), held.expires_at_ms),
            None => (Vec::new(), 0),
        };
        bytes.resize(bytes.len().max(end), 0);
        bytes[offset..end].copy_from_slice(value);
        let size = bytes.len();
        self.put(key, bytes, expires_at_ms);
        Ok(integer(size))
    }

    pub(super) fn incr_by(&mut self, key: &'a [u8], delta: i64) -> Evaluated<'a> {
        let (old, expires_at_ms) = match self.hold(key)? {
            Some(held) => (parse_integer(held.value), held.expires_at_ms),
            None => (Some(0), 0),
        };
        let old = old.ok_or_else(|| refused("ERR value is not an integer or out of range"))?;
        let new = old
            .checked_add(delta)
            .ok_or_else(|| refused("ERR increment or decrement would overflow"))?;
        self.put(key, new.to_string().into_bytes(), expires_at_ms);
        Ok(Reply::Integer(new))
    }

    pub(super) fn incr_by_float(&mut self, key: &'a [u8], delta: f64) -> Evaluated<'a> {
        let (old, expires_at_ms) = match self.hold(key)? {
            Some(held) => (held.value, held.expires_at_ms),
            None => (&b"0"[..], 0),
        };
        let new = number::add_float(old, delta).map_err(refused)?;
        let reply = Reply::bulk(&new);
        self.put(key, new.into_bytes(), expires_at_ms);
        Ok(reply)
    }

    pub(super) fn m_get(&mut self, keys: List<'a>) -> Evaluated<'a> {
        let mut replies = Vec::with_capacity(keys.count());
        let mut needed = Vec::new();
        let mut size = 0;
        for key in keys {
            let present = self.look(key);
            // Counted before anything is copied: a large key may be named a million times.
            size += VALUE_FRAMING_SIZE + present.as_ref().map_or(0, |present| present.size());
            if REPLY_SIZE_MAX < size {
                return Err(refused(format!(
                    "ERR the reply would be more than {REPLY_SIZE_MAX} bytes (`reply_size_max`): ask for \
                     fewer keys at once"
                )));
            }
            match present.map(|present| present.bytes) {
                Some(PresentBytes::Here(value)) => replies.push(Reply::bulk(value)),
                Some(PresentBytes::Elsewhere { .. }) => needed.push(key),
                None => replies.push(Reply::Null),
            }
        }
        if needed.is_empty() { Ok(Reply::Array(replies)) } else { Err(Stop::NeedValues(needed)) }
    }

    pub(super) fn m_set(&mut self, pairs: Pairs<'a>) -> Evaluated<'a> {
        for (key, value) in pairs.iter() {
            self.put(key, value, 0);
        }
        Ok(Reply::OK)
    }

    pub(super) fn m_set_nx(&mut self, pairs: Pairs<'a>) -> Evaluated<'a> {
        for (key, _) in pairs.iter() {
            if self.look(key).is_some() {
                return Ok(Reply::Integer(0));
            }
        }
        self.m_set(pairs)?;
        Ok(Reply::Integer(1))
    }
}

/// The bytes from `start` to `end`, both included, as `GETRANGE` counts: negative ones from the end.
fn range(value: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && end < start {
        return &[]; // Before clipping: both may lie before the first byte.
    }
    let size = value.len() as i64;
    let from_front = |index: i64| if index < 0 { (size + index).max(0) } else { index };
    let start = from_front(start);
    let end = from_front(end).min(size - 1);
    if end < start { &[] } else { &value[start as usize..=end as usize] }
}

fn check_size<'a>(size: usize) -> Result<(), Stop<'a>> {
    if size <= VALUE_SIZE_MAX {
        return Ok(());
    }
    Err(refused(format!(
        "ERR string exceeds maximum allowed size: it would be {size} bytes, at most \
         {VALUE_SIZE_MAX} are allowed (`value_size_max`)"
    )))
}

fn bulk_or_null(held: Option<&Held<'_>>) -> Reply {
    held.map_or(Reply::Null, |held| Reply::bulk(held.value))
}

fn integer(size: usize) -> Reply {
    Reply::Integer(size as i64)
}
