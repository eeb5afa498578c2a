//! How small the failure of a planted bug gets.

use std::fmt;

use super::super::file_name;
use super::super::simulator::{Error, Run, Simulator};

/// A failure with more than this is not small.
pub(super) const FAULTS_MAX: u32 = 10;
pub(super) const REQUESTS_MAX: u32 = 20;

/// What a failure was shrunk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Small {
    /// Few faults, few requests, and it fails in the same way each time.
    pub(super) is_small: bool,
    /// In words: "1 of 11".
    faults: String,
    requests: String,
    took_s: String,
    replayed: String,
}

impl Small {
    /// Shrinks the failure of this run; the file stays below the target folder.
    pub(super) fn of(simulator: &Simulator, run: &Run, jobs: usize) -> Result<Small, Error> {
        let mut arguments = run.arguments();
        "shrink".clone_into(&mut arguments[0]);
        let name = file_name(run.planted.as_deref().unwrap_or_default());
        let out = simulator.folder("shrunk").join(format!("{name}.json"));
        arguments.extend(["--out".to_owned(), out.to_string_lossy().into_owned()]);
        arguments.extend(["--jobs".to_owned(), jobs.to_string()]);
        let text = simulator.ask(&arguments)?;
        Ok(Small::read(text.lines().find(|line| line.starts_with("shrink: ")).unwrap_or_default()))
    }

    /// From the line that sums the shrinking up.
    fn read(line: &str) -> Small {
        // Values may have blanks: they end where the next key begins.
        let value = |key: &str| {
            let (_, rest) = line.split_once(&format!(" {key}="))?;
            let words: Vec<&str> = rest.split(' ').take_while(|word| !word.contains('=')).collect();
            Some(words.join(" "))
        };
        let count = |key: &str| value(key)?.split(' ').next()?.parse::<u32>().ok();
        let is_small = count("faults").is_some_and(|count| count <= FAULTS_MAX)
            && count("requests").is_some_and(|count| count <= REQUESTS_MAX)
            && value("replayed").as_deref() == Some("10/10");
        let word = |key: &str| value(key).unwrap_or("?".to_owned());
        Small {
            is_small,
            faults: word("faults"),
            requests: word("requests"),
            took_s: word("took_s"),
            replayed: word("replayed"),
        }
    }
}

impl fmt::Display for Small {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Small { is_small, faults, requests, took_s, replayed } = self;
        let verdict = if *is_small { "" } else { "**not small** " };
        write!(formatter, "{verdict}{faults} | {requests} | {took_s} | {replayed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is small is told from what is not. Method: lines as the simulator prints them.
    #[test]
    fn small_means_few_faults_few_requests_and_ten_replays() {
        let line = |faults, requests, replayed| {
            Small::read(&format!(
                "shrink: oracle=x faults={faults} of 30 requests={requests} of 900 runs=5 took_s=9.5 \
                 replayed={replayed}/10"
            ))
        };
        let small = line(1, 20, 10);
        assert!(small.is_small);
        assert_eq!(small.to_string(), "1 of 30 | 20 of 900 | 9.5 | 10/10");
        for not_small in [line(11, 1, 10), line(1, 21, 10), line(1, 1, 9), Small::read("")] {
            assert!(!not_small.is_small, "{not_small:?}");
        }
    }
}
