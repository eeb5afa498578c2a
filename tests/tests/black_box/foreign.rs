//! Other people's clients, unmodified, in single and in cluster mode.
//!
//! What is missing is installed into a folder of the target directory; what cannot be installed is
//! skipped with a line that is visible although the test passes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::binary::Folder;
use crate::cluster::Cluster;

/// In the folder of this package, where cargo runs its tests.
const SCRIPTS: &str = "clients";

/// Past the test runner's capture: who reads the log must see what was not tested.
fn skipped(what: &str, why: &str) {
    std::io::stderr().write_all(format!("skipped: {what}: {why}\n").as_bytes()).unwrap();
}

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out
}

/// Debian's `redis-tools`.
fn has_redis_tools() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = works(Command::new("redis-cli").arg("--version"));
        if !found {
            skipped(
                "redis-cli and redis-benchmark",
                "not installed (`apt-get install redis-tools`)",
            );
        }
        found
    })
}

/// A Python that can `import redis`.
fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PYTHON.get_or_init(|| {
        let has_redis = |python: &Path| works(Command::new(python).args(["-c", "import redis"]));
        let system = PathBuf::from("python3");
        if has_redis(&system) {
            return Some(system);
        }
        let venv = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("redis-py");
        let own = venv.join("bin/python");
        let installed = has_redis(&own)
            || works(Command::new("python3").args(["-m", "venv"]).arg(&venv))
                && works(Command::new(&own).args(["-m", "pip", "install", "--quiet", "redis"]))
                && has_redis(&own);
        if !installed {
            skipped("redis-py", "`python3 -m venv` and `pip install redis` did not work");
        }
        installed.then_some(own)
    });
    found.as_ref()
}

/// A folder whose `node_modules` has ioredis.
fn ioredis() -> Option<&'static PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOLDER.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ioredis");
        std::fs::create_dir_all(&folder).unwrap();
        let has_ioredis =
            || works(Command::new("node").current_dir(&folder).args(["-e", "require('ioredis')"]));
        let install = ["install", "--no-audit", "--no-fund", "--silent", "ioredis@5"];
        let installed = has_ioredis()
            || works(
                Command::new("npm").current_dir(&folder).arg("--prefix").arg(&folder).args(install),
            ) && has_ioredis();
        if !installed {
            skipped("ioredis", "`npm install ioredis` did not work");
        }
        installed.then_some(folder)
    });
    found.as_ref()
}

fn redis_cli(cluster: &Cluster, flags: &[&str], command: &str) -> String {
    let port = cluster.port_of(1).to_string();
    let output = Command::new("redis-cli")
        .args(["-p", &port])
        .args(flags)
        .args(command.split(' '))
        .output()
        .unwrap();
    succeeded(&output).trim_end().to_owned()
}

/// The benchmark's own figures go to nobody: here it must only work.
fn redis_benchmark(cluster: &Cluster, flags: &[&str]) {
    let port = cluster.port_of(1).to_string();
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-q", "-n", "2000", "-c", "20", "-r", "1000"])
        .args(["-t", "ping,set,get,incr,mset"])
        .args(flags)
        .output()
        .unwrap();
    let out = succeeded(&output);
    let err = String::from_utf8_lossy(&output.stderr);
    for test in ["PING_INLINE", "SET", "GET", "INCR", "MSET"] {
        assert!(out.contains(test), "{test} is missing:\n{out}\n{err}");
    }
    assert!(!out.contains("rror") && !err.contains("rror"), "{out}\n{err}");
}

fn redis_py(cluster: &Cluster, mode: &str) {
    let Some(python) = python() else { return };
    let script = Path::new(SCRIPTS).join("redis_py.py");
    let output = Command::new(python)
        .arg(script)
        .args([mode, &cluster.port_of(2).to_string()])
        .output()
        .unwrap();
    assert!(succeeded(&output).ends_with("all passed\n"));
}

fn run_ioredis(cluster: &Cluster, mode: &str) {
    let Some(folder) = ioredis() else { return };
    let output = Command::new("node")
        .arg(Path::new(SCRIPTS).join("ioredis.cjs"))
        .args([mode, &cluster.port_of(2).to_string()])
        .env("NODE_PATH", folder.join("node_modules"))
        .output()
        .unwrap();
    assert!(succeeded(&output).ends_with("all passed\n"));
}

#[test]
fn redis_cli_works_against_any_node() {
    if !has_redis_tools() {
        return;
    }
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    assert_eq!(redis_cli(&cluster, &[], "PING"), "PONG");
    assert_eq!(redis_cli(&cluster, &[], "SET fruit apple"), "OK");
    assert_eq!(redis_cli(&cluster, &[], "GET fruit"), "apple");
    assert_eq!(redis_cli(&cluster, &["-3"], "GET fruit"), "apple");
    assert_eq!(redis_cli(&cluster, &[], "INCRBY count 41"), "41");
    assert_eq!(redis_cli(&cluster, &["--scan"], "--pattern fr*"), "fruit");
    assert_eq!(redis_cli(&cluster, &["-n", "1"], "GET fruit"), "");
    assert!(redis_cli(&cluster, &[], "SELECT 7").starts_with("ERR"));
    assert!(redis_cli(&cluster, &[], "LPUSH list a").starts_with("ERR"));
    assert!(redis_cli(&cluster, &[], "INFO server").contains("evenkeel"));
    assert!(redis_cli(&cluster, &[], "CLUSTER INFO").contains("cluster_state:ok"));
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn redis_benchmark_works_with_and_without_a_pipeline() {
    if !has_redis_tools() {
        return;
    }
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    redis_benchmark(&cluster, &[]);
    redis_benchmark(&cluster, &["-P", "16"]);
    redis_benchmark(&cluster, &["-P", "16", "--dbnum", "1"]);
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn the_redis_tools_follow_a_cluster_that_redirects() {
    if !has_redis_tools() {
        return;
    }
    let folder = Folder::new();
    let cluster = Cluster::start_with(&folder.path, 3, &["--mode", "redirect"]);
    for index in 0..20 {
        assert_eq!(redis_cli(&cluster, &["-c"], &format!("SET key:{index} {index}")), "OK");
        assert_eq!(redis_cli(&cluster, &["-c"], &format!("GET key:{index}")), index.to_string());
    }
    redis_benchmark(&cluster, &["--cluster", "-P", "4"]);
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn redis_py_and_ioredis_work_as_with_a_single_server() {
    let folder = Folder::new();
    let cluster = Cluster::start(&folder.path, 3);
    redis_py(&cluster, "single");
    run_ioredis(&cluster, "single");
    assert_eq!(cluster.stop().code(), Some(0));
}

#[test]
fn redis_py_and_ioredis_work_as_with_a_cluster() {
    let folder = Folder::new();
    let cluster = Cluster::start_with(&folder.path, 3, &["--mode", "redirect"]);
    redis_py(&cluster, "cluster");
    run_ioredis(&cluster, "cluster");
    assert_eq!(cluster.stop().code(), Some(0));
}
