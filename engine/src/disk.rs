//! What the engine needs from hardware: numbered areas of bytes, and completions.
//!
//! A `Disk` takes operations and reports completions, in any order; between submission and completion
//! it owns the operation's buffer, so a caller that goes away can never free memory the kernel writes
//! to. Nothing here blocks, and nothing here is `async`: the driver polls.
//!
//! A disk gives two promises, and no more: a completed `Flush` makes every `Write` to that area which
//! *completed before the flush was submitted* survive a power cut, and a completed `Commit` does the same
//! for itself; a completed `Create`, `Rename` or `Remove` survives one too. Everything else may be lost, torn at 512 bytes, or reordered.

use std::io;
use std::path::Path;
use std::task::{Context, Poll};

pub use self::buffer::Buffer;
use self::directory::Directory;
pub(crate) use self::directory::areas_in;
pub use self::directory::{DirectoryState, directory_state};
use self::pool::PoolDisk;
#[cfg(target_os = "linux")]
use self::uring::UringDisk;
use crate::error::EngineError;

mod buffer;
mod directory;
pub mod memory;
mod outbox;
pub mod pool;
#[cfg(target_os = "linux")]
pub mod uring;

/// Every offset, size and address of an operation is a multiple of this, in bytes.
pub const BLOCK_SIZE: usize = 4096;

/// A part of the data directory; a file in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The superblock: who this directory belongs to.
    Super,
    /// One segment of the log.
    Segment(u32),
}

/// Names an operation from `submit` to its completion; the caller chooses it, unique in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One request to the disk. Sizes come from the buffers.
#[derive(Debug)]
pub enum Operation {
    /// Makes an area of `size` bytes, all written with zeros, and makes its existence durable.
    /// An existing area of that name is an error.
    Create {
        /// The new area.
        area: Area,
        /// Its size in bytes, a multiple of `BLOCK_SIZE`.
        size: u64,
    },
    /// Gives an area another name, which no area has, and makes that durable. Its bytes stay.
    Rename {
        /// The area.
        area: Area,
        /// Its new name.
        to: Area,
    },
    /// Removes an area for good.
    Remove {
        /// The area.
        area: Area,
    },
    /// Fills the whole buffer from `offset`; short reads are the disk's business to finish.
    Read {
        /// Where from.
        area: Area,
        /// First byte.
        offset: u64,
        /// Filled whole.
        buffer: Buffer,
    },
    /// Writes the whole buffer at `offset`. Not durable before a later `Flush` completes.
    Write {
        /// Where to.
        area: Area,
        /// First byte.
        offset: u64,
        /// Written whole.
        buffer: Buffer,
    },
    /// `Write`, and when it has ended well `Flush`, without a word in between: what a write that waits
    /// for nothing but its own flush wants. Fails like either of them.
    Commit {
        /// Where to.
        area: Area,
        /// First byte.
        offset: u64,
        /// Written whole, then flushed. The disk may keep it.
        buffer: Buffer,
    },
    /// Makes completed writes to the area durable. A failed flush is never retried: the process ends.
    Flush {
        /// What to flush.
        area: Area,
    },
}

/// The end of an operation.
#[derive(Debug)]
pub struct Completion {
    /// As given to `submit`.
    pub ticket: Ticket,
    /// What happened. After an error the buffer's content is unspecified.
    pub result: io::Result<()>,
    /// The operation's buffer, given back.
    pub buffer: Option<Buffer>,
}

/// See the module's text.
pub trait Disk {
    /// What exists, with sizes in bytes, in order. Asked once, when the engine opens.
    ///
    /// # Errors
    /// The directory cannot be listed; the engine does not open.
    fn areas(&mut self) -> io::Result<Vec<(Area, u64)>>;

    /// Starts an operation. Failures come as completions.
    fn submit(&mut self, ticket: Ticket, operation: Operation);

    /// Appends what has completed. `Pending` (with the waker registered) when nothing has.
    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()>;

    /// Which backend this is, for people: "io_uring", "thread pool", "simulated".
    fn name(&self) -> &'static str;
}

/// Which production backend to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// io_uring if the system allows it, else the thread pool, with one line in the log.
    #[default]
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// Threads that block in `pread`, `pwrite` and `fdatasync`.
    ThreadPool,
}

/// Takes a data directory for this process (making it if it is not there) and picks a backend.
///
/// # Errors
/// `Locked` if another process has it, `Folder` if it cannot be made, read or locked.
pub fn open_disk(path: &Path) -> Result<Box<dyn Disk>, EngineError> {
    open_disk_with(path, Backend::Auto)
}

/// As `open_disk`, with a backend of one's own choice.
///
/// # Errors
/// As `open_disk`; `Folder` too if the system has no such backend.
pub fn open_disk_with(path: &Path, backend: Backend) -> Result<Box<dyn Disk>, EngineError> {
    let directory = Directory::open(path)?;
    let refused = |source| EngineError::Folder { path: path.to_owned(), source };
    #[cfg(target_os = "linux")]
    if backend != Backend::ThreadPool {
        match uring::probe() {
            Ok(ring) => return Ok(Box::new(UringDisk::start(directory, ring).map_err(refused)?)),
            Err(error) if backend == Backend::IoUring => return Err(refused(error)),
            Err(error) => {
                tracing::warn!(%error, "io_uring cannot be used here: the thread pool serves the disk");
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    if backend == Backend::IoUring {
        return Err(refused(io::ErrorKind::Unsupported.into()));
    }
    Ok(Box::new(PoolDisk::start(directory).map_err(refused)?))
}
