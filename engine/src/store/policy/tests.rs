use std::collections::VecDeque;

use proptest::prelude::*;

use super::shadow::Shadow;
use super::*;
use crate::store::{Store, StoreOptions, Tier};

/// Policies as their authors describe them, over keys of one size: slow, short and obvious.
struct Reference {
    rule: Rule,
    capacity: usize,
    /// (key, usage), the oldest first.
    young: VecDeque<(u64, u8)>,
    main: VecDeque<(u64, u8)>,
    /// The youngest first.
    ghost: Vec<u64>,
    remembered: usize,
    was_full: bool,
}

impl Reference {
    fn new(rule: Rule, capacity: usize) -> Reference {
        let (young, main, ghost) = Default::default();
        Reference { rule, capacity, young, main, ghost, remembered: 0, was_full: false }
    }

    /// Whether a key was there; afterwards it is.
    fn ask(&mut self, key: u64) -> bool {
        let mut items = self.young.iter_mut().chain(&mut self.main);
        if let Some((_, usage)) = items.find(|(other, _)| *other == key) {
            *usage = match self.rule {
                Rule::Fifo => 0,
                Rule::Lru | Rule::Lfu(_) => 1,
                Rule::S3Fifo(_) => 3.min(*usage + 1),
            };
            return true;
        }
        let young_max = self.capacity / 10;
        let to_young = match self.rule {
            Rule::S3Fifo(_) if self.ghost[..self.remembered].contains(&key) => false,
            Rule::S3Fifo(_) => self.was_full || self.young.len() < young_max,
            _ => false,
        };
        if to_young { &mut self.young } else { &mut self.main }.push_back((key, 0));
        while self.capacity < self.young.len() + self.main.len() {
            self.was_full = true;
            if self.main.is_empty() || young_max < self.young.len() {
                self.leave_young();
            } else {
                let (key, usage) = self.main.pop_front().unwrap();
                if 0 < usage {
                    self.main.push_back((key, usage - 1));
                }
            }
        }
        false
    }

    fn leave_young(&mut self) {
        let len = self.young.len() + self.main.len();
        let (key, usage) = self.young.pop_front().unwrap();
        if 2 <= usage {
            self.main.push_back((key, 0));
        } else {
            self.ghost.insert(0, key);
            self.ghost.resize(32, u64::MAX);
            self.remembered = len;
        }
    }
}

/// As a hash would.
fn spread(key: u64) -> u64 {
    crate::store::change::hash(&key.to_le_bytes())
}

fn any_keys() -> impl Strategy<Value = Vec<u64>> {
    // Some keys are asked for often, others now and then.
    prop::collection::vec(prop_oneof![0_u64..8, 0_u64..60], 0..600)
}

proptest! {
    #[test]
    fn policies_do_what_their_descriptions_say(keys in any_keys(), capacity in 10_usize..31) {
        for rule in [Rule::Fifo, Rule::Lru, Rule::S3Fifo(10)] {
            let mut shadow = Shadow::new(rule, capacity as u64);
            let mut reference = Reference::new(rule, capacity);
            for (index, key) in keys.iter().enumerate() {
                let hit = shadow.ask(spread(*key), Some(1));
                prop_assert_eq!(hit, reference.ask(*key), "{:?}, request {}", rule, index);
            }
        }
    }

    #[test]
    fn a_use_changes_one_byte_up_to_a_limit(usage in any::<u8>()) {
        for rule in [Rule::Fifo, Rule::Lru, Rule::Lfu(20), Rule::S3Fifo(10)] {
            let once = rule.used(usage.min(S3_USAGE_MAX));
            prop_assert!(once <= S3_USAGE_MAX);
            prop_assert_eq!(rule.used(S3_USAGE_MAX), S3_USAGE_MAX);
        }
    }
}

#[test]
fn names_are_those_that_an_operator_writes() {
    let names: Vec<&str> = Eviction::ALL.iter().map(|eviction| eviction.name()).collect();
    assert_eq!(names, ["fifo", "lru", "lfu", "s3-fifo", "none", "auto"]);
}

/// Hits of the real store, with room for about `capacity` keys.
fn hits(eviction: Eviction, capacity: u64, keys: impl Iterator<Item = u64>) -> u64 {
    let slot_of = |_: &[u8]| 0;
    let memory_bytes_max = capacity * 1024;
    let options = StoreOptions { tier: Tier::MemoryOnly, memory_bytes_max, eviction, slot_of };
    let mut store = Store::new(options);
    for key in keys {
        let key = key.to_le_bytes();
        if store.get(0, &key).is_none() {
            store.put(0, &key, &[0; 1000], 1, 0, None);
        }
    }
    store.stats().hits
}

/// Keys that are popular by a power law, and now and then a scan of keys that nobody asks for again.
fn popular_keys_and_scans() -> impl Iterator<Item = u64> {
    let mut state = 1_u64;
    (0..200_000_u64).map(move |index| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
        match index % 4 {
            0 => 1_000_000 + index,
            _ => (20_000.0_f64.powf(uniform)) as u64,
        }
    })
}

/// Each key is asked for a few times within a while, and then never more: only recency helps.
fn passing_keys() -> impl Iterator<Item = u64> {
    let mut state = 1_u64;
    (0..200_000_u64).map(move |index| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        index / 3 + (state >> 33) % 700
    })
}

#[test]
fn who_is_used_once_only_pushes_nobody_out() {
    let keys = popular_keys_and_scans;
    let of = |eviction| hits(eviction, 1000, keys());
    let (fifo, lru) = (of(Eviction::Fifo), of(Eviction::Lru));
    for (name, hits) in [("s3-fifo", of(Eviction::S3Fifo)), ("lfu", of(Eviction::Lfu))] {
        assert!(fifo + 6000 < hits && lru + 3000 < hits, "{name}: {hits}, {fifo}, {lru}");
    }
}

/// Goal: `auto` follows whoever hits most. Method: two workloads, each best served by another policy; two
/// points of the hit ratio are what it may cost to find out.
#[test]
fn auto_is_about_as_good_as_the_best() {
    let workloads: [(&str, Vec<u64>); 2] = [
        ("popular keys", popular_keys_and_scans().collect()),
        ("passing keys", passing_keys().collect()),
    ];
    let mut winners = Vec::new();
    for (name, keys) in workloads {
        let of = |eviction| hits(eviction, 1000, keys.iter().copied());
        let fixed = [Eviction::Fifo, Eviction::Lru, Eviction::Lfu, Eviction::S3Fifo];
        let (best, winner) =
            fixed.map(|eviction| (of(eviction), eviction)).into_iter().max().unwrap();
        let auto = of(Eviction::Auto);
        assert!(best <= auto + keys.len() as u64 / 50, "{name}: {auto}, {winner:?} {best}");
        winners.push(winner);
    }
    assert!(winners[0] != winners[1], "{winners:?}: one policy would do");
}
