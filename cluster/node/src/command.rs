//! What commands on keys do: a command and what it sees go in, a reply and plain writes come out.
//!
//! Nothing here keeps, sends or waits for anything. The caller decides how the writes become true: at
//! once (a keyspace in memory), or as one log entry with conditions on the `reads`, so that it has an
//! effect only where it would have had the same one. `evaluate` may be called again at any time.
//!
//! Start at `evaluate`; `scatter` takes apart the commands whose keys live in several shards.

use std::borrow::Cow;

use evenkeel_core::placement::slots::SLOT_COUNT;
use evenkeel_engine::batch::OPERATION_COUNT_MAX;
use evenkeel_engine::limits::{KEY_SIZE_MAX, VALUE_SIZE_MAX};
use evenkeel_engine::store;
use evenkeel_wire::arguments::{List, Pairs};
use evenkeel_wire::command::{Command, Deadline, Expiry};
use evenkeel_wire::limits::{self, ARGUMENT_COUNT_MAX, FRAME_BODY_SIZE_MAX};
use evenkeel_wire::reply::Reply;

use crate::observe::digest;

mod keys;
mod number;
pub mod scan;
pub mod scatter;
mod strings;

/// What one reply, or one shard's part of it, may be, in bytes.
pub const REPLY_SIZE_MAX: usize = 15 * 1024 * 1024;

const _: () = {
    assert!(limits::KEY_SIZE_MAX <= KEY_SIZE_MAX, "the engine keeps the keys that parse");
    assert!(ARGUMENT_COUNT_MAX <= OPERATION_COUNT_MAX, "one command fits a batch");
    assert!(VALUE_SIZE_MAX < REPLY_SIZE_MAX, "every value can be read");
    assert!(SLOT_COUNT == store::SLOT_COUNT, "the engine has a table for each hash slot");
    assert!(SLOT_COUNT == limits::SLOT_COUNT, "a hash slot that parses exists");
    assert!(REPLY_SIZE_MAX < FRAME_BODY_SIZE_MAX, "a reply from another node fits its frame");
};

/// What a command may look at.
pub trait View {
    /// The key as the command must see it: what is applied, and the leader's own proposals above it.
    /// Must not change between two calls of one evaluation. A key past its deadline may be `Present`.
    fn get(&self, key: &[u8]) -> Seen<'_>;

    /// A time to live may be shorter than asked for by up to so many percent.
    fn ttl_jitter_percent(&self) -> u8 {
        0
    }
}

/// A key in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Not there.
    Absent,
    /// There.
    Present {
        /// Comes back in `reads`.
        version: u64,
        /// Unix milliseconds, 0 for never.
        expires_at_ms: u64,
        /// Its bytes.
        value: &'a [u8],
    },
    /// There; its bytes are on the SSD.
    PresentElsewhere {
        /// Comes back in `reads`.
        version: u64,
        /// Unix milliseconds, 0 for never.
        expires_at_ms: u64,
        /// Of the value, in bytes.
        size: u32,
    },
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a> {
    /// It can be answered as soon as the writes are true.
    Done {
        /// For the client.
        reply: Reply,
        /// In this order. Empty if the reply is an error.
        writes: Vec<Write<'a>>,
        /// The keys that the reply and the writes depend on, with their versions in the view; 0 for
        /// those that are absent or past their deadline. A key may come twice.
        reads: Vec<(&'a [u8], u64)>,
    },
    /// Evaluate again with a view in which these keys are `Present`, all of them at once.
    NeedValues {
        /// Each was seen as `PresentElsewhere`. None comes twice.
        keys: Vec<&'a [u8]>,
    },
}

/// One change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write<'a> {
    /// The key has this value and this deadline from now on.
    Put {
        /// At most `KEY_SIZE_MAX` bytes.
        key: &'a [u8],
        /// At most `VALUE_SIZE_MAX` bytes; borrowed from the command where it can be.
        value: Cow<'a, [u8]>,
        /// Unix milliseconds, 0 for never; later than the evaluation's `now_ms`.
        expires_at_ms: u64,
    },
    /// The key is gone.
    Delete {
        /// It was there.
        key: &'a [u8],
    },
}

