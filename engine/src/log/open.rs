//! The beginning: an empty directory becomes a log, a log becomes an engine.

use std::collections::{BTreeMap, BTreeSet};

use super::conversation::Conversation;
use super::gather::{Author, Cursor, Gather};
use super::keyring::Keyring;
use super::recovery::{Recovered, Recovery};
use super::segments::{Segments, is_full};
use super::{Engine, Opened, Options};
use crate::bugs::{Bug, planted};
use crate::disk::{Area, BLOCK_SIZE, Disk};
use crate::error::{AreaName, EngineError};
use crate::format::FORMAT;
use crate::format::pack::Packer;
use crate::format::superblock::{self, SUPER_SIZE, Superblock, SuperblockError, Tail};
use crate::keys::{DirectoryKey, Encryption, Salt};
use crate::limits::{CHUNK_SIZE_MAX, SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN};
use crate::record::{Record, Replay, Sequence};
use crate::{Identity, Location};

pub(super) async fn create(
    disk: Box<dyn Disk>,
    options: Options,
    identity: Identity,
) -> Result<Engine, EngineError> {
    check(&options)?;
    identity.check()?;
    let mut conversation = Conversation::new(disk);
    match areas(&mut conversation)?.as_slice() {
        [] => {
            let made = conversation.create(Area::Super, SUPER_SIZE as u64).await;
            made.map_err(|error| match is_full(&error) {
                true => EngineError::Full { used: 0, max: 0 },
                false => EngineError::disk("make", Area::Super, error),
            })?;
        }
        // A process ended between making the file and writing it.
        [(Area::Super, size)] => match read_superblock(&mut conversation, *size, false).await {
            Err(EngineError::Empty) => (),
            Ok(_) | Err(_) => return Err(EngineError::NotEmpty),
        },
        _ => return Err(EngineError::NotEmpty),
    }
    let wrap = options
        .encryption
        .as_ref()
        .map(|Encryption { root, seed }| root.wrap(&DirectoryKey::draw(seed), &identity, seed));
    let mut superblock = Superblock {
        generation: 0,
        identity,
        incarnation: 1,
        incarnation_start: 1,
        durable_upto: 0,
        tail: Some(Tail { segment: 1, offset: 0, number: 0, checksum: 0 }),
        start: None,
        wrap,
    };
    write_superblock(&mut conversation, &mut superblock).await?;
    write_superblock(&mut conversation, &mut superblock).await?;
    let (engine, _) = open_with(conversation, options, &mut Nothing).await?;
    Ok(engine)
}

pub(super) async fn open(
    disk: Box<dyn Disk>,
    options: Options,
    replay: &mut dyn Replay,
) -> Result<(Engine, Opened), EngineError> {
    check(&options)?;
    open_with(Conversation::new(disk), options, replay).await
}

/// Writes the next generation and flushes it.
pub(super) async fn write_superblock(
    conversation: &mut Conversation,
    superblock: &mut Superblock,
) -> Result<(), EngineError> {
    superblock.generation += 1;
    let (offset, buffer) = (superblock.offset(), superblock.encode());
    conversation.write(Area::Super, offset, buffer).await?;
    conversation.flush(Area::Super).await
}

async fn open_with(
    mut conversation: Conversation,
    options: Options,
    replay: &mut dyn Replay,
) -> Result<(Engine, Opened), EngineError> {
    let mut segments = Vec::new();
    let mut super_size = None;
    for (area, size) in areas(&mut conversation)? {
        match area {
            Area::Super => super_size = Some(size),
            Area::Segment(number) => segments.push((number, size)),
        }
    }
    let superblock = match super_size {
        Some(size) => read_superblock(&mut conversation, size, !segments.is_empty()).await?,
        None if segments.is_empty() => return Err(EngineError::Empty),
        None => return Err(EngineError::Superblock { area: AreaName(Area::Super) }),
    };
    let keyring = Keyring::open(&superblock, options.encryption.as_ref())?;
    let readable = whole(&segments).filter(|&(_, size)| size != 0).collect();
    let recovery = Recovery::new(&mut conversation, &superblock, readable, keyring, replay);
    let recovered = recovery.run().await?;
    if let Some(&first) = recovered.damaged.first()
        && !options.serve_with_holes
    {
        return Err(EngineError::Damaged { first, count: recovered.damaged.len() });
    }
    let sizes = whole(&segments).collect();
    establish(conversation, &options, superblock, sizes, recovered).await
}

/// Segments as far as they consist of blocks: somebody may have cut a file short.
fn whole(segments: &[(u32, u64)]) -> impl Iterator<Item = (u32, u64)> {
    segments.iter().map(|&(number, size)| (number, size - size % BLOCK_SIZE as u64))
}

