//! The weather: one seed makes a world with bad disks, bad links, bad clocks and impatient clients,
//! and checks what was promised.
//!
//! Read `checker` for what "right" means, `disk` for what a power cut may do, and `world` for how it
//! all comes together. Everything but the world itself is plain code, tested in an ordinary build.

pub mod capsule;
pub mod checker;
pub mod clients;
pub mod coverage;
pub mod disk;
pub mod execution;
pub mod fault;
pub mod history;
pub mod invariants;
pub mod ledger;
pub mod model;
pub mod plan;
pub mod random;
#[cfg(not(madsim))]
pub mod real;
pub mod shrink;
pub mod story;
#[cfg(madsim)]
pub mod timeline;
pub mod workload;
#[cfg(madsim)]
pub mod world;
pub mod written;
