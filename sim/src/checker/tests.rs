use std::path::Path;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action as Event, History as TheirHistory};
use todc_utils::specifications::Specification;

use super::{Model, Operation, Verdict};
use crate::history::{KeysOperation, key_count, parse, print};
use crate::model::{Action, Answer, Keys, Step, Value, act, judge};
use crate::random::Random;

fn verdict(history: &[KeysOperation]) -> Verdict<Vec<Step>, Vec<Answer>> {
    judge(key_count(history), history)
}

/// Goal: the checker tells right from wrong on every kind of anomaly. Method: the corpus; the first
/// line of each file says what a reviewer found.
#[test]
fn the_corpus_is_judged_as_labelled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/histories");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 40, "the corpus has shrunk to {} files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let history = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let is_good = match text.split_once(':').map(|(label, _)| label) {
            Some("# good") => true,
            Some("# bad") => false,
            other => panic!("{}: no label but {other:?}", file.display()),
        };
        match (verdict(&history), is_good) {
            (Verdict::Linearizable, true) | (Verdict::Broken(_), false) => (),
            (found, _) => wrong.push(format!("{}: {found:?}", file.display())),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Goal: the text format loses nothing. Method: print what was parsed, and parse that.
#[test]
fn a_printed_history_reads_back_the_same() {
    let text = "1  0..10  set x a; get y -> ok; nil\n2  5..?  append x b.\n\
                3  6..7  cas x nil c -> no\n4  8..9  incr z -5 -> -5";
    let history = parse(text).unwrap();
    let printed: Vec<String> = history.iter().map(print).collect();
    assert_eq!(printed.join("\n"), text);
    assert_eq!(parse("# x\n\n1 0..5 get x").unwrap_err().line, 3);
}

/// Goal: a counter-example shows the contradiction and nothing else. Method: a stale read after a
/// hundred innocent operations.
#[test]
fn a_counter_example_is_small() {
    let mut text = String::new();
    for index in 0..50 {
        let time = index * 10;
        text += &format!("1  {time}..{}  set x v{index} -> ok\n", time + 1);
        text += &format!("2  {}..{}  get x -> v{index}\n", time + 2, time + 3);
        text += &format!("3  {}..?  append y u{index}.\n", time + 2);
    }
    text += "4  600..601  get x -> v20\n5  700..701  get x -> v49\n";
    let Verdict::Broken(example) = verdict(&parse(&text).unwrap()) else {
        panic!("a stale read went unnoticed");
    };
    let lines: Vec<String> = example.iter().map(print).collect();
    assert_eq!(
        lines,
        [
            "1  200..201  set x v20 -> ok",
            "1  490..491  set x v49 -> ok",
            "4  600..601  get x -> v20"
        ]
        .map(str::to_owned)
    );
}

struct TheirKeys;

impl Specification for TheirKeys {
    type State = Vec<Option<Value>>;
    type Operation = (Vec<Step>, Option<Vec<Answer>>);

    fn init() -> Self::State {
        vec![None; 2]
    }

    fn apply((input, output): &Self::Operation, state: &Self::State) -> (bool, Self::State) {
        match (Keys { count: 2 }).step(state, input, output.as_ref()) {
            Some(after) => (true, after),
            None => (false, state.clone()),
        }
    }
}

/// With an independent search (todc-utils): any subset of the unanswered operations may have landed.
fn their_opinion(history: &[KeysOperation]) -> bool {
    let open: Vec<usize> =
        (0..history.len()).filter(|&index| history[index].returned.is_none()).collect();
    (0..1_u32 << open.len()).any(|subset| {
        let mut events = Vec::new();
        for (index, operation) in history.iter().enumerate() {
            let landed = open.iter().position(|&other| other == index);
            if landed.is_some_and(|bit| subset >> bit & 1 == 0) {
                continue;
            }
            let call = (operation.input.clone(), operation.output.clone());
            events.push((operation.invoked, index, Event::Call(call.clone())));
            let end = operation.returned.unwrap_or(1_000_000 + index as u64);
            events.push((end, index, Event::Response(call)));
        }
        if events.is_empty() {
            return true;
        }
        events.sort_by_key(|event| event.0);
        let actions = events.into_iter().map(|(_, index, event)| (index, event)).collect();
        WGLChecker::<TheirKeys>::is_linearizable(TheirHistory::from_actions(actions))
    })
}

/// A history that was executed for real, with each operation taking effect at a moment of its own;
/// and then perhaps one answer is falsified.
fn random_history(random: &mut Random) -> Vec<KeysOperation> {
    let count = random.between(2, 7);
    let mut order: Vec<u64> = (0..count).collect();
    random.shuffle(&mut order);
    let mut history: Vec<KeysOperation> = Vec::new();
    let mut state = Keys { count: 2 }.initial();
    for (position, &client) in order.iter().enumerate() {
        let effect = 1_000 * (position as u64 + 1);
        let input: Vec<Step> = (0..random.between(1, 2)).map(|_| random_step(random)).collect();
        let mut after = state.clone();
        let output = input.iter().map(|(key, action)| act(&mut after[*key], action)).collect();
        if !random.chance_ppm(150_000) {
            state = after;
        }
        let (invoked, returned) =
            (effect - random.below(2_500).min(effect), effect + 1 + random.below(2_500));
        // All times differ, so that both checkers see the same order.
        let (invoked, returned) = (invoked * 64 + client, returned * 64 + 32 + client);
        let is_open = random.chance_ppm(200_000);
        history.push(Operation {
            client: client as u32,
            invoked,
            returned: (!is_open).then_some(returned),
            input,
            output: (!is_open).then_some(output),
        });
    }
    if random.coin() {
        falsify(random, &mut history);
    }
    history
}

fn random_step(random: &mut Random) -> Step {
    let value = |random: &mut Random| random.pick(&["1", "2", "a."]).to_owned().into();
    let action = match random.below(7) {
        0 | 1 => Action::Get,
        2 => Action::Set(value(random)),
        3 => Action::SetIfAbsent(value(random)),
        4 => Action::Delete,
        5 => Action::Increment(1),
        _ => Action::Append(value(random)),
    };
    (random.below(2) as usize, action)
}

fn falsify(random: &mut Random, history: &mut [KeysOperation]) {
    let index = random.below(history.len() as u64) as usize;
    let Some(output) = &mut history[index].output else { return };
    output[0] = match &output[0] {
        Answer::Holds(Some(_)) => Answer::Holds(None),
        Answer::Holds(None) => Answer::Holds(Some("1".into())),
        Answer::Happened(happened) => Answer::Happened(!happened),
        Answer::Number(number) => Answer::Number(number + 1),
        other => other.clone(),
    };
}

/// Goal: our search, its memo and its short cuts agree with somebody else's plain one. Method: random
/// small histories, half of them with a falsified answer, some operations without effect or answer.
#[test]
fn an_independent_checker_agrees() {
    let mut random = Random::new(20_240_817, "histories");
    let (mut good, mut bad) = (0, 0);
    for round in 0..4_000 {
        let history = random_history(&mut random);
        let theirs = their_opinion(&history);
        let ours = verdict(&history);
        let lines = || history.iter().map(print).collect::<Vec<_>>().join("\n");
        assert_eq!(ours == Verdict::Linearizable, theirs, "round {round}:\n{}\n{ours:?}", lines());
        if let Verdict::Broken(example) = &ours {
            assert!(!their_opinion(example), "round {round}: not a counter-example:\n{}", lines());
        }
        *(if theirs { &mut good } else { &mut bad }) += 1;
    }
    assert!(good > 500 && bad > 500, "both kinds are there: {good} good, {bad} bad");
}

/// Goal: a long history costs little. Method: eight overlapping clients on each of a hundred keys,
/// two in a hundred answers lost.
#[test]
fn two_hundred_thousand_operations_take_no_time() {
    for key in 0..100 {
        let mut random = Random::new(key, "long");
        let mut history = Vec::new();
        let mut value = None;
        for index in 0..2_000_u64 {
            let effect = index * 100;
            let is_open = random.chance_ppm(20_000);
            let has_effect = !is_open || random.coin();
            let (input, output) = if random.coin() {
                (Action::Get, Answer::Holds(value.clone()))
            } else {
                let new: Value = format!("v{index}").into();
                value = if has_effect { Some(new.clone()) } else { value };
                (Action::Set(new), Answer::Done)
            };
            history.push(Operation {
                client: 0,
                invoked: effect.saturating_sub(random.below(400)),
                returned: (!is_open).then(|| effect + 1 + random.below(400)),
                input: vec![(0, input)],
                output: (!is_open).then(|| vec![output]),
            });
        }
        assert_eq!(verdict(&history), Verdict::Linearizable, "key {key}");
    }
}
