use super::{Found, STEPS_MAX, Verdict, decide};
use crate::execution::{Asked, Execution, execute, falsify};
use crate::history::{KeysOperation, key_count, parse, print};
use crate::model::judge::judge;
use crate::model::{Action, Answer, Keys, Step, Value};
use crate::plan::ObjectKind;
use crate::random::Random;

mod corpus;
mod independent;

fn verdict(history: &[KeysOperation]) -> Verdict<Vec<Step>, Vec<Answer>> {
    judge(key_count(history), history)
}

fn text(history: &[KeysOperation]) -> String {
    history.iter().map(print).collect::<Vec<_>>().join("\n")
}

/// Goal: the text format loses nothing. Method: print what was parsed, and parse that.
#[test]
fn a_printed_history_reads_back_the_same() {
    let lines = "1  0..10  set x a; get y -> ok; nil\n2  5..?  append x b.\n\
                 3  6..7  cas x nil c -> no\n4  8..9  incr z -5 -> -5";
    assert_eq!(text(&parse(lines).unwrap()), lines);
    assert_eq!(parse("# x\n\n1 0..5 get x").unwrap_err().line, 3);
}

/// Goal: a counter-example shows the contradiction and nothing else, on either way to the verdict.
/// Method: a stale read after a hundred innocent operations; once more with a key that is deleted.
#[test]
fn a_counter_example_is_small() {
    for extra in ["", "6  0..1  del x -> no\n"] {
        let mut lines = extra.to_owned();
        for index in 0..50 {
            let time = index * 10 + 10;
            lines += &format!("1  {time}..{}  set x v{index} -> ok\n", time + 1);
            lines += &format!("2  {}..{}  get x -> v{index}\n", time + 2, time + 3);
            lines += &format!("3  {}..?  append y u{index}.\n", time + 2);
        }
        lines += "4  600..601  get x -> v20\n5  700..701  get x -> v49\n";
        let Verdict::Broken(example) = verdict(&parse(&lines).unwrap()) else {
            panic!("a stale read went unnoticed");
        };
        assert_eq!(example.len(), 3, "{}", text(&example));
        let lines = text(&example);
        assert!(lines.contains("set x v20") && lines.ends_with("get x -> v20"), "{lines}");
    }
}

/// A history that was executed for real, with each operation taking effect at a moment of its own;
/// and then perhaps one answer is falsified. Values are few, so that they repeat.
fn few_values(random: &mut Random) -> Vec<KeysOperation> {
    let asked = Execution {
        kind: Asked::Workload(*random.pick(&[
            ObjectKind::Register,
            ObjectKind::Counter,
            ObjectKind::Text,
        ])),
        client_count: 4,
        operation_count: random.between(2, 7) as usize,
        unknown_ppm: 0,
    };
    // Take the shape of a real history, and give it other actions.
    let mut history = execute(&random.child("shape"), &asked);
    random.next_u64();
    let mut state: Vec<Option<Value>> = vec![None; 3];
    for operation in &mut history {
        operation.input = (0..random.between(1, 2)).map(|_| few_values_step(random)).collect();
        let input = operation.input.iter();
        let answers =
            input.map(|(key, action)| crate::model::act(&mut state[*key], action)).collect();
        let is_open = random.chance_ppm(250_000);
        operation.returned = operation.returned.filter(|_| !is_open);
        operation.output = operation.returned.map(|_| answers);
    }
    history
}

fn few_values_step(random: &mut Random) -> Step {
    let value = |random: &mut Random| random.pick(&["1", "2", "a.", "b."]).to_owned().into();
    let action = match random.below(8) {
        0 | 1 => Action::Get,
        2 => Action::Set(value(random)),
        3 => Action::SetIfAbsent(value(random)),
        4 => Action::Delete,
        5 => Action::Increment(1),
        6 => Action::CompareAndSet(random.coin().then(|| value(random)), value(random)),
        _ => Action::Append(value(random)),
    };
    (random.below(2) as usize, action)
}