/// What a command may do to the keys it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look.
    Read,
    /// Look and change.
    Write,
    /// It names no key that `evaluate` could look at.
    Elsewhere,
}

/// Evaluates one command on the keys it names. `now_ms` is Unix time; a key whose deadline is at or
/// before it is absent.
///
/// Redis 7.0's replies, to the letter, but for sizes (see `check_limits`) and for floating point (see
/// `number`). A command that names no keys gets an error: it is the
/// caller's to answer.
///
/// Cost: what is in `Outcome`; a plain `SET` copies neither key nor value.
pub fn evaluate<'a>(command: &Command<'a>, view: &dyn View, now_ms: u64) -> Outcome<'a> {
    let mut evaluation = Evaluation::new(view, now_ms);
    let evaluated = match check_limits(command) {
        Some(refusal) => Ok(refusal),
        None => evaluation.run(command),
    };
    let Evaluation { writes, reads, .. } = evaluation;
    match evaluated {
        Ok(reply) => Outcome::Done { reply, writes, reads },
        Err(Stop::Refused(text)) => {
            Outcome::Done { reply: Reply::error(text), writes: Vec::new(), reads }
        }
        Err(Stop::NeedValues(mut keys)) => {
            keys.sort_unstable();
            keys.dedup();
            Outcome::NeedValues { keys }
        }
    }
}

/// The refusal of a command that brings a value over the engine's limit.
pub fn check_limits(command: &Command<'_>) -> Option<Reply> {
    let size = match *command {
        Command::Set { value, .. }
        | Command::SetNx { value, .. }
        | Command::Append { value, .. }
        | Command::SetRange { value, .. } => value.len(),
        Command::MSet { pairs } | Command::MSetNx { pairs } => {
            pairs.iter().map(|(_, value)| value.len()).max().unwrap_or(0)
        }
        _ => 0,
    };
    (VALUE_SIZE_MAX < size).then(|| {
        Reply::error(format!(
            "ERR value is {size} bytes, at most {VALUE_SIZE_MAX} are allowed (`value_size_max`)"
        ))
    })
}

/// The keys that a command names, as often as it names them; none if it is about a whole keyspace, the
/// connection or the server.
pub fn keys<'a>(command: &Command<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let (first, second, list, pairs) = match named(command) {
        Named::Nothing => (None, None, None, None),
        Named::One(key) => (Some(key), None, None, None),
        Named::Two(from, to) => (Some(from), Some(to), None, None),
        Named::List(list) => (None, None, Some(list), None),
        Named::Pairs(pairs) => (None, None, None, Some(pairs)),
    };
    let listed = list.into_iter().flatten();
    let paired = pairs.into_iter().flat_map(|pairs| pairs.iter().map(|(key, _)| key));
    first.into_iter().chain(second).chain(listed).chain(paired)
}

/// Whether a command looks at keys, and whether it may change them.
pub fn access(command: &Command<'_>) -> Access {
    use Command as C;
    match command {
        C::GetEx { expiry: Expiry::Keep, .. }
        | C::Get { .. }
        | C::StrLen { .. }
        | C::GetRange { .. }
        | C::MGet { .. }
        | C::Exists { .. }
        | C::Touch { .. }
        | C::Ttl { .. }
        | C::PTtl { .. }
        | C::ExpireTime { .. }
        | C::PExpireTime { .. }
        | C::Type { .. }
        | C::Object { .. }
        | C::MemoryUsage { .. } => Access::Read,
        C::Set { .. }
        | C::SetNx { .. }
        | C::GetDel { .. }
        | C::GetEx { .. }
        | C::Append { .. }
        | C::SetRange { .. }
        | C::IncrBy { .. }
        | C::IncrByFloat { .. }
        | C::MSet { .. }
        | C::MSetNx { .. }
        | C::Del { .. }
        | C::Expire { .. }
        | C::Persist { .. }
        | C::Rename { .. }
        | C::RenameNx { .. }
        | C::Copy { .. } => Access::Write,
        _ => Access::Elsewhere,
    }
}

