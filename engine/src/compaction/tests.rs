use super::*;

const SIZE: u64 = 1000;

fn candidate(segment: u32, live: u64, age: u64) -> Candidate {
    Candidate { segment, size: SIZE, live, age }
}

fn situation(used: u64, live: u64, room: u64) -> Situation {
    Situation { segment_size: SIZE, used, live, room, replay: 0, changed: 0 }
}

#[test]
fn what_is_dead_goes_first_and_always() {
    let candidates = [candidate(1, 0, 9), candidate(2, 500, 8), candidate(3, 0, 1)];
    assert_eq!(choose(&candidates, 1, 0), [1, 3]);
    assert_eq!(choose(&candidates, 5000, 5000), [1, 3, 2]);
}

#[test]
fn old_and_half_full_goes_before_young_and_emptier() {
    let old = candidate(1, 600, 90);
    let young = candidate(2, 300, 2);
    assert_eq!(choose(&[old, young], 1, 5000), [1]);
    // Of equal age the emptier one.
    assert_eq!(choose(&[candidate(1, 600, 5), candidate(2, 300, 5)], 1, 5000), [2]);
}

#[test]
fn no_more_is_moved_than_there_is_room_for() {
    let candidates = [candidate(1, 600, 9), candidate(2, 700, 8), candidate(3, 200, 1)];
    assert_eq!(choose(&candidates, 5000, 900), [3, 1]);
    assert_eq!(choose(&candidates, 5000, 100), [0_u32; 0]);
}

#[test]
fn full_segments_are_left_alone() {
    assert_eq!(
        choose(&[candidate(1, 951, 1000), candidate(2, 1200, 1000)], 5000, 5000),
        [0_u32; 0]
    );
}

#[test]
fn a_log_with_room_and_little_garbage_is_left_alone() {
    assert_eq!(need(&situation(100_000, 80_000, u64::MAX)), Need::Nothing);
    assert_eq!(need(&situation(7_000, 0, u64::MAX)), Need::Nothing);
    assert_eq!(need(&situation(100_000, 60_000, u64::MAX)), Need::Space(5_000));
    assert_eq!(need(&situation(30_000, 28_000, 4_500)), Need::Space(1_500));
    // Full, and nothing to gain: whoever asks again and again gets nothing done.
    assert_eq!(need(&situation(30_000, 29_500, 500)), Need::Nothing);
}

#[test]
fn long_replays_and_many_changes_call_for_a_checkpoint() {
    let quiet = situation(20_000, 19_000, u64::MAX);
    assert_eq!(need(&Situation { replay: 17_000, ..quiet }), Need::Checkpoint);
    assert_eq!(need(&Situation { changed: 200_000, ..quiet }), Need::Checkpoint);
    assert_eq!(need(&Situation { replay: 16_000, changed: 10, ..quiet }), Need::Nothing);
}
