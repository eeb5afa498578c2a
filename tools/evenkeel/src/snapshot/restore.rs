//! `evenkeel snapshot restore`.
//!
//! Every key becomes an ordinary write, so nothing is promised that a client's own writes would not be:
//! what was counted as restored is on the disks of a majority. A restore that ended early is run again.

use evenkeel_runtime::{block_on, clock};
use evenkeel_wire::backup::Frame;
use serde::Serialize;

use super::contents::{self, Contents};
use super::show;
use super::source::Source;
use super::writer::{Item, Outcome, RestoreClient};
use crate::arguments::RestoreArguments;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// So many bytes of entries are on their way at a time, about.
const BATCH_BYTES: usize = 512 * 1024;
/// And so many keys.
const BATCH_COUNT: usize = 8_192;

/// The document of `--output json`. Fields are only ever added.
#[derive(Debug, Default, Serialize)]
struct Report {
    file: String,
    keys: u64,
    /// Written, and acknowledged.
    restored: u64,
    /// Left out: their time was over.
    expired: u64,
    /// Left as they were in the cluster (`--merge`).
    kept: u64,
    /// Refused by the cluster.
    refused: u64,
    first_refusal: Option<String>,
    seconds: f64,
}

pub(super) fn run(arguments: &RestoreArguments) -> Result<(), Failure> {
    let mut source = Source::open(&arguments.file)?;
    let contents = contents::read(&mut source)?;
    source.rewind()?;
    let report = block_on(restore(arguments, &mut source, &contents))?;
    show(arguments.output, &report, &for_people(&report))?;
    match &report.first_refusal {
        None => Ok(()),
        Some(reason) => {
            let what = format!("{} of {} keys were refused", report.refused, report.keys);
            Err(Failure::new(Exit::Failed, format!("{what}; the first: {reason}"))
                .next(format!("See to the reason, then run it again with {}.", again(arguments))))
        }
    }
}

async fn restore(
    arguments: &RestoreArguments,
    source: &mut Source,
    contents: &Contents,
) -> Result<Report, Failure> {
    let target = &arguments.target;
    let mut client = RestoreClient::connect(target.address, target.patience()).await?;
    if !arguments.merge && !arguments.replace {
        refuse_unless_empty(&mut client, target.address).await?;
    }
    let mut progress = Progress::new();
    let mut report = Report { file: contents.file.clone(), ..Report::default() };
    loop {
        let batch = gather(source)?;
        report.keys += batch.keys;
        report.expired += batch.keys - batch.items.len() as u64;
        let outcomes = client.write(batch.items, arguments.merge).await.map_err(|failure| {
            failure.next(format!(
                "{} of {} keys have been restored: run it again with {} to go on",
                report.restored,
                contents.keys,
                again(arguments)
            ))
        })?;
        outcomes.into_iter().for_each(|outcome| report.note(outcome));
        progress.at(|seconds| {
            let rate = (report.keys as f64 / seconds) as u64;
            format!("{} of {} keys, {rate} keys/s", report.keys, contents.keys)
        });
        if batch.is_last {
            report.seconds = progress.seconds();
            return Ok(report);
        }
    }
}

/// With what to go on: what `--merge` was to protect must not be replaced.
fn again(arguments: &RestoreArguments) -> &'static str {
    if arguments.merge { "--merge" } else { "--replace" }
}

/// What is written together.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    /// How many keys were read; those that are over by now are not among the items.
    keys: u64,
    is_last: bool,
}

/// Reads on until there is enough.
fn gather(source: &mut Source) -> Result<Batch, Failure> {
    let (mut batch, mut bytes, now_ms) = (Batch::default(), 0, clock::wall_ms());
    while bytes < BATCH_BYTES && batch.items.len() < BATCH_COUNT {
        let read = source.next(|frame| {
            if let Frame::Part(_, entries) = frame {
                bytes += entries.size();
                batch.keys += u64::from(entries.count());
                let items = entries.iter().map(|entry| Item::of(&entry));
                batch.items.extend(items.filter(|item| !item.is_over(now_ms)));
            }
        })?;
        if read.is_none() {
            batch.is_last = true;
            break;
        }
    }
    Ok(batch)
}

async fn refuse_unless_empty(
    client: &mut RestoreClient,
    address: std::net::SocketAddr,
) -> Result<(), Failure> {
    match client.key_count().await? {
        0 => Ok(()),
        count => {
            let what = format!("the cluster of {address} has {count} keys; nothing was written");
            Err(Failure::new(Exit::Usage, what).next(
                "Name an empty one, or say what wins where both have a key: --replace (the backup; \
                 also to go on with a restore that ended early) or --merge (the cluster).",
            ))
        }
    }
}

impl Report {
    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Restored => self.restored += 1,
            Outcome::Kept => self.kept += 1,
            Outcome::Refused(reason) => {
                self.refused += 1;
                self.first_refusal.get_or_insert(reason);
            }
        }
    }
}

fn for_people(report: &Report) -> String {
    let Report { file, keys, restored, expired, kept, refused, seconds, .. } = report;
    format!(
        "{file}: {restored} of {keys} keys restored, {expired} left out because their time is over, \
         {kept} left as they are in the cluster, {refused} refused, in {seconds:.1} s\n"
    )
}
