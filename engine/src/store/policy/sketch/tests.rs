use super::*;

fn spread(number: u64) -> u64 {
    crate::store::change::hash(&number.to_le_bytes())
}

#[test]
fn an_estimate_is_never_too_low_and_seldom_too_high() {
    let mut sketch = Sketch::new();
    (0..1000).for_each(|_| sketch.fit(1000));
    for number in 0..1000_u64 {
        (0..number % 4).for_each(|_| sketch.add(spread(number)));
    }
    let estimates =
        (0..1000).map(|number| (number % 4, u64::from(sketch.estimate(spread(number)))));
    let (low, high) = estimates.fold((0, 0), |(low, high), (uses, estimate)| {
        (low + usize::from(estimate < uses), high + usize::from(uses < estimate))
    });
    // One line in six was halved on the way.
    assert!(low < 170 && high < 50, "{low} too low, {high} too high");
}

#[test]
fn what_was_popular_long_ago_is_forgotten() {
    let mut sketch = Sketch::new();
    (0..1000).for_each(|_| sketch.fit(1000));
    (0..15).for_each(|_| sketch.add(spread(7)));
    assert!(10 < sketch.estimate(spread(7)));
    (0..100_000).for_each(|number| sketch.add(spread(1000 + number)));
    assert!(sketch.estimate(spread(7)) < 10);
    assert_eq!(sketch.bytes(), 64 * 64, "four bytes an item");
}
