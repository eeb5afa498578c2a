//! One operation at a time with a disk: for opening and closing, when there is nothing else to do.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::disk::{Area, BLOCK_SIZE, Buffer, Completion, Disk, Operation, Ticket};
use crate::error::EngineError;

/// What a block is filled with that cannot be read: neither zeros nor anything that was written.
const UNREADABLE: u8 = 0xbd;

pub(super) struct Conversation {
    pub(super) disk: Box<dyn Disk>,
    ticket: u64,
}

impl Conversation {
    pub(super) fn new(disk: Box<dyn Disk>) -> Conversation {
        Conversation { disk, ticket: 0 }
    }

    /// A ticket that was never used before.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    pub(super) fn submit(&mut self, operation: Operation) -> Ticket {
        let ticket = self.ticket();
        self.disk.submit(ticket, operation);
        ticket
    }

    /// Completions of anything else are dropped.
    async fn ask(&mut self, operation: Operation) -> Completion {
        let ticket = self.submit(operation);
        let mut completions = Vec::new();
        poll_fn(|context| {
            while self.disk.poll(context, &mut completions).is_ready() {
                let mut done = completions.drain(..);
                if let Some(completion) = done.find(|done| done.ticket == ticket) {
                    return Poll::Ready(completion);
                }
            }
            Poll::Pending
        })
        .await
    }

    pub(super) async fn create(&mut self, area: Area, size: u64) -> io::Result<()> {
        self.ask(Operation::Create { area, size }).await.result
    }

    pub(super) async fn write(
        &mut self,
        area: Area,
        offset: u64,
        buffer: Buffer,
    ) -> Result<(), EngineError> {
        let completion = self.ask(Operation::Write { area, offset, buffer }).await;
        completion.result.map_err(|source| EngineError::disk("write", area, source))
    }

    pub(super) async fn flush(&mut self, area: Area) -> Result<(), EngineError> {
        let completion = self.ask(Operation::Flush { area }).await;
        completion.result.map_err(|source| EngineError::disk("flush", area, source))
    }

    /// Reads `size` bytes, a multiple of `BLOCK_SIZE`. A block that cannot be read, twice, comes back
    /// filled with `UNREADABLE`: no checksum holds for it, and nobody takes it for unwritten.
    pub(super) async fn read(&mut self, area: Area, offset: u64, size: usize) -> Buffer {
        for _ in 0..2 {
            let buffer = Buffer::zeroed(size);
            let mut completion = self.ask(Operation::Read { area, offset, buffer }).await;
            if completion.result.is_ok() {
                return completion.buffer.take().expect("a read gives its buffer back");
            }
        }
        let mut whole = Buffer::zeroed(size);
        for start in (0..size).step_by(BLOCK_SIZE) {
            let buffer = Buffer::zeroed(BLOCK_SIZE);
            let offset = offset + start as u64;
            let completion = self.ask(Operation::Read { area, offset, buffer }).await;
            let block = &mut whole[start..start + BLOCK_SIZE];
            match (completion.result, completion.buffer) {
                (Ok(()), Some(read)) => block.copy_from_slice(&read),
                (Ok(()) | Err(_), _) => block.fill(UNREADABLE),
            }
        }
        whole
    }
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Conversation({})", self.disk.name())
    }
}
