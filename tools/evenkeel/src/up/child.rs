//! One node of `evenkeel up`: a child process whose standard input is the leash.
//!
//! A child runs `serve --until-stdin-ends`. As long as the parent holds the other end of the pipe,
//! the child runs; when the parent stops it, or dies in whatever way, the kernel closes the pipe and
//! the child stops. No signal and no process id is needed, so no wrong process can be hit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::failure::{Exit, Failure};

/// How much of a dead child's log is shown.
const TAIL_LINE_COUNT: usize = 8;
/// How much of the log's end is read for that, in bytes.
const TAIL_SIZE_MAX: u64 = 16 * 1024;

/// A node as a process.
#[derive(Debug)]
pub(super) struct NodeProcess {
    pub name: String,
    pub config: PathBuf,
    log: PathBuf,
    process: Child,
    ended: bool,
}

impl NodeProcess {
    /// Starts the node that `DIR/NAME/evenkeel.yaml` describes.
    pub(super) fn start(dir: &Path, name: &str) -> Result<NodeProcess, Failure> {
        let cannot = |error: io::Error| {
            Failure::new(Exit::Internal, format!("cannot start {name}")).because(&error)
        };
        let (config, log) = (dir.join("evenkeel.yaml"), dir.join("log"));
        let output = File::options().create(true).append(true).open(&log).map_err(cannot)?;
        let process = Command::new(std::env::current_exe().map_err(cannot)?)
            .arg("serve")
            .arg("--until-stdin-ends")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(cannot)?)
            .stderr(output)
            // A Ctrl-C in the terminal is for the parent alone, which stops the children in turn.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        Ok(NodeProcess { name: name.to_owned(), config, log, process, ended: false })
    }

    /// How it ended, told once.
    pub(super) fn newly_ended(&mut self) -> Option<ExitStatus> {
        if self.ended {
            return None;
        }
        // An error means that there is no such child any more: nothing to wait for.
        let status = self.process.try_wait().unwrap_or_else(|_| Some(ExitStatus::from_raw(0)))?;
        self.ended = true;
        Some(status)
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Asks it to stop. `newly_ended` tells when it has.
    pub(super) fn let_go(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // It fails only for a process that has ended.
        self.process.kill().ok();
    }

    /// Why it ended, and the last words of its log.
    pub(super) fn epitaph(&self, status: ExitStatus) -> String {
        let tail = tail(&self.log);
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown status".to_owned(),
        };
        let log = self.log.display();
        format!("{} ended ({how}); its log, {log}, ends with:\n{tail}", self.name)
    }

    /// The last line of its log, for messages of one line.
    pub(super) fn last_words(&self) -> String {
        let tail = tail(&self.log);
        let last = tail.lines().last().unwrap_or("(nothing)").trim();
        last.strip_prefix("evenkeel: ").unwrap_or(last).to_owned()
    }
}

/// The last lines of a log, each indented.
fn tail(log: &Path) -> String {
    let end = read_end(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINE_COUNT)..];
    last.iter().map(|line| format!("  {line}\n")).collect()
}

fn read_end(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_SIZE_MAX)))?;
    let mut end = Vec::new();
    file.take(TAIL_SIZE_MAX).read_to_end(&mut end)?;
    Ok(end)
}
