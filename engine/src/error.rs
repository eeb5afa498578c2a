//! What can go wrong when keeping bytes, seen by a caller who has to decide what to do next.

use std::io;
use std::path::PathBuf;

use crate::disk::Area;
use crate::keys::KeyId;
use crate::log::DamagedRange;

/// An engine operation failed. One variant per decision the caller can make.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no superblock: nothing was ever kept here. `Engine::create` makes one.
    #[error("there is no superblock: the data folder is new")]
    Empty,

    /// `create` found something. Nothing was changed; `open` it, or choose another folder.
    #[error("the data folder already holds a log")]
    NotEmpty,

    /// Another process has the folder. Nothing was changed.
    #[error("the data folder {} is in use by another process: stop it, or choose another folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },

    /// The folder cannot be used at all. Nothing was changed; the cause says why.
    #[error("the data folder {} cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Written by a release that this one does not know. Nothing was changed: use that release.
    #[error(
        "{area} has format {found}, this release reads format {supported}: use the newer release"
    )]
    Format {
        /// Where.
        area: AreaName,
        /// The format found.
        found: u16,
        /// The format this release reads and writes.
        supported: u16,
    },

    /// Acknowledged data is damaged, and `Options::serve_with_holes` is off. Nothing was changed.
    #[error(
        "acknowledged data is damaged in {count} place(s); the first: {first}. \
         Restore the folder from a copy, replace the node, or allow `serve_with_holes` to start \
         with what is left"
    )]
    Damaged {
        /// The first place.
        first: DamagedRange,
        /// How many places.
        count: usize,
    },

    /// No superblock can be read, though there was one. Nothing was changed.
    #[error(
        "{area} is damaged: neither of its two copies can be read. Restore the folder from a copy, \
         or replace the node with an empty folder"
    )]
    Superblock {
        /// Where.
        area: AreaName,
    },

    /// The directory is encrypted, and no key was given. Nothing was changed: give the key that it wants.
    #[error(
        "the data folder is encrypted: it opens with the root key {wanted}, and none was given"
    )]
    KeyMissing {
        /// The root key that opens it.
        wanted: KeyId,
    },

    /// Another root key was given than the one that opens the directory. Nothing was changed.
    #[error(
        "the data folder is encrypted: it opens with the root key {wanted}, the one given is {given}\
         {}",
        tampered_text(wanted, given)
    )]
    KeyWrong {
        /// The root key that opens it.
        wanted: KeyId,
        /// The one that was given. If it is the same, what SUPER holds is not what it was made.
        given: KeyId,
    },

    /// A root key was given, and the directory holds data that is not encrypted. Nothing was changed:
    /// leave the key out, or begin with an empty directory.
    #[error("the data folder is not encrypted, and a root key was given")]
    KeyUnexpected,

    /// An option is out of its range. Nothing was done.
    #[error("{what} is {value}, must be {rule}")]
    Option {
        /// Which.
        what: &'static str,
        /// As given.
        value: u64,
        /// What would be right.
        rule: &'static str,
    },

    /// The record can never be appended as it is. Tell the client; nothing was written.
    #[error("{what} is {size} bytes, the limit is {size_max}")]
    Size {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The largest that fits.
        size_max: usize,
    },

    /// No room for another segment. Reads go on; the append was not made and may succeed later.
    #[error("the log is full: {used} bytes used{}", limit_text(*.max))]
    Full {
        /// Bytes in segments.
        used: u64,
        /// The limit from the options; 0 if it is the device that is full.
        max: u64,
    },

    /// Too much waits for the disk. The append was not made: try again after an `Event::Durable`.
    #[error("{pending} bytes wait for the disk, the limit is {max}")]
    Busy {
        /// Bytes appended and not durable.
        pending: usize,
        /// The limit.
        max: usize,
    },

    /// The disk refused a write or a flush. What was not yet reported durable may or may not be there,
    /// and asking again may report success for data that was dropped (Rebello et al., "Can
    /// Applications Recover from fsync Failures?", USENIX ATC 2020): end the process and recover.
    #[error("could not {action} {area}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Where.
        area: AreaName,
        /// What the system said.
        source: io::Error,
    },

    /// The disk failed earlier and this engine does nothing more: end the process.
    #[error("the disk failed earlier; this process must end and recover")]
    Failed,
}

/// Why a record cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Its bytes are wrong or unreadable, twice. Fetch the value from a peer.
    #[error("the record at byte {offset} of segment {segment} is damaged ({cause})")]
    Damaged {
        /// The segment.
        segment: u32,
        /// The record's first byte.
        offset: u32,
        /// What was wrong with it.
        cause: String,
    },
}

/// An area as people know it: the name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaName(pub Area);

impl std::fmt::Display for AreaName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Area::Super => write!(formatter, "SUPER"),
            Area::Segment(number) => write!(formatter, "segment-{number:08}.log"),
        }
    }
}

impl EngineError {
    pub(crate) fn disk(action: &'static str, area: Area, source: io::Error) -> EngineError {
        EngineError::Disk { action, area: AreaName(area), source }
    }
}

fn tampered_text(wanted: &KeyId, given: &KeyId) -> &'static str {
    match wanted == given {
        true => ", and yet it does not open it: SUPER was changed by somebody else",
        false => "",
    }
}

fn limit_text(max: u64) -> String {
    match max {
        0 => ", and the device has no room for another segment".to_owned(),
        max => format!(", the limit is {max} (`log_size_max`)"),
    }
}
