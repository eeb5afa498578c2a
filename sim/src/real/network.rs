//! Network namespaces by iproute2, and ways between them that can be cut one by one.
//!
//! A way is cut by telling the sender's kernel a wrong hardware address of the receiver, for good: what is
//! sent is lost without a word, as on a cable that is unplugged, and only in that direction. It needs no
//! packet filter, which not every kernel has.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::fault::{NodeIndex, node_name};

/// Nobody has it.
const NOWHERE: &str = "02:00:00:00:ff:ff";
/// The clients' own address.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 254);

/// A node's address.
pub(super) fn address(node: NodeIndex) -> Ipv4Addr {
    Ipv4Addr::new(10, 97, 0, node as u8 + 1)
}

fn hardware(node: NodeIndex) -> String {
    format!("02:00:00:00:00:{:02x}", node + 1)
}

/// Makes the hub and a namespace for each of so many nodes, all of whom know each other.
///
/// # Errors
/// What the machine does not allow.
pub(super) fn make(count: usize) -> Result<(), String> {
    // Names of namespaces are files: in a file system of our own nobody else sees them.
    run("mount", "-t tmpfs none /run")?;
    ip("link set lo up")?;
    ip("link add hub type bridge")?;
    ip(&format!("addr add {HUB}/24 dev hub"))?;
    ip("link set hub up")?;
    for node in 0..count {
        let name = node_name(node);
        ip(&format!("netns add {name}"))?;
        let hardware = hardware(node);
        ip(&format!(
            "link add to-{name} type veth peer name eth0 netns {name} address {hardware}"
        ))?;
        ip(&format!("link set to-{name} master hub up"))?;
        ip(&format!("-n {name} addr add {}/24 dev eth0", address(node)))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} link set lo up"))?;
    }
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    pairs.filter(|(from, to)| from != to).try_for_each(|(from, to)| join(from, to))
}

/// What one node sends to another arrives.
pub(super) fn join(from: NodeIndex, to: NodeIndex) -> Result<(), String> {
    know(from, to, &hardware(to))
}

/// It is lost.
pub(super) fn cut(from: NodeIndex, to: NodeIndex) -> Result<(), String> {
    know(from, to, NOWHERE)
}

fn know(from: NodeIndex, to: NodeIndex, hardware: &str) -> Result<(), String> {
    let (from, to) = (node_name(from), address(to));
    ip(&format!("-n {from} neigh replace {to} lladdr {hardware} dev eth0 nud permanent"))
}

fn ip(arguments: &str) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &str) -> Result<(), String> {
    let what = || format!("`{program} {arguments}`");
    let output = Command::new(program).args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("{}: {error}", what()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr).trim()))
}
