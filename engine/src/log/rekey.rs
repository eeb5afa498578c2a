//! Another root key for a directory: its key is wrapped anew, and nothing else is written.
//!
//! ```text
//!            copy A        copy B      opens with
//! before     old, gen 6    old, gen 7  old
//! 1st write  new, gen 8    old, gen 7  old, until the write is whole; then new
//! 2nd write  new, gen 8    new, gen 9  new
//! ```
//!
//! Invariant: the second copy is written when the first one is durable. So at every moment one copy is
//! whole, and whatever is left opens with the old key or with the new one; never with neither. When this
//! has ended well, no copy is left that opens with the old one. Interrupted, it can be done again with
//! the same two keys.

use super::Engine;
use super::conversation::Conversation;
use super::open::{areas, read_superblock, write_superblock};
use crate::bugs::{Bug, planted};
use crate::disk::{Area, Disk};
use crate::error::{AreaName, EngineError};
use crate::format::superblock::Superblock;
use crate::keys::{DirectoryKey, Encryption, RootKey};

impl Engine {
    /// Has a directory that is encrypted open with another root key from now on: `new` instead of `old`.
    /// No data is written again. Done again after it was interrupted, it goes on; until it has ended
    /// well, either key may be the one that opens the directory.
    ///
    /// # Errors
    /// `Empty`, `Format`, `Superblock`, `KeyUnexpected` (it is not encrypted), `KeyWrong` (neither key
    /// opens it), `Disk`.
    pub async fn rotate_key(
        disk: Box<dyn Disk>,
        old: &RootKey,
        new: &Encryption,
    ) -> Result<(), EngineError> {
        rotate(disk, old, new).await
    }
}

async fn rotate(disk: Box<dyn Disk>, old: &RootKey, new: &Encryption) -> Result<(), EngineError> {
    let mut conversation = Conversation::new(disk);
    let areas = areas(&mut conversation)?;
    let Some(&(_, size)) = areas.iter().find(|(area, _)| *area == Area::Super) else {
        return Err(match areas.is_empty() {
            true => EngineError::Empty,
            false => EngineError::Superblock { area: AreaName(Area::Super) },
        });
    };
    let mut superblock = read_superblock(&mut conversation, size, areas.len() > 1).await?;
    let key = unwrap(&superblock, old, &new.root)?;
    superblock.wrap = Some(new.root.wrap(&key, &superblock.identity, &new.seed));
    if planted(Bug::KeyRotationLosesOldWrap) {
        return write_both_at_once(&mut conversation, &mut superblock).await;
    }
    write_superblock(&mut conversation, &mut superblock).await?;
    write_superblock(&mut conversation, &mut superblock).await
}

/// With the old key, or with the new one if this is done again.
fn unwrap(
    superblock: &Superblock,
    old: &RootKey,
    new: &RootKey,
) -> Result<DirectoryKey, EngineError> {
    let wrap = superblock.wrap.as_ref().ok_or(EngineError::KeyUnexpected)?;
    let identity = &superblock.identity;
    let key = old.unwrap(wrap, identity).or_else(|| new.unwrap(wrap, identity));
    key.ok_or(EngineError::KeyWrong { wanted: wrap.root, given: old.id() })
}

async fn write_both_at_once(
    conversation: &mut Conversation,
    superblock: &mut Superblock,
) -> Result<(), EngineError> {
    for _ in 0..2 {
        superblock.generation += 1;
        let (offset, buffer) = (superblock.offset(), superblock.encode());
        conversation.write(Area::Super, offset, buffer).await?;
    }
    conversation.flush(Area::Super).await
}
