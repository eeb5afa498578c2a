use std::path::Path;
use std::time::Duration;

use super::{ScenarioFile, names};
use crate::fault::{Death, Fault};

const HEAD: &str = "\
about: For tests.
nodes: 3
lasts: 10s
clients: 2
think: 5ms
objects: [register, counter]
";

fn file(rest: &str) -> Result<ScenarioFile, String> {
    ScenarioFile::parse("test", &format!("{HEAD}{rest}"))
}

fn refusal(rest: &str) -> String {
    file(rest).map(|_| "fine".to_owned()).unwrap_or_else(|error| error)
}

/// Goal: a file and a seed are one plan, and what is open in the file differs between seeds, within its
/// range. Method: a repeated fault whose time and node are open, 64 seeds.
#[test]
fn what_is_open_is_drawn_from_the_seed() {
    let file = file(
        "
faults:
  - at: 1s..1.5s
    times: 3
    every: 2s
    fault: { kill: { node: any, death: process, down: 500ms } }
",
    )
    .unwrap();
    let (mut nodes, mut times) = (vec![0; 3], Vec::new());
    for seed in 0..64 {
        let plan = file.plan(seed).unwrap();
        assert_eq!(plan, file.plan(seed).unwrap());
        assert_eq!(plan.faults.len(), 3);
        for (planned, repetition) in plan.faults.iter().zip(0..) {
            let earliest = Duration::from_millis(1_000 + 2_000 * repetition);
            assert!((earliest..=earliest + Duration::from_millis(500)).contains(&planned.at));
            let Fault::Kill { node, death: Death::Process, down, again: None } = planned.fault
            else {
                panic!("{planned:?}");
            };
            assert_eq!(down, Duration::from_millis(500));
            nodes[node] += 1;
            times.push(planned.at);
        }
    }
    assert!(nodes.iter().all(|&count| count > 30), "{nodes:?}");
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 150, "{} different times", times.len());
}

/// Goal: a mistake in a file is named. Method: one of each kind.
#[test]
fn mistakes_are_named() {
    let fault = |fault: &str| refusal(&format!("faults:\n  - {{ at: 1s, fault: {fault} }}\n"));
    assert_eq!(refusal("promises: { silence_max: 3s }\n"), "fine");
    assert!(refusal("promises: { silence: 3s }\n").contains("unknown field `silence`"));
    assert!(refusal("knobs: { shards: 3 }\n").contains("no knob is `shards`"));
    assert!(refusal("wether: fine\n").contains("unknown field `wether`"));
    assert!(fault("{ kil: { node: any } }").contains("unknown variant `kil`"));
    assert!(fault("{ pause: { node: node-1, lasts: 3 } }").contains("fault 1: invalid type"));
    assert!(fault("{ pause: { node: node-4, lasts: 3s } }").contains("there are 3 nodes"));
    assert!(
        fault("{ pause: { node: any, lasts: 3s, agian: 1s } }").contains("no field is `agian`")
    );
    let weather = "{ network: { weather: { latency_ms: 20 }, lasts: 1s } }";
    assert!(fault(weather).contains("no field is `latency_ms`"), "{}", fault(weather));
    assert!(fault("{ pause: { node: any, lasts: 5s..3s } }").contains("fault 1: invalid type"));
    assert!(fault("{ clock-drift: { node: any, ppm: 900 } }").contains("`drift_ppm` is 500"));
    assert!(refusal("faults: { at: 1s, fault: cut-clients }\n").contains("is no list"));
    let never = "faults:\n  - { at: 1s, times: 0, fault: cut-clients }\n";
    assert!(refusal(never).contains("`times` must be 1 to 1000"));
    assert!(refusal("knobs: { link: { los_ppm: 3 } }\n").contains("no knob is `los_ppm`"));
    assert!(fault("{ pause: { node: node-0, lasts: 3s } }").contains("fault 1"));
    let late = "faults:\n  - { at: 9s, times: 2, every: 1s, fault: cut-clients }\n";
    assert!(refusal(late).contains("at 10s it is over"));
    let two = "faults:
  - { at: 1s, fault: { wipe: { node: node-1, down: 1s } } }
  - { at: 2s, fault: { rot: { node: node-2, rot: flip, sectors: 1 } } }
";
    assert!(refusal(two).contains("node-1 and node-2 lose"), "{}", refusal(two));
    assert!(ScenarioFile::parse("test", "just words").unwrap_err().contains("has fields"));
    assert!(ScenarioFile::parse("test", "about: x\n").unwrap_err().contains("missing field"));
    let many = HEAD.replace("nodes: 3", "nodes: 8");
    assert!(ScenarioFile::parse("test", &many).unwrap_err().contains("`nodes` is 8"));
}

/// Goal: the library can be read, and says of each what it is about. Method: all of it.
#[test]
fn every_file_of_the_library_is_a_scenario() {
    let folder = Path::new("scenarios");
    let names = names(folder);
    assert!(names.len() >= 25, "{names:?}");
    for name in names {
        let file = ScenarioFile::load(folder, &name).unwrap();
        assert!(file.about().ends_with('.') && file.about().len() <= 100, "{name}");
    }
}
