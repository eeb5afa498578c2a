//! All kinds of weather in turn: what a night and a hunt go through, seed by seed.
//!
//! **Invariant.** Which weather a seed gets depends on its place in the row and on nothing else; above
//! all not on the bug that is planted.

use super::Options;
use super::simulator::{Error, Run, Simulator};

/// The kinds of weather, in the order in which `cargo sim scenarios` lists them.
#[derive(Debug)]
pub(crate) struct Rotation {
    scenarios: Vec<String>,
    first: u64,
}

impl Rotation {
    /// Over all weather there is, or over the one that was asked for.
    pub(crate) fn new(
        simulator: &Simulator,
        options: &Options,
        first: u64,
    ) -> Result<Rotation, Error> {
        let scenarios = match &options.scenario {
            Some(name) => vec![name.clone()],
            None => simulator.list("scenarios")?,
        };
        if scenarios.is_empty() {
            return Err(Error::new("the simulator lists no scenario".to_owned()));
        }
        Ok(Rotation { scenarios, first })
    }

    /// How many worlds it takes until each kind of weather was there.
    pub(crate) fn len(&self) -> u64 {
        self.scenarios.len() as u64
    }

    /// The kinds of weather.
    pub(crate) fn scenarios(&self) -> &[String] {
        &self.scenarios
    }

    /// The world of a seed; seeds begin with the first.
    pub(crate) fn run(&self, options: &Options, seed: u64) -> Run {
        let scenario = &self.scenarios[((seed - self.first) % self.len()) as usize];
        Run { scenario: Some(scenario.clone()), ..options.run(seed) }
    }
}
