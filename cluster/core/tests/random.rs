//! Thousands of small random clusters. See `simulation/mod.rs` for the world and its promises.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod simulation;

use simulation::{Statistics, live};

/// Goal: no seed breaks a promise.
/// Method: live one history per seed; `SEED=7 cargo test -p evenkeel-core --test random` lives one.
#[test]
fn no_weather_breaks_a_promise() {
    let one: Option<u64> = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let count: u64 = std::env::var("SEEDS").map_or(400, |count| count.parse().unwrap());
    let seeds = one.map_or(0..count, |seed| seed..seed + 1);
    let mut total = Statistics::default();
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| live(seed));
        match lived {
            Ok(statistics) => total.add(statistics),
            Err(panic) => {
                println!("replay: SEED={seed} cargo test -p evenkeel-core --test random");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{total:?}");
    if one.is_none() {
        assert!(count < total.commits, "too little happened to prove anything: {total:?}");
        assert!(0 < total.lease_reads && 0 < total.quorum_reads, "no reads: {total:?}");
        assert!(0 < total.snapshots && 0 < total.crashes, "no snapshots, no crashes: {total:?}");
        assert!(0 < total.reconfigurations && 0 < total.transfers, "no changes: {total:?}");
    }
}
