//! The simulator's binary, for tests that run it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The simulator's binary, built once for all tests of this file.
pub(crate) fn simulator() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // Where cargo runs a test, not where it was built: a target folder may serve several checkouts.
        let package = std::env::current_dir().expect("cargo runs tests in their package's folder");
        let root = package.parent().expect("sim is one folder down");
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
        let target = root.join(target).join("sim");
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--package", "evenkeel-sim", "--bin", "evenkeel-sim"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(root)
            .env("RUSTFLAGS", "--cfg madsim")
            // Seeds take a fifth less time, and there are many.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .expect("cargo can be started");
        assert!(status.success(), "the simulator does not build");
        target.join("debug").join("evenkeel-sim")
    })
}

/// A value of the one line that sums a run up; nothing if it is not there.
pub(crate) fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let line = text.lines().rev().find(|line| line.starts_with("seed=")).unwrap_or_default();
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
}
