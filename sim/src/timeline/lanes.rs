//! Who has a lane, from top to bottom: the world, the cluster's nodes, then the clients.

use std::collections::BTreeMap;

/// Nodes of the simulation by their number, and the lanes they are in.
pub(super) struct Lanes {
    names: Vec<String>,
    by_number: BTreeMap<String, usize>,
}

impl Lanes {
    pub(super) fn new(names: &[(String, String)]) -> Lanes {
        let rank = |name: &str| match name {
            "world" => 0,
            name if name.starts_with("node-") => 1,
            _ => 2,
        };
        let mut sorted: Vec<&(String, String)> = names.iter().collect();
        sorted.sort_by_key(|(_, name)| (rank(name), name.len(), name.clone()));
        let by_number =
            sorted.iter().enumerate().map(|(lane, (number, _))| (number.clone(), lane)).collect();
        Lanes { names: sorted.into_iter().map(|(_, name)| name.clone()).collect(), by_number }
    }

    /// The lane of a node; the world's if nobody knows it.
    pub(super) fn of(&self, number: &str) -> usize {
        self.by_number.get(number).copied().unwrap_or(0)
    }

    /// Whether a lane is one of the cluster's nodes.
    pub(super) fn is_node(&self, lane: usize) -> bool {
        self.names.get(lane).is_some_and(|name| name.starts_with("node-"))
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}
