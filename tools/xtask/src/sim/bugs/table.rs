//! What a hunt found, as a page of the docs.

use std::fmt;
use std::time::Duration;

use super::small::{FAULTS_MAX, REQUESTS_MAX, Small};

/// Who found a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Find {
    pub(super) seed: u64,
    /// How many seeds it took, this one included.
    pub(super) seeds: u64,
    pub(super) weather: String,
    pub(super) oracle: String,
}

/// One bug.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) bug: String,
    /// Seeds that were run.
    pub(super) tried: u64,
    /// `None` if nothing failed; an error if something did and no oracle spoke.
    pub(super) find: Option<Result<Find, String>>,
    /// Real time of the hunt, without shrinking.
    pub(super) took: Duration,
    pub(super) small: Option<Small>,
}

impl Row {
    /// How many seeds it took, if it was found.
    pub(super) fn seeds(&self) -> Option<u64> {
        match &self.find {
            Some(Ok(find)) => Some(find.seeds),
            Some(Err(_)) | None => None,
        }
    }

    /// For a terminal, while the hunt goes on.
    pub(super) fn plain(&self) -> String {
        let took_s = self.took.as_secs_f64();
        let bug = &self.bug;
        match &self.find {
            Some(Ok(Find { seed, seeds, weather, oracle })) => {
                let small = self.small.as_ref().map_or(String::new(), |small| format!("  {small}"));
                format!(
                    "{bug:<34} {seeds:>3}  seed {seed} in {weather}: {oracle}, {took_s:.1} s{small}"
                )
            }
            Some(Err(reason)) => format!("{bug:<34} NOT FOUND  {reason}"),
            None => format!("{bug:<34} NOT FOUND  {} seeds, {took_s:.1} s", self.tried),
        }
    }
}

/// The whole hunt, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) real_s: u64,
    pub(super) processor_s: u64,
}

/// The page.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) took: Took,
    pub(super) cores: usize,
    /// Worlds without a bug, and the lines of those that failed all the same.
    pub(super) healthy: (u64, Vec<String>),
    pub(super) is_shrunk: bool,
}

impl Table {
    /// Everything was found, nothing was found where nothing is, and what was shrunk is small.
    pub(super) fn is_good(&self) -> bool {
        let all_found = self.rows.iter().all(|row| row.seeds().is_some());
        all_found && self.healthy.1.is_empty() && self.small_enough()
    }

    /// Nineteen of twenty.
    fn small_enough(&self) -> bool {
        let (small, all) = self.small_count();
        all == 0 || 20 * small >= 19 * all
    }

    fn small_count(&self) -> (usize, usize) {
        let all = self.rows.iter().filter_map(|row| row.small.as_ref());
        (all.clone().filter(|small| small.is_small).count(), all.count())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took_s = self.took.as_secs_f64();
        write!(formatter, "| `{}` | ", self.bug)?;
        match &self.find {
            Some(Ok(Find { seed, seeds, weather, oracle })) => {
                write!(formatter, "{seeds} | {weather} {seed} | {oracle} | {took_s:.1} |")?;
            }
            Some(Err(reason)) => write!(formatter, "**not found** | | {reason} | {took_s:.1} |")?,
            None => write!(formatter, "**not found** of {} | | | {took_s:.1} |", self.tried)?,
        }
        self.small.as_ref().map_or(Ok(()), |small| write!(formatter, " {small} |"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (more, line) = match self.is_shrunk {
            true => {
                (" faults | requests | seconds to shrink | replayed |", " --- | --- | ---: | --- |")
            }
            false => ("", ""),
        };
        writeln!(formatter, "| bug | seeds | weather, seed | oracle | seconds |{more}")?;
        writeln!(formatter, "| --- | ---: | --- | --- | ---: |{line}")?;
        self.rows.iter().try_for_each(|row| writeln!(formatter, "{row}"))?;
        let mut needed: Vec<u64> = self.rows.iter().filter_map(Row::seeds).collect();
        needed.sort_unstable();
        let at = |index: usize| needed.get(index).copied().unwrap_or(0);
        writeln!(
            formatter,
            "\n{} of {} found; seeds needed: median {}, at most {}; {} s on {} cores, {} s of processor \
             time.",
            needed.len(),
            self.rows.len(),
            at(needed.len() / 2),
            needed.last().copied().unwrap_or(0),
            self.took.real_s,
            self.cores,
            self.took.processor_s,
        )?;
        let (worlds, failed) = &self.healthy;
        writeln!(
            formatter,
            "The same worlds without a bug: {worlds} run, {} failed.",
            failed.len()
        )?;
        failed.iter().try_for_each(|line| writeln!(formatter, "- {line}"))?;
        if self.is_shrunk {
            let (small, all) = self.small_count();
            writeln!(
                formatter,
                "{small} of {all} failures became small: {FAULTS_MAX} faults and {REQUESTS_MAX} \
                 requests at most, ten replays of ten."
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bug: &str, seeds: Option<u64>) -> Row {
        let find = |seeds| {
            let (weather, oracle) = ("grace".to_owned(), "one-lease-at-a-time".to_owned());
            Ok(Find { seed: seeds, seeds, weather, oracle })
        };
        let took = Duration::from_millis(1_500);
        Row { bug: bug.to_owned(), tried: 9, find: seeds.map(find), took, small: None }
    }

    fn table(rows: Vec<Row>) -> Table {
        let took = Took { real_s: 7, processor_s: 12 };
        Table { rows, took, cores: 2, healthy: (20, Vec::new()), is_shrunk: false }
    }

    /// Goal: the page says what was found, and the verdict is that of its worst row. Method: pages of
    /// three kinds.
    #[test]
    fn a_hunt_is_good_if_all_is_found_and_nothing_else() {
        let good = table(vec![row("a", Some(1)), row("b", Some(3)), row("c", Some(40))]);
        assert!(good.is_good());
        let text = good.to_string();
        assert!(text.contains("| `b` | 3 | grace 3 | one-lease-at-a-time | 1.5 |"), "{text}");
        assert!(text.contains("3 of 3 found; seeds needed: median 3, at most 40"), "{text}");

        let missed = table(vec![row("a", Some(1)), row("b", None)]);
        assert!(!missed.is_good());
        assert!(missed.to_string().contains("| `b` | **not found** of 9 |"), "{missed}");

        let mut alarmed = table(vec![row("a", Some(1))]);
        alarmed.healthy.1.push("seed=4 FAILED".to_owned());
        assert!(!alarmed.is_good());

        let mut mute = table(vec![row("a", Some(1))]);
        mute.rows[0].find = Some(Err("it died without a word".to_owned()));
        assert!(!mute.is_good());
    }
}
