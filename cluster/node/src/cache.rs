//! The `cache` keyspace: this node's memory and nothing else. No log, no peer, no waiting.

use bytes::Bytes;
use evenkeel_core::placement::slots::{self, SLOT_COUNT};
use evenkeel_engine::store::{Eviction, Store, Value};
use evenkeel_runtime as runtime;
use evenkeel_wire::command::{Command, Expiry, OwnedCommand, SetOptions, parse};
use evenkeel_wire::reply::Reply;

use crate::command::{self, Outcome, Seen, View, Write};
use crate::machine::ABSENT;
use crate::node::Node;
use crate::sweep;
use crate::views::is_over;

/// How many expired keys one turn removes at most: a few milliseconds.
const EXPIRED_COUNT_MAX: usize = 2000;

struct CacheView<'a> {
    store: &'a Store,
    ttl_jitter_percent: u8,
}

impl View for CacheView<'_> {
    fn get(&self, key: &[u8]) -> Seen<'_> {
        match self.store.peek(slots::slot(key), key) {
            Some(found) => match found.value {
                Value::Memory(value) => Seen::Present {
                    version: found.version,
                    expires_at_ms: found.expires_at_ms,
                    value,
                },
                Value::Log(..) => Seen::Absent, // Nothing of this keyspace is in the log.
            },
            None => Seen::Absent,
        }
    }

    fn ttl_jitter_percent(&self) -> u8 {
        self.ttl_jitter_percent
    }
}

impl Node {
    pub(crate) fn execute_cache(&self, command: &Command<'_>) -> Reply {
        let now_ms = runtime::clock::wall_ms();
        let store = &mut *self.cache.borrow_mut();
        if let Command::Get { key } = *command {
            return cached(store, key).map_or(Reply::Null, Reply::bulk);
        }
        self.evaluate_cache(store, command, now_ms)
    }

    /// The common case without a `Reply` in between: hands the value of a key in `cache` to `take`.
    pub fn cache_get<T>(&self, key: &[u8], take: impl FnOnce(Option<&[u8]>) -> T) -> T {
        take(cached(&mut self.cache.borrow_mut(), key))
    }

    /// The common `SET` without a `Reply` in between. False: nothing was done, go the long way.
    pub fn cache_set(&self, key: &[u8], value: &[u8], options: SetOptions) -> bool {
        let store = &mut *self.cache.borrow_mut();
        let takes = is_plain(options) && store.fits(key.len(), value.len());
        if takes {
            store.put(slots::slot(key), key, value, self.cache_version(), 0, None);
        }
        takes
    }

    fn evaluate_cache(&self, store: &mut Store, command: &Command<'_>, now_ms: u64) -> Reply {
        if sweep::is_sweep(command) {
            return self.sweep_cache(store, command, now_ms);
        }
        let ttl_jitter_percent = self.config.cache_ttl_jitter_percent;
        match command::evaluate(command, &CacheView { store, ttl_jitter_percent }, now_ms) {
            Outcome::NeedValues { .. } => Reply::error("ERR a value in memory was not in memory"),
            Outcome::Done { reply, writes, .. } => {
                let too_large = writes.iter().find_map(|write| match write {
                    Write::Put { key, value, .. } if !store.fits(key.len(), value.len()) => {
                        Some(key.len() + value.len())
                    }
                    Write::Put { .. } | Write::Delete { .. } => None,
                });
                if let Some(size) = too_large {
                    return out_of_memory(store, size);
                }
                for write in writes {
                    self.write_cache(store, write);
                }
                reply
            }
        }
    }

    fn write_cache(&self, store: &mut Store, write: Write<'_>) {
        match write {
            Write::Put { key, value, expires_at_ms } => {
                let version = self.cache_version();
                store.put(slots::slot(key), key, &value, version, expires_at_ms, None);
            }
            Write::Delete { key } => {
                store.remove(slots::slot(key), key);
                self.cache_vanished.set(self.cache_version());
            }
        }
    }

    fn sweep_cache(&self, store: &mut Store, command: &Command<'_>, now_ms: u64) -> Reply {
        match command {
            Command::DbSize => Reply::Integer(store.len() as i64),
            Command::RandomKey => {
                let key = store.random_key(runtime::random_u64());
                key.map_or(Reply::Null, |(_, key)| Reply::bulk(key))
            }
            Command::FlushDb | Command::FlushAll => {
                store.clear_slots(0..SLOT_COUNT);
                self.cache_vanished.set(self.cache_version());
                Reply::OK
            }
            _ => sweep::evaluate(command, store, 0..SLOT_COUNT, now_ms).0,
        }
    }

