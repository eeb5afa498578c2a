use super::{Ledger, Outcome};
use crate::model::{Action, Answer};

fn answered(ledger: &mut Ledger, action: Action, answer: Answer) {
    let id = ledger.invoke(1_000_000, 1, 0, vec![(0, action)]);
    ledger.end(2_000_000, id, Outcome::Answered(vec![answer]));
}

fn holds(value: &str) -> Answer {
    Answer::Holds(Some(value.into()))
}

/// Goal: the ledger tells a loss from a disorder. Method: the same wrong read, once at the end.
#[test]
fn a_loss_is_called_durability() {
    for is_final in [false, true] {
        let mut ledger = Ledger::default();
        answered(&mut ledger, Action::Set("a.".into()), Answer::Done);
        answered(&mut ledger, Action::Set("b.".into()), Answer::Done);
        if is_final {
            ledger.begin_final_reads();
        }
        answered(&mut ledger, Action::Get, holds("a."));
        let breach = ledger.judge(1, 1).unwrap_err();
        assert_eq!(breach.oracle, if is_final { "durability" } else { "linearizability" });
        assert_eq!(breach.lines.len(), 3, "{breach:#?}");
        assert!(breach.lines[2].contains("0.001..    0.002s  client 1  object 0  get x -> a."));
    }
}

/// Goal: what ended without an answer may land or not; what was refused may not. Method: read it.
#[test]
fn unknown_may_land_and_refused_may_not() {
    for (outcome, is_right) in [
        (Outcome::Unknown("timed out".to_owned()), true),
        (Outcome::Refused("READONLY".to_owned()), false),
    ] {
        let mut ledger = Ledger::default();
        let id = ledger.invoke(0, 1, 0, vec![(0, Action::Set("a.".into()))]);
        ledger.end(1, id, outcome);
        answered(&mut ledger, Action::Get, holds("a."));
        assert_eq!(ledger.judge(1, 1).is_ok(), is_right);
    }
}

/// Goal: what is known of an earlier moment is held against that one. Method: a read whose value is learned
/// after another write: as of before that write, the value that it wrote is from the future.
#[test]
fn an_answer_may_be_as_of_an_earlier_moment() {
    for (value, is_as_of, is_right) in
        [("a.", true, true), ("a.", false, true), ("b.", true, false), ("b.", false, true)]
    {
        let mut ledger = Ledger::default();
        answered(&mut ledger, Action::Set("a.".into()), Answer::Done);
        let id = ledger.invoke(0, 2, 0, vec![(0, Action::Get)]);
        let moment = ledger.moment();
        answered(&mut ledger, Action::Set("b.".into()), Answer::Done);
        let outcome = Outcome::Answered(vec![holds(value)]);
        match is_as_of {
            true => ledger.end_as_of(9, id, moment, outcome),
            false => ledger.end(9, id, outcome),
        }
        assert_eq!(ledger.judge(1, 1).is_ok(), is_right, "{value} as of then: {is_as_of}");
    }
}

/// Goal: the canary is noticed. Method: falsify a right ledger.
#[test]
fn a_falsified_answer_is_noticed() {
    let mut ledger = Ledger::default();
    answered(&mut ledger, Action::Set("a.".into()), Answer::Done);
    answered(&mut ledger, Action::Get, holds("a."));
    assert_eq!(ledger.judge(1, 1), Ok(()));
    ledger.falsify();
    assert!(ledger.judge(1, 1).is_err());
}

/// Goal: the longest silence is that between two answers, or after the last one; refusals, what nobody knows
/// and the final reads do not end it. Method: a few entries, milliseconds apart.
#[test]
fn silence_is_the_longest_time_without_an_answer() {
    let ms = |ms: u64| ms * 1_000_000;
    let millis = std::time::Duration::from_millis;
    let mut ledger = Ledger::default();
    assert_eq!(ledger.longest_silence(ms(9_000)), None);
    let end = |ledger: &mut Ledger, at: u64, outcome: Outcome| {
        let id = ledger.invoke(ms(at) - 1, 1, 0, vec![(0, Action::Get)]);
        ledger.end(ms(at), id, outcome);
    };
    let nil = || Outcome::Answered(vec![Answer::Holds(None)]);
    end(&mut ledger, 400, Outcome::Refused("not yet".to_owned()));
    end(&mut ledger, 1_000, nil());
    end(&mut ledger, 1_200, nil());
    end(&mut ledger, 1_500, Outcome::Refused("no leader".to_owned()));
    end(&mut ledger, 1_700, Outcome::Unknown("timed out".to_owned()));
    end(&mut ledger, 2_000, nil());
    ledger.begin_final_reads();
    end(&mut ledger, 2_100, nil());
    assert_eq!(ledger.longest_silence(ms(2_100)), Some((millis(800), millis(1_200))));
    assert_eq!(ledger.longest_silence(ms(3_000)), Some((millis(1_000), millis(2_000))));
}
