use super::*;

fn spread(number: u64) -> u64 {
    crate::store::change::hash(&number.to_le_bytes())
}

#[test]
fn who_left_lately_is_remembered_and_who_left_long_ago_is_not() {
    let mut ghost = Ghost::new();
    assert!(!ghost.remembers(spread(1)));
    let count = 100_000;
    (0..count).for_each(|number| ghost.remember(spread(number), 10_000));
    let remembered = |range: std::ops::Range<u64>| {
        let len = range.end - range.start;
        range.filter(|number| ghost.remembers(spread(*number))).count() as f64 / len as f64
    };
    assert!(0.99 < remembered(count - 5000..count));
    assert!(remembered(0..count - 20_000) < 0.01);
    assert!(remembered(count..2 * count) < 0.0005, "strangers");
    // Two bytes for each of 10,000, whole lines and pages.
    assert!(ghost.bytes() < 26_000, "{}", ghost.bytes());
}

#[test]
fn growing_forgets_nobody() {
    let mut ghost = Ghost::new();
    for number in 0..3000_u64 {
        ghost.remember(spread(number), number as usize + 1);
    }
    let kept = (1500..3000).filter(|number| ghost.remembers(spread(*number))).count();
    assert!(1480 <= kept, "{kept}");
}
