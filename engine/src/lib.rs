//! Keeps bytes on one machine, in memory and on SSD, and says so when it cannot.
//!
//! Read `log` for how bytes become durable, `store` for how keys are found, `disk` for what both
//! stand on. The engine knows no peer, no protocol and no clock.

pub mod batch;
pub mod disk;
mod location;
pub mod store;

pub use self::location::Location;
