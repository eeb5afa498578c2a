//! The log from outside: what it promises, and what it says when it cannot keep it.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

#[path = "../model/mod.rs"]
mod model;

mod directory;
mod economy;
mod faults;
mod formats;
mod weather;
