//! What people use the simulator with: capsules that replay, failures that shrink, the page that shows a
//! run. Builds the simulated world once, as `cargo sim` does, and runs its binary.
#![cfg(not(madsim))]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod simulator;

use simulator::{simulator, value};

/// Runs the binary; whether it was well, and what it said.
fn sim(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(simulator()).args(arguments).output();
    let output = output.expect("the simulator can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
}

/// A file of this test alone.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A seed and a bug that it finds at once, and again.
const BUG: &str = "core/accepted-before-flush";

fn failing_seed() -> String {
    let fails = |seed: &u32| !sim(&["run", &seed.to_string(), "--planted", BUG]).0;
    (1..=20).find(fails).expect("twenty seeds find this bug").to_string()
}

/// Goal: a failure is a file that shows it again, event by event. Method: write one, replay it, and
/// replay it with its decision log as the script.
#[test]
fn a_capsule_replays() {
    let (path, seed) = (scratch("capsule.json"), failing_seed());
    let path = path.to_str().unwrap();
    let (is_ok, first) = sim(&["run", &seed, "--planted", BUG, "--capsule", path]);
    assert!(!is_ok, "{first}");
    let (is_ok, again) = sim(&["replay", path]);
    assert!(!is_ok, "{again}");
    assert_eq!(value(&first, "hash"), value(&again, "hash"), "{again}");
    assert!(again.contains("the same events as at"), "{again}");
    assert!(again.contains(&format!("cargo sim replay {path}")), "{again}");
    std::fs::write(path, "{\"format\": 1}").unwrap();
    let (is_ok, text) = sim(&["replay", path]);
    assert!(!is_ok && text.contains("`plan`"), "{text}");
}

/// Goal: a failure shrinks to a few faults and requests, fails in the same way ten times of ten, and
/// the file that is left is enough. Method: a planted bug; then the file.
#[test]
fn a_failure_shrinks() {
    let (path, seed) = (scratch("shrunk.json"), failing_seed());
    let path = path.to_str().unwrap();
    let (_, first) = sim(&["run", &seed, "--planted", BUG]);
    let (is_ok, text) = sim(&["shrink", &seed, "--planted", BUG, "--out", path, "--jobs", "2"]);
    assert!(is_ok, "{text}");
    let line = text.lines().find(|line| line.starts_with("shrink: ")).unwrap();
    let number = |key: &str| -> u32 {
        let word = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        word.and_then(|word| word.parse().ok()).unwrap_or(u32::MAX)
    };
    assert!(number("faults") <= 10 && number("requests") <= 20, "{line}");
    assert!(line.ends_with("replayed=10/10"), "{line}");
    let (is_ok, again) = sim(&["replay", path]);
    assert!(!is_ok, "{again}");
    assert_eq!(value(&first, "oracle"), value(&again, "oracle"), "{again}");
}

/// Goal: the page that teaches how to read a failure shows one that a reader gets, too. Method: its first
/// command, and the oracle that it names.
#[test]
fn the_failure_of_the_manual_fails() {
    let manual = std::fs::read_to_string("../docs/simulation.md").unwrap();
    let after = |mark: &str| manual.split_once(mark).expect(mark).1.split_whitespace();
    let seed = after("$ cargo sim ").next().unwrap();
    let bug = after("--planted ").next().unwrap();
    let oracle = after("shrink: oracle=").next().unwrap();
    let (is_ok, text) = sim(&["run", seed, "--planted", bug]);
    assert!(!is_ok && value(&text, "oracle") == oracle, "{text}");
}

/// Goal: what was shrunk and kept still says what it said. Method: every file of `testdata/shrunk`: with
/// its planted bug it fails by its oracle; one that was found without any passes, since it is mended.
#[test]
fn the_shrunk_failures_replay() {
    let folder = Path::new("testdata/shrunk"); // Tests run in their package's folder.
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "kept failures have been lost: {}", files.len());
    for file in files {
        let capsule: Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let (is_ok, text) = sim(&["replay", file.to_str().unwrap()]);
        let wanted = match capsule["planted"].is_null() {
            true => "",
            false => capsule["oracle"].as_str().unwrap(),
        };
        assert_eq!(value(&text, "oracle"), wanted, "{}:\n{text}", file.display());
        assert_eq!(is_ok, wanted.is_empty(), "{}:\n{text}", file.display());
    }
}

/// Goal: the page holds the run: its lanes, faults, leaders, commits, disks, clocks and messages, and
/// the failure; it asks nobody for anything; and looking changes nothing. Method: read what a page of a
/// faulted seed embeds, and hold it against the seed's one line.
#[test]
fn the_timeline_shows_the_run() {
    let path = scratch("timeline.html");
    let (_, text) = sim(&["run", "2", "--timeline", path.to_str().unwrap()]);
    assert_eq!(
        value(&text, "hash"),
        value(&sim(&["run", "2"]).1, "hash"),
        "looking changes nothing"
    );
    let page = std::fs::read_to_string(path).unwrap();
    for outside in ["src=", "<link", "@import", "fetch(", "https://", "http://"] {
        assert!(!page.contains(outside), "the page asks for something: {outside}");
    }
    let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
    let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    let lanes = data["lanes"].as_array().unwrap();
    let nodes = lanes.iter().filter(|lane| lane.as_str().unwrap().starts_with("node-")).count();
    assert_eq!(nodes.to_string(), value(&text, "nodes"));
    assert_eq!(count(&data["marks"]["fault"]).to_string(), value(&text, "faults"));
    let leads = data["spans"].as_array().unwrap().iter().filter(|span| span[0] == "leads").count();
    let elections: usize = value(&text, "elections").parse().unwrap();
    assert!(leads >= elections, "{leads} spans of leadership, {elections} elections");
    let operations: usize = value(&text, "operations").parse().unwrap();
    assert!(count(&data["marks"]["answer"]) >= operations);
    assert!(count(&data["marks"]["commit"]) > 100, "commits are there");
    assert!(count(&data["disk"]) > 100 && count(&data["messages"]) > 1_000);
    let crosses =
        |message: &&Value| message[1] != message[3] && message[2].as_f64() > message[0].as_f64();
    let messages = data["messages"].as_array().unwrap();
    assert!(messages.iter().filter(crosses).count() * 2 > messages.len(), "most arrive elsewhere");
    assert!(data["failure"].is_null());
    let (is_ok, _) = sim(&[
        "run",
        "3",
        "--scenario",
        "quiet",
        "--planted",
        "canary",
        "--timeline",
        scratch("failure.html").to_str().unwrap(),
    ]);
    let page = std::fs::read_to_string(scratch("failure.html")).unwrap();
    assert!(!is_ok && page.contains("never-written"), "the ledger's lines are on the page");
}

/// Goal: nobody makes a write wait for one more round trip or flush without saying so. Method: what the
/// simulator counts, operation by operation, in a world without weather.
#[test]
fn operations_cost_what_they_may() {
    let (is_ok, text) = sim(&["costs"]);
    assert!(is_ok, "{text}");
    let set = text.lines().find(|line| line.starts_with("SET, asked of the leader"));
    let counts: Vec<&str> = set.unwrap_or_default().split_whitespace().collect();
    assert_eq!(counts[5..], ["1", "of", "at", "most", "1", "3", "of", "at", "most", "3"], "{text}");
}
