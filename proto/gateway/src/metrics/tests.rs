use super::*;

#[test]
fn errors_are_counted_by_their_first_word_and_cannot_grow_without_end() {
    let metrics = Metrics::new(0);
    metrics.count_error("ERR syntax error");
    metrics.count_error("ERR no such key");
    metrics.count_error("MOVED 1 127.0.0.1:7001");
    assert_eq!(metrics.errors(), [("ERR".to_owned(), 2), ("MOVED".to_owned(), 1)]);

    (0..1000).for_each(|number| metrics.count_error(&format!("WORD{number} text")));
    assert!(metrics.errors().len() <= ERROR_KIND_COUNT_MAX + 1);
    assert_eq!(metrics.error_replies.get(), 1003);
    assert_eq!(metrics.errors().iter().map(|(_, count)| count).sum::<u64>(), 1003);
}

#[test]
fn rates_are_of_the_time_since_the_last_sample() {
    let metrics = Metrics::new(0);
    metrics.sample(5_000_000);
    metrics.commands_processed.add(300);
    metrics.network_in_bytes.add(1000);
    metrics.sample(5_500_000);
    assert_eq!(metrics.commands_per_s(), 0, "half a second is too short to tell");
    metrics.sample(7_000_000);
    assert_eq!(metrics.commands_per_s(), 150);
    assert_eq!(metrics.bytes_per_s(), (500, 0));
}

#[test]
fn a_reset_forgets_the_past_and_keeps_the_present() {
    let metrics = Metrics::new(1);
    metrics.connections_open.add(3);
    metrics.connections_accepted.add(5);
    metrics.commands[0].calls.add(7);
    metrics.count_error("ERR x");
    metrics.reset();
    assert_eq!(metrics.connections_open.get(), 3);
    assert_eq!(metrics.connections_accepted.get(), 0);
    assert_eq!(metrics.commands[0].calls.get(), 0);
    assert!(metrics.errors().is_empty());
}
