use super::{Purpose, Stream, split_mix};

/// First outputs of the reference implementations (prng.di.unimi.it).
#[test]
fn generators_are_the_published_ones() {
    let mut state = 1_234_567;
    assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
    assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);

    let mut stream = Stream { state: [1, 2, 3, 4] };
    assert_eq!(stream.next_u64(), 41_943_041);
    assert_eq!(stream.next_u64(), 58_720_359);
    assert_eq!(stream.next_u64(), 3_588_806_011_781_223);
}

#[test]
fn streams_differ_by_seed_purpose_and_index() {
    let first = |seed, purpose, index| Stream::new(seed, purpose, index).next_u64();
    let base = first(1, Purpose::Network, 0);
    assert_eq!(base, first(1, Purpose::Network, 0));
    assert_ne!(base, first(2, Purpose::Network, 0));
    assert_ne!(base, first(1, Purpose::Disk, 0));
    assert_ne!(base, first(1, Purpose::Network, 1));
}

#[test]
fn draws_stay_within_their_bounds_and_reach_them() {
    let mut stream = Stream::new(7, Purpose::World, 0);
    let mut seen = [false; 5];
    for _ in 0..1000 {
        seen[stream.between(0, 4) as usize] = true;
    }
    assert_eq!(seen, [true; 5]);
    assert_eq!(stream.below(0), 0);
    assert_eq!(stream.between(9, 9), 9);

    let hits = (0..100_000).filter(|_| stream.chance(250_000)).count();
    assert!((24_000..26_000).contains(&hits), "{hits} of 100,000 at 25 %");
    let before = stream.clone();
    assert!(!stream.chance(0));
    assert!(stream.chance(1_000_000));
    assert_eq!(stream, before);
}
