//! A disk that reads a folder and writes to memory: whatever is done on it, the folder stays as it is.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::task::{Context, Poll, Waker};

use evenkeel_engine::disk::{Area, BLOCK_SIZE, Buffer, Completion, Disk, Operation, Ticket};
use evenkeel_engine::{AreaName, EngineError};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Overlay {
    /// Locked, so that no node starts in the folder meanwhile.
    _directory: File,
    areas: BTreeMap<Area, Layers>,
    completions: VecDeque<Completion>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Layers {
    size: u64,
    /// What is below; nothing for an area that was made here.
    file: Option<File>,
    /// Blocks written here, by their number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Opens every area of a data folder for reading.
    pub(super) fn open(dir: &Path) -> Result<Overlay, EngineError> {
        let refused = |source| EngineError::Folder { path: dir.to_owned(), source };
        let directory = File::open(dir).map_err(refused)?;
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::Locked { path: dir.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let areas = areas_of(dir).map_err(refused)?;
        Ok(Overlay { _directory: directory, areas, completions: VecDeque::new(), waker: None })
    }

    /// All files together.
    pub(super) fn file_bytes(&self) -> u64 {
        self.areas.values().map(|layers| layers.size).sum()
    }

    fn carry_out(&mut self, operation: Operation) -> (io::Result<()>, Option<Buffer>) {
        match operation {
            Operation::Create { area, size } => {
                let made = Layers { size, file: None, blocks: BTreeMap::new() };
                let existed = self.areas.insert(area, made).is_some();
                assert!(!existed, "the engine makes only areas that are not there");
                (Ok(()), None)
            }
            Operation::Read { area, offset, mut buffer } => {
                let result = self.layers(area).and_then(|layers| layers.read(offset, &mut buffer));
                (result, Some(buffer))
            }
            Operation::Write { area, offset, buffer } => {
                let result = self.layers(area).map(|layers| layers.write(offset, &buffer));
                (result, Some(buffer))
            }
            Operation::Flush { area } => (self.layers(area).map(|_| ()), None),
        }
    }

    fn layers(&mut self, area: Area) -> io::Result<&mut Layers> {
        self.areas.get_mut(&area).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Layers {
    fn read(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        let first = offset / BLOCK_SIZE as u64;
        for (number, block) in (first..).zip(target.chunks_exact_mut(BLOCK_SIZE)) {
            match (self.blocks.get(&number), &self.file) {
                (Some(written), _) => block.copy_from_slice(written),
                (None, Some(file)) => file.read_exact_at(block, number * BLOCK_SIZE as u64)?,
                (None, None) => block.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, source: &[u8]) {
        let first = offset / BLOCK_SIZE as u64;
        for (number, block) in (first..).zip(source.chunks_exact(BLOCK_SIZE)) {
            self.blocks.insert(number, block.to_vec());
        }
    }
}

impl Disk for Overlay {
    fn areas(&mut self) -> io::Result<Vec<(Area, u64)>> {
        Ok(self.areas.iter().map(|(area, layers)| (*area, layers.size)).collect())
    }

    fn submit(&mut self, ticket: Ticket, operation: Operation) {
        let (result, buffer) = self.carry_out(operation);
        self.completions.push_back(Completion { ticket, result, buffer });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        if self.completions.is_empty() {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        completions.extend(self.completions.drain(..));
        Poll::Ready(())
    }

    fn name(&self) -> &'static str {
        "read-only"
    }
}

fn areas_of(dir: &Path) -> io::Result<BTreeMap<Area, Layers>> {
    let mut areas = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(area) = area_named(&entry.file_name().to_string_lossy()) {
            let file = File::open(entry.path())?;
            let size = file.metadata()?.len();
            areas.insert(area, Layers { size, file: Some(file), blocks: BTreeMap::new() });
        }
    }
    Ok(areas)
}

/// The inverse of `AreaName`'s text.
fn area_named(name: &str) -> Option<Area> {
    let number =
        name.strip_prefix("segment-").and_then(|rest| rest.strip_suffix(".log")?.parse().ok());
    let area = number.map_or(Area::Super, Area::Segment);
    (AreaName(area).to_string() == name).then_some(area)
}
