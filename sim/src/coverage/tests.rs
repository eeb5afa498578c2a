use std::collections::BTreeSet;

use super::{Count, Coverage, Kind};
use crate::fault::{Fault, Series};
use crate::plan::{Scenario, plan};

/// Goal: asked for and felt are counted apart, and the line says both. Method: some of each.
#[test]
fn what_was_asked_for_and_what_was_felt_are_counted_apart() {
    let mut coverage = Coverage::default();
    coverage.reach(Kind::Kill);
    coverage.reach(Kind::Kill);
    coverage.activate(Kind::Kill, 1);
    coverage.reach(Kind::RotFlip);
    assert_eq!(coverage.count(Kind::Kill), Count { reached: 2, activated: 1 });
    assert_eq!(coverage.count(Kind::RotFlip), Count { reached: 1, activated: 0 });
    assert_eq!(coverage.count(Kind::Deaf), Count::default());
    assert_eq!(coverage.to_string(), "coverage: kill=2/1 rot-flip=1/0");
}

/// Goal: a kind is known by its name, and there are enough. Method: count them.
#[test]
fn kinds_have_names_of_their_own() {
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    assert!(names.iter().all(|name| !name.contains([' ', '=', '/'])), "{names:?}");
    assert!(Kind::ALL.len() >= 45 + Series::ALL.len(), "{}", Kind::ALL.len());
}

/// Goal: whatever the swarm draws is counted, and it draws every kind. Method: the plans of 512 seeds;
/// what is left of power cuts and half-open connections is counted where power is cut, scrubbing at the
/// end.
#[test]
fn the_swarm_asks_for_every_kind() {
    let mut asked = BTreeSet::from([Kind::HalfOpen, Kind::ClockOffset, Kind::Scrub]);
    for seed in 0..512 {
        let plan = plan(seed, Scenario::Swarm);
        for planned in &plan.faults {
            let kinds = planned.fault.kinds(&plan.knobs.link);
            let is_power = matches!(planned.fault, Fault::Kill { .. });
            let is_nothing = match &planned.fault {
                Fault::Network { .. } | Fault::ClockDrift { .. } => true,
                Fault::DiskErrors { .. } | Fault::DiskLies { .. } => true,
                _ => is_power,
            };
            assert!(is_nothing || !kinds.is_empty(), "{}", planned.fault);
            asked.extend(kinds);
        }
    }
    let of_power = [Kind::PowerLoseAll, Kind::PowerKeepAll, Kind::PowerPrefix, Kind::PowerShuffled];
    asked.extend(of_power);
    let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !asked.contains(kind)).collect();
    assert!(missing.is_empty(), "never asked for: {missing:?}");
}

/// Goal: a script is counted under the name that people type. Method: all of them.
#[test]
fn scripts_are_counted_under_their_names() {
    for series in Series::ALL.iter().chain(Series::OF_VOTERS) {
        assert_eq!(series.kind().name(), series.name());
    }
}
