//! Makes the frames of a backup, one after the other.

use alloc::vec::Vec;

use crc32fast::Hasher;

use super::{
    BODY_SIZE_MAX, End, HEAD_SIZE, Header, KIND_END, KIND_HEADER, KIND_PART, KIND_SHARD_END, MAGIC,
    SHARD_COUNT_MAX, SOFTWARE_SIZE_MAX, ShardEnd, Size, VERSION, entries, head_checksum,
};

/// How far a file is. What was written since can be taken back: see `Writer::back_to`.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Where the next frame goes, in bytes.
    pub offset: u64,
    /// Of all parts so far.
    pub size: Size,
    index: u64,
    shard: u32,
    of_shard: Size,
    digest: Hasher,
}

/// Appends frames to a buffer that its owner writes to a file, from the first byte to the last.
#[derive(Debug, Clone)]
pub struct Writer {
    id: u64,
    shard_count: u32,
    progress: Progress,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Panics
    /// The header is over a limit, or its id is 0.
    pub fn begin(header: &Header, target: &mut Vec<u8>) -> Writer {
        assert!(header.id != 0, "0 stands for no backup");
        assert!(header.shard_count <= SHARD_COUNT_MAX, "a cluster has so many shards at most");
        assert!(header.software.len() <= SOFTWARE_SIZE_MAX, "a name is short");
        let mut body = Vec::new();
        for number in [header.id, header.cluster, header.epoch, header.started_ms] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&header.shard_count.to_le_bytes());
        body.extend_from_slice(&(header.software.len() as u32).to_le_bytes());
        body.extend_from_slice(header.software.as_bytes());
        let progress = Progress {
            offset: 0,
            size: Size::default(),
            index: 0,
            shard: 0,
            of_shard: Size::default(),
            digest: Hasher::new(),
        };
        let mut writer = Writer { id: 0, shard_count: header.shard_count, progress };
        writer.frame(KIND_HEADER, &body, target);
        writer.id = header.id;
        writer
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes back what was written since; the file must be cut to `progress.offset`.
    pub fn back_to(&mut self, progress: Progress) {
        assert!(progress.offset <= self.progress.offset, "what was written can be taken back");
        self.progress = progress;
    }

    /// A part of the shard that is due, as a node sent it. `false`: it is none, and nothing was written.
    pub fn part(&mut self, part: &[u8], target: &mut Vec<u8>) -> bool {
        let Some((shard, entries)) = entries::part(part) else { return false };
        if shard != self.progress.shard || self.shard_count <= shard || entries.count() == 0 {
            return false;
        }
        self.progress.size.add(entries.count(), entries.size());
        self.progress.of_shard.add(entries.count(), entries.size());
        self.frame(KIND_PART, part, target);
        true
    }

    /// The shard that is due has no more parts. Returns what there was of it.
    pub fn end_shard(&mut self, position: u64, taken_ms: u64, target: &mut Vec<u8>) -> ShardEnd {
        let Progress { shard, of_shard: size, .. } = self.progress;
        assert!(shard < self.shard_count, "every shard ends once");
        let mut body = Vec::new();
        body.extend_from_slice(&shard.to_le_bytes());
        body.extend_from_slice(&position.to_le_bytes());
        body.extend_from_slice(&taken_ms.to_le_bytes());
        put_size(&size, &mut body);
        self.frame(KIND_SHARD_END, &body, target);
        self.progress.shard += 1;
        self.progress.of_shard = Size::default();
        ShardEnd { shard, position, taken_ms, size }
    }

    /// All shards have ended: so does the file.
    pub fn end(mut self, finished_ms: u64, target: &mut Vec<u8>) -> End {
        assert!(self.progress.shard == self.shard_count, "a backup has all shards");
        let size = self.progress.size;
        let mut body = Vec::new();
        body.extend_from_slice(&finished_ms.to_le_bytes());
        put_size(&size, &mut body);
        let digest = self.progress.digest.clone().finalize();
        body.extend_from_slice(&digest.to_le_bytes());
        self.frame(KIND_END, &body, target);
        End { finished_ms, size }
    }

    fn frame(&mut self, kind: u8, body: &[u8], target: &mut Vec<u8>) {
        assert!(body.len() <= BODY_SIZE_MAX, "bodies are bounded");
        let start = target.len();
        target.extend_from_slice(&MAGIC.to_le_bytes());
        target.extend_from_slice(&[VERSION, kind, 0, 0]);
        target.extend_from_slice(&(body.len() as u32).to_le_bytes());
        target.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        target.extend_from_slice(&self.progress.index.to_le_bytes());
        let checksum = head_checksum(self.id, self.progress.offset, &target[start..]);
        target.extend_from_slice(&checksum.to_le_bytes());
        assert!(target.len() - start == HEAD_SIZE, "the head is as the table says");
        target.extend_from_slice(body);
        self.progress.digest.update(&target[start..]);
        self.progress.index += 1;
        self.progress.offset += (HEAD_SIZE + body.len()) as u64;
    }
}

fn put_size(size: &Size, body: &mut Vec<u8>) {
    for number in [size.key_count, size.part_count, size.entry_bytes] {
        body.extend_from_slice(&number.to_le_bytes());
    }
}
