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
    println!("{:<width$}  {:>5}  {:<16}  first failing seed", "bug", "seeds", "oracle");
    let mut missed = Vec::new();
    let mut needed = Vec::new();
    for bug in chosen {
        match hunt(simulator, options, bug)? {
            Some((seeds, outcome)) => {
                let oracle = outcome.value("oracle").unwrap_or("unknown");
                println!("{bug:<width$}  {seeds:>5}  {oracle:<16}  {}", outcome.seed);
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
    Ok(missed.is_empty())
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
