//! A file that is there as a whole or not at all.
//!
//! **Invariant.** Under its own name there is never half a backup: it is written under another one in
//! the same folder, flushed, and only then given its name, which is flushed as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use evenkeel_runtime::random_u64;

use crate::failure::{Exit, Failure};

/// Its owner only: the file has all the data.
const MODE: u32 = 0o600;

/// A backup in the making; removed when it is dropped.
pub(super) struct Target {
    path: PathBuf,
    part: PathBuf,
    file: File,
    may_replace: bool,
    is_done: bool,
}

impl Target {
    pub(super) fn create(path: &Path, may_replace: bool) -> Result<Target, Failure> {
        let Some(name) = path.file_name() else {
            let what = format!("{} is no name for a file", path.display());
            return Err(Failure::new(Exit::Usage, what));
        };
        match fs::symlink_metadata(path).map(|there| there.file_type()) {
            Ok(kind) if kind.is_dir() => {
                let what = format!("{} is a folder", path.display());
                return Err(Failure::new(Exit::Usage, what).next("Name a file in it."));
            }
            Ok(kind) if !kind.is_file() => {
                let what = format!("{} is a link or a device, not a file", path.display());
                return Err(Failure::new(Exit::Usage, what).next("Name the file itself."));
            }
            Ok(_) if !may_replace => return Err(exists(path)),
            Ok(_) | Err(_) => (),
        }
        let mut part = name.to_owned();
        // Not the process's number: in a container it is always the same.
        part.push(format!(".part-{:016x}", random_u64()));
        let part = path.with_file_name(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&part);
        let file = file.map_err(|error| {
            let what = format!("cannot write {}", part.display());
            Failure::new(Exit::Internal, what).because(&error).next(
                "The file is written in the folder that you named: it must exist, and be yours to \
                 write to.",
            )
        })?;
        Ok(Target { path: path.to_owned(), part, file, may_replace, is_done: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| self.refused(&error))
    }

    /// How many bytes have been written.
    pub(super) fn size(&self) -> Result<u64, Failure> {
        self.file.metadata().map(|file| file.len()).map_err(|error| self.refused(&error))
    }

    /// Takes back what is behind this many bytes.
    pub(super) fn cut(&mut self, size: u64) -> Result<(), Failure> {
        let cut = self.file.set_len(size).and_then(|()| self.file.seek(SeekFrom::Start(size)));
        cut.map(|_| ()).map_err(|error| self.refused(&error))
    }

    /// Everything has been written: gives it its name.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| self.refused(&error))?;
        self.name()?;
        self.is_done = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
        folder.map_err(|error| {
            let what =
                format!("{} is written, and may be gone after a power cut", self.path.display());
            Failure::new(Exit::Internal, what).because(&error)
        })
    }

    fn name(&self) -> Result<(), Failure> {
        if !self.may_replace {
            // A link does not replace what came there meanwhile.
            match fs::hard_link(&self.part, &self.path) {
                Ok(()) => {
                    fs::remove_file(&self.part).ok();
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(exists(&self.path));
                }
                // A file system without links.
                Err(_) if self.path.exists() => return Err(exists(&self.path)),
                Err(_) => (),
            }
        }
        fs::rename(&self.part, &self.path).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &io::Error) -> Failure {
        let what = format!("cannot write the backup {}", self.path.display());
        Failure::new(Exit::Internal, what).because(error).next(match self.may_replace {
            true => "What was written of it is removed; a file of that name is as it was before.",
            false => "There is no file of that name, and what was written of it is removed.",
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_done {
            fs::remove_file(&self.part).ok();
        }
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{} exists already", path.display()))
        .next("Name another file, or replace it with --force.")
}
