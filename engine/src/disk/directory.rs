//! A data directory: its lock, its files' names, and how a file is made.
//!
//! ```text
//! SUPER, segment-00000001.log, …   areas
//! segment-00000002.log.creating    a file that is being filled with zeros; removed at the next open
//! ```
//!
//! Any other file is somebody else's and is left alone. The lock is on the directory itself, so there
//! is no lock file to be left behind.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Area, BLOCK_SIZE, Buffer};
use crate::error::{AreaName, EngineError};

const CREATING: &str = ".creating";
/// Zeros are written in pieces, so that a commit in between does not wait for all of them.
const ZEROS_SIZE: usize = 1024 * 1024;
/// What another process may put into a folder without making it a foreign one: a file system's root.
const HARMLESS: &str = "lost+found";

#[cfg(target_os = "linux")]
const DIRECT: i32 = libc::O_DIRECT;
#[cfg(not(target_os = "linux"))]
const DIRECT: i32 = 0;

/// What a folder holds, before anything is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryState {
    /// Nothing, or it does not exist.
    Empty,
    /// A data directory.
    Evenkeel,
    /// Other people's files, and no superblock: keep out.
    Foreign,
}

/// Looks at a folder without changing or locking it.
///
/// # Errors
/// `Folder` if it cannot be listed.
pub fn directory_state(path: &Path) -> Result<DirectoryState, EngineError> {
    let refused = |source| EngineError::Folder { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DirectoryState::Empty),
        Err(error) => return Err(refused(error)),
    };
    let mut state = DirectoryState::Empty;
    for entry in entries {
        let name = entry.map_err(refused)?.file_name();
        let name = name.to_string_lossy();
        match area_named(&name) {
            Some(_) => return Ok(DirectoryState::Evenkeel),
            None if is_half_made(&name) || name == HARMLESS => (),
            None => state = DirectoryState::Foreign,
        }
    }
    Ok(state)
}

/// The areas in a folder, with their files and sizes, in order.
pub(crate) fn areas_in(path: &Path) -> io::Result<BTreeMap<Area, (PathBuf, u64)>> {
    let mut areas = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if let Some(area) = area_named(&entry.file_name().to_string_lossy()) {
            areas.insert(area, (entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(areas)
}

/// Taken for this process as long as this lives. Shared with I/O threads.
pub(super) struct Directory {
    path: PathBuf,
    /// Holds the lock; fsynced when a file is made.
    handle: File,
    files: Mutex<BTreeMap<Area, Arc<File>>>,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Directory, EngineError> {
        let refused = |source| EngineError::Folder { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(refused)?;
        let handle = File::open(path).map_err(refused)?;
        match handle.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let path = path.to_owned();
        Ok(Directory { path, handle, files: Mutex::new(BTreeMap::new()) })
    }

    /// Removes what an earlier process had half made, and lists the rest.
    pub(super) fn areas(&self) -> io::Result<Vec<(Area, u64)>> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if is_half_made(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
        // A name that a process which was killed has given may not have reached the disk yet. What is
        // written under it from now on must not be found under the old one after a power cut.
        self.handle.sync_all()?;
        let areas = areas_in(&self.path)?;
        Ok(areas.into_iter().map(|(area, (_, size))| (area, size)).collect())
    }

    /// The file of an area, opened once.
    pub(super) fn file(&self, area: Area) -> io::Result<Arc<File>> {
        if let Some(file) = self.files().get(&area) {
            return Ok(file.clone());
        }
        let path = self.path.join(AreaName(area).to_string());
        let file = Arc::new(open_file(&path, OpenOptions::new().read(true).write(true))?);
        self.files().insert(area, file.clone());
        Ok(file)
    }

    /// Blocks for as long as it takes to write and flush `size` zeros.
    pub(super) fn create(&self, area: Area, size: u64) -> io::Result<()> {
        let path = self.path.join(AreaName(area).to_string());
        if path.try_exists()? {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file is there already"));
        }
        let half_made = self.path.join(format!("{}{CREATING}", AreaName(area)));
        let made = fill(&half_made, size).and_then(|()| fs::rename(&half_made, &path));
        if let Err(error) = made {
            // The first error is the one to report; what is left is removed at the next open.
            let _left = fs::remove_file(&half_made);
            return Err(error);
        }
        self.handle.sync_all()
    }

    /// The file's open handle goes with it.
    pub(super) fn rename(&self, area: Area, to: Area) -> io::Result<()> {
        let (from_path, to_path) =
            (self.path.join(AreaName(area).to_string()), self.path.join(AreaName(to).to_string()));
        if to_path.try_exists()? {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file is there already"));
        }
        fs::rename(from_path, to_path)?;
        let mut files = self.files();
        if let Some(file) = files.remove(&area) {
            files.insert(to, file);
        }
        drop(files);
        self.handle.sync_all()
    }

    pub(super) fn remove(&self, area: Area) -> io::Result<()> {
        fs::remove_file(self.path.join(AreaName(area).to_string()))?;
        self.files().remove(&area);
        self.handle.sync_all()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<Area, Arc<File>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fill(path: &Path, size: u64) -> io::Result<()> {
    let file =
        open_file(path, OpenOptions::new().read(true).write(true).create(true).truncate(true))?;
    let zeros = Buffer::zeroed(ZEROS_SIZE);
    let mut offset = 0;
    while offset < size {
        let piece = (size - offset).min(ZEROS_SIZE as u64);
        file.write_all_at(&zeros[..piece as usize], offset)?;
        file.sync_data()?;
        offset += piece;
    }
    file.sync_all()
}

/// Past the page cache if the file system can: the engine has a cache of its own.
fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let direct = options.clone().custom_flags(DIRECT).open(path);
    match direct.and_then(|file| try_direct(&file).map(|()| file)) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => options.open(path),
        opened => opened,
    }
}

/// Some file systems refuse only when it comes to reading.
fn try_direct(file: &File) -> io::Result<()> {
    let mut block = Buffer::zeroed(BLOCK_SIZE);
    match file.read_at(&mut block, 0) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_half_made(name: &str) -> bool {
    name.strip_suffix(CREATING).is_some_and(|name| area_named(name).is_some())
}

fn area_named(name: &str) -> Option<Area> {
    if name == AreaName(Area::Super).to_string() {
        return Some(Area::Super);
    }
    let number = name.strip_prefix("segment-")?.strip_suffix(".log")?.parse().ok()?;
    let area = Area::Segment(number);
    // Only the one spelling: `segment-1.log` is not ours.
    (AreaName(area).to_string() == name).then_some(area)
}