/// Begins to write: a new incarnation in a new segment, unless the last stop was clean and nothing is
/// encrypted. (Why a key does not go on: `keys`.)
async fn establish(
    mut conversation: Conversation,
    options: &Options,
    mut superblock: Superblock,
    sizes: BTreeMap<u32, u64>,
    recovered: Recovered,
) -> Result<(Engine, Opened), EngineError> {
    let opened = Opened {
        identity: superblock.identity.clone(),
        incarnation: superblock.incarnation,
        clean: recovered.clean,
        torn: recovered.torn,
        damaged: recovered.damaged,
        records: recovered.records,
        sequence: Sequence(recovered.cursor.sequence),
    };
    let mut segments =
        Segments::new(sizes, recovered.incarnations, options.segment_size, options.log_size_max);
    segments.pass(recovered.used);
    segments.reclaim(&recovered.blank);
    segments.give_up_short();
    recovered.recycled.iter().for_each(|&segment| segments.mark_recycled(segment));
    segments.exceed_limit(0);
    let mut cursor = recovered.cursor;
    let goes_on = recovered.clean && (options.encryption.is_none() || recovered.used == 0);
    if !goes_on && !planted(Bug::IncarnationReusedAfterCrash) {
        // What was read may still be in a cache only; from here on it counts as durable.
        // The log's last segment need not be among the newest: what is written aside claims some too.
        let last = Some(cursor.segment).filter(|&segment| segments.exists(segment));
        let doubtful: BTreeSet<u32> = segments.newest().chain(last).collect();
        for segment in doubtful {
            conversation.flush(Area::Segment(segment)).await?;
        }
        superblock.incarnation = recovered.incarnation + 1;
        superblock.incarnation_start = cursor.sequence + 1;
        // Behind everything: the next record claims a segment that holds nothing.
        let (segment, offset) = (recovered.used, segments.size(recovered.used));
        cursor = Cursor { segment, offset, ..cursor };
    }
    superblock.durable_upto = superblock.durable_upto.max(cursor.sequence);
    superblock.tail = None;
    write_superblock(&mut conversation, &mut superblock).await?;
    write_superblock(&mut conversation, &mut superblock).await?;
    make_room(&mut conversation, options, &mut segments, cursor).await?;
    let mut keyring = recovered.keyring;
    let salt: Option<Salt> = options.encryption.as_ref().map(|Encryption { seed, .. }| {
        seed.draw("salt", superblock.generation, superblock.incarnation)
    });
    let key = salt.and_then(|salt| keyring.begin(superblock.incarnation, &salt));
    let author = Author {
        cluster: superblock.identity.cluster,
        node: superblock.identity.node,
        incarnation: superblock.incarnation,
        incarnation_start: superblock.incarnation_start,
        aside: false,
        salt,
    };
    let opened = Opened { incarnation: superblock.incarnation, ..opened };
    let packer = || Packer::new(options.compress, key.clone());
    let gather = Gather::new(author, packer(), options.chunk_size, cursor);
    let nowhere = Cursor { segment: 0, offset: 0, number: 0, checksum: 0, sequence: 0 };
    let aside = Author { aside: true, ..author };
    let aside = Gather::new(aside, packer(), options.chunk_size, nowhere);
    let engine = Engine::new(conversation, superblock, segments, keyring, gather, aside);
    Ok((engine, opened))
}

/// Makes the first segment to write into. Without room for it the engine opens nevertheless: it reads.
async fn make_room(
    conversation: &mut Conversation,
    options: &Options,
    segments: &mut Segments,
    cursor: Cursor,
) -> Result<(), EngineError> {
    let in_place = segments.exists(cursor.segment) && cursor.offset < segments.size(cursor.segment);
    if in_place || segments.has_spare() {
        return Ok(());
    }
    let segment = segments.next_number();
    let size = options.segment_size;
    if !segments.may_grow() {
        segments.refuse();
        return Ok(());
    }
    match conversation.create(Area::Segment(segment), size).await {
        Ok(()) => segments.add(segment),
        Err(error) if is_full(&error) => segments.refuse(),
        Err(error) => return Err(EngineError::disk("make", Area::Segment(segment), error)),
    }
    Ok(())
}

pub(super) fn areas(conversation: &mut Conversation) -> Result<Vec<(Area, u64)>, EngineError> {
    let areas = conversation.disk.areas();
    areas.map_err(|error| EngineError::disk("list the files beside", Area::Super, error))
}

/// `Empty` if it was never written, unless there are segments already.
pub(super) async fn read_superblock(
    conversation: &mut Conversation,
    size: u64,
    segments: bool,
) -> Result<Superblock, EngineError> {
    let area = AreaName(Area::Super);
    if size < SUPER_SIZE as u64 {
        return Err(EngineError::Superblock { area });
    }
    let file = conversation.read(Area::Super, 0, SUPER_SIZE).await;
    match superblock::choose(&file) {
        Ok((superblock, copies)) => {
            if copies < 2 {
                tracing::warn!("one of the two copies in SUPER cannot be read, the other is used");
            }
            Ok(superblock)
        }
        Err(SuperblockError::Blank) if !segments => Err(EngineError::Empty),
        Err(SuperblockError::Blank | SuperblockError::Damaged) => {
            Err(EngineError::Superblock { area })
        }
        Err(SuperblockError::Format(found)) => {
            Err(EngineError::Format { area, found, supported: FORMAT })
        }
    }
}

fn check(options: &Options) -> Result<(), EngineError> {
    let Options { segment_size, log_size_max, chunk_size, .. } = *options;
    let wrong = |what, value, rule| Err(EngineError::Option { what, value, rule });
    if !(SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&segment_size) {
        return wrong("segment_size", segment_size, "8 KiB to 1 GiB");
    }
    if !segment_size.is_multiple_of(BLOCK_SIZE as u64) {
        return wrong("segment_size", segment_size, "a multiple of 4096");
    }
    if log_size_max != 0 && log_size_max < segment_size {
        return wrong("log_size_max", log_size_max, "0, or at least `segment_size`");
    }
    if !(BLOCK_SIZE..=CHUNK_SIZE_MAX).contains(&chunk_size) {
        return wrong("chunk_size", chunk_size as u64, "4 KiB to 2 MiB");
    }
    Ok(())
}

/// There is nothing to replay.
struct Nothing;

impl Replay for Nothing {
    fn record(&mut self, _: &Record<'_>, _: Location) {
        unreachable!("a log that was made just now has no records")
    }
}
