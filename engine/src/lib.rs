//! Keeps bytes on one machine, in memory and on SSD, and says so when it cannot.
//!
//! Read `log` for how bytes become durable, `store` for how keys are found, `disk` for what both
//! stand on. The engine knows no peer, no protocol and no clock.

pub mod batch;
pub mod bugs;
pub mod compaction;
pub mod disk;
mod error;
mod format;
mod identity;
pub mod inspect;
pub mod keys;
pub mod limits;
mod location;
mod log;
mod record;
pub mod scrub;
pub mod store;

pub use self::error::{AreaName, EngineError, ReadError};
pub use self::identity::Identity;
pub use self::location::Location;
pub use self::log::{
    Checkpoint, DamagedRange, Engine, EngineStatus, Event, Mark, Opened, Options, Piece, Pin,
    ReadTicket, ScanTicket,
};
pub use self::record::{Record, RecordKind, Replay, Sequence};
