//! How a failing run explains itself, in the order in which a reader needs it: the claim; what the
//! clients saw; what befell the nodes; what they did last; how they stand; how to see it again.

use std::fmt;
use std::process::Command;
use std::time::Duration;

/// The last lines of each part are enough.
const LINE_COUNT_MAX: usize = 64;
/// And as much of each line.
const CHARACTER_COUNT_MAX: usize = 200;

/// A run that broke a promise.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// Which oracle noticed.
    pub oracle: String,
    /// What does not hold.
    pub claim: String,
    /// When, in seconds of virtual time.
    pub at_s: f64,
    /// The client's ledger lines involved.
    pub ledger: Vec<String>,
    /// The same in the corpus' format.
    pub history: Vec<String>,
    /// The faults so far, with virtual time.
    pub faults: Vec<String>,
    /// The last events of the nodes involved.
    pub events: Vec<String>,
    /// One line per replica.
    pub replicas: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// What the simulator was built from.
    pub commit: String,
    /// What shows it again.
    pub command: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} ({}), at {:.3} s", self.claim, self.oracle, self.at_s)?;
        section(formatter, "ledger", &self.ledger)?;
        section(formatter, "the same, for testdata/histories", &self.history)?;
        section(formatter, "faults", &self.faults)?;
        section(formatter, "last events", &self.events)?;
        section(formatter, "replicas", &self.replicas)?;
        writeln!(formatter, "\n  seed    {}", self.seed)?;
        writeln!(formatter, "  commit  {}", self.commit)?;
        write!(formatter, "  replay  {}", self.command)
    }
}

fn section(formatter: &mut fmt::Formatter<'_>, name: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(formatter, "\n  {name}")?;
    let skipped = lines.len().saturating_sub(LINE_COUNT_MAX);
    if skipped > 0 {
        writeln!(formatter, "    ... and {skipped} before")?;
    }
    lines[skipped..].iter().try_for_each(|line| writeln!(formatter, "    {}", shortened(line)))
}

/// Long values are padding: what matters of them is how they begin and end.
fn shortened(line: &str) -> String {
    let squeezed = |mut text: String, character: char| {
        if !(character == '_' && text.ends_with('_')) {
            text.push(character);
        }
        text
    };
    line.chars().fold(String::new(), squeezed).chars().take(CHARACTER_COUNT_MAX).collect()
}

/// What a run did, for its one line.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// The kind of weather.
    pub scenario: String,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Virtual time in seconds.
    pub simulated_s: f64,
    /// Operations answered.
    pub operations: u64,
    /// Operations whose outcome nobody learned.
    pub unknown: u64,
    /// Faults that happened.
    pub faults: usize,
    /// Elections won.
    pub elections: u64,
    /// Facts held against the invariants.
    pub facts: u64,
    /// Events recorded.
    pub events: u64,
    /// Of every event.
    pub hash: String,
    /// Which oracle noticed something, if one did.
    pub oracle: Option<String>,
    /// In a scenario from a file: the longest time in which no client was answered, while faults lasted.
    pub silence: Option<Duration>,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "seed={} ", self.seed)?;
        match &self.oracle {
            None => formatter.write_str("ok")?,
            Some(oracle) => write!(formatter, "FAILED oracle={oracle}")?,
        }
        write!(
            formatter,
            " scenario={} nodes={} simulated_s={:.3} operations={} unknown={} faults={} \
             elections={} facts={} events={} hash={}",
            self.scenario,
            self.nodes,
            self.simulated_s,
            self.operations,
            self.unknown,
            self.faults,
            self.elections,
            self.facts,
            self.events,
            self.hash
        )?;
        let silence = self.silence.map(|silence| silence.as_millis());
        silence.map_or(Ok(()), |ms| write!(formatter, " silence_ms={ms}"))
    }
}

/// What the sources are, as far as git knows.
pub fn commit() -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let output =
        Command::new("git").args(["-C", folder, "describe", "--always", "--dirty"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown: not in a git folder".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a failure prints in the order of the house's style. Method: find the parts in the text.
    #[test]
    fn a_failure_explains_itself_in_order() {
        let one = |text: &str| vec![text.to_owned()];
        let failure = Failure {
            oracle: "durability".to_owned(),
            claim: "a write is gone".to_owned(),
            at_s: 1.5,
            ledger: one("set x a"),
            history: Vec::new(),
            faults: one("kill -9"),
            events: one("flush"),
            replicas: one("leader"),
            seed: 7,
            commit: "abc".to_owned(),
            command: "cargo sim 7".to_owned(),
        };
        let text = failure.to_string();
        let order =
            ["gone", "1.500 s", "set x a", "kill -9", "flush", "leader", "7", "abc", "cargo"];
        let mut from = 0;
        for part in order {
            let found = text[from..].find(part);
            from += found.unwrap_or_else(|| panic!("`{part}` is missing or too early in\n{text}"));
        }
        assert!(!text.contains("histories"), "empty parts are left out");
    }
}
