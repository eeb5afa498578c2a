//! The placement map on this node: what the placement group decides, and what follows from it.

use evenkeel_core::placement::{MapCommand, PlacementMap};

/// Applies a decided command. A refused one changes nothing: every replica refuses it alike.
pub(crate) fn apply(map: &mut PlacementMap, command: &[u8]) {
    if let Ok(command) = MapCommand::decode(command) {
        match map.apply(&command) {
            Ok(()) => tracing::info!(epoch = map.epoch(), "the placement map has changed"),
            Err(refusal) => tracing::warn!(%refusal, "a placement command was refused"),
        }
    }
}
