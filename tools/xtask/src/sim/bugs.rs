//! How good is the weather at finding bugs? Each planted bug, until it is found.

use super::Options;
use super::campaign::Campaign;
use super::simulator::{Error, Outcome, Simulator};

/// A bug that survives so many seeds is not found.
const SEEDS_MAX: u64 = 200;

/// Not a bug of the product: the simulator lies to its own oracle, and must be caught every time.
const CANARY: &str = "canary";

/// Runs every planted bug (or the one named) and prints a table of what found it and when.
pub(super) fn bugs(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    let all = simulator.list("bugs")?;
    let chosen: Vec<&String> = match &options.object {
        Some(name) => all.iter().filter(|bug| *bug == name).collect(),
        None => all.iter().collect(),
    };
    if chosen.is_empty() {
        return Err(Error::new(format!("no such bug; there are {}", all.join(", "))));
    }
    let width = chosen.iter().map(|bug| bug.len()).max().unwrap_or(0);
    let shrunk = if options.shrinks { "; and what it shrinks to" } else { "" };
    println!("{:<width$}  {:>5}  {:<28}  first failing seed{shrunk}", "bug", "seeds", "oracle");
    let mut small = Small::default();
    let mut missed = Vec::new();
    let mut needed = Vec::new();
    for bug in chosen {
        match hunt(simulator, options, bug)? {
            Some((seeds, outcome)) => {
                let oracle = outcome.value("oracle").unwrap_or("unknown");
                let seed = outcome.seed;
                let small = match options.shrinks {
                    true => small.note(simulator, options, bug, seed)?,
                    false => String::new(),
                };
                println!("{bug:<width$}  {seeds:>5}  {oracle:<28}  {seed:<6}{small}");
                needed.push(seeds);
            }
            None => {
                println!("{bug:<width$}  NOT FOUND");
                missed.push(bug.as_str());
            }
        }
    }
    needed.sort_unstable();
    let median = needed.get(needed.len() / 2).copied().unwrap_or(0);
    println!("{} found, median {median} seeds; {} not found", needed.len(), missed.len());
    if options.shrinks {
        let Small { shrunk, small, .. } = small;
        println!(
            "{small} of {shrunk} are small: {FAULTS_MAX} faults, {REQUESTS_MAX} requests at most"
        );
    }
    Ok(missed.is_empty())
}

/// A failure with more than this is not small.
const FAULTS_MAX: f64 = 10.0;
const REQUESTS_MAX: f64 = 20.0;

/// How far failures shrink.
#[derive(Debug, Default)]
struct Small {
    shrunk: u32,
    small: u32,
}

impl Small {
    /// Shrinks a failure, and says what came of it.
    fn note(
        &mut self,
        simulator: &Simulator,
        options: &Options,
        bug: &str,
        seed: u64,
    ) -> Result<String, Error> {
        let planted = Options { planted: Some(bug.to_owned()), ..options.clone() };
        let mut arguments = planted.run(seed).arguments();
        "shrink".clone_into(&mut arguments[0]);
        let out = simulator.folder("shrunk").join(format!("{}.json", super::file_name(bug)));
        arguments.extend(["--out".to_owned(), out.to_string_lossy().into_owned()]);
        arguments.extend(["--jobs".to_owned(), options.jobs.to_string()]);
        let text = simulator.ask(&arguments)?;
        let line = text.lines().find(|line| line.starts_with("shrink: ")).unwrap_or_default();
        let word =
            |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| word(key).and_then(|word| word.parse::<f64>().ok());
        let is_small = number("faults").is_some_and(|count| count <= FAULTS_MAX)
            && number("requests").is_some_and(|count| count <= REQUESTS_MAX)
            && word("replayed") == Some("10/10");
        self.shrunk += 1;
        self.small += u32::from(is_small);
        let what = line.split_once(" faults=").map_or("not shrunk", |(_, rest)| rest);
        Ok(format!("  {}faults={what}", if is_small { "" } else { "NOT SMALL " }))
    }
}

/// The number of seeds it took, and the seed that found it.
fn hunt(
    simulator: &Simulator,
    options: &Options,
    bug: &str,
) -> Result<Option<(u64, Outcome)>, Error> {
    let first = options.from.unwrap_or(1);
    let planted = Options { planted: Some(bug.to_owned()), ..options.clone() };
    let mut campaign = Campaign::new(&planted, first);
    // A canary that lives through one seed is already bad news.
    campaign.seeds_max = if bug == CANARY { 1 } else { options.seeds.unwrap_or(SEEDS_MAX) };
    let result = campaign.run(simulator, |_| ())?;
    Ok(result.failed.into_iter().next().map(|outcome| (outcome.seed - first + 1, outcome)))
}
