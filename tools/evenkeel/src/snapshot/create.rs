//! `evenkeel snapshot create`.

use std::path::PathBuf;
use std::time::Duration;

use evenkeel_client::Options;
use evenkeel_client::snapshot::{Begun, SnapshotClient, Step};
use evenkeel_runtime::{block_on, clock, random_u64, sleep};
use evenkeel_wire::backup::{Header, Writer};

use super::contents::Contents;
use super::show;
use super::target::Target;
use super::time::stamp;
use crate::arguments::CreateArguments;
use crate::failure::{Exit, Failure};
use crate::progress::{Progress, mib};
use crate::talk::failure;

/// A shard of which the snapshot was lost so often in a row is given up.
const TRIES_MAX: u32 = 10;
/// How long to wait before a shard is begun again.
const PAUSE: Duration = Duration::from_millis(500);
/// One answer may take so long.
const REPLY_PATIENCE: Duration = Duration::from_secs(15);

/// A backup in the making.
struct Creation {
    client: SnapshotClient,
    target: Target,
    writer: Writer,
    contents: Contents,
    progress: Progress,
    /// Frames that are about to be written.
    frames: Vec<u8>,
    shard_count: u32,
    cluster: u64,
    /// Bytes a second at most.
    rate: Option<u64>,
}

pub(super) fn run(arguments: &CreateArguments) -> Result<(), Failure> {
    let started_ms = clock::wall_ms();
    let path = arguments
        .to
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("evenkeel-{}.backup", stamp(started_ms))));
    // First of all: a wrong name should not cost the time that a backup takes.
    let target = Target::create(&path, arguments.force)?;
    let (contents, seconds) = block_on(async {
        let mut creation = Creation::begin(arguments, target, started_ms).await?;
        creation.take_shards().await?;
        creation.finish()
    })?;
    let rate = contents.entry_bytes as f64 / seconds.max(0.001);
    let text = format!(
        "{}: {} keys in {} shards, {}, in {seconds:.1} s ({}/s)\n",
        contents.file,
        contents.keys,
        contents.shards.len(),
        mib(contents.file_bytes),
        mib(rate as u64),
    );
    show(arguments.output, &contents, &text)
}

impl Creation {
    async fn begin(
        arguments: &CreateArguments,
        target: Target,
        started_ms: u64,
    ) -> Result<Creation, Failure> {
        let arrangement = &arguments.target;
        let reply_timeout = REPLY_PATIENCE.min(arrangement.patience());
        let options =
            Options { connect_timeout: reply_timeout, reply_timeout, ..Options::default() };
        let nodes = vec![arrangement.address];
        let mut client = SnapshotClient::new(nodes, options, arrangement.patience());
        client.learn_nodes().await.map_err(failure)?;
        let first = client.begin(0).await.map_err(failure)?;
        client.end(&first).await; // Asked for what it says of the cluster only.
        let header = Header {
            id: random_u64().max(1),
            cluster: first.cluster,
            epoch: first.epoch,
            started_ms,
            shard_count: first.shard_count,
            software: concat!("evenkeel ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let mut frames = Vec::new();
        let writer = Writer::begin(&header, &mut frames);
        let contents = Contents::begin(target.path().display().to_string(), &header);
        let progress = Progress::new();
        let (shard_count, cluster) = (header.shard_count, header.cluster);
        let rate = arguments.rate.map(|mib| mib << 20);
        Ok(Creation {
            client,
            target,
            writer,
            contents,
            progress,
            frames,
            shard_count,
            cluster,
            rate,
        })
    }

    async fn take_shards(&mut self) -> Result<(), Failure> {
        self.write()?;
        for shard in 0..self.shard_count as u16 {
            let (before, contents) = (self.writer.progress().clone(), self.contents.clone());
            let mut tries = 1;
            while let Some(why) = self.take_shard(shard).await? {
                if TRIES_MAX <= tries {
                    let what = format!("shard {shard} could not be fetched, {tries} times: {why}");
                    return Err(Failure::new(Exit::Unavailable, what).next(
                        "Try again later; the nodes' logs and `evenkeel status` may say more.",
                    ));
                }
                tries += 1;
                self.progress.note(&format!("shard {shard} once more: {why}"));
                self.target.cut(before.offset)?;
                self.writer.back_to(before.clone());
                self.contents = contents.clone();
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Why the shard has to be begun again, if it has to.
    async fn take_shard(&mut self, shard: u16) -> Result<Option<String>, Failure> {
        let begun = self.client.begin(shard).await.map_err(failure)?;
        if (begun.cluster, begun.shard_count) != (self.cluster, self.shard_count) {
            let what = "the node that answers now belongs to another cluster";
            return Err(Failure::new(Exit::Unavailable, what));
        }
        for index in 0.. {
            match self.client.next(&begun, index).await.map_err(failure)? {
                Step::Part(part) => {
                    self.keep(&begun, &part)?;
                    self.write()?;
                    self.slow_down().await;
                }
                Step::Done => break,
                Step::Gone(why) => {
                    self.client.end(&begun).await; // Should it be held all the same.
                    return Ok(Some(why));
                }
            }
            self.tell(shard);
        }
        self.client.end(&begun).await;
        let Begun { position, taken_ms, .. } = begun;
        let end = self.writer.end_shard(position, taken_ms, &mut self.frames);
        self.contents.note_shard(&end);
        self.write()?;
        self.tell(shard);
        Ok(None)
    }

    fn keep(&mut self, begun: &Begun, part: &[u8]) -> Result<(), Failure> {
        if !self.writer.part(part, &mut self.frames) {
            let what = format!("the node sent something else than a part of shard {}", begun.shard);
            return Err(Failure::new(Exit::Failed, what).next("Is it of another release?"));
        }
        let (_, entries) = evenkeel_wire::backup::part(part).expect("the writer has read it");
        for entry in entries.iter() {
            self.contents.note_deadline(entry.expires_at_ms, begun.taken_ms);
        }
        Ok(())
    }

    /// Waits until what has been written is no more than it may be by now.
    async fn slow_down(&self) {
        let Some(rate) = self.rate else { return };
        let due = self.writer.progress().offset as f64 / rate as f64;
        let early = due - self.progress.seconds();
        if 0.0 < early {
            sleep(Duration::from_secs_f64(early)).await;
        }
    }

    fn write(&mut self) -> Result<(), Failure> {
        self.target.write(&self.frames)?;
        self.frames.clear();
        Ok(())
    }

    fn tell(&mut self, shard: u16) {
        let (size, shard_count) = (self.writer.progress().size, self.shard_count);
        self.progress.at(|seconds| {
            format!(
                "{shard} of {shard_count} shards, {} keys, {}, {}/s",
                size.key_count,
                mib(size.entry_bytes),
                mib((size.entry_bytes as f64 / seconds) as u64),
            )
        });
    }

    fn finish(mut self) -> Result<(Contents, f64), Failure> {
        let end = self.writer.end(clock::wall_ms(), &mut self.frames);
        self.target.write(&self.frames)?;
        let file_bytes = self.target.size()?;
        self.contents.end(&end, file_bytes);
        let seconds = self.progress.seconds();
        self.target.finish()?;
        Ok((self.contents, seconds))
    }
}
