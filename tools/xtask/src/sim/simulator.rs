//! The simulator's binary: built once with `--cfg madsim`, then one process per seed.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The simulator could not be built or started; a seed that fails is no such error.
#[derive(Debug)]
pub(crate) struct Error(String);

impl Error {
    pub(crate) fn new(reason: String) -> Error {
        Error(reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One world.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) scenario: Option<String>,
    pub(crate) planted: Option<String>,
}

impl Run {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["run".to_owned(), self.seed.to_string()];
        for (name, value) in [("--scenario", &self.scenario), ("--planted", &self.planted)] {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value.clone()]);
            }
        }
        arguments
    }
}

/// How a world ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) is_ok: bool,
    /// The one line that sums it up: `key=value` and words.
    pub(crate) line: String,
    /// Everything that was printed.
    pub(crate) text: String,
    /// Real time.
    pub(crate) took: Duration,
}

impl Outcome {
    /// A value of the line.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// A value that is a number; zero if it is not there.
    pub(crate) fn number(&self, key: &str) -> f64 {
        self.value(key).and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }
}

/// The built binary.
#[derive(Debug)]
pub(crate) struct Simulator {
    binary: PathBuf,
    root: PathBuf,
    /// Where what it writes may go: nothing there is kept in the repository.
    target: PathBuf,
}

/// The repository that Cargo runs in; where this was built may be another checkout.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.ancestors().nth(2).expect("tools/xtask is two folders down").to_owned()
}

/// Where it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    root.join(std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from))
}

fn cargo_path() -> OsString {
    std::env::var_os("CARGO").unwrap_or("cargo".into())
}

/// Runs Cargo there.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Result<(), Error> {
    let status = Command::new(cargo_path()).args(arguments).current_dir(root).status();
    let status = status.map_err(|error| Error(format!("cargo cannot be started: {error}")))?;
    let failed = || Error(format!("`cargo {}` fails; see above", arguments.join(" ")));
    if status.success() { Ok(()) } else { Err(failed()) }
}

/// A world that takes longer than this in real time has lost its way.
const REAL_TIME_MAX: Duration = Duration::from_secs(180);

impl Simulator {
    /// Builds it, in `sim` below the usual target folder: the two worlds share no artifact.
    pub(crate) fn build() -> Result<Simulator, Error> {
        let root = root();
        let target = target(&root).join("sim");
        let status = Command::new(cargo_path())
            .args(["build", "--quiet", "--package", "evenkeel-sim", "--bin", "evenkeel-sim"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&root)
            .env("RUSTFLAGS", "--cfg madsim")
            // Seeds take a fifth less time, and there are many.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .status()
            .map_err(|error| Error(format!("cargo cannot be started: {error}")))?;
        if !status.success() {
            return Err(Error("the simulator does not build; see above".to_owned()));
        }
        let binary = target.join("debug").join("evenkeel-sim");
        Ok(Simulator { binary, root, target })
    }

    /// The names of something: `bugs`, `scenarios`.
    pub(crate) fn list(&self, what: &str) -> Result<Vec<String>, Error> {
        let output = self.command(&[what.to_owned()]).output().map_err(|error| self.lost(error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder for files of one kind, beside the binary.
    pub(crate) fn folder(&self, kind: &str) -> PathBuf {
        let folder = self.target.join(kind);
        // Whoever writes there says what went wrong.
        let _ = std::fs::create_dir_all(&folder);
        folder
    }

    /// Where a failure of this run is kept.
    pub(crate) fn capsule(&self, run: &Run) -> PathBuf {
        let scenario = run.scenario.as_deref().unwrap_or("swarm");
        self.folder("capsules").join(format!("{scenario}-{}.json", run.seed))
    }

    /// Anything the binary can do, straight to the terminal and without a limit of time.
    pub(crate) fn pass(&self, arguments: &[String]) -> Result<bool, Error> {
        let status = Command::new(&self.binary).args(arguments).stdin(Stdio::null()).status();
        Ok(status.map_err(|error| self.lost(error))?.success())
    }

    /// Anything the binary can do, in silence: what it printed.
    pub(crate) fn ask(&self, arguments: &[String]) -> Result<String, Error> {
        let output = Command::new(&self.binary).args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| self.lost(error))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One seed, with its story, straight to the terminal.
    pub(crate) fn tell(&self, run: &Run) -> Result<bool, Error> {
        let mut arguments = run.arguments();
        arguments.push("--story".to_owned());
        let status = self.command(&arguments).status().map_err(|error| self.lost(error))?;
        Ok(status.success())
    }

    /// One seed, in silence.
    pub(crate) fn run(&self, run: &Run) -> Result<Outcome, Error> {
        self.run_with(run, &[], &[])
    }

    /// One seed, with more arguments and a changed environment.
    #[expect(clippy::disallowed_methods, reason = "real time is what a process takes")]
    pub(crate) fn run_with(
        &self,
        run: &Run,
        more: &[String],
        environment: &[(&str, &str)],
    ) -> Result<Outcome, Error> {
        let begun = Instant::now();
        let mut arguments = run.arguments();
        arguments.extend_from_slice(more);
        let mut command = self.command(&arguments);
        command.envs(environment.iter().copied());
        // `timeout` belongs to coreutils; a hung world must not hang the campaign.
        let output = command.output().map_err(|error| self.lost(error))?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let line = stdout.lines().rev().find(|line| line.starts_with("seed="));
        let line = line.map_or_else(|| self.obituary(run, output.status), str::to_owned);
        let text = format!("{stdout}{}", if output.status.success() { "" } else { &stderr });
        Ok(Outcome {
            seed: run.seed,
            is_ok: output.status.success(),
            line,
            text,
            took: begun.elapsed(),
        })
    }

    fn obituary(&self, run: &Run, status: std::process::ExitStatus) -> String {
        format!("seed={} FAILED oracle=process it died without a word: {status}", run.seed)
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new("timeout");
        command.arg(REAL_TIME_MAX.as_secs().to_string()).arg(&self.binary).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    fn lost(&self, error: std::io::Error) -> Error {
        Error(format!("{} cannot be started: {error}", self.binary.display()))
    }
}
