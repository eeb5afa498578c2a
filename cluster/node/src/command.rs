//! What commands on keys do: a command and what it sees go in, a reply and plain writes come out.
//!
//! Nothing here keeps, sends or waits for anything. The caller decides how the writes become true: at
//! once (a keyspace in memory), or as one log entry whose conditions are the `reads`, so that it has
//! an effect only where it would have had the same one. `evaluate` may be called again at any time.
//!
//! Start at `evaluate`; `scatter` takes apart the commands whose keys live in several shards.

use std::borrow::Cow;

use evenkeel_engine::batch;
use evenkeel_wire::command::Command;
use evenkeel_wire::limits;
use evenkeel_wire::reply::Reply;

pub mod glob;
mod keys;
mod number;
pub mod scan;
pub mod scatter;
mod strings;

/// Largest value, in bytes, that a command may build: `APPEND`, `SETRANGE`.
pub const VALUE_SIZE_MAX: usize = batch::VALUE_SIZE_MAX;

const _: () = {
    assert!(limits::KEY_SIZE_MAX <= batch::KEY_SIZE_MAX, "the engine keeps what the door lets in");
    assert!(limits::BULK_SIZE_MAX <= VALUE_SIZE_MAX, "the engine keeps what the door lets in");
    assert!(limits::ARGUMENT_COUNT_MAX <= batch::OPERATION_COUNT_MAX, "one command fits a batch");
};

/// What a command may look at.
pub trait View {
    /// The key as the command must see it: what is applied, and the leader's own proposals above it.
    /// Must not change between two calls of one evaluation. A key past its deadline may be `Present`.
    fn get(&self, key: &[u8]) -> Seen<'_>;
}

/// A key in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Not there.
    Absent,
    /// There.
    Present {
        /// Never 0.
        version: u64,
        /// Unix milliseconds, 0 for never.
        expires_at_ms: u64,
        /// Its bytes.
        value: &'a [u8],
    },
    /// There; its bytes are on the SSD.
    PresentElsewhere {
        /// Never 0.
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
        /// The keys that the reply and the writes depend on, with their versions, 0 for absent (or
        /// past its deadline). A key may come twice.
        reads: Vec<(&'a [u8], u64)>,
    },
    /// Evaluate again with a view in which these keys are `Present`. None comes twice.
    NeedValues {
        /// Each was seen as `PresentElsewhere`.
        keys: Vec<&'a [u8]>,
    },
}

/// One change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write<'a> {
    /// The key has this value and this deadline from now on.
    Put {
        /// At most `batch::KEY_SIZE_MAX` bytes.
        key: &'a [u8],
        /// At most `VALUE_SIZE_MAX` bytes; borrowed from the command where it can be.
        value: Cow<'a, [u8]>,
        /// Unix milliseconds, 0 for never; later than the evaluation's `now_ms`.
        expires_at_ms: u64,
    },
    /// The key is gone.
    Delete {
        /// Was there, as far as the view knows.
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
/// Redis 7.0's replies, to the letter, but for the size limits and for floating point (see
/// `number`). A command without keys of its own (`Access::Elsewhere`) gets an error: it is the
/// caller's to answer.
///
/// Cost: what is in `Outcome`; a plain `SET` copies neither key nor value.
pub fn evaluate<'a>(command: &Command<'a>, view: &dyn View, now_ms: u64) -> Outcome<'a> {
    let mut evaluation = Evaluation::new(view, now_ms);
    match evaluation.run(command) {
        Ok(reply) => {
            let Evaluation { writes, reads, .. } = evaluation;
            Outcome::Done { reply, writes, reads }
        }
        Err(Stop::Refused(text)) => {
            let reply = Reply::error(text);
            Outcome::Done { reply, writes: Vec::new(), reads: evaluation.reads }
        }
        Err(Stop::NeedValues(mut keys)) => {
            keys.sort_unstable();
            keys.dedup();
            Outcome::NeedValues { keys }
        }
    }
}

/// Whether a command looks at keys, and whether it may change them.
pub fn access(command: &Command<'_>) -> Access {
    use Command as C;
    match command {
        C::Get { .. }
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
        assert!(version != 0, "0 means absent wherever versions are compared");
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

    /// Writes a value. One whose deadline has passed is as good as deleted.
    fn put(&mut self, key: &'a [u8], value: impl Into<Cow<'a, [u8]>>, expires_at_ms: u64) {
        if expires_at_ms != 0 && expires_at_ms <= self.now_ms {
            self.writes.push(Write::Delete { key });
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
