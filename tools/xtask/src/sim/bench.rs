//! How much simulated time a second of one core buys.

use super::Options;
use super::campaign::Campaign;
use super::simulator::{Error, Simulator};

const SEEDS: u64 = 20;

/// Runs seeds of the faulted and of the quiet scenario, one at a time, and prints the rates.
pub(super) fn bench(simulator: &Simulator, options: &Options) -> Result<bool, Error> {
    let mut is_ok = true;
    let chosen = options.scenario.clone();
    let scenarios = chosen.map_or(vec!["swarm".to_owned(), "quiet".to_owned()], |name| vec![name]);
    for scenario in scenarios {
        let one = Options { scenario: Some(scenario.clone()), jobs: 1, ..options.clone() };
        let mut campaign = Campaign::new(&one, options.from.unwrap_or(1));
        campaign.seeds_max = options.seeds.unwrap_or(SEEDS);
        campaign.stops_at_failure = false;
        let result = campaign.run(simulator, |_| ())?;
        is_ok &= result.failed.is_empty();
        let outcomes = || result.passed.iter().chain(&result.failed);
        let simulated: f64 = outcomes().map(|outcome| outcome.number("simulated_s")).sum();
        let operations: f64 = outcomes().map(|outcome| outcome.number("operations")).sum();
        let real: f64 = outcomes().map(|outcome| outcome.took.as_secs_f64()).sum();
        println!(
            "{scenario}: {} seeds ({} failed), {simulated:.0} s simulated in {real:.1} s real: \
             {:.0} x; {:.0} simulated minutes per core-hour; {:.0} client operations a second",
            result.count,
            result.failed.len(),
            simulated / real,
            simulated / 60.0 / (real / 3600.0),
            operations / real,
        );
    }
    Ok(is_ok)
}
