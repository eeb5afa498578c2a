//! Reads the log in large pieces, for whoever goes through it in order.

use super::conversation::Conversation;
use crate::disk::{Area, BLOCK_SIZE, Buffer};
use crate::format::chunk::{self, Extent, Header};
use crate::limits::{CHUNK_SIZE_MAX, WINDOW_SIZE};

/// Holds one piece of one segment.
pub(super) struct Window<'a> {
    conversation: &'a mut Conversation,
    segment: u32,
    start: u64,
    bytes: Option<Buffer>,
}

/// What the beginning of a segment tells about it.
pub(super) struct First {
    /// The first header that holds.
    pub(super) header: Option<Header>,
    /// Something was written in this life of the file.
    pub(super) written: bool,
    /// The file had another life.
    pub(super) recycled: bool,
}

impl<'a> Window<'a> {
    pub(super) fn new(conversation: &'a mut Conversation) -> Window<'a> {
        Window { conversation, segment: 0, start: 0, bytes: None }
    }

    /// The bytes from `offset` on: a whole chunk's, or as many as the segment has.
    pub(super) async fn at(&mut self, segment: u32, size: u64, offset: u64) -> &[u8] {
        assert!(offset < size, "there is something to read");
        let wanted = (size - offset).min(CHUNK_SIZE_MAX as u64);
        let there = self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let inside = self.segment == segment
            && self.start <= offset
            && offset + wanted <= self.start + there;
        if !inside {
            self.load(segment, offset, (size - offset).min(WINDOW_SIZE as u64) as usize).await;
        }
        let bytes = self.bytes.as_ref().expect("loaded just now or before");
        &bytes[(offset - self.start) as usize..]
    }

    /// Looks for the first header; only in the first block, or through all of them.
    pub(super) async fn first_header(&mut self, segment: u32, size: u64, thorough: bool) -> First {
        let mut first = First { header: None, written: false, recycled: false };
        let mut offset = 0;
        while offset < size && first.header.is_none() {
            if offset == 0 {
                self.load(segment, 0, BLOCK_SIZE).await;
            } else {
                self.at(segment, size, offset).await;
            }
            let bytes = self.bytes.as_ref().expect("loaded just now");
            let block = &bytes[(offset - self.start) as usize..][..BLOCK_SIZE];
            match chunk::header(block, segment, offset as u32) {
                Ok((header, _)) => {
                    first.header = Some(header);
                    first.recycled = header.recycled;
                }
                Err(Extent::Stale) => first.recycled = true,
                Err(extent) => first.written |= extent != Extent::Blank,
            }
            if !thorough && !first.written && first.header.is_none() {
                break;
            }
            offset += BLOCK_SIZE as u64;
        }
        // Of a file that had another life nothing but a header says that it was written again.
        first.written = first.header.is_some() || first.written && !first.recycled;
        first
    }

    /// Some blocks, past the window.
    pub(super) async fn apart(&mut self, segment: u32, offset: u64, size: usize) -> Buffer {
        self.conversation.read(Area::Segment(segment), offset, size).await
    }

    async fn load(&mut self, segment: u32, offset: u64, size: usize) {
        self.bytes = None; // One window's memory at a time.
        let bytes = self.conversation.read(Area::Segment(segment), offset, size).await;
        (self.segment, self.start, self.bytes) = (segment, offset, Some(bytes));
    }
}
