//! What is in a backup, for people and for programs.

use std::fmt::Write;

use evenkeel_runtime::clock;
use evenkeel_wire::backup::{End, Frame, Header, ShardEnd};
use serde::Serialize;

use super::source::Source;
use super::time::utc;
use crate::failure::{Exit, Failure};
use crate::progress::{Progress, mib};
use crate::status::write_table;

/// The document of `--output json`. Fields are only ever added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Contents {
    pub file: String,
    pub id: String,
    pub cluster: String,
    pub epoch: u64,
    pub software: String,
    pub started_ms: u64,
    pub finished_ms: u64,
    pub file_bytes: u64,
    pub keys: u64,
    /// Among them those that have a deadline.
    pub keys_volatile: u64,
    /// Among those the ones whose deadline is over now: a restore leaves them out.
    pub keys_expired: u64,
    pub entry_bytes: u64,
    pub shards: Vec<Shard>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Shard {
    pub shard: u32,
    /// The slot of the shard's log up to which it has everything, and nothing beyond.
    pub position: u64,
    pub taken_ms: u64,
    pub keys: u64,
    pub entry_bytes: u64,
}

impl Contents {
    pub(super) fn begin(file: String, header: &Header) -> Contents {
        Contents {
            file,
            id: format!("{:016x}", header.id),
            cluster: format!("{:016x}", header.cluster),
            epoch: header.epoch,
            software: header.software.clone(),
            started_ms: header.started_ms,
            ..Contents::default()
        }
    }

    pub(super) fn note_deadline(&mut self, expires_at_ms: u64, now_ms: u64) {
        self.keys_volatile += u64::from(expires_at_ms != 0);
        self.keys_expired += u64::from(expires_at_ms != 0 && expires_at_ms <= now_ms);
    }

    pub(super) fn note_shard(&mut self, end: &ShardEnd) {
        self.shards.push(Shard {
            shard: end.shard,
            position: end.position,
            taken_ms: end.taken_ms,
            keys: end.size.key_count,
            entry_bytes: end.size.entry_bytes,
        });
    }

    pub(super) fn end(&mut self, end: &End, file_bytes: u64) {
        self.finished_ms = end.finished_ms;
        self.keys = end.size.key_count;
        self.entry_bytes = end.size.entry_bytes;
        self.file_bytes = file_bytes;
    }

    pub(super) fn for_people(&self) -> String {
        let mut text = format!(
            "{}: backup {} of cluster {}, map epoch {}, written by {}\n\
             taken from {} to {} UTC, {} shards, {} keys ({} with a deadline, {} of them over by now), \
             {}\n\n",
            self.file,
            self.id,
            self.cluster,
            self.epoch,
            self.software,
            utc(self.started_ms),
            utc(self.finished_ms),
            self.shards.len(),
            self.keys,
            self.keys_volatile,
            self.keys_expired,
            mib(self.file_bytes),
        );
        let mut table =
            vec![["shard", "as of (UTC)", "log slot", "keys", "bytes"].map(str::to_owned)];
        table.extend(self.shards.iter().map(|shard| {
            let Shard { shard, position, taken_ms, keys, entry_bytes } = *shard;
            [
                shard.to_string(),
                utc(taken_ms),
                position.to_string(),
                keys.to_string(),
                entry_bytes.to_string(),
            ]
        }));
        write_table(&mut text, &table);
        writeln!(text, "\nwhole: every checksum and every count is right").ok();
        text
    }
}

/// Reads a backup from its beginning to its end.
pub(super) fn read(source: &mut Source) -> Result<Contents, Failure> {
    let file = source.path().display().to_string();
    let mut contents = Contents::default();
    let mut progress = Progress::new();
    let now_ms = clock::wall_ms();
    loop {
        let offset = source.offset();
        progress.at(|seconds| {
            let rate = mib((offset as f64 / seconds) as u64);
            format!("verifying: {} read, {rate}/s", mib(offset))
        });
        let read = source.next(|frame| match frame {
            Frame::Header(header) => contents = Contents::begin(file.clone(), &header),
            Frame::Part(_, entries) => {
                entries
                    .iter()
                    .for_each(|entry| contents.note_deadline(entry.expires_at_ms, now_ms));
            }
            Frame::ShardEnd(end) => contents.note_shard(&end),
            Frame::End(end) => contents.end(&end, 0),
        })?;
        if read.is_none() {
            contents.file_bytes = source.offset();
            if contents.shards.is_empty() {
                return Err(Failure::new(Exit::Failed, format!("{file} has no shard at all")));
            }
            return Ok(contents);
        }
    }
}
