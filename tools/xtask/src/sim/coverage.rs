//! Which kinds of trouble many seeds have asked for, and which of them anybody felt.
//!
//! **Invariant.** After so many seeds of all weather, a kind that nobody felt is a hole in the weather, and
//! the command fails.

use std::collections::BTreeMap;
use std::fmt;

use super::simulator::{Error, Outcome, Simulator};

/// After so many seeds every kind must have been felt.
pub(super) const SEEDS_ENOUGH: u64 = 256;

/// Of one kind, over all seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    /// How often it was asked for, and in how many seeds.
    reached: u64,
    seeds_reached: u64,
    /// How many effects were felt, and in how many seeds.
    activated: u64,
    seeds_activated: u64,
}

/// Over all seeds that were added.
#[derive(Debug)]
pub(super) struct Coverage {
    /// The name of each kind, and what counts.
    kinds: Vec<(String, String)>,
    counts: BTreeMap<String, Count>,
    seeds: u64,
}

impl Coverage {
    /// Of the kinds that this simulator knows.
    pub(super) fn new(simulator: &Simulator) -> Result<Coverage, Error> {
        Ok(Coverage::of(&simulator.list("kinds")?))
    }

    fn of(lines: &[String]) -> Coverage {
        let split = |line: &String| {
            let (name, words) = line.split_once(' ').unwrap_or((line, ""));
            (name.to_owned(), words.to_owned())
        };
        Coverage { kinds: lines.iter().map(split).collect(), counts: BTreeMap::new(), seeds: 0 }
    }

    /// What a run says of itself.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let lines = outcome.text.lines().rev();
        self.seeds += 1;
        if let Some(line) = lines.filter_map(|line| line.strip_prefix("coverage:")).next() {
            line.split_whitespace().for_each(|word| self.add_word(word));
        }
    }

    /// `kill=3/2`: asked for three times, felt twice.
    fn add_word(&mut self, word: &str) {
        let Some((name, counts)) = word.split_once('=') else { return };
        let Some((reached, activated)) = counts.split_once('/') else { return };
        let (Ok(reached), Ok(activated)) = (reached.parse::<u64>(), activated.parse::<u64>())
        else {
            return;
        };
        let count = self.counts.entry(name.to_owned()).or_default();
        count.reached += reached;
        count.activated += activated;
        count.seeds_reached += u64::from(reached > 0);
        count.seeds_activated += u64::from(activated > 0);
    }

    /// Kinds that nobody has felt.
    fn missing(&self) -> Vec<&str> {
        let is_missing = |name: &&str| self.count(name).activated == 0;
        self.kinds.iter().map(|(name, _)| name.as_str()).filter(is_missing).collect()
    }

    fn count(&self, name: &str) -> Count {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Whether there were enough seeds to expect every kind.
    pub(super) fn is_due(&self) -> bool {
        self.seeds >= SEEDS_ENOUGH
    }

    /// Every kind was felt, or it is too early to say.
    pub(super) fn is_good(&self) -> bool {
        !self.is_due() || self.missing().is_empty()
    }
}

/// A table for a terminal and for the docs.
impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| kind | asked for | felt | seeds with it | it counts when |")?;
        writeln!(formatter, "| --- | ---: | ---: | ---: | --- |")?;
        for (name, words) in &self.kinds {
            let Count { reached, activated, seeds_reached, seeds_activated } = self.count(name);
            writeln!(
                formatter,
                "| `{name}` | {reached} | {activated} | {seeds_activated} of {seeds_reached} | {words} |"
            )?;
        }
        let missing = self.missing();
        let felt = self.kinds.len() - missing.len();
        write!(
            formatter,
            "\n{felt} of {} kinds of trouble were felt in {} seeds.",
            self.kinds.len(),
            self.seeds
        )?;
        match missing[..] {
            [] => Ok(()),
            _ => write!(formatter, " Nobody felt: {}.", missing.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn coverage() -> Coverage {
        Coverage::of(&["kill a living process was killed".to_owned(), "rot it was read".to_owned()])
    }

    fn outcome(text: &str) -> Outcome {
        let (line, text) = (String::new(), text.to_owned());
        Outcome { seed: 1, is_ok: true, line, text, took: Duration::ZERO }
    }

    /// Goal: what seeds say adds up. Method: three seeds, one of which says nothing.
    #[test]
    fn seeds_add_up() {
        let mut coverage = coverage();
        coverage.add(&outcome("coverage: kill=3/2 rot=1/0\nseed=1 ok"));
        coverage.add(&outcome("coverage: kill=1/0\nseed=2 ok"));
        coverage.add(&outcome("it died"));
        let kill = Count { reached: 4, seeds_reached: 2, activated: 2, seeds_activated: 1 };
        assert_eq!(coverage.count("kill"), kill);
        assert_eq!(coverage.missing(), ["rot"]);
        let text = coverage.to_string();
        assert!(
            text.contains("| `kill` | 4 | 2 | 1 of 2 | a living process was killed |"),
            "{text}"
        );
        assert!(text.ends_with("in 3 seeds. Nobody felt: rot."), "{text}");
    }

    /// Goal: a kind that nobody felt is a failure, but not before there were enough seeds. Method: one
    /// seed less than that, and one more.
    #[test]
    fn after_enough_seeds_every_kind_must_have_been_felt() {
        let mut coverage = coverage();
        (1..SEEDS_ENOUGH).for_each(|_| coverage.add(&outcome("coverage: kill=1/1 rot=1/0")));
        assert!(coverage.is_good());
        coverage.add(&outcome("coverage: kill=1/1"));
        assert!(!coverage.is_good());
        coverage.add(&outcome("coverage: rot=1/1"));
        assert!(coverage.is_good());
    }
}
