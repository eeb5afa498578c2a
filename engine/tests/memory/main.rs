//! The memory tier, from outside: what it answers, and what it holds.

mod check;

/// Goal: keys with the same tag are told apart, keys survive being moved, memory comes back. Method:
/// see each check; several seeds.
#[test]
fn the_memory_tier_keeps_its_promises() {
    for seed in 1..=10 {
        for (name, check) in check::CHECKS {
            check(seed).unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
        }
    }
}
