//! Who a data directory belongs to.

use crate::error::EngineError;
use crate::limits::NAME_SIZE_MAX;

/// Written into the superblock at creation and never changed: a wiped directory is a new node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's number.
    pub cluster: u64,
    /// The node's number within the cluster.
    pub node: u64,
    /// The node's name, for people; at most `NAME_SIZE_MAX` bytes.
    pub name: String,
}

impl Identity {
    /// # Errors
    /// `Size` if the name is too long.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        if self.name.len() <= NAME_SIZE_MAX {
            Ok(())
        } else {
            let (what, limit) = ("the node's name", NAME_SIZE_MAX);
            Err(EngineError::Size { what, size: self.name.len(), size_max: limit })
        }
    }
}
