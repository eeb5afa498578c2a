//! The door from outside, over real sockets, with a house of paper behind it.

mod admin;
mod connections;
mod fake;
mod limits;
mod talk;
mod transactions;
