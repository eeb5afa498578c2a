//! The folder of `evenkeel up`: what is in it, and whether it may be used.
//!
//! ```text
//! DIR/cluster.yaml          the mark of a folder of ours: format, cluster id, how many nodes, port
//! DIR/node-1/evenkeel.yaml  what `evenkeel serve --config` reads; written at every start
//! DIR/node-1/data/          the node's log, superblock and lock
//! DIR/node-1/log            what the node said, appended
//! ```
//!
//! **Invariant.** Nothing is created or changed before everything that could be refused has been
//! looked at.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};
use crate::inspect;

/// The layout above. A folder with another number was made by another release.
const FORMAT: u32 = 1;
const MARK_NAME: &str = "cluster.yaml";

/// What `cluster.yaml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: u32,
    cluster: u64,
    nodes: u16,
    /// The first client port of the last start.
    port: u16,
}

impl Mark {
    fn text(&self) -> io::Result<String> {
        let mark = serde_yaml_ng::to_string(self).map_err(io::Error::other)?;
        Ok(format!("# Made by `evenkeel up`; the nodes beside it are one cluster.\n{mark}"))
    }
}

/// A folder that may be used; `claim` makes it ours.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    mark: Mark,
    /// Held while this process lives, so that no second `up` runs in the same folder.
    lock: Option<File>,
}

impl Folder {
    /// Looks at `dir` without changing it. A folder that is missing or empty becomes cluster
    /// `new_cluster`.
    pub(super) fn examine(
        dir: &Path,
        nodes: u16,
        port: u16,
        new_cluster: u64,
    ) -> Result<Folder, Failure> {
        let dir = std::path::absolute(dir).map_err(|error| unusable(dir, &error))?;
        if dir.to_str().is_none() {
            let what = format!("cannot use `{}`: its name is not UTF-8", dir.display());
            return Err(Failure::new(Exit::Usage, what).next("Give another folder with --dir."));
        }
        let mark = Mark { format: FORMAT, cluster: new_cluster, nodes, port };
        if is_missing_or_empty(&dir)? {
            return Ok(Folder { dir, mark, lock: None });
        }
        let (found, lock) = read_mark(&dir)?;
        if found.nodes != nodes {
            let what = format!("`{}` holds a cluster of {} nodes", dir.display(), found.nodes);
            let next = format!("Start it with --nodes {}, or give another --dir.", found.nodes);
            return Err(Failure::new(Exit::Usage, what).next(next));
        }
        let mark = Mark { port, ..found };
        let folder = Folder { dir, mark, lock: Some(lock) };
        folder.check_nodes()?;
        Ok(folder)
    }

    /// Makes the folder ours, on disk. Undone if it does not succeed.
    pub(super) fn claim(&mut self) -> Result<(), Failure> {
        match self.lock {
            Some(_) => self.note_port(),
            None => self.found(),
        }
        .map_err(|error| unusable(&self.dir, &error))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn cluster(&self) -> u64 {
        self.mark.cluster
    }

    /// Where a node's configuration, data and log live.
    pub(super) fn node_dir(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Brings the mark up to date, in place: its lock belongs to the file. That also shows whether
    /// anything can be written to a folder that is ours already.
    fn note_port(&self) -> io::Result<()> {
        let text = self.mark.text()?;
        let mut file = File::options().write(true).open(self.dir.join(MARK_NAME))?;
        file.write_all(text.as_bytes())?; // Less than a sector: all of it, or nothing.
        file.set_len(text.len() as u64)?;
        file.sync_all()?;
        probe(&self.dir)
    }

    /// Makes the folder and its mark.
    fn found(&mut self) -> io::Result<()> {
        let existed = self.dir.exists();
        fs::create_dir_all(&self.dir)?;
        let path = self.dir.join(MARK_NAME);
        let text = self.mark.text()?;
        let written = File::options().read(true).write(true).create_new(true).open(&path).and_then(
            |mut file| {
                file.try_lock()?;
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                Ok(file)
            },
        );
        if written.is_err() {
            // What cannot be removed is what could not be made.
            fs::remove_file(&path).ok();
            if !existed {
                fs::remove_dir(&self.dir).ok();
            }
        }
        self.lock = Some(written?);
        Ok(())
    }

    /// Every data folder in here belongs to the cluster of the mark.
    fn check_nodes(&self) -> Result<(), Failure> {
        for number in 1..=self.mark.nodes {
            let name = format!("node-{number}");
            let data = self.node_dir(&name).join("data");
            check_data(&data, &name, self.mark.cluster)?;
        }
        Ok(())
    }
}

/// Whether anything can be written to a folder that is ours already.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(".writable");
    File::create(&path)?;
    fs::remove_file(&path)
}

fn is_missing_or_empty(dir: &Path) -> Result<bool, Failure> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unusable(dir, &error)),
    }
}

/// Reads and locks the mark of a folder that is not empty.
fn read_mark(dir: &Path) -> Result<(Mark, File), Failure> {
    let foreign = || {
        let what = format!("`{}` is not empty and not a folder of `evenkeel up`", dir.display());
        Failure::new(Exit::Usage, what).next("Give an empty or a new folder with --dir.")
    };
    let mut file = match File::open(dir.join(MARK_NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(foreign()),
        Err(error) => return Err(unusable(dir, &error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let what = format!("`{}` is in use by another `evenkeel up`", dir.display());
            let next = "Stop that one first, or give another --dir.";
            return Err(Failure::new(Exit::Unavailable, what).next(next));
        }
        Err(TryLockError::Error(error)) => return Err(unusable(dir, &error)),
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| unusable(dir, &error))?;
    let format = serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&text)
        .ok()
        .and_then(|mark| mark.get("format")?.as_u64())
        .ok_or_else(foreign)?;
    if format != u64::from(FORMAT) {
        let what = format!("`{}` has format {format}, this release reads {FORMAT}", dir.display());
        let next = "Use the release that made it, or give another --dir.";
        return Err(Failure::new(Exit::Usage, what).next(next));
    }
    let mark = serde_yaml_ng::from_str(&text).map_err(|error| foreign().because(&error))?;
    Ok((mark, file))
}

/// What a node kept must be this cluster's. It is looked at now, since a node that finds out later has
/// already changed something.
fn check_data(dir: &Path, name: &str, cluster: u64) -> Result<(), Failure> {
    let Some(found) = inspect::identity(dir)? else { return Ok(()) };
    if found.cluster == cluster && found.name == name {
        return Ok(());
    }
    let what = format!(
        "`{}` holds the data of {} of another cluster ({}, this one is {cluster})",
        dir.display(),
        found.name,
        found.cluster
    );
    Err(Failure::new(Exit::Usage, what).next("Put the right data back, or give another --dir."))
}

fn unusable(dir: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Internal, format!("cannot use the folder `{}`", dir.display()))
        .because(error)
        .next("Give a folder that can be written to with --dir.")
}
