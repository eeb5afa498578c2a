//! What the repository promises about itself, where no compiler checks it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    // Cargo runs a test in its package's folder; where it was built may be another checkout.
    Path::new("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names before `=` in `[workspace.dependencies]`, our own crates apart.
fn direct_dependencies() -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let (_, section) = manifest.split_once("[workspace.dependencies]").unwrap();
    let section = section.split("\n[").next().unwrap();
    section
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()))
        .filter(|name| !name.starts_with('#') && !name.starts_with("evenkeel-"))
        .collect()
}

/// The names in lines such as `# bytes: because`.
fn dependencies_with_a_reason() -> BTreeSet<String> {
    read("deny.toml")
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once(": "))
        .filter(|(name, reason)| !name.contains(' ') && reason.ends_with('.'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn every_direct_dependency_has_a_reason_and_every_reason_a_dependency() {
    let (direct, explained) = (direct_dependencies(), dependencies_with_a_reason());
    let unexplained: Vec<_> = direct.difference(&explained).collect();
    assert!(unexplained.is_empty(), "no reason in deny.toml for {unexplained:?}");
    let stale: Vec<_> = explained.difference(&direct).collect();
    assert!(stale.is_empty(), "deny.toml explains what nobody uses: {stale:?}");
}

fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let foreign = name.starts_with('.') || name == "target" || name == "node_modules";
            if path.is_dir() && !foreign {
                folders.push(path);
            } else if name.ends_with(".md") {
                documents.push(path);
            }
        }
    }
    documents
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() >= 10, "the documents were not found");
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty() && !path.contains("://") {
                let target = document.parent().unwrap().join(path);
                assert!(target.exists(), "{}: {link} does not exist", document.display());
            }
        }
    }
}

#[test]
fn every_decision_is_dated_and_names_what_was_rejected() {
    let index = read("docs/decisions/README.md");
    let mut count = 0;
    for entry in fs::read_dir(root().join("docs/decisions")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(
            text.lines().any(|line| line.starts_with("20") && line.len() == 10),
            "{name}: no date"
        );
        assert!(text.contains("## Rejected"), "{name}: nothing rejected");
        assert!(index.contains(&name), "{name} is not in docs/decisions/README.md");
        count += 1;
    }
    assert!(count >= 6);
}
