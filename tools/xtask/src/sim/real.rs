//! `cargo sim --real`: scenario files with real processes, one after the other.
//!
//! Each run gets a network, a mount and a process namespace of its own (`unshare`, of util-linux): it sees
//! no other network, and whatever it started ends with it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::Options;
use super::simulator::{Error, cargo, root, target};

/// A run says so if a simulator would be needed for all that happens in it.
const EXIT_SKIPPED: i32 = 77;
/// A run lasts as long as its scenario, and what healing takes.
const REAL_TIME_MAX_S: &str = "180";

/// Plays one scenario, or all there are; whether all went well.
pub(crate) fn real(options: &Options) -> Result<bool, Error> {
    if let Err(reason) = probe() {
        println!("skipped: this machine makes no network namespaces for us ({reason})");
        return Ok(true);
    }
    let root = root();
    let target = target(&root);
    cargo(&root, &["build", "--quiet", "--package", "evenkeel", "--package", "evenkeel-sim"])?;
    let binaries = target.join("debug");
    let names = names(&binaries, options.scenario.as_deref())?;
    let (mut played, mut failed, mut skipped) = (0, 0, 0);
    for name in &names {
        let first = options.from.unwrap_or(1);
        for seed in first..first + options.seeds.unwrap_or(1) {
            let folder = target.join("sim/real").join(format!("{name}-{seed}"));
            let older = options.older.as_deref();
            let output = play(&binaries, older, (name, seed), &folder)?;
            let text = String::from_utf8_lossy(&output.stdout);
            print!("{text}{}", String::from_utf8_lossy(&output.stderr));
            match output.status.code() {
                Some(0) => {
                    played += 1;
                    let _leftovers = fs::remove_dir_all(&folder);
                }
                Some(EXIT_SKIPPED) => {
                    skipped += 1;
                    break; // Of another seed the same would be said.
                }
                _ => {
                    (played, failed) = (played + 1, failed + 1);
                    println!("  data and logs: {}", folder.display());
                }
            }
        }
    }
    println!("{played} played with real processes, {failed} failed; {skipped} skipped");
    Ok(failed == 0)
}

fn play(
    binaries: &Path,
    older: Option<&Path>,
    (name, seed): (&str, u64),
    folder: &Path,
) -> Result<Output, Error> {
    let lost = |error: std::io::Error| Error::new(format!("{}: {error}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(lost)?;
    }
    fs::create_dir_all(folder).map_err(lost)?;
    let mut command = Command::new("timeout");
    // The first process of a namespace does not hear SIGTERM.
    command.args(["--signal=KILL", REAL_TIME_MAX_S]).arg("unshare").args(NAMESPACES).arg("--");
    command.arg(binaries.join("evenkeel-sim")).args(["real", name, &seed.to_string()]);
    command.arg(binaries.join("evenkeel")).arg(folder).args(older).stdin(Stdio::null());
    command.output().map_err(|error| Error::new(format!("`timeout` cannot be started: {error}")))
}

/// What a run has for itself. As root of its own user namespace it may make networks, whoever calls.
const NAMESPACES: [&str; 7] =
    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];

/// Whether the kernel, and whoever set it up, allow that.
fn probe() -> Result<(), String> {
    let script = "mount -t tmpfs none /run && ip link add hub type bridge && mkdir /run/netns && \
                  ip netns add probe";
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).args(["--", "sh", "-c", script]).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("`unshare`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().replace('\n', "; ")) }
}

/// All there are, or the one that was asked for.
fn names(binaries: &Path, wanted: Option<&str>) -> Result<Vec<String>, Error> {
    let output = Command::new(binaries.join("evenkeel-sim")).arg("names").output();
    let output = output.map_err(|error| Error::new(format!("evenkeel-sim: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let known = text.lines().map(str::to_owned);
    let names: Vec<String> =
        known.filter(|name| wanted.is_none_or(|wanted| name == wanted)).collect();
    match wanted {
        Some(wanted) if names.is_empty() => Err(Error::new(format!(
            "no file in sim/scenarios is called `{wanted}`; `cargo sim scenarios` lists them"
        ))),
        _ => Ok(names),
    }
}
