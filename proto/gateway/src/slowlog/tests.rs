use super::*;

fn slow(duration_us: u64) -> SlowCommand {
    SlowCommand {
        id: 0,
        ended_at_s: 1,
        duration_us,
        arguments: vec![Bytes::from_static(b"GET")],
        address: "127.0.0.1:1".to_owned(),
        name: String::new(),
    }
}

#[test]
fn the_ring_keeps_the_newest_and_numbers_go_on_after_a_reset() {
    let mut log = SlowLog::new(2);
    (1..=3).for_each(|duration| log.push(slow(duration)));
    let kept: Vec<(u64, u64)> = log.newest(10).map(|entry| (entry.id, entry.duration_us)).collect();
    assert_eq!(kept, [(2, 3), (1, 2)]);

    log.clear();
    assert_eq!(log.len(), 0);
    log.push(slow(4));
    assert_eq!(log.newest(1).next().map(|entry| entry.id), Some(3));
}

#[test]
fn the_ring_is_bounded_whatever_the_operator_asks_for() {
    let mut log = SlowLog::new(1);
    log.set_count_max(usize::MAX);
    (0..SLOWLOG_COUNT_MAX as u64 + 5).for_each(|duration| log.push(slow(duration)));
    assert_eq!(log.len(), SLOWLOG_COUNT_MAX);
    log.set_count_max(3);
    assert_eq!(log.len(), 3);
}

#[test]
fn long_commands_are_cut_and_say_so() {
    let long = [b'x'; 200];
    let words = shorten([b"SET".as_slice(), &long].into_iter());
    assert_eq!(words[0], "SET");
    assert_eq!(words[1].len(), 128 + "... (72 more bytes)".len());

    let many = vec![b"a".as_slice(); 40];
    let words = shorten(many.into_iter());
    assert_eq!(words.len(), 32);
    assert_eq!(words[31], "... (9 more arguments)");
}
