//! The log from outside: what it promises, and what it says when it cannot keep it.

#[path = "../model/mod.rs"]
mod model;

mod directory;
mod faults;
mod weather;
