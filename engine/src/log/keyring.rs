//! Which key opens which segment.
//!
//! Invariant: a segment is written by one life of a process, so it has one data key; it follows from the
//! salt in its chunks' headers.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::EngineError;
use crate::format::chunk::Header;
use crate::format::superblock::Superblock;
use crate::keys::{DataKey, DirectoryKey, Encryption, Salt};

/// All keys of a directory that is open; empty if it is not encrypted.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    directory: Option<DirectoryKey>,
    /// By segment: what earlier lives have written.
    segments: BTreeMap<u32, Rc<DataKey>>,
    /// By incarnation and salt: one key opens many segments.
    lives: BTreeMap<(u64, Salt), Rc<DataKey>>,
    /// What this life writes.
    own: Option<(u64, Rc<DataKey>)>,
}

impl Keyring {
    /// Whether the directory and what the caller says of it fit together.
    ///
    /// # Errors
    /// `KeyMissing`, `KeyUnexpected`, `KeyWrong`.
    pub(super) fn open(
        superblock: &Superblock,
        encryption: Option<&Encryption>,
    ) -> Result<Keyring, EngineError> {
        let directory = match (&superblock.wrap, encryption) {
            (None, None) => None,
            (Some(wrap), None) => return Err(EngineError::KeyMissing { wanted: wrap.root }),
            (None, Some(_)) => return Err(EngineError::KeyUnexpected),
            (Some(wrap), Some(Encryption { root, .. })) => {
                let key = root.unwrap(wrap, &superblock.identity);
                let (wanted, given) = (wrap.root, root.id());
                Some(key.ok_or(EngineError::KeyWrong { wanted, given })?)
            }
        };
        Ok(Keyring { directory, ..Keyring::default() })
    }

    /// A header of this segment was read.
    pub(super) fn learn(&mut self, header: &Header) {
        let (Some(directory), Some(salt)) = (&self.directory, header.salt) else { return };
        let incarnation = header.place.incarnation;
        let life = self.lives.entry((incarnation, salt));
        let key = life.or_insert_with(|| Rc::new(directory.data_key(incarnation, &salt)));
        self.segments.insert(header.place.segment, Rc::clone(key));
    }

    /// A life begins that writes with this incarnation and salt. `None` if nothing is encrypted.
    pub(super) fn begin(&mut self, incarnation: u64, salt: &Salt) -> Option<Rc<DataKey>> {
        let key = Rc::new(self.directory.as_ref()?.data_key(incarnation, salt));
        self.own = Some((incarnation, Rc::clone(&key)));
        Some(key)
    }

    /// What opens the records of a segment, which this incarnation has written.
    pub(super) fn key(&self, segment: u32, incarnation: Option<u64>) -> Option<&Rc<DataKey>> {
        match &self.own {
            Some((own, key)) if Some(*own) == incarnation => Some(key),
            _ => self.segments.get(&segment),
        }
    }

    /// Nobody will read this segment any more. The last one of a life takes its key along.
    pub(super) fn forget(&mut self, segment: u32) {
        if let Some(key) = self.segments.remove(&segment)
            && Rc::strong_count(&key) <= 2
        {
            self.lives.retain(|_, life| !Rc::ptr_eq(life, &key));
        }
    }
}
