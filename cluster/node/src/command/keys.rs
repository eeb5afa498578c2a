//! Commands on keys, whatever their values.

use std::collections::BTreeSet;

use evenkeel_engine::store::Store;
use evenkeel_wire::arguments::List;
use evenkeel_wire::command::{Deadline, ExpireCondition, ObjectQuestion};
use evenkeel_wire::number::parse_integer;
use evenkeel_wire::reply::Reply;

use super::{Evaluated, Evaluation, PresentBytes, Stop, refused};

/// `OBJECT ENCODING` calls a string this long, in bytes, `embstr`, a longer one `raw`.
const EMBEDDED_SIZE_MAX: usize = 44;
/// And one that is longer than this is no `int`: `-9223372036854775808`.
const INTEGER_SIZE_MAX: usize = 20;

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn del(&mut self, keys: List<'a>) -> Evaluated<'a> {
        let mut deleted = BTreeSet::new();
        for key in keys {
            if self.look(key).is_some() && deleted.insert(key) {
                self.delete(key);
            }
        }
        Ok(Reply::Integer(deleted.len() as i64))
    }

    pub(super) fn exists(&mut self, keys: List<'a>) -> Evaluated<'a> {
        let count = keys.iter().filter(|key| self.look(key).is_some()).count();
        Ok(Reply::Integer(count as i64))
    }

    pub(super) fn expire(
        &mut self,
        key: &'a [u8],
        deadline: Deadline,
        condition: Option<ExpireCondition>,
    ) -> Evaluated<'a> {
        let Some(present) = self.look(key) else { return Ok(Reply::Integer(0)) };
        let (old, new) = (present.expires_at_ms, self.at_ms(key, deadline));
        let allowed = match condition {
            None => true,
            Some(ExpireCondition::Absent) => old == 0,
            Some(ExpireCondition::Present) => old != 0,
            Some(ExpireCondition::Later) => old != 0 && old < new,
            Some(ExpireCondition::Earlier) => old == 0 || new < old,
        };
        if !allowed {
            return Ok(Reply::Integer(0));
        }
        if new <= self.now_ms {
            self.delete(key); // Its bytes do not matter any more, wherever they are.
        } else {
            self.rewrite(key, new)?;
        }
        Ok(Reply::Integer(1))
    }

    /// Milliseconds left, -1 without deadline, -2 without key.
    pub(super) fn ttl(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        let now_ms = self.now_ms;
        self.expire_time(key).map(|reply| match reply {
            Reply::Integer(at_ms) if 0 <= at_ms => Reply::Integer(at_ms - now_ms as i64),
            other => other,
        })
    }

    /// Unix milliseconds, -1 without deadline, -2 without key.
    pub(super) fn expire_time(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        Ok(Reply::Integer(match self.look(key).map(|present| present.expires_at_ms) {
            None => -2,
            Some(0) => -1,
            Some(at_ms) => at_ms as i64,
        }))
    }

    pub(super) fn persist(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        let volatile = self.look(key).is_some_and(|present| present.expires_at_ms != 0);
        if volatile {
            self.rewrite(key, 0)?;
        }
        Ok(Reply::Integer(i64::from(volatile)))
    }

    pub(super) fn type_of(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        Ok(Reply::simple(if self.look(key).is_some() { "string" } else { "none" }))
    }

    pub(super) fn rename(&mut self, from: &'a [u8], to: &'a [u8]) -> Evaluated<'a> {
        self.look(from).ok_or_else(|| refused("ERR no such key"))?;
        if from != to {
            self.move_to(from, to)?;
        }
        Ok(Reply::OK)
    }

    pub(super) fn rename_nx(&mut self, from: &'a [u8], to: &'a [u8]) -> Evaluated<'a> {
        self.look(from).ok_or_else(|| refused("ERR no such key"))?;
        if self.look(to).is_some() {
            return Ok(Reply::Integer(0));
        }
        self.move_to(from, to)?;
        Ok(Reply::Integer(1))
    }

    pub(super) fn copy(&mut self, from: &'a [u8], to: &'a [u8], replace: bool) -> Evaluated<'a> {
        if from == to {
            return Err(refused("ERR source and destination objects are the same"));
        }
        if self.look(from).is_none() || (!replace && self.look(to).is_some()) {
            return Ok(Reply::Integer(0));
        }
        self.copy_to(from, to)?;
        Ok(Reply::Integer(1))
    }

    pub(super) fn object(&mut self, question: ObjectQuestion, key: &'a [u8]) -> Evaluated<'a> {
        if self.look(key).is_none() {
            return Ok(Reply::Null);
        }
        match question {
            ObjectQuestion::Encoding => self.encoding(key),
            ObjectQuestion::ReferenceCount => Ok(Reply::Integer(1)),
            ObjectQuestion::Frequency => Err(refused(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked.",
            )),
            ObjectQuestion::IdleTime => Err(refused(
                "ERR idle time not tracked: keys are kept in order of use, without times.",
            )),
        }
    }

    /// Bytes in memory: the key, the value unless it is on the SSD only, and what they cost beside, at
    /// most.
    pub(super) fn memory_usage(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        let Some(present) = self.look(key) else { return Ok(Reply::Null) };
        let value_size = match present.bytes {
            PresentBytes::Here(value) => value.len(),
            PresentBytes::Elsewhere { .. } => 0,
        };
        Ok(Reply::Integer(Store::item_size_max(key.len(), value_size) as i64))
    }

    fn encoding(&mut self, key: &'a [u8]) -> Evaluated<'a> {
        let size = self.look(key).map_or(0, |present| present.size());
        if INTEGER_SIZE_MAX < size {
            let embedded = size <= EMBEDDED_SIZE_MAX;
            return Ok(Reply::text(if embedded { "embstr" } else { "raw" }));
        }
        let held = self.hold(key)?;
        let is_integer = held.is_some_and(|held| parse_integer(held.value).is_some());
        Ok(Reply::text(if is_integer { "int" } else { "embstr" }))
    }

    /// Gives a key that is there another deadline.
    fn rewrite(&mut self, key: &'a [u8], expires_at_ms: u64) -> Result<(), Stop<'a>> {
        if let Some(held) = self.hold(key)? {
            self.put(key, held.value.to_vec(), expires_at_ms);
        }
        Ok(())
    }

    fn move_to(&mut self, from: &'a [u8], to: &'a [u8]) -> Result<(), Stop<'a>> {
        self.copy_to(from, to)?;
        self.delete(from);
        Ok(())
    }

    /// Copies a key that is there, deadline included.
    fn copy_to(&mut self, from: &'a [u8], to: &'a [u8]) -> Result<(), Stop<'a>> {
        if let Some(held) = self.hold(from)? {
            self.put(to, held.value.to_vec(), held.expires_at_ms);
        }
        Ok(())
    }
}
