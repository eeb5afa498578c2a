use std::time::Duration;

use super::{Asked, Capsule, is_beyond};
use crate::fault::{Cut, Fault};
use crate::model::Action;
use crate::plan::{Scenario, plan};
use crate::random::Random;
use crate::workload::{Request, Shape, Workload};

/// Goal: a capsule is the run. Method: write plans of many seeds and requests of all kinds, read them
/// back, and compare.
#[test]
fn what_is_written_is_read() {
    for seed in 0..60 {
        let plan = plan(seed, Scenario::Swarm);
        let mut workload = Workload::new(Random::new(seed, "requests"), 3, 6_000);
        let requests: Vec<Asked> = (0..20)
            .map(|index| {
                let object = index as usize % plan.objects.len();
                let request = workload.request(plan.objects[object]);
                let asked = Asked::new(index * 1_000_003, 3, 1, object, &request);
                assert_eq!(asked.request().unwrap(), request);
                asked
            })
            .collect();
        let capsule = Capsule {
            oracle: Some("durability".to_owned()),
            says: "a \"quoted\" claim\nof two lines, after 3.5s".to_owned(),
            commit: "abc".to_owned(),
            planted: None,
            hash: Some("00ff".to_owned()),
            plan,
            requests: (seed % 2 == 0).then_some(requests),
            until: (seed % 3 == 0).then_some(Duration::from_millis(1_250)),
        };
        let text = capsule.print();
        assert_eq!(Capsule::parse(&text).as_ref(), Ok(&capsule), "{text}");
        assert!(text.lines().all(|line| line.len() < 2_000), "a line is for people:\n{text}");
    }
}

/// Goal: a broken file is named, not run. Method: three kinds of damage.
#[test]
fn what_is_no_capsule_says_why() {
    assert!(Capsule::parse("seed 3").is_err());
    assert!(Capsule::parse("{\"format\": 99}").unwrap_err().contains("format 99"));
    assert!(Capsule::parse("{\"format\": 1, \"plan\": {}}").unwrap_err().contains("`plan`"));
}

/// Goal: padding costs no line. Method: a long value, there and back.
#[test]
fn padding_is_squeezed() {
    let value = format!("c1n4{}.", "_".repeat(6_000));
    let steps = vec![(0, Action::Set(value.as_str().into()))];
    let request = Request { steps, shape: Shape::Single };
    let asked = Asked::new(0, 1, 0, 0, &request);
    assert_eq!(asked.steps, "set x c1n4_{6000}.");
    assert_eq!(asked.request().unwrap(), request);
}

/// Goal: a smaller cluster gets no fault of a node that it does not have. Method: one of each form.
#[test]
fn faults_of_absent_nodes_are_known() {
    let lasts = Duration::from_millis(4_000);
    let cut = |cut: Cut| Fault::Partition { cut, lasts };
    assert!(is_beyond(&Fault::Pause { node: 3, lasts }, 3));
    assert!(!is_beyond(&Fault::Pause { node: 2, lasts }, 3));
    assert!(is_beyond(&cut(Cut::Halves(vec![0, 4])), 3));
    assert!(!is_beyond(&cut(Cut::Halves(vec![0, 1])), 3));
    assert!(is_beyond(&cut(Cut::Pair(1, 3)), 3) && is_beyond(&cut(Cut::Deaf(3)), 3));
    assert!(!is_beyond(&Fault::PauseLeader { lasts }, 1));
}
