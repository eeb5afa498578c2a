//! The labelled corpus: every file of `testdata/histories`, those that a reviewer wrote and those
//! that `generator` made. A line `# good: ...` or `# bad: CLASS: ...` begins each history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{independent, text, verdict};
use crate::checker::Verdict;
use crate::history::{KeysOperation, parse};

mod generator;

/// What can be wrong with a history, as the labels say it.
const CLASSES: &[&str] = &[
    "stale read",
    "lost write",
    "lost update",
    "dirty read",
    "time travel",
    "value from nowhere",
    "resurrection",
    "twice applied",
    "split brain",
    "wrong answer",
    "torn transaction",
    "write skew",
    "split order",
];

fn folder() -> PathBuf {
    Path::new("testdata/histories").to_owned() // Tests run in their package's folder.
}

struct Labelled {
    /// The file and the line of the label.
    name: String,
    /// What is wrong, if something is.
    class: Option<String>,
    history: Vec<KeysOperation>,
}

fn corpus() -> Vec<Labelled> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut corpus = Vec::new();
    for file in files {
        let content = std::fs::read_to_string(&file).unwrap();
        let is_label = |line: &&str| line.starts_with("# good:") || line.starts_with("# bad:");
        let lines: Vec<&str> = content.lines().collect();
        let labels: Vec<usize> =
            (0..lines.len()).filter(|&index| is_label(&lines[index])).collect();
        assert_eq!(labels.first(), Some(&0), "{}: the first line is no label", file.display());
        for (number, &begin) in labels.iter().enumerate() {
            let end = labels.get(number + 1).copied().unwrap_or(lines.len());
            let name = format!("{}:{}", file.display(), begin + 1);
            let history = parse(&lines[begin..end].join("\n"))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut words = lines[begin].split(':').map(str::trim);
            let is_bad = words.next() == Some("# bad");
            let class = words.next().filter(|_| is_bad).map(str::to_owned);
            corpus.push(Labelled { name, class, history });
        }
    }
    corpus
}

/// Goal: the checker tells right from wrong on every kind of anomaly, and is not alone with its
/// opinion. Method: the corpus, judged by us and by two checkers that others wrote.
#[test]
fn the_corpus_is_judged_as_labelled() {
    let corpus = corpus();
    let mut classes: BTreeMap<String, u32> = BTreeMap::new();
    let mut wrong = Vec::new();
    for Labelled { name, class, history } in &corpus {
        let is_good = class.is_none();
        let found = verdict(history);
        let ours = match &found {
            Verdict::Linearizable => true,
            Verdict::Broken(_) => false,
            Verdict::Undecided(_) => !is_good,
        };
        let theirs = [independent::todc(history), independent::stateright(history)];
        if ours != is_good || theirs != [is_good; 2] {
            wrong.push(format!("{name}: {class:?}, we {ours}, they {theirs:?}\n{}", text(history)));
        }
        *classes.entry(class.clone().unwrap_or("good".to_owned())).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(corpus.len() >= 250, "the corpus has shrunk to {} histories", corpus.len());
    for class in CLASSES {
        assert!(classes.get(*class).is_some_and(|count| *count >= 6), "{class}: {classes:?}");
    }
    for class in classes.keys() {
        let is_known = class == "good" || CLASSES.contains(&class.as_str());
        assert!(is_known, "`{class}` is no class of anomaly");
    }
}

/// Goal: the generated part of the corpus is what the generator makes. Method: make it again;
/// `REWRITE=1` writes it.
#[test]
fn the_generated_corpus_is_reproducible() {
    for (name, content) in generator::files() {
        let path = folder().join(&name);
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&path, &content).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == content, "{name} is not what the generator makes; see REWRITE=1");
    }
}
