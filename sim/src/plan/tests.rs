use std::collections::BTreeMap;

use super::{Plan, Scenario, plan};
use crate::fault::Fault;

fn plans(scenario: Scenario) -> impl Iterator<Item = Plan> {
    (0..512).map(move |seed| plan(seed, scenario))
}

/// Goal: a seed is a plan. Method: draw it twice.
#[test]
fn the_same_seed_makes_the_same_plan() {
    for scenario in Scenario::ALL {
        assert_eq!(plan(11, *scenario), plan(11, *scenario));
        assert_ne!(plan(11, *scenario), plan(12, *scenario));
    }
}

/// Goal: every family of faults is reached, none is always there, and some seeds have none. Method:
/// count over 512 seeds of the swarm.
#[test]
fn the_swarm_reaches_every_fault() {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut quiet = 0;
    for plan in plans(Scenario::Swarm) {
        let mut families: Vec<_> =
            plan.faults.iter().map(|planned| planned.fault.family()).collect();
        families.sort_unstable();
        families.dedup();
        quiet += u32::from(families.is_empty());
        for family in families {
            *counts.entry(family).or_default() += 1;
        }
    }
    assert!(counts.len() >= 28, "{counts:?}");
    assert!(counts.values().all(|&count| (20..400).contains(&count)), "{counts:?}");
    assert!(quiet >= 16, "{quiet} seeds without faults");
}

/// Goal: nothing is destroyed that nobody else has. Method: whatever loses flushed data hits the
/// victim, and only where there are other nodes.
#[test]
fn only_the_victim_loses_what_it_had_flushed() {
    for plan in Scenario::ALL.iter().flat_map(|scenario| plans(*scenario)) {
        for planned in &plan.faults {
            if let Fault::Wipe { node, .. }
            | Fault::Rot { node, .. }
            | Fault::DiskErrors { node, .. } = planned.fault
            {
                assert_eq!(node, plan.victim, "seed {}", plan.seed);
                assert!(plan.node_count >= 3, "seed {}", plan.seed);
            }
        }
    }
}

/// Goal: compression and encryption are met in every kind of weather, together and alone, and most worlds
/// have neither. Method: count over 512 seeds of each.
#[test]
fn some_worlds_compress_and_encrypt() {
    for scenario in Scenario::ALL {
        let mut counts = BTreeMap::new();
        for Plan { knobs, .. } in plans(*scenario) {
            *counts.entry((knobs.compress, knobs.encrypt)).or_insert(0) += 1;
        }
        assert!(counts.len() == 4 && counts.values().all(|&count| count > 32), "{counts:?}");
        assert!(counts[&(false, false)] > 256, "{counts:?}");
    }
}

/// Goal: a quiet scenario is quiet. Method: look for faults.
#[test]
fn quiet_is_quiet() {
    assert!(plans(Scenario::Quiet).all(|plan| plan.faults.is_empty()));
}
