use super::*;

/// Every way of keeping and dropping, tried out.
fn best(keys: &[u64], inside: &[u64], capacity: usize) -> u64 {
    let Some((key, rest)) = keys.split_first() else { return 0 };
    if inside.contains(key) {
        return 1 + best(rest, inside, capacity);
    }
    let mut most = best(rest, inside, capacity);
    let with = [inside, &[*key]].concat();
    if with.len() <= capacity {
        most = most.max(best(rest, &with, capacity));
    } else {
        for dropped in 0..inside.len() {
            let mut kept = with.clone();
            kept.remove(dropped);
            most = most.max(best(rest, &kept, capacity));
        }
    }
    most
}

#[test]
fn no_way_of_keeping_keys_hits_more() {
    let mut state = 7_u64;
    for capacity in 1..4 {
        for _ in 0..30 {
            let keys: Vec<u64> = (0..10)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state >> 33 & 7
                })
                .map(|key| key % 5)
                .collect();
            assert_eq!(hits(&keys, capacity), best(&keys, &[], capacity), "{keys:?}");
        }
    }
}

#[test]
fn a_loop_larger_than_the_cache_still_hits() {
    let keys: Vec<u64> = (0..10).flat_map(|_| 0..10).collect();
    assert_eq!(hits(&keys, 10), 90);
    assert_eq!(hits(&keys, 5), 45); // Half of the keys stay for ever.
}
