use std::collections::BTreeSet;

use evenkeel_wire::reply::Reply;

use super::{Request, Shape, Workload, commands, guard, outcome};
use crate::ledger::Outcome;
use crate::model::{Action, Answer};
use crate::plan::ObjectKind;
use crate::random::Random;

fn line(command: &[Vec<u8>]) -> String {
    let words: Vec<_> = command.iter().map(|word| String::from_utf8_lossy(word)).collect();
    words.join(" ")
}

fn request(shape: Shape, steps: &[(usize, Action)]) -> Request {
    Request { steps: steps.to_vec(), shape }
}

/// Goal: requests are said in Redis' words. Method: one of each shape.
#[test]
fn requests_become_commands() {
    let set = |key| (key, Action::Set("v.".into()));
    let said = |request: &Request| {
        commands(3, request).iter().map(|command| line(command)).collect::<Vec<_>>()
    };
    assert_eq!(said(&request(Shape::Single, &[set(0)])), ["SET {object-3}x v."]);
    let both = [set(0), set(1)];
    assert_eq!(said(&request(Shape::SetMany, &both)), ["MSET {object-3}x v. {object-3}y v."]);
    let gets = [(0, Action::Get), (1, Action::Get)];
    assert_eq!(said(&request(Shape::GetMany, &gets)), ["MGET {object-3}x {object-3}y"]);
    let transaction = request(Shape::Transaction, &[(0, Action::Increment(2))]);
    assert_eq!(said(&transaction), ["MULTI", "INCRBY {object-3}x 2", "EXEC"]);
    let guarded = request(Shape::Guarded, &[(1, Action::CompareAndSet(None, "v.".into()))]);
    assert_eq!(line(&guard(3, &guarded)[0]), "WATCH {object-3}y");
    assert_eq!(said(&guarded)[1], "SET {object-3}y v.");
}

/// Goal: replies are understood, and doubt is told from refusal and from nonsense. Method: examples.
#[test]
fn replies_become_outcomes() {
    let get = request(Shape::Single, &[(0, Action::Get)]);
    let answered = |answer| Ok(Outcome::Answered(vec![answer]));
    assert_eq!(outcome(&get, &[Reply::Null]), answered(Answer::Holds(None)));
    assert_eq!(outcome(&get, &[Reply::bulk("v.")]), answered(Answer::Holds(Some("v.".into()))));
    assert!(outcome(&get, &[Reply::Integer(1)]).unwrap_err().contains("strange"));
    assert!(outcome(&get, &[Reply::error("ERR what")]).unwrap_err().contains("ERR what"));
    let refused = outcome(&get, &[Reply::error("CLUSTERDOWN no leader")]);
    assert!(matches!(refused, Ok(Outcome::Refused(_))));
    let unknown = outcome(&get, &[Reply::error("TIMEOUT no quorum")]);
    assert!(matches!(unknown, Ok(Outcome::Unknown(_))));
    let transaction = request(Shape::Transaction, &[(0, Action::Get), (0, Action::Delete)]);
    let parts = Reply::Array(vec![Reply::Null, Reply::Integer(0)]);
    let replies = [Reply::OK, Reply::QUEUED, Reply::QUEUED, parts];
    let answers = vec![Answer::Holds(None), Answer::Happened(false)];
    assert_eq!(outcome(&transaction, &replies), Ok(Outcome::Answered(answers)));
    let guarded = request(Shape::Guarded, &[(0, Action::CompareAndSet(None, "v.".into()))]);
    let replies = [Reply::OK, Reply::QUEUED, Reply::NullArray];
    assert!(matches!(outcome(&guarded, &replies), Ok(Outcome::Refused(_))));
}

/// Goal: a value names its write. Method: draw many requests, look for a value twice.
#[test]
fn values_are_written_once() {
    let mut seen = BTreeSet::new();
    for client in 0..3 {
        let mut workload = Workload::new(Random::new(1, "clients"), client, 10);
        let kinds = [ObjectKind::Register, ObjectKind::Counter, ObjectKind::Text];
        for kind in kinds.iter().cycle().take(1_000) {
            for (_, action) in workload.request(*kind).steps {
                if let Action::Set(value)
                | Action::SetIfAbsent(value)
                | Action::CompareAndSet(_, value)
                | Action::Append(value) = action
                {
                    assert!(seen.insert(value.to_string()), "{value} is written twice");
                }
            }
        }
    }
}
