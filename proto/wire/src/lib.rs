//! The languages: RESP and peer frames, to and from one `Command` and one `Reply`.
//!
//! Pure: bytes in, values out. Nothing in here reads a clock or a socket, and nothing allocates more
//! than a limit in its arguments (or in `limits`) allows, whatever the bytes say.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arguments;
pub mod backup;
pub mod command;
pub mod glob;
pub mod limits;
pub mod number;
pub mod peer;
pub mod reply;
pub mod resp;
pub mod table;