    pub(crate) fn transaction_cache(
        &self,
        commands: &[OwnedCommand],
        watches: &[(Bytes, u64)],
    ) -> Reply {
        if watches.iter().any(|(key, token)| !self.is_unchanged(key, *token)) {
            return Reply::NullArray;
        }
        let run = |owned: &OwnedCommand| match parse(&owned.arguments()) {
            Ok(command) => self.execute_cache(&command),
            Err(error) => Reply::error(error.to_string()),
        };
        Reply::Array(commands.iter().map(run).collect())
    }

    /// What `WATCH` remembers of a key: the number of the last write of all, or, of one that is not
    /// there, when a key last vanished, so that one that came and went meanwhile does not look
    /// untouched.
    pub(crate) fn token_cache(&self, key: &[u8]) -> u64 {
        let now_ms = runtime::clock::wall_ms();
        match self.cache.borrow().peek(slots::slot(key), key) {
            Some(found) if is_over(found.expires_at_ms, now_ms) => ABSENT | found.version,
            Some(_) => self.cache_versions.get(),
            None => ABSENT | (self.cache_vanished.get() + self.cache.borrow().stats().evicted),
        }
    }

    /// Whether a key is what it was when the token was made. The store keeps 32 bits of a version: what
    /// was written longer ago than that many writes may look changed, and never the other way round.
    fn is_unchanged(&self, key: &[u8], token: u64) -> bool {
        let now_ms = runtime::clock::wall_ms();
        let found = self
            .cache
            .borrow()
            .peek(slots::slot(key), key)
            .map(|found| (found.version as u32, is_over(found.expires_at_ms, now_ms)));
        match found {
            Some((version, false)) if token & ABSENT == 0 => {
                let now = self.cache_versions.get();
                let writes_since_version = (now as u32).wrapping_sub(version);
                now - token <= u64::from(writes_since_version)
            }
            _ => token & ABSENT != 0 && self.token_cache(key) == token,
        }
    }

    /// `FLUSHALL` in another keyspace: this one is emptied too, on this node.
    pub(crate) fn flush_cache(&self) {
        self.cache.borrow_mut().clear_slots(0..SLOT_COUNT);
        self.cache_vanished.set(self.cache_version());
    }

    /// Removes keys whose time is over. Whether there may be more of them.
    pub(crate) fn expire_cache(&self) -> bool {
        let now_ms = runtime::clock::wall_ms();
        let count = self.cache.borrow_mut().expire(now_ms, EXPIRED_COUNT_MAX);
        if 0 < count {
            self.cache_vanished.set(self.cache_version());
        }
        count == EXPIRED_COUNT_MAX
    }

    fn cache_version(&self) -> u64 {
        let version = self.cache_versions.get() + 1;
        self.cache_versions.set(version);
        version
    }
}

/// Touches the key, and hides it when its time is over.
fn cached<'a>(store: &'a mut Store, key: &[u8]) -> Option<&'a [u8]> {
    let found = store.get(slots::slot(key), key)?;
    // Most keys never expire: for them nobody asks for the time.
    let is_over =
        found.expires_at_ms != 0 && is_over(found.expires_at_ms, runtime::clock::wall_ms());
    match found.value {
        Value::Memory(value) if !is_over => Some(value),
        Value::Memory(_) | Value::Log(..) => None,
    }
}

fn out_of_memory(store: &Store, size: usize) -> Reply {
    let memory_bytes_max = store.memory_bytes_max();
    match store.eviction() {
        // As Redis begins it: clients look for these words.
        Eviction::None => Reply::error(format!(
            "OOM command not allowed when used memory > 'maxmemory': the keyspace `cache` has \
             {memory_bytes_max} bytes (`keyspaces.cache.memory_max`) and evicts nothing \
             (`keyspaces.cache.eviction`)"
        )),
        _ => Reply::error(format!(
            "OOM key and value are {size} bytes, the keyspace `cache` has {memory_bytes_max} in all \
             (`keyspaces.cache.memory_max`)"
        )),
    }
}

fn is_plain(options: SetOptions) -> bool {
    options == SetOptions { condition: None, get: false, expiry: Expiry::default() }
}
