//! Reads a backup frame by frame, and believes none of it before it has been checked.

use alloc::borrow::ToOwned;

use crc32fast::Hasher;

use super::{
    BODY_SIZE_MAX, End, Entries, HEAD_SIZE, Header, KIND_END, KIND_HEADER, KIND_PART,
    KIND_SHARD_END, MAGIC, SHARD_COUNT_MAX, SOFTWARE_SIZE_MAX, ShardEnd, Size, VERSION, entries,
    head_checksum,
};

/// Where a file is not what was written, and how that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {fault}")]
pub struct Damage {
    /// Of the frame that is wrong, or where one should be.
    pub offset: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It never was one of ours, or its first bytes are damaged.
    #[error("this is not a backup of Evenkeel, or its beginning is damaged")]
    NotABackup,
    /// Nothing is wrong with it: a newer release can read it.
    #[error(
        "it is of format {0}, this release reads up to {VERSION}: use the release that wrote it"
    )]
    Newer(u8),
    /// It ends too early.
    #[error("the file ends here, and the backup does not: it was cut off")]
    CutOff,
    /// It goes on.
    #[error("something follows the end of the backup")]
    Trailing,
    /// Bytes changed, or belong to another place or another file.
    #[error("the head of this part is damaged, or belongs elsewhere")]
    Head,
    /// Bytes changed.
    #[error("the bytes of this part are damaged: their checksum does not match")]
    Body,
    /// A part is missing, or there twice, or in the wrong order.
    #[error("another part belongs here")]
    Order,
    /// The checksums hold, and yet it says nothing that makes sense.
    #[error("this part cannot be understood")]
    Malformed,
    /// The numbers at a shard's end, or the file's, are not those of what was there.
    #[error("the counts do not match what is in the file")]
    Counts,
    /// Each part is right, and the whole is not.
    #[error("the checksum over the whole file does not match")]
    Digest,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first one.
    Header(Header),
    /// Some keys of a shard.
    Part(u32, Entries<'a>),
    /// A shard, all of it.
    ShardEnd(ShardEnd),
    /// The last one.
    End(End),
}

/// How far a file has been read, and what must follow.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    header: Option<Header>,
    has_ended: bool,
    offset: u64,
    index: u64,
    /// The shard that is due, and what there was of it.
    shard: u32,
    of_shard: Size,
    of_all: Size,
    digest: Hasher,
}

