use super::*;

#[test]
fn every_lag_is_counted_where_it_belongs() {
    for lag_ms in (0..5000).chain((1..31).flat_map(|bits| [(1 << bits) - 1, 1 << bits])) {
        let index = bucket(lag_ms);
        let before = if index == 0 { 0 } else { last_of(index - 1) + 1 };
        assert!((before..=last_of(index)).contains(&lag_ms), "{lag_ms}");
        assert!(last_of(index) <= lag_ms + lag_ms / 4, "{lag_ms}");
    }
}

#[test]
fn a_quantile_is_never_too_low() {
    let mut lag = Lag::default();
    assert_eq!(lag.quantile_ms(990), 0);
    (1..=1000).for_each(|lag_ms| lag.record(lag_ms));
    assert!((500..=625).contains(&lag.quantile_ms(500)));
    assert!((990..=1000).contains(&lag.quantile_ms(990)));
    assert_eq!((lag.quantile_ms(1000), lag.max_ms()), (1000, 1000));
    lag.record(u64::MAX);
    assert_eq!(lag.max_ms(), u64::MAX);
}
