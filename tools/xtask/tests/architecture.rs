//! The walls of the house, held by a test: who may import whom, where simulation and `unsafe` may
//! appear, how long a file may be. The table is the one of `ARCHITECTURE.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folder, and the workspace crates that it may name in its `Cargo.toml`.
const EDGES: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("cluster/core", &[]),
    ("cluster/runtime", &[]),
    ("proto/wire", &[]),
    ("cluster/node", &["core", "engine", "runtime", "wire"]),
    ("proto/gateway", &["node", "runtime", "wire"]),
    ("proto/client", &["runtime", "wire"]),
    ("sim", &["client", "core", "engine", "gateway", "node", "runtime", "wire"]),
    ("tests", &["client"]),
    ("benches", &["client", "core", "engine", "runtime", "wire"]),
    ("fuzz", &["core", "engine", "runtime", "wire"]),
    ("tools/evenkeel", &["bench", "client", "engine", "gateway", "node", "runtime", "wire"]),
    ("tools/xtask", &[]),
];

/// The only places that may know whether the world is simulated.
const SIMULATION_FOLDERS: &[&str] = &["cluster/runtime", "sim", "tools/xtask"];

/// The only file that talks to the kernel behind the compiler's back.
const UNSAFE_FILES: &[&str] = &["engine/src/disk/uring.rs"];

/// More than a head holds.
const FILE_LINES_MAX: usize = 600;

/// Files that are longer than that, with the lines they have: the list only shrinks, and so do they.
const LONG_FILES: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    // Cargo runs a test in its package's folder; where it was built may be another checkout.
    PathBuf::from("../..")
}

/// Every file of this ending in the rooms, with its text, by its path from the root.
fn files(ending: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (room, _) in EDGES {
        collect(&root().join(room), ending, &mut found);
    }
    found
}

fn collect(folder: &Path, ending: &str, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            let name = path.file_name().expect("an entry has a name");
            if name != "target" && name != "node_modules" {
                collect(&path, ending, found);
            }
        } else if path.to_string_lossy().ends_with(ending) {
            let name = path.strip_prefix(root()).expect("it was found below the root");
            let name = name.to_string_lossy().into_owned();
            found.insert(name, fs::read_to_string(&path).expect("sources are text"));
        }
    }
}

/// What a manifest names that its room may not, by the table.
fn forbidden_edges(manifest: &str, allowed: &[&str]) -> Vec<String> {
    let mut in_dependencies = false;
    let mut forbidden = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies && let Some(name) = line.strip_prefix("evenkeel-") {
            let name = name.split([' ', '.', '=']).next().unwrap_or_default();
            if !allowed.contains(&name) {
                forbidden.push(name.to_owned());
            }
        }
    }
    forbidden
}

/// Lines of code (comments are prose) for which `is_bad` holds, with their numbers.
fn bad_lines(text: &str, is_bad: impl Fn(&str) -> bool) -> Vec<usize> {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| is_bad(&code(line)))
        .map(|(number, _)| number)
        .collect()
}

fn knows_simulation(code: &str) -> bool {
    code.contains("madsim") && code.contains("cfg")
}

fn is_unsafe(code: &str) -> bool {
    code.split(|character: char| !character.is_alphanumeric() && character != '_')
        .any(|word| word == "unsafe")
}

/// Goal: the arrows between crates are those of the table. Method: read every manifest.
#[test]
fn crates_import_only_what_the_architecture_allows() {
    let mut wrong = Vec::new();
    for (room, allowed) in EDGES {
        let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap_or_default();
        for name in forbidden_edges(&manifest, allowed) {
            wrong.push(format!("{room} must not import evenkeel-{name}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\nan arrow more is a decision: see docs/decisions");
}

/// Goal: every member of the workspace is in the table. Method: read the root manifest.
#[test]
fn every_member_has_a_row_in_the_table() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    for member in members.split(',').map(|member| member.trim().trim_matches('"')) {
        let is_known = member.is_empty() || EDGES.iter().any(|(room, _)| *room == member);
        assert!(is_known, "`{member}` is no room: which crates may it import?");
    }
}

/// Goal: one crate knows whether time is real. Method: look for the condition in all code.
#[test]
fn only_the_runtime_and_the_simulator_know_of_simulation() {
    let mut wrong = Vec::new();
    for (name, text) in files(".rs").into_iter().chain(files("Cargo.toml")) {
        if !SIMULATION_FOLDERS.iter().any(|folder| name.starts_with(&format!("{folder}/"))) {
            let lines = bad_lines(&text, knows_simulation);
            wrong.extend(lines.iter().map(|line| format!("{name}:{line}")));
        }
    }
    assert!(wrong.is_empty(), "cfg(madsim) belongs into cluster/runtime: {wrong:#?}");
}

/// Goal: one file may be unsafe. Method: look for the word in all code.
#[test]
fn only_the_ring_is_unsafe() {
    let mut wrong = Vec::new();
    for (name, text) in files(".rs") {
        if !UNSAFE_FILES.contains(&name.as_str()) && name != "tools/xtask/tests/architecture.rs" {
            let lines = bad_lines(&text, is_unsafe);
            wrong.extend(lines.iter().map(|line| format!("{name}:{line}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Goal: a file fits a head. Method: count lines; the exceptions are listed, and must be needed.
#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    let files = files(".rs");
    for (name, text) in &files {
        let lines = text.lines().count();
        let listed = LONG_FILES.iter().find(|(file, _)| file == name);
        let lines_max = listed.map_or(FILE_LINES_MAX, |(_, lines)| *lines);
        if lines > lines_max {
            wrong.push(format!("{name} has {lines} lines, {lines_max} are allowed: split it"));
        }
    }
    for (name, _) in LONG_FILES {
        let lines = files.get(*name).map_or(0, |text| text.lines().count());
        if lines <= FILE_LINES_MAX {
            wrong.push(format!("{name} is short enough now: take it off LONG_FILES"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Goal: the checks can fail. Method: one breach of each rule, and its innocent look-alike.
#[test]
fn a_breach_is_noticed() {
    let manifest = "[dependencies]\nevenkeel-core = { workspace = true }\nbytes = \"1\"\n\
                    [target.\"cfg(x)\".dependencies]\nevenkeel-node.workspace = true\n\
                    [features]\nevenkeel-wire = []";
    assert_eq!(forbidden_edges(manifest, &["core"]), ["node"]);
    assert_eq!(bad_lines("fn f() {}\n#[cfg(madsim)]\n// cfg(madsim)", knows_simulation), [2]);
    assert_eq!(bad_lines("unsafe { f() }\n#![deny(unsafe_code)]\n// unsafe", is_unsafe), [1]);
}
