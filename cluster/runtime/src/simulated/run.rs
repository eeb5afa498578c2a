//! One run of one seed.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use madsim::Config;
use madsim::runtime::Runtime;

use super::nodes;
use super::record::{self, Event, EventHash};
use super::world::{self, world};

/// What is left of a run.
#[derive(Debug)]
pub struct Run<T> {
    /// What the supervisor returned, or the payload of the panic that ended the run: the
    /// supervisor's, a node's, or madsim's when every task waits for ever.
    pub outcome: thread::Result<T>,
    /// Over every event: equal for every run of the same seed.
    pub hash: EventHash,
    /// How often each kind of event happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// The last events, oldest first; as many as were asked for.
    pub recent: Vec<Event>,
    /// Each node's number, as events have it, and the name given at its creation.
    pub names: Vec<(String, String)>,
}

/// The seed of this run, for streams of one's own.
pub fn seed() -> u64 {
    world().seed
}

/// Runs `main` as the supervisor of a new world, in a new host thread (std's hash maps are seeded
/// once a thread), and waits for it.
pub fn run<F, M>(seed: u64, main: M) -> Run<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    run_keeping(seed, record::EVENT_COUNT_MIN, main)
}

/// `run`, keeping so many of the last events, for whoever wants to look at all of them. It changes
/// nothing but the memory that it takes.
pub fn run_keeping<F, M>(seed: u64, event_count: usize, main: M) -> Run<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    let simulation = move || {
        let runtime = Runtime::with_seed_and_config(seed, Config::default());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async move {
                world::begin(seed);
                record::keep(event_count);
                main().await
            })
        }));
        let run = Run {
            outcome,
            hash: record::hash(),
            counts: record::counts(),
            recent: record::recent(),
            names: nodes::names(),
        };
        world::end();
        // Dropping it would drop the nodes' tasks outside of any node, where their destructors
        // find neither clock nor world. A process runs few seeds.
        std::mem::forget(runtime);
        run
    };
    match thread::Builder::new().name(format!("seed {seed}")).spawn(simulation) {
        Ok(handle) => handle.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)),
        Err(error) => panic!("the host refuses a thread for seed {seed}: {error}"),
    }
}