/// How a command names its keys.
enum Named<'a> {
    Nothing,
    One(&'a [u8]),
    Two(&'a [u8], &'a [u8]),
    List(List<'a>),
    Pairs(Pairs<'a>),
}

fn named<'a>(command: &Command<'a>) -> Named<'a> {
    use Command as C;
    match *command {
        C::Get { key }
        | C::Set { key, .. }
        | C::SetNx { key, .. }
        | C::GetDel { key }
        | C::GetEx { key, .. }
        | C::Append { key, .. }
        | C::StrLen { key }
        | C::GetRange { key, .. }
        | C::SetRange { key, .. }
        | C::IncrBy { key, .. }
        | C::IncrByFloat { key, .. }
        | C::Expire { key, .. }
        | C::Ttl { key }
        | C::PTtl { key }
        | C::ExpireTime { key }
        | C::PExpireTime { key }
        | C::Persist { key }
        | C::Type { key }
        | C::Object { key, .. }
        | C::MemoryUsage { key } => Named::One(key),
        C::Rename { from, to } | C::RenameNx { from, to } | C::Copy { from, to, .. } => {
            Named::Two(from, to)
        }
        C::MGet { keys } | C::Del { keys } | C::Exists { keys } | C::Touch { keys } => {
            Named::List(keys)
        }
        C::Watch { keys } => Named::List(keys),
        C::MSet { pairs } | C::MSetNx { pairs } => Named::Pairs(pairs),
        _ => Named::Nothing,
    }
}

/// Why an evaluation ends without a reply of its own.
enum Stop<'a> {
    /// The error's text, its code included.
    Refused(Cow<'static, str>),
    NeedValues(Vec<&'a [u8]>),
}

type Evaluated<'a> = Result<Reply, Stop<'a>>;

/// One evaluation under way: remembers what was looked at and what is to be written.
struct Evaluation<'v, 'a> {
    view: &'v dyn View,
    now_ms: u64,
    reads: Vec<(&'a [u8], u64)>,
    writes: Vec<Write<'a>>,
}

/// A key that is there.
struct Present<'v> {
    expires_at_ms: u64,
    bytes: PresentBytes<'v>,
}

enum PresentBytes<'v> {
    Here(&'v [u8]),
    Elsewhere { size: usize },
}

/// A key that is there, with its bytes.
struct Held<'v> {
    expires_at_ms: u64,
    value: &'v [u8],
}

impl Present<'_> {
    fn size(&self) -> usize {
        match self.bytes {
            PresentBytes::Here(value) => value.len(),
            PresentBytes::Elsewhere { size } => size,
        }
    }
}

impl<'v, 'a> Evaluation<'v, 'a> {
    fn new(view: &'v dyn View, now_ms: u64) -> Evaluation<'v, 'a> {
        Evaluation { view, now_ms, reads: Vec::new(), writes: Vec::new() }
    }

    /// Unix milliseconds. What is to end so long from now ends a little earlier, if the keyspace says so:
    /// another little for each key and moment, so that what was written together does not end together.
    fn at_ms(&self, key: &[u8], deadline: Deadline) -> u64 {
        let at_ms = deadline.at_ms(self.now_ms);
        let percent = u64::from(self.view.ttl_jitter_percent());
        let ttl_ms = at_ms.saturating_sub(self.now_ms);
        if percent == 0 || ttl_ms == 0 || matches!(deadline, Deadline::AtMs(_)) {
            return at_ms;
        }
        let span_ms = u128::from(ttl_ms) * u128::from(percent) / 100;
        let drawn = (u128::from(digest(self.now_ms, key)) * (span_ms + 1)) >> 64;
        at_ms - drawn as u64
    }

