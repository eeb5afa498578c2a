//! The disk on io_uring: one thread owns the ring and sleeps in the kernel.
//!
//! ```text
//! submit ─► inbox, eventfd ─► reactor: slab of operations ⇄ ring
//!   poll ◄─ outbox, waker  ◄──┘
//! ```
//!
//! Invariant: what the kernel may read or write lives in the slab, or in the reactor itself, until the
//! kernel has said that it is done with it. Nobody outside can free it: a caller that goes away leaves
//! its buffer here.
#![expect(unsafe_code, reason = "the kernel shares memory with the ring; see the invariant")]

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::directory::Directory;
use super::outbox::Outbox;
use super::{Area, BLOCK_SIZE, Buffer, Completion, Disk, Operation, Ticket};

/// Operations the kernel has at a time; more wait in the reactor.
const DEPTH: u32 = 64;
/// The read of the eventfd is not in the slab.
const WAKE: u64 = u64::MAX;

/// A ring that works: the system allowed it, and it answered.
///
/// # Errors
/// What the system said; `Uncategorized` or `PermissionDenied` under a seccomp filter.
pub(super) fn probe() -> io::Result<IoUring> {
    let mut ring = IoUring::new(DEPTH)?;
    let entry = opcode::Nop::new().build();
    // SAFETY: a NOP refers to no memory.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let completion = ring.completion().next().ok_or(io::ErrorKind::Unsupported)?;
    result_of(&completion).map(|_| ring)
}

/// See the module's text.
pub struct UringDisk {
    directory: Arc<Directory>,
    shared: Arc<Shared>,
    reactor: Option<JoinHandle<()>>,
    makers: Vec<JoinHandle<()>>,
}

struct Shared {
    inbox: Mutex<Inbox>,
    outbox: Outbox,
    /// Counts up when the inbox is no longer empty.
    wake: File,
}

#[derive(Default)]
struct Inbox {
    requests: Vec<(Ticket, Operation)>,
    stop: bool,
}

impl UringDisk {
    pub(super) fn start(directory: Directory, ring: IoUring) -> io::Result<UringDisk> {
        // SAFETY: eventfd takes no pointer.
        let wake = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if wake < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made just now and nobody else has it.
        let wake = File::from(unsafe { OwnedFd::from_raw_fd(wake) });
        let inbox = Mutex::default();
        let shared = Arc::new(Shared { inbox, outbox: Outbox::default(), wake });
        let directory = Arc::new(directory);
        let reactor = Reactor {
            ring,
            directory: directory.clone(),
            shared: shared.clone(),
            slab: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            flying: 0,
            wake_count: Box::new(0),
            armed: false,
            stop: false,
        };
        let thread = thread::Builder::new().name("disk-uring".to_owned());
        let reactor = Some(thread.spawn(move || reactor.run())?);
        Ok(UringDisk { directory, shared, reactor, makers: Vec::new() })
    }

    /// What changes the directory blocks (a new file takes many calls), and none of it is urgent: a
    /// thread of its own does it.
    fn rearrange(
        &mut self,
        ticket: Ticket,
        work: impl FnOnce(&Directory) -> io::Result<()> + Send + 'static,
    ) {
        self.makers.retain(|maker| !maker.is_finished());
        let (directory, shared) = (self.directory.clone(), self.shared.clone());
        let make = move || {
            let result = work(&directory);
            shared.outbox.push(Completion { ticket, result, buffer: None });
        };
        match thread::Builder::new().name("disk-make".to_owned()).spawn(make) {
            Ok(maker) => self.makers.push(maker),
            Err(error) => {
                self.shared.outbox.push(Completion { ticket, result: Err(error), buffer: None });
            }
        }
    }
}

impl Disk for UringDisk {
    fn areas(&mut self) -> io::Result<Vec<(Area, u64)>> {
        self.directory.areas()
    }

