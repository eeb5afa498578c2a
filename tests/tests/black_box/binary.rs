//! The binary under test, and how to run it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Builds `evenkeel` once per test run and returns where it is.
pub(crate) fn evenkeel() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--bin", "evenkeel", "--message-format=json"])
            .current_dir("..") // Cargo runs a test in its package's folder.
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "`cargo build --bin evenkeel` failed");
        let messages = String::from_utf8(output.stdout).unwrap();
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == "evenkeel")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the executable that it built")
    })
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

/// Runs `evenkeel` with these arguments to its end.
pub(crate) fn run(arguments: &[impl AsRef<OsStr>]) -> Said {
    run_with_input(arguments, b"")
}

pub(crate) fn run_with_input(arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Said {
    let mut process = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing closes the pipe: not our concern.
    process.stdin.take().unwrap().write_all(input).ok();
    said(process.wait_with_output().unwrap())
}

/// `evenkeel`, without any variable of ours that the developer may have set.
pub(crate) fn command() -> Command {
    let mut command = Command::new(evenkeel());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EVENKEEL_") {
            command.env_remove(name);
        }
    }
    command
}

fn said(output: Output) -> Said {
    let err = String::from_utf8(output.stderr).unwrap();
    Said { code: output.status.code(), out: output.stdout, err }
}

/// Sends a signal by the shell's own `kill`, so that nothing has to be installed.
pub(crate) fn signal(process_id: u32, name: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {process_id}")).status();
    assert!(status.unwrap().success(), "cannot send {name} to {process_id}");
}

/// A folder of this test's own, removed at its end unless it fails.
#[derive(Debug)]
pub(crate) struct Folder {
    pub path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("black-box-{}-{number}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder { path }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.path).ok();
            std::fs::remove_file(self.path.with_extension("stderr")).ok();
        }
    }
}

/// So many bytes, a multiple of eight, that nothing could store in less, and other ones for each number
/// (SplitMix64).
pub(crate) fn incompressible(number: u64, size: usize) -> Vec<u8> {
    let mixed = |word: u64| {
        let mut mixed = (number << 32 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).to_le_bytes()
    };
    (0..size as u64 / 8).flat_map(mixed).collect()
}