    fn run(&mut self, command: &Command<'a>) -> Evaluated<'a> {
        use Command as C;
        match *command {
            C::Get { key } => self.get(key),
            C::Set { key, value, options } => self.set(key, value, options),
            C::SetNx { key, value } => self.set_nx(key, value),
            C::GetDel { key } => self.get_del(key),
            C::GetEx { key, expiry } => self.get_ex(key, expiry),
            C::Append { key, value } => self.append(key, value),
            C::StrLen { key } => self.str_len(key),
            C::GetRange { key, start, end } => self.get_range(key, start, end),
            C::SetRange { key, offset, value } => self.set_range(key, offset, value),
            C::IncrBy { key, delta } => self.incr_by(key, delta),
            C::IncrByFloat { key, delta } => self.incr_by_float(key, delta),
            C::MGet { keys } => self.m_get(keys),
            C::MSet { pairs } => self.m_set(pairs),
            C::MSetNx { pairs } => self.m_set_nx(pairs),
            C::Del { keys } => self.del(keys),
            C::Exists { keys } | C::Touch { keys } => self.exists(keys),
            C::Expire { key, deadline, condition } => self.expire(key, deadline, condition),
            C::Ttl { key } => self.ttl(key).map(in_seconds),
            C::PTtl { key } => self.ttl(key),
            C::ExpireTime { key } => self.expire_time(key).map(in_seconds),
            C::PExpireTime { key } => self.expire_time(key),
            C::Persist { key } => self.persist(key),
            C::Type { key } => self.type_of(key),
            C::Rename { from, to } => self.rename(from, to),
            C::RenameNx { from, to } => self.rename_nx(from, to),
            C::Copy { from, to, replace } => self.copy(from, to, replace),
            C::Object { question, key } => self.object(question, key),
            C::MemoryUsage { key } => self.memory_usage(key),
            _ => Err(refused("ERR this command is not about single keys")),
        }
    }

    /// Looks at a key, without its bytes.
    fn look(&mut self, key: &'a [u8]) -> Option<Present<'v>> {
        let (version, expires_at_ms, bytes) = match self.view.get(key) {
            Seen::Absent => {
                self.reads.push((key, 0));
                return None;
            }
            Seen::Present { version, expires_at_ms, value } => {
                (version, expires_at_ms, PresentBytes::Here(value))
            }
            Seen::PresentElsewhere { version, expires_at_ms, size } => {
                (version, expires_at_ms, PresentBytes::Elsewhere { size: size as usize })
            }
        };
        let expired = expires_at_ms != 0 && expires_at_ms <= self.now_ms;
        self.reads.push((key, if expired { 0 } else { version }));
        (!expired).then_some(Present { expires_at_ms, bytes })
    }

    /// Looks at a key and its bytes.
    fn hold(&mut self, key: &'a [u8]) -> Result<Option<Held<'v>>, Stop<'a>> {
        match self.look(key) {
            None => Ok(None),
            Some(Present { expires_at_ms, bytes: PresentBytes::Here(value) }) => {
                Ok(Some(Held { expires_at_ms, value }))
            }
            Some(_) => Err(Stop::NeedValues(vec![key])),
        }
    }

    /// Writes a value. One whose deadline has passed is as good as deleted, if there is anything; and
    /// that depends on what is there.
    fn put(&mut self, key: &'a [u8], value: impl Into<Cow<'a, [u8]>>, expires_at_ms: u64) {
        if expires_at_ms != 0 && expires_at_ms <= self.now_ms {
            if self.look(key).is_some() {
                self.delete(key);
            }
        } else {
            self.writes.push(Write::Put { key, value: value.into(), expires_at_ms });
        }
    }

    fn delete(&mut self, key: &'a [u8]) {
        self.writes.push(Write::Delete { key });
    }
}

/// Milliseconds to the nearest second; the special negative replies stay.
fn in_seconds(reply: Reply) -> Reply {
    match reply {
        Reply::Integer(ms) if 0 <= ms => Reply::Integer(ms / 1000 + i64::from(500 <= ms % 1000)),
        other => other,
    }
}

fn refused<'a>(text: impl Into<Cow<'static, str>>) -> Stop<'a> {
    Stop::Refused(text.into())
}

#[cfg(test)]
mod tests;