    fn submit(&mut self, ticket: Ticket, operation: Operation) {
        let operation = match operation {
            Operation::Create { area, size } => {
                return self.rearrange(ticket, move |directory| directory.create(area, size));
            }
            Operation::Rename { area, to } => {
                return self.rearrange(ticket, move |directory| directory.rename(area, to));
            }
            Operation::Remove { area } => {
                return self.rearrange(ticket, move |directory| directory.remove(area));
            }
            other => other,
        };
        let mut inbox = self.shared.inbox();
        inbox.requests.push((ticket, operation));
        let first = inbox.requests.len() == 1;
        drop(inbox);
        if first {
            self.shared.wake();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        self.shared.outbox.poll(context, completions)
    }

    fn name(&self) -> &'static str {
        "io_uring"
    }
}

impl Drop for UringDisk {
    /// Waits until the kernel has ended everything, so that the lock on the directory goes last.
    fn drop(&mut self) {
        self.shared.inbox().stop = true;
        self.shared.wake();
        for thread in self.reactor.take().into_iter().chain(self.makers.drain(..)) {
            // A panic in there was printed by its thread.
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    /// A thread that panicked left a list that is whole: it is only ever pushed to and taken.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let one = 1_u64.to_le_bytes(); // Any number but zero will do, in any byte order.
        io::Write::write_all(&mut &self.wake, &one).expect("an eventfd takes 2^56 of these");
    }
}

/// An operation, from submission to completion.
struct Flight {
    ticket: Ticket,
    action: Action,
    file: Arc<File>,
    /// A write that is to be flushed when it has ended.
    commits: bool,
}

enum Action {
    /// `done` bytes, whole blocks, are there.
    Read {
        offset: u64,
        buffer: Buffer,
        done: usize,
    },
    /// The same.
    Write {
        offset: u64,
        buffer: Buffer,
        done: usize,
    },
    Flush,
}

struct Reactor {
    ring: IoUring,
    directory: Arc<Directory>,
    shared: Arc<Shared>,
    /// Operations by the number under which the kernel knows them.
    slab: Vec<Option<Flight>>,
    free: Vec<usize>,
    /// In the slab, and to be pushed to the ring.
    waiting: VecDeque<usize>,
    /// With the kernel.
    flying: u32,
    /// The kernel writes here when it wakes us.
    wake_count: Box<u64>,
    /// The kernel has the read of the eventfd.
    armed: bool,
    stop: bool,
}

impl Reactor {
    fn run(mut self) {
        loop {
            self.receive();
            self.arm();
            while self.flying < DEPTH - 1
                && let Some(index) = self.waiting.pop_front()
            {
                self.push(index);
            }
            if self.stop && self.flying == 0 && self.waiting.is_empty() && !self.armed {
                return;
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => (),
                Err(error) if is_passing(&error) => (),
                Err(error) => panic!("io_uring no longer takes submissions: {error}"),
            }
            let completions: Vec<cqueue::Entry> = self.ring.completion().collect();
            for completion in completions {
                match completion.user_data() {
                    WAKE => self.armed = false,
                    index => self.complete(index as usize, result_of(&completion)),
                }
            }
        }
    }

    fn receive(&mut self) {
        let mut inbox = self.shared.inbox();
        let requests = mem::take(&mut inbox.requests);
        self.stop = inbox.stop;
        drop(inbox);
        for (ticket, operation) in requests {
            let commits = matches!(operation, Operation::Commit { .. });
            let (area, action) = match operation {
                Operation::Read { area, offset, buffer } => {
                    (area, Action::Read { offset, buffer, done: 0 })
                }
                Operation::Write { area, offset, buffer }
                | Operation::Commit { area, offset, buffer } => {
                    (area, Action::Write { offset, buffer, done: 0 })
                }
                Operation::Flush { area } => (area, Action::Flush),
                Operation::Create { .. } | Operation::Rename { .. } | Operation::Remove { .. } => {
                    unreachable!("done by a thread of its own")
                }
            };
            match self.directory.file(area) {
                Ok(file) => self.insert(Flight { ticket, action, file, commits }),
                Err(error) => self.finish(ticket, action, Err(error)),
            }
        }
    }

