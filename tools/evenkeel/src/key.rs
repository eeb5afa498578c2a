//! `evenkeel key`: root keys of encryption at rest: made, named, and changed for others.
//!
//! No command prints a key, and none takes one on its command line, where other processes could see it.

use std::path::Path;

use evenkeel_engine::disk::{DirectoryState, directory_state, open_disk};
use evenkeel_engine::inspect::superblocks;
use evenkeel_engine::keys::{Encryption, KEY_SIZE, KeyId, Seed};
use evenkeel_engine::{Engine, EngineError};
use evenkeel_runtime::{block_on, random_u64};
use zeroize::Zeroizing;

use crate::arguments::KeyCommand;
use crate::failure::{Exit, Failure};
use crate::write_out;

pub(crate) mod file;

/// Makes, names or changes keys.
pub(crate) fn run(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::New { file } => {
            let key = file::make(file, &random_bytes())?;
            write_out(format!("{}: root key {}\n", file.display(), key.id()).as_bytes())
        }
        KeyCommand::Show { path } => show(path),
        KeyCommand::Rotate { dir, old, new } => rotate(dir, old, new),
    }
}

/// What the engine needs to encrypt with the key in this file.
pub(crate) fn encryption(file: &Path) -> Result<Encryption, Failure> {
    Ok(Encryption { root: file::read(file)?, seed: Seed::new(*random_bytes()) })
}

/// From the operating system; enough for a key.
fn random_bytes() -> Zeroizing<[u8; KEY_SIZE]> {
    let mut bytes = Zeroizing::new([0; KEY_SIZE]);
    bytes.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random_u64().to_le_bytes()));
    bytes
}

/// Which key a file holds, or which key opens a data folder.
fn show(path: &Path) -> Result<(), Failure> {
    if !path.is_dir() {
        let key = file::read(path)?;
        return write_out(format!("{}: root key {}\n", path.display(), key.id()).as_bytes());
    }
    let cannot = |error: &EngineError| {
        Failure::new(Exit::Usage, format!("cannot read `{}`", path.display())).because(error)
    };
    let mut keys: Vec<(u64, Option<KeyId>)> = superblocks(path)
        .map_err(|error| cannot(&error))?
        .into_iter()
        .flatten()
        .map(|superblock| (superblock.generation, superblock.key))
        .collect();
    keys.sort_unstable_by_key(|(generation, _)| std::cmp::Reverse(*generation));
    let dir = path.display();
    let text = match keys[..] {
        [] => {
            let what = format!("no copy of the superblock in `{dir}` can be read");
            return Err(Failure::new(Exit::Internal, what));
        }
        [(_, None), ..] => format!("{dir}: not encrypted\n"),
        [(_, Some(new)), (_, Some(old))] if new != old => format!(
            "{dir}: opens with root key {new}\n\
             A change of keys was interrupted: one copy still opens with root key {old}. Do it again.\n"
        ),
        [(_, Some(key)), ..] => format!("{dir}: opens with root key {key}\n"),
    };
    write_out(text.as_bytes())
}

/// The folder opens with another key from now on.
fn rotate(dir: &Path, old: &Path, new: &Path) -> Result<(), Failure> {
    let (old_key, new_key) = (file::read(old)?, encryption(new)?);
    let (was, is) = (old_key.id(), new_key.root.id());
    if was == is {
        let what = format!("`{}` and `{}` hold the same key", old.display(), new.display());
        return Err(Failure::new(Exit::Usage, what).next("`evenkeel key new FILE` makes another."));
    }
    let cannot = |error: &EngineError| {
        let exit = match error {
            EngineError::Locked { .. } => Exit::Unavailable,
            EngineError::KeyWrong { .. } | EngineError::KeyUnexpected | EngineError::Empty => {
                Exit::Usage
            }
            _ => Exit::Internal,
        };
        let what = format!("cannot change the key of `{}`", dir.display());
        let next = match error {
            EngineError::Locked { .. } => "Stop the node first: it takes less than a second.",
            EngineError::KeyWrong { .. } => "Give the key that opens it as `--old`.",
            EngineError::KeyUnexpected => "There is no key to change.",
            EngineError::Empty => "With `evenkeel up`, a node's data is in DIR/node-N/data.",
            _ => "Keep both keys, and do it again: until it has ended well, either may be needed.",
        };
        Failure::new(exit, what).because(error).next(next)
    };
    match directory_state(dir).map_err(|error| cannot(&error))? {
        DirectoryState::Evenkeel => (),
        DirectoryState::Empty | DirectoryState::Foreign => return Err(cannot(&EngineError::Empty)),
    }
    let disk = open_disk(dir).map_err(|error| cannot(&error))?;
    let rotated = block_on(Engine::rotate_key(disk, &old_key, &new_key));
    rotated.map_err(|error| cannot(&error))?;
    let text = format!(
        "{}: opens with root key {is} now, and with {was} no more\n\
         Before the node starts, set `storage.encryption_key_file` to `{}`.\n",
        dir.display(),
        new.display()
    );
    write_out(text.as_bytes())
}

#[cfg(test)]
mod tests;
