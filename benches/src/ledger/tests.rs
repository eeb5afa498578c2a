use super::*;

/// Tells a ledger a story and says which promise it finds broken.
fn check(story: impl FnOnce(&mut Ledger), expected: Option<&str>) {
    let mut ledger = Ledger::default();
    story(&mut ledger);
    let found = ledger.broken.first().and_then(|line| line.split(':').next());
    assert_eq!(found, expected, "{:?}", ledger.broken);
    assert!(ledger.broken.len() <= 1, "{:?}", ledger.broken);
}

#[test]
fn increments_without_an_answer_happen_once_or_never() {
    check(
        |ledger| {
            [Some(1), None, Some(2), None, Some(4)]
                .map(|value| ledger.incremented(value))
                .into_iter()
                .collect()
        },
        None,
    );
    check(
        |ledger| {
            [Some(1), None, Some(3), Some(4)]
                .map(|value| ledger.incremented(value))
                .into_iter()
                .collect()
        },
        None,
    );
}

#[test]
fn a_lost_increment_is_noticed() {
    check(
        |ledger| [Some(1), Some(1)].map(|value| ledger.incremented(value)).into_iter().collect(),
        Some("lost"),
    );
    // The one without an answer was seen to have happened: it may not be undone.
    check(
        |ledger| {
            [Some(1), None, Some(3), Some(3)]
                .map(|value| ledger.incremented(value))
                .into_iter()
                .collect()
        },
        Some("lost"),
    );
    check(
        |ledger| {
            ledger.incremented(Some(1));
            ledger.counter_read(0);
        },
        Some("lost"),
    );
}

#[test]
fn a_write_that_happens_twice_is_noticed() {
    check(|ledger| ledger.incremented(Some(2)), Some("applied twice"));
    check(
        |ledger| [None, Some(3)].map(|value| ledger.incremented(value)).into_iter().collect(),
        Some("applied twice"),
    );
}

#[test]
fn a_read_of_the_past_is_noticed() {
    let set = |ledger: &mut Ledger, acknowledged: &[bool]| {
        for &acknowledged in acknowledged {
            let value = ledger.next_register();
            ledger.register_set(value, acknowledged);
        }
    };
    check(
        |ledger| {
            set(ledger, &[true, true, false]);
            ledger.register_read(2);
            ledger.register_read(3);
        },
        None,
    );
    check(
        |ledger| {
            set(ledger, &[true, true]);
            ledger.register_read(1);
        },
        Some("stale"),
    );
}

#[test]
fn what_was_acknowledged_is_there_and_right() {
    check(
        |ledger| {
            ledger.once_set(true);
            ledger.once_set(false);
            ledger.once_read(0, Some(true));
            ledger.once_read(1, None);
            assert_eq!(ledger.writes(), (1, 1));
        },
        None,
    );
    check(
        |ledger| {
            ledger.once_set(true);
            ledger.once_read(0, None);
        },
        Some("lost"),
    );
    check(
        |ledger| {
            ledger.once_set(false);
            ledger.once_read(0, Some(false));
        },
        Some("wrong"),
    );
}
