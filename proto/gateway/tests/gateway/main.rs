//! The door from outside, over real sockets, with a house of paper behind it.

#![cfg(not(madsim))]

mod admin;
mod connections;
mod fake;
mod limits;
mod talk;
mod transactions;
