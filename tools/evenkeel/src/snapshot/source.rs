//! A backup that is read: from the first byte to the last, each frame checked before it is used.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use evenkeel_wire::backup::{Damage, Fault, Frame, Reader};

use crate::failure::{Exit, Failure};

/// Read from the file at once, in bytes.
const READ_SIZE: usize = 256 * 1024;

pub(super) struct Source {
    path: PathBuf,
    file: File,
    reader: Reader,
    buffer: Vec<u8>,
    /// How much of the buffer has been used.
    used: usize,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Source, Failure> {
        let refused = |error: std::io::Error| {
            let what = format!("cannot read {}", path.display());
            Failure::new(Exit::Usage, what).because(&error)
        };
        let file = File::open(path).map_err(refused)?;
        if file.metadata().map_err(refused)?.is_dir() {
            let what = format!("{} is a folder, not a backup", path.display());
            return Err(Failure::new(Exit::Usage, what));
        }
        let (reader, buffer) = (Reader::new(), Vec::new());
        Ok(Source { path: path.to_owned(), file, reader, buffer, used: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes have been read and found good.
    pub(super) fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// Hands the next frame to `take`; `None`: that was all, and it was whole.
    pub(super) fn next<T>(
        &mut self,
        take: impl FnOnce(Frame<'_>) -> T,
    ) -> Result<Option<T>, Failure> {
        loop {
            let Source { reader, buffer, used, path, .. } = self;
            match reader.next(&buffer[*used..]) {
                Ok(Some((frame, size))) => {
                    let taken = take(frame);
                    *used += size;
                    return Ok(Some(taken));
                }
                Ok(None) => (),
                Err(damage) => return Err(damaged(path, damage)),
            }
            if !self.fill()? {
                let left = self.buffer.len() - self.used;
                let whole = self.reader.at_end(left);
                return whole.map(|()| None).map_err(|damage| damaged(&self.path, damage));
            }
        }
    }

    /// From the beginning again, the same file.
    pub(super) fn rewind(&mut self) -> Result<(), Failure> {
        self.file.rewind().map_err(|error| self.unreadable(&error))?;
        self.reader = Reader::new();
        self.buffer.clear();
        self.used = 0;
        Ok(())
    }

    /// Reads on; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, Failure> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let wanted = self.reader.needs(&self.buffer).max(self.buffer.len() + 1);
        let wanted = (wanted - self.buffer.len()).max(READ_SIZE) as u64;
        let read = self.file.by_ref().take(wanted).read_to_end(&mut self.buffer);
        read.map(|size| 0 < size).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Internal, format!("cannot read {}", self.path.display())).because(error)
    }
}

fn damaged(path: &Path, damage: Damage) -> Failure {
    let next = match damage.fault {
        Fault::Newer(_) => "The file may be as good as new.",
        _ => "Do not use it: take another copy, or another backup.",
    };
    let what = format!("{} is not a whole backup", path.display());
    Failure::new(Exit::Failed, what).because(&damage).next(next)
}