impl Reader {
    /// At the beginning of a file.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the frame at the start of `bytes`, which are those at `offset`, and says how many bytes it
    /// took. `None`: it is not all there yet; how many bytes there must be is `needs`.
    ///
    /// # Errors
    /// See `Fault`; nothing behind it can be read.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Frame<'a>, usize)>, Damage> {
        let offset = self.offset;
        self.frame(bytes).map_err(|fault| Damage { offset, fault })
    }

    /// How many bytes from `offset` on there must be for `next` to say more than `None`, as far as
    /// `bytes` tell.
    pub fn needs(&self, bytes: &[u8]) -> usize {
        match bytes.get(8..12).and_then(<[u8]>::first_chunk) {
            Some(size) => HEAD_SIZE + (u32::from_le_bytes(*size) as usize).min(BODY_SIZE_MAX),
            None => HEAD_SIZE,
        }
    }

    /// The file has `left` bytes from `offset` on: may it?
    ///
    /// # Errors
    /// `Fault::CutOff`, `Fault::Trailing`.
    pub fn at_end(&self, left: usize) -> Result<(), Damage> {
        let fault = match (self.has_ended, left, self.header.is_some()) {
            (true, 0, _) => return Ok(()),
            (true, ..) => Fault::Trailing,
            (false, 0, false) => Fault::NotABackup,
            (false, ..) => Fault::CutOff,
        };
        Err(Damage { offset: self.offset, fault })
    }

    fn frame<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Frame<'a>, usize)>, Fault> {
        let starts_well = MAGIC.to_le_bytes().iter().zip(bytes).all(|(ours, byte)| ours == byte);
        if self.has_ended {
            return if bytes.is_empty() { Ok(None) } else { Err(Fault::Trailing) };
        }
        if !starts_well {
            return Err(if self.header.is_none() { Fault::NotABackup } else { Fault::Head });
        }
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_SIZE>() else { return Ok(None) };
        let (kind, body_size, body_checksum) = self.check_head(head)?;
        let Some((body, _)) = rest.split_at_checked(body_size) else { return Ok(None) };
        if crc32fast::hash(body) != body_checksum {
            return Err(Fault::Body);
        }
        let frame = self.body(kind, body)?;
        let size = HEAD_SIZE + body_size;
        self.digest.update(&bytes[..size]);
        self.offset += size as u64;
        self.index += 1;
        Ok(Some((frame, size)))
    }

    fn check_head(&self, head: &[u8; HEAD_SIZE]) -> Result<(u8, usize, u32), Fault> {
        let number = |at: usize| {
            let bytes = head[at..].first_chunk().expect("the head has a known size");
            u32::from_le_bytes(*bytes)
        };
        let id = self.header.as_ref().map_or(0, |header| header.id);
        if number(24) != head_checksum(id, self.offset, &head[..24]) {
            return Err(Fault::Head);
        }
        let (version, kind, size) = (head[4], head[5], number(8) as usize);
        if VERSION < version {
            return Err(Fault::Newer(version));
        }
        let index = u64::from(number(16)) | u64::from(number(20)) << 32;
        if index != self.index || (kind == KIND_HEADER) != self.header.is_none() {
            return Err(Fault::Order);
        }
        if version == 0 || head[6..8] != [0, 0] || BODY_SIZE_MAX < size {
            return Err(Fault::Malformed);
        }
        Ok((kind, size, number(12)))
    }

    fn body<'a>(&mut self, kind: u8, body: &'a [u8]) -> Result<Frame<'a>, Fault> {
        match kind {
            KIND_HEADER => {
                let header = header(body).ok_or(Fault::Malformed)?;
                self.header = Some(header.clone());
                Ok(Frame::Header(header))
            }
            KIND_PART => {
                let (shard, entries) = entries::part(body).ok_or(Fault::Malformed)?;
                self.expect_shard(shard)?;
                self.of_shard.add(entries.count(), entries.size());
                self.of_all.add(entries.count(), entries.size());
                Ok(Frame::Part(shard, entries))
            }
            KIND_SHARD_END => {
                let end = shard_end(body).ok_or(Fault::Malformed)?;
                self.expect_shard(end.shard)?;
                if end.size != self.of_shard {
                    return Err(Fault::Counts);
                }
                self.shard += 1;
                self.of_shard = Size::default();
                Ok(Frame::ShardEnd(end))
            }
            KIND_END => {
                let (end, digest) = file_end(body).ok_or(Fault::Malformed)?;
                if self.header.as_ref().is_some_and(|header| header.shard_count != self.shard) {
                    return Err(Fault::Order);
                }
                if end.size != self.of_all {
                    return Err(Fault::Counts);
                }
                if digest != self.digest.clone().finalize() {
                    return Err(Fault::Digest);
                }
                self.has_ended = true;
                Ok(Frame::End(end))
            }
            _ => Err(Fault::Malformed),
        }
    }

    fn expect_shard(&self, shard: u32) -> Result<(), Fault> {
        let count = self.header.as_ref().map_or(0, |header| header.shard_count);
        if shard == self.shard && shard < count { Ok(()) } else { Err(Fault::Order) }
    }
}

fn header(body: &[u8]) -> Option<Header> {
    let (id, rest) = number(body)?;
    let (cluster, rest) = number(rest)?;
    let (epoch, rest) = number(rest)?;
    let (started_ms, rest) = number(rest)?;
    let (shard_count, rest) = short_number(rest)?;
    let (size, software) = short_number(rest)?;
    let software = core::str::from_utf8(software).ok()?.to_owned();
    let fits = size as usize == software.len() && software.len() <= SOFTWARE_SIZE_MAX;
    let header = Header { id, cluster, epoch, started_ms, shard_count, software };
    (fits && id != 0 && shard_count <= SHARD_COUNT_MAX).then_some(header)
}

fn shard_end(body: &[u8]) -> Option<ShardEnd> {
    let (shard, rest) = short_number(body)?;
    let (position, rest) = number(rest)?;
    let (taken_ms, rest) = number(rest)?;
    let (size, rest) = size(rest)?;
    rest.is_empty().then_some(ShardEnd { shard, position, taken_ms, size })
}

fn file_end(body: &[u8]) -> Option<(End, u32)> {
    let (finished_ms, rest) = number(body)?;
    let (size, rest) = size(rest)?;
    let (digest, rest) = short_number(rest)?;
    rest.is_empty().then_some((End { finished_ms, size }, digest))
}

fn size(bytes: &[u8]) -> Option<(Size, &[u8])> {
    let (key_count, rest) = number(bytes)?;
    let (part_count, rest) = number(rest)?;
    let (entry_bytes, rest) = number(rest)?;
    Some((Size { key_count, part_count, entry_bytes }, rest))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn short_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}
