//! Random and exhaustive power cuts and damage; see `model` for goals and methods.

use crate::model::{damage, power};

fn seeds(count: u64, check: impl Fn(u64) -> Result<(), String>) {
    for seed in 1..=count {
        check(seed).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_power_cut_at_any_sector_loses_nothing_acknowledged() {
    let cuts: u64 = (1..=3)
        .map(|seed| power::check_every_cut(seed).unwrap_or_else(|error| panic!("{error}")))
        .sum();
    assert!(5_000 < cuts, "the workload leaves something to tear, not {cuts} cuts");
}

#[test]
fn a_log_survives_life_after_life() {
    seeds(100, power::check_lives);
}

#[test]
fn any_flipped_bit_is_harmless_or_reported() {
    let reported = damage::check_every_bit(5).unwrap_or_else(|error| panic!("{error}"));
    assert!(2_000 < reported, "headers and records are reported, not {reported} bits");
}

#[test]
fn random_damage_is_reported_and_nothing_is_ever_wrong() {
    let mut reported = 0;
    for seed in 1..=600 {
        reported += damage::check_random_damage(seed).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(300 < reported, "the damage hits something, not {reported} times");
}

#[test]
fn a_misdirected_block_is_not_read_as_another() {
    seeds(10, damage::check_misdirected);
}

#[test]
fn a_failed_write_or_flush_ends_the_engine_and_vouches_for_nothing() {
    seeds(60, damage::check_failing);
}