/// A history of the simulator's own workload, with many outcomes unknown.
fn own_workload(random: &mut Random) -> Vec<KeysOperation> {
    let kind = match random.below(4) {
        0 => Asked::ReadsAndWrites,
        1 => Asked::Workload(ObjectKind::Counter),
        2 => Asked::Workload(ObjectKind::Text),
        _ => Asked::Workload(ObjectKind::Register),
    };
    let execution = Execution {
        kind,
        client_count: random.between(1, 4) as u32,
        operation_count: random.between(3, 8) as usize,
        unknown_ppm: *random.pick(&[0, 200_000, 500_000]),
    };
    let seed = random.next_u64();
    let mut history = execute(&Random::new(seed, "execution"), &execution);
    if random.below(3) > 0 {
        falsify(random, &mut history);
    }
    history
}

/// Goal: our search, its memo, its short cuts and the sorting agree with two searches that others
/// wrote. Method: random small histories of two kinds, many with a falsified answer, many operations
/// without effect or answer; every counter-example is held against theirs too.
#[test]
fn independent_checkers_agree() {
    let mut random = Random::new(20_240_817, "histories");
    let (mut good, mut bad, mut sorted) = (0, 0, 0);
    for round in 0..6_000 {
        let history =
            if round % 2 == 0 { few_values(&mut random) } else { own_workload(&mut random) };
        if history.iter().filter(|one| one.returned.is_none()).count() > 6 {
            continue;
        }
        let theirs = independent::stateright(&history);
        let lines = || text(&history);
        assert_eq!(theirs, independent::todc(&history), "round {round}: they differ\n{}", lines());
        let plain = decide(&Keys { count: 3 }, &history, &mut STEPS_MAX.clone());
        assert_eq!(plain == Found::Order, theirs, "round {round}, search:\n{}", lines());
        let ours = verdict(&history);
        assert_eq!(ours == Verdict::Linearizable, theirs, "round {round}:\n{}\n{ours:?}", lines());
        if let Verdict::Broken(example) = &ours {
            assert!(!independent::stateright(example), "round {round}: no example\n{}", lines());
        }
        *(if theirs { &mut good } else { &mut bad }) += 1;
        sorted += u32::from(crate::model::is_sorted(key_count(&history), &history));
    }
    assert!(good > 1_000 && bad > 800, "both kinds are there: {good} good, {bad} bad");
    assert!(sorted > 200, "{sorted} were decided by sorting");
}

/// Goal: what nobody learned the end of costs little. Method: of each kind of object, histories of the
/// simulator's workload with some fifty operations of unknown outcome, as many as a client ever leaves
/// on one object.
#[test]
fn fifty_unknown_outcomes_leave_the_verdict_in_reach() {
    for seed in 0..12 {
        for kind in [ObjectKind::Register, ObjectKind::Counter, ObjectKind::Text] {
            let execution = Execution {
                kind: Asked::Workload(kind),
                client_count: 3,
                operation_count: 600,
                unknown_ppm: 90_000,
            };
            let history = execute(&Random::new(seed, "unknown"), &execution);
            let unknown = history.iter().filter(|one| one.returned.is_none()).count();
            assert!(unknown > 30, "{unknown} unknown outcomes");
            assert_eq!(verdict(&history), Verdict::Linearizable, "seed {seed} {kind:?}");
        }
    }
}

/// Goal: a long history costs little. Method: eight clients at once on each of a hundred keys.
#[test]
fn two_hundred_thousand_operations_take_no_time() {
    for seed in 0..100 {
        let execution = Execution {
            kind: Asked::ReadsAndWrites,
            client_count: 8,
            operation_count: 2_000,
            unknown_ppm: 20_000,
        };
        let mut history = execute(&Random::new(seed, "long"), &execution);
        assert_eq!(verdict(&history), Verdict::Linearizable, "key {seed}");
        let answers = history.iter_mut().rev().filter_map(|one| one.output.as_mut());
        let last = answers.flatten().find(|answer| matches!(answer, Answer::Holds(_)));
        *last.unwrap() = Answer::Holds(Some("never written".into()));
        assert!(matches!(verdict(&history), Verdict::Broken(_)), "key {seed}");
    }
}
