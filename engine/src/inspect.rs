//! A data directory for human eyes: reads everything, changes nothing, decides nothing.
//!
//! It takes no lock, so it may look at a directory in use; what is being written meanwhile may then
//! look torn. Whether a torn or damaged place matters is recovery's question (`log::recovery`), which
//! knows what was acknowledged. It has no key, and needs none: checksums are over what is stored.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::{Area, BLOCK_SIZE, areas_in};
use crate::error::EngineError;
use crate::format::chunk::{self, Extent, Header};
use crate::format::superblock::{SUPER_SIZE, Superblock, SuperblockError};
use crate::format::{Place, record};
use crate::keys::KeyId;
use crate::limits::{CHUNK_HEADER_SIZE, WINDOW_SIZE};
use crate::{Identity, RecordKind};

/// What lies somewhere, in the order in which it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// One of the two copies in `SUPER`.
    Superblock {
        /// 0 or 1.
        copy: usize,
        /// What it says, or why it cannot be read.
        content: Result<SuperblockSummary, String>,
    },
    /// A segment's file begins here.
    Segment {
        /// Its number.
        segment: u32,
        /// Its size in bytes.
        size: u64,
    },
    /// A chunk; its records follow.
    Chunk(ChunkSummary),
    /// A record of the chunk before.
    Record(RecordSummary),
    /// Bytes that are not what was once written there.
    Damage {
        /// The segment.
        segment: u32,
        /// First byte.
        offset: u64,
        /// How many bytes.
        size: u64,
        /// A power cut may have done it, so it may be the remains of a write that nobody was promised.
        torn: bool,
    },
    /// Nothing up to the end of the segment: zeros, or what the file held in an earlier life.
    Unused {
        /// The segment.
        segment: u32,
        /// First byte.
        offset: u64,
        /// How many bytes.
        size: u64,
    },
}

/// One copy of the superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperblockSummary {
    /// The higher one counts.
    pub generation: u64,
    /// Whose directory it is.
    pub identity: Identity,
    /// The last incarnation that may have written.
    pub incarnation: u64,
    /// Every record up to this sequence was durable.
    pub durable_upto: u64,
    /// The last process stopped cleanly.
    pub clean: bool,
    /// The root key that opens the directory, if it is encrypted.
    pub key: Option<KeyId>,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSummary {
    /// Where it lies.
    pub segment: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes, header and padding included.
    pub size: u64,
    /// The chunk's number in the log.
    pub number: u64,
    /// Who wrote it.
    pub incarnation: u64,
    /// Sequence of its first record.
    pub first_sequence: u64,
    /// Sequence of its last record.
    pub last_sequence: u64,
    /// Every record up to this sequence was durable when it was written.
    pub durable_upto: u64,
    /// Written by compaction or a checkpoint, outside the log's order: it has no number, and neither
    /// have its records.
    pub aside: bool,
    /// The payload's checksum holds. If not, `Damage` follows.
    pub whole: bool,
}

/// One record whose checksum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSummary {
    /// Its place in the log's order.
    pub sequence: u64,
    /// First byte in the segment.
    pub offset: u64,
    /// Bytes, header included.
    pub size: u64,
    /// See `Record`.
    pub kind: RecordKind,
    /// See `Record`.
    pub stream: u32,
    /// See `Record`.
    pub position: u64,
    /// See `Record`.
    pub stamp: [u64; 2],
    /// See `Record`.
    pub commit: u64,
    /// Bytes of payload, as stored.
    pub payload_size: u64,
    /// Bytes of payload before it was compressed, if it was.
    pub plain_size: Option<u64>,
    /// The payload can be read with a key only.
    pub encrypted: bool,
}

/// What both copies in `SUPER` say, or why they cannot be read.
///
/// # Errors
/// As `inspect`.
pub fn superblocks(path: &Path) -> Result<Vec<Result<SuperblockSummary, String>>, EngineError> {
    let refused = |source| EngineError::Folder { path: path.to_owned(), source };
    let mut areas = areas_in(path).map_err(refused)?;
    areas.retain(|area, _| *area == Area::Super);
    if areas.is_empty() {
        return Err(EngineError::Empty);
    }
    let mut copies = Vec::new();
    let mut take = |finding| {
        if let Finding::Superblock { content, .. } = finding {
            copies.push(content);
        }
    };
    inspect_areas(areas, &mut take).map_err(refused)?;
    Ok(copies)
}

/// Goes through a data directory; `each` is told what is there. Holds one piece of a segment at a time
/// in memory.
///
/// # Errors
/// `Folder` if the directory or a file in it cannot be read, `Empty` if there is no data in it.
pub fn inspect(path: &Path, each: &mut dyn FnMut(Finding)) -> Result<(), EngineError> {
    let refused = |source| EngineError::Folder { path: path.to_owned(), source };
    let areas = areas_in(path).map_err(refused)?;
    if areas.is_empty() {
        return Err(EngineError::Empty);
    }
    inspect_areas(areas, each).map_err(refused)
}

fn inspect_areas(
    areas: BTreeMap<Area, (PathBuf, u64)>,
    each: &mut dyn FnMut(Finding),
) -> io::Result<()> {
    for (area, (path, size)) in areas {
        let file = File::open(path)?;
        match area {
            Area::Super => inspect_super(&file, each)?,
            Area::Segment(segment) => {
                each(Finding::Segment { segment, size });
                Inspection { file, segment, size, quiet: None, recycled: false }.run(each)?;
            }
        }
    }
    Ok(())
}

