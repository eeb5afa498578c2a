//! The disk on threads that block, for where io_uring cannot be used.
//!
//! Four threads: one writes and flushes, two read, one makes files. So a read never waits for a flush,
//! and a flush never for the zeros of a new segment.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use super::directory::Directory;
use super::outbox::Outbox;
use super::{Area, Buffer, Completion, Disk, Operation, Ticket};

const READER_COUNT: usize = 2;

type Queue = Sender<(Ticket, Operation)>;

/// See the module's text.
pub struct PoolDisk {
    directory: Arc<Directory>,
    outbox: Arc<Outbox>,
    /// For reads, for writes and flushes, for new files; gone when the disk is dropped.
    queues: Option<[Queue; 3]>,
    threads: Vec<JoinHandle<()>>,
}

impl PoolDisk {
    pub(super) fn start(directory: Directory) -> io::Result<PoolDisk> {
        let (directory, outbox) = (Arc::new(directory), Arc::new(Outbox::default()));
        let mut threads = Vec::new();
        let mut queue = |name: &str, count: usize| -> io::Result<Queue> {
            let (sender, receiver) = channel();
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..count {
                let (directory, outbox) = (directory.clone(), outbox.clone());
                let receiver = receiver.clone();
                let work = move || work(&receiver, &directory, &outbox);
                threads.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
            }
            Ok(sender)
        };
        let queues =
            [queue("disk-read", READER_COUNT)?, queue("disk-write", 1)?, queue("disk-make", 1)?];
        Ok(PoolDisk { directory, outbox, queues: Some(queues), threads })
    }
}

impl Disk for PoolDisk {
    fn areas(&mut self) -> io::Result<Vec<(Area, u64)>> {
        self.directory.areas()
    }

    fn submit(&mut self, ticket: Ticket, operation: Operation) {
        let [reads, writes, creates] = self.queues.as_ref().expect("there until dropped");
        let queue = match operation {
            Operation::Read { .. } => reads,
            Operation::Write { .. } | Operation::Commit { .. } | Operation::Flush { .. } => writes,
            Operation::Create { .. } | Operation::Rename { .. } | Operation::Remove { .. } => {
                creates
            }
        };
        queue.send((ticket, operation)).expect("its threads end only after the queue does");
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        self.outbox.poll(context, completions)
    }

    fn name(&self) -> &'static str {
        "thread pool"
    }
}

impl Drop for PoolDisk {
    /// Ends what was submitted, so that the lock on the directory goes last.
    fn drop(&mut self) {
        self.queues = None;
        for thread in self.threads.drain(..) {
            // A panic in there was printed by its thread.
            let _panicked = thread.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<(Ticket, Operation)>>, directory: &Directory, outbox: &Outbox) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((ticket, operation)) = next else { return };
        let (result, buffer) = execute(directory, operation);
        outbox.push(Completion { ticket, result, buffer });
    }
}

fn execute(directory: &Directory, operation: Operation) -> (io::Result<()>, Option<Buffer>) {
    match operation {
        Operation::Create { area, size } => (directory.create(area, size), None),
        Operation::Rename { area, to } => (directory.rename(area, to), None),
        Operation::Remove { area } => (directory.remove(area), None),
        Operation::Read { area, offset, mut buffer } => {
            let file = directory.file(area);
            (file.and_then(|file| file.read_exact_at(&mut buffer, offset)), Some(buffer))
        }
        Operation::Write { area, offset, buffer } => {
            let file = directory.file(area);
            (file.and_then(|file| file.write_all_at(&buffer, offset)), Some(buffer))
        }
        Operation::Commit { area, offset, buffer } => {
            let file = directory.file(area);
            let commit = |file: Arc<File>| {
                file.write_all_at(&buffer, offset)?;
                file.sync_data()
            };
            (file.and_then(commit), Some(buffer))
        }
        Operation::Flush { area } => (directory.file(area).and_then(|file| file.sync_data()), None),
    }
}
