use super::*;

fn arguments(mix: &str, distribution: Distribution) -> WorkloadArguments {
    let mix = mix.parse().unwrap();
    WorkloadArguments { mix, keys: 1000, distribution, value_size: 3, seed: 1 }
}

#[test]
fn weights_are_kept() {
    let mut workload = Workload::new(&arguments("get=3,set=1", Distribution::Uniform), 0);
    let sets = (0..10_000).filter(|_| workload.draw().verb == Verb::Set).count();
    assert!((2300..2700).contains(&sets), "{sets} of 10000 are writes, expected a quarter");
    for wrong in ["", "get=0", "fly=1", "get=", "get=-1"] {
        assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
    }
}

#[test]
fn the_first_of_a_thousand_zipf_keys_is_drawn_as_often_as_the_formula_says() {
    let zipf = Zipf::new(1000);
    let mut random = Random::new(1);
    let mut counts = vec![0_u32; 1000];
    for _ in 0..100_000 {
        counts[usize::try_from(zipf.draw(&mut random)).unwrap()] += 1;
    }
    let expected = 100_000.0 / zipf.zeta;
    let share = f64::from(counts[0]) / expected;
    assert!((0.95..1.05).contains(&share), "rank 0: {} of about {expected}", counts[0]);
    assert!(counts[0] > counts[9] && counts[9] > counts[500]);
}

#[test]
fn uniform_keys_reach_all_keys_and_other_streams_draw_others() {
    let draws = |stream| {
        let mut workload = Workload::new(&arguments("set", Distribution::Uniform), stream);
        (0..20_000).map(|_| workload.draw().key).collect::<Vec<_>>()
    };
    let (first, second) = (draws(0), draws(1));
    assert_ne!(first, second);
    assert_eq!(first, draws(0));
    assert_eq!(std::collections::BTreeSet::from_iter(first).len(), 1000);
}

#[test]
fn an_operation_is_a_command() {
    let mut output = Vec::new();
    encode(Operation { verb: Verb::Set, key: 42 }, b"abc", &mut output);
    assert_eq!(output, b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nabc\r\n");
    output.clear();
    encode(Operation { verb: Verb::Increment, key: 7 }, b"", &mut output);
    assert_eq!(output, b"*2\r\n$4\r\nINCR\r\n$16\r\nnum:000000000007\r\n");
}
