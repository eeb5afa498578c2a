//! What a client is told, in either version of the protocol.
//!
//! A `Reply` is made as RESP3 would say it; RESP2 says the same with fewer types:
//!
//! ```text
//! Reply       RESP3                 RESP2
//! Simple      +OK                   +OK
//! Error       -ERR why              -ERR why
//! Integer     :1                    :1
//! Bulk        $3 key                $3 key
//! Null        _                     $-1
//! NullArray   _                     *-1
//! Array       *2 a b                *2 a b
//! Map         %1 key value          *2 key value
//! Set         ~1 a                  *1 a
//! Push        >2 a b                *2 a b
//! Double      ,1.5                  $3 1.5
//! Boolean     #t                    :1
//! BigNumber   (123                  $3 123
//! Verbatim    =8 txt:text           $4 text
//! ```

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

mod decode;
mod encode;

pub use decode::{Limits, ReplyError, Scanner, decode};
pub use encode::{
    write_array_header, write_bulk, write_double, write_error, write_integer, write_map_header,
    write_null, write_push_header, write_simple,
};

/// Which version a connection speaks. `HELLO` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// Typed maps, nulls, doubles, pushes.
    Resp3,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A short word such as `OK`. Line breaks in it are sent as spaces.
    Simple(Cow<'static, str>),
    /// `CODE text`, without the leading `-`. Line breaks in it are sent as spaces.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// Nothing, where bytes could have been.
    Null,
    /// Nothing, where an array could have been: an `EXEC` that was called off.
    NullArray,
    /// A list.
    Array(Vec<Reply>),
    /// Pairs, in this order.
    Map(Vec<(Reply, Reply)>),
    /// A list without an order.
    Set(Vec<Reply>),
    /// Not an answer: something the client asked to hear about.
    Push(Vec<Reply>),
    /// A fraction, or infinite, or not a number.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// An integer of any size, in decimal.
    BigNumber(String),
    /// Text for people.
    Verbatim {
        /// `txt` or `mkd`.
        format: [u8; 3],
        /// The text itself.
        text: Bytes,
    },
}

impl Reply {
    /// `+OK`.
    pub const OK: Reply = Reply::Simple(Cow::Borrowed("OK"));

    /// `+QUEUED`, inside `MULTI`.
    pub const QUEUED: Reply = Reply::Simple(Cow::Borrowed("QUEUED"));

    /// A bulk string with a copy of these bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// A bulk string of literal bytes: no copy.
    pub const fn text(text: &'static str) -> Reply {
        Reply::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// A simple string of literal text: no copy.
    pub const fn simple(text: &'static str) -> Reply {
        Reply::Simple(Cow::Borrowed(text))
    }

    /// An error. `text` starts with its code: `ERR no such key`.
    pub fn error(text: impl Into<String>) -> Reply {
        Reply::Error(text.into())
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }
}

#[cfg(test)]
mod tests;
