//! The finished binary, driven as its users drive it: over sockets, by signals, with real clients.
//!
//! Nothing of ours is linked in here: the RESP client is forty lines of its own, so a mistake in our
//! codec cannot hide behind the same mistake. Clusters run one at a time, since a machine of two cores
//! that runs six nodes tests its scheduler. Each has a folder and ports of its own, on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]
#![expect(clippy::disallowed_methods, reason = "these tests wait for real processes in real time")]

mod backup;
mod binary;
mod cluster;
mod commands;
mod crash;
mod disk_full;
mod encryption;
mod foreign;
mod lifecycle;
mod membership;
mod refusals;
mod resp;
mod scrub;
mod serve;