    fn insert(&mut self, flight: Flight) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            self.slab.len() - 1
        });
        assert!(self.slab[index].is_none(), "a free place holds nothing");
        self.slab[index] = Some(flight);
        self.waiting.push_back(index);
    }

    /// Asks the kernel to say when the eventfd counts, unless it has been asked.
    fn arm(&mut self) {
        if self.armed || self.stop {
            return;
        }
        let count: *mut u64 = &mut *self.wake_count;
        let fd = types::Fd(self.shared.wake.as_raw_fd());
        let entry = opcode::Read::new(fd, count.cast(), size_of::<u64>() as u32);
        // SAFETY: `wake_count` is boxed, touched by nobody else, and `run` returns only when the
        // kernel has ended this read (`armed` is false).
        unsafe { self.submit(&entry.build().user_data(WAKE)) };
        self.armed = true;
    }

    fn push(&mut self, index: usize) {
        let flight = self.slab[index].as_mut().expect("what waits is in the slab");
        let fd = types::Fd(flight.file.as_raw_fd());
        let entry = match &mut flight.action {
            Action::Read { offset, buffer, done } => {
                let rest = &mut buffer[*done..];
                opcode::Read::new(fd, rest.as_mut_ptr(), rest.len() as u32)
                    .offset(*offset + *done as u64)
                    .build()
            }
            Action::Write { offset, buffer, done } => {
                let rest = &buffer[*done..];
                opcode::Write::new(fd, rest.as_ptr(), rest.len() as u32)
                    .offset(*offset + *done as u64)
                    .build()
            }
            Action::Flush => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
        };
        // SAFETY: the buffer's bytes are on the heap and do not move with the slab; the flight, which
        // owns them and keeps the file open, stays in the slab until this entry's completion, and
        // nothing touches the bytes before.
        unsafe { self.submit(&entry.user_data(index as u64)) };
        self.flying += 1;
    }

    /// # Safety
    /// What the entry refers to stays valid until its completion.
    unsafe fn submit(&mut self, entry: &squeue::Entry) {
        // SAFETY: the caller's promise.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            match self.ring.submit() {
                Ok(_) => (),
                Err(error) if is_passing(&error) => (),
                Err(error) => panic!("io_uring no longer takes submissions: {error}"),
            }
        }
    }

    fn complete(&mut self, index: usize, result: io::Result<usize>) {
        self.flying -= 1;
        let flight = self.slab[index].as_mut().expect("the kernel ends what is in the slab");
        match (&mut flight.action, &result) {
            (_, Err(error)) if is_passing(error) => return self.waiting.push_back(index),
            (Action::Read { buffer, done, .. } | Action::Write { buffer, done, .. }, Ok(moved))
                if *moved != 0 && *done + moved < buffer.len() =>
            {
                // Short: go on at the last whole block, since direct I/O takes nothing else.
                let whole = (*done + moved) / BLOCK_SIZE * BLOCK_SIZE;
                if *done < whole {
                    *done = whole;
                    return self.waiting.push_back(index);
                }
            }
            _ => (),
        }
        let result = result.and_then(|moved| whole(&flight.action, moved));
        if result.is_ok() && mem::take(&mut flight.commits) {
            flight.action = Action::Flush;
            return self.waiting.push_back(index);
        }
        let Flight { ticket, action, .. } = self.slab[index].take().expect("looked at just now");
        self.free.push(index);
        self.finish(ticket, action, result);
    }

    fn finish(&self, ticket: Ticket, action: Action, result: io::Result<()>) {
        let buffer = match action {
            Action::Read { buffer, .. } | Action::Write { buffer, .. } => Some(buffer),
            Action::Flush => None,
        };
        self.shared.outbox.push(Completion { ticket, result, buffer });
    }
}

/// Whether the last `moved` bytes were the last ones.
fn whole(action: &Action, moved: usize) -> io::Result<()> {
    match action {
        Action::Read { buffer, done, .. } if done + moved < buffer.len() => {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
        Action::Write { buffer, done, .. } if done + moved < buffer.len() => {
            Err(io::ErrorKind::WriteZero.into())
        }
        Action::Read { .. } | Action::Write { .. } | Action::Flush => Ok(()),
    }
}

fn result_of(completion: &cqueue::Entry) -> io::Result<usize> {
    usize::try_from(completion.result())
        .map_err(|_| io::Error::from_raw_os_error(-completion.result()))
}

/// Asking again is all that it takes.
fn is_passing(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(code) => code == libc::EINTR || code == libc::EAGAIN || code == libc::EBUSY,
        None => false,
    }
}
