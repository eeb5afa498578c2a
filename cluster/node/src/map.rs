//! The placement map on this node: what the placement group decides, and what follows from it.

use evenkeel_core::placement::{MapCommand, MapError, PlacementMap};

/// Applies a decided command. A refused one changes nothing: every replica refuses it alike.
pub(crate) fn apply(map: &mut PlacementMap, command: &[u8]) -> Result<(), MapError> {
    let applied = MapCommand::decode(command).and_then(|command| map.apply(&command));
    match &applied {
        Ok(()) => tracing::info!(epoch = map.epoch(), "the placement map has changed"),
        Err(refusal) => tracing::info!(%refusal, "a placement command was refused"),
    }
    applied
}
