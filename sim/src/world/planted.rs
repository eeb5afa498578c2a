//! The bugs planted on purpose, of all crates, by name.

use evenkeel_core::bugs::{self as core_bugs, Bug as CoreBug};
use evenkeel_engine::bugs::{self as engine_bugs, Bug as EngineBug};
use evenkeel_node::bugs::{self as node_bugs, Bug as NodeBug};

/// The names of all, "room/name".
pub fn names() -> Vec<String> {
    let core = CoreBug::ALL.iter().map(|bug| format!("core/{}", bug.name()));
    let engine = EngineBug::ALL.iter().filter(|bug| bug.shows_in_a_cluster());
    let engine = engine.map(|bug| format!("engine/{}", bug.name()));
    let node = NodeBug::ALL.iter().map(|bug| format!("node/{}", bug.name()));
    core.chain(engine).chain(node).collect()
}

/// Plants the bug of this name in this process; whether there is one.
pub fn plant(name: &str) -> bool {
    let core = CoreBug::ALL.iter().find(|bug| name == format!("core/{}", bug.name()));
    let engine = EngineBug::ALL.iter().find(|bug| name == format!("engine/{}", bug.name()));
    let node = NodeBug::ALL.iter().find(|bug| name == format!("node/{}", bug.name()));
    core_bugs::plant(core.copied());
    engine_bugs::plant(engine.copied());
    node_bugs::plant(node.copied());
    core.is_some() || engine.is_some() || node.is_some()
}