fn inspect_super(file: &File, each: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let mut copies = vec![0; SUPER_SIZE];
    read_most(file, &mut copies, 0)?;
    for (copy, bytes) in copies.chunks(BLOCK_SIZE).enumerate() {
        let content = Superblock::decode(bytes);
        let content = content.map_err(|error| match error {
            SuperblockError::Blank => "never written".to_owned(),
            SuperblockError::Damaged => "damaged".to_owned(),
            SuperblockError::Format(format) => format!("format {format}, unknown here"),
        });
        let content = content.map(|superblock| SuperblockSummary {
            generation: superblock.generation,
            identity: superblock.identity,
            incarnation: superblock.incarnation,
            durable_upto: superblock.durable_upto,
            clean: superblock.tail.is_some(),
            key: superblock.wrap.map(|wrap| wrap.root),
        });
        each(Finding::Superblock { copy, content });
    }
    Ok(())
}

struct Inspection {
    file: File,
    segment: u32,
    size: u64,
    /// Blocks without a chunk, so far: where they start, and whether there is anything in them, and
    /// whether a power cut may have put it there.
    quiet: Option<(u64, bool, bool)>,
    /// The file had another life: what is no chunk is what it held before.
    recycled: bool,
}

impl Inspection {
    fn run(&mut self, each: &mut dyn FnMut(Finding)) -> io::Result<()> {
        let mut window = vec![0; WINDOW_SIZE.min(self.size as usize)];
        let (mut start, mut end) = (0, 0);
        let mut offset = 0;
        while offset + BLOCK_SIZE as u64 <= self.size {
            let rest = (self.size - offset).min(crate::limits::CHUNK_SIZE_MAX as u64);
            if end < offset + rest {
                let length = (self.size - offset).min(window.len() as u64);
                (start, end) = (offset, offset + length);
                read_most(&self.file, &mut window[..length as usize], offset)?;
            }
            let bytes = &window[(offset - start) as usize..(end - start) as usize];
            match chunk::examine(bytes, self.segment, offset as u32) {
                Extent::Blank => offset = self.skip(offset, false, true),
                Extent::BadBlock { torn } => offset = self.skip(offset, true, torn),
                Extent::Stale => {
                    self.recycled |= offset == 0;
                    offset = self.skip(offset, true, false);
                }
                Extent::OtherFormat(_) | Extent::More(_) => offset = self.skip(offset, true, false),
                Extent::Chunk { header, .. } => {
                    self.end_quiet(offset, each);
                    offset = self.on_chunk(bytes, offset, &header, None, each);
                }
                Extent::BadPayload { header, torn, .. } => {
                    self.end_quiet(offset, each);
                    offset = self.on_chunk(bytes, offset, &header, Some(torn), each);
                }
            }
        }
        self.end_quiet(self.size, each);
        Ok(())
    }

    fn skip(&mut self, offset: u64, written: bool, torn: bool) -> u64 {
        // Only the first block is known to be where a chunk should start.
        let quiet = self.quiet.get_or_insert((offset, false, torn));
        quiet.1 |= written && !self.recycled;
        offset + BLOCK_SIZE as u64
    }

    fn end_quiet(&mut self, end: u64, each: &mut dyn FnMut(Finding)) {
        let Some((offset, written, torn)) = self.quiet.take() else { return };
        let (segment, size) = (self.segment, end - offset);
        if written || end != self.size {
            each(Finding::Damage { segment, offset, size, torn });
        } else {
            each(Finding::Unused { segment, offset, size });
        }
    }

    fn on_chunk(
        &mut self,
        bytes: &[u8],
        offset: u64,
        header: &Header,
        damage: Option<bool>,
        each: &mut dyn FnMut(Finding),
    ) -> u64 {
        self.recycled |= header.recycled;
        let (segment, size) = (self.segment, header.chunk_size() as u64);
        each(Finding::Chunk(ChunkSummary {
            segment,
            offset,
            size,
            number: header.number,
            incarnation: header.place.incarnation,
            first_sequence: header.first_sequence,
            last_sequence: header.last_sequence,
            durable_upto: header.durable_upto,
            aside: header.aside,
            whole: damage.is_none(),
        }));
        let payload = &bytes[CHUNK_HEADER_SIZE..CHUNK_HEADER_SIZE + header.payload_size as usize];
        let mut start = 0;
        while start < payload.len() {
            let place = Place {
                offset: header.place.offset + (CHUNK_HEADER_SIZE + start) as u32,
                ..header.place
            };
            match record::decode(&payload[start..], place) {
                Ok(frame) => {
                    each(Finding::Record(summary(&frame, header, place)));
                    start += frame.size;
                }
                Err(record::RecordError::Checksum { size }) => start += size,
                Err(record::RecordError::Field(_)) => break,
            }
        }
        if let Some(torn) = damage {
            each(Finding::Damage { segment, offset, size, torn });
        }
        offset + size
    }
}

fn summary(frame: &record::Frame<'_>, header: &Header, place: Place) -> RecordSummary {
    let record = frame.stored();
    RecordSummary {
        sequence: header.first_sequence + u64::from(frame.sequence_delta),
        offset: u64::from(place.offset),
        size: frame.size as u64,
        kind: record.kind,
        stream: record.stream,
        position: record.position,
        stamp: record.stamp,
        commit: record.commit,
        payload_size: record.payload.len() as u64,
        plain_size: frame.plain_size.map(|size| size as u64),
        encrypted: frame.is_encrypted(),
    }
}

/// What lies behind the end of the file reads as zeros.
fn read_most(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => {
                buffer[done..].fill(0);
                return Ok(());
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
