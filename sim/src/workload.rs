//! What clients ask, as commands, and what the answers mean, as the model says it.
//!
//! **Invariant.** Every value is written once in a run (a client's number and a count), so a value read
//! names the write that it came from.

use evenkeel_wire::reply::Reply;

use crate::ledger::Outcome;
use crate::model::{Action, Answer, Step, Value};
use crate::plan::ObjectKind;
use crate::random::Random;

#[cfg(test)]
mod tests;

/// How many keys an object has.
pub const KEY_COUNT: usize = 2;

/// How the steps are put into commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One step, one command.
    Single,
    /// MGET of all steps' keys.
    GetMany,
    /// MSET of all steps' keys.
    SetMany,
    /// MULTI, the steps, EXEC.
    Transaction,
    /// WATCH and GET first; then the one step, a `CompareAndSet` against what GET found, as a
    /// transaction.
    Guarded,
}

/// One thing to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it means.
    pub steps: Vec<Step>,
    /// How it is said.
    pub shape: Shape,
}

/// A command as it goes over the wire.
pub type Command = Vec<Vec<u8>>;

/// One client's requests.
#[derive(Debug)]
pub struct Workload {
    random: Random,
    client: u32,
    padding: usize,
    count: u64,
}

impl Workload {
    /// With a stream of its own; every fourth value gets so many bytes more.
    pub fn new(random: Random, client: u32, padding: usize) -> Workload {
        Workload { random, client, padding, count: 0 }
    }

    /// A value that nobody else writes.
    pub fn value(&mut self) -> Value {
        let padding = if self.count.is_multiple_of(4) { self.padding } else { 0 };
        self.padded(padding)
    }

    fn padded(&mut self, padding: usize) -> Value {
        self.count += 1;
        format!("c{}n{}{:_<padding$}.", self.client, self.count, "").into()
    }

    /// The next request to an object of this kind.
    pub fn request(&mut self, kind: ObjectKind) -> Request {
        match kind {
            ObjectKind::Register => self.register(),
            ObjectKind::Counter => self.counter(),
            ObjectKind::Text => self.text(),
        }
    }

    fn register(&mut self) -> Request {
        let key = self.random.below(2) as usize;
        let single = |action| Request { steps: vec![(key, action)], shape: Shape::Single };
        match self.random.below(20) {
            0..6 => single(Action::Get),
            6..11 => single(Action::Set(self.value())),
            11 => single(Action::Delete),
            12 | 13 => single(Action::SetIfAbsent(self.value())),
            14 => {
                let action = Action::CompareAndSet(None, self.value());
                Request { steps: vec![(key, action)], shape: Shape::Guarded }
            }
            15 => Request { steps: both(|| Action::Get), shape: Shape::GetMany },
            16 => Request { steps: both(|| Action::Set(self.value())), shape: Shape::SetMany },
            17 => Request { steps: both(|| Action::Get), shape: Shape::Transaction },
            18 => Request {
                steps: vec![(key, Action::Get), (1 - key, Action::Set(self.value()))],
                shape: Shape::Transaction,
            },
            _ => Request { steps: both(|| Action::Set(self.value())), shape: Shape::Transaction },
        }
    }

    fn counter(&mut self) -> Request {
        let (action, shape) = match self.random.below(20) {
            0..12 => (Action::Increment(1), Shape::Single),
            12..18 => (Action::Get, Shape::Single),
            18 => (Action::Delete, Shape::Single),
            _ => {
                let steps = vec![(0, Action::Increment(1)), (0, Action::Get)];
                return Request { steps, shape: Shape::Transaction };
            }
        };
        Request { steps: vec![(0, action)], shape }
    }

    fn text(&mut self) -> Request {
        let action = match self.random.below(20) {
            // Without padding: texts would grow without bound, and each append writes all of it.
            0..8 => Action::Append(self.padded(0)),
            8..15 => Action::Get,
            15..18 => Action::Set(self.value()),
            _ => Action::Delete,
        };
        Request { steps: vec![(0, action)], shape: Shape::Single }
    }
}

fn both(mut action: impl FnMut() -> Action) -> Vec<Step> {
    (0..KEY_COUNT).map(|key| (key, action())).collect()
}

/// The name of a key: all keys of an object share a hash slot.
pub fn key_name(object: usize, key: usize) -> String {
    format!("{{object-{object}}}{}", if key == 0 { "x" } else { "y" })
}

fn words(object: usize, (key, action): &Step) -> Command {
    let key = key_name(object, *key);
    let words: Vec<&str> = match action {
        Action::Get => vec!["GET", &key],
        Action::Set(value) | Action::CompareAndSet(_, value) => vec!["SET", &key, value],
        Action::SetIfAbsent(value) => vec!["SET", &key, value, "NX"],
        Action::Delete => vec!["DEL", &key],
        Action::Append(value) => vec!["APPEND", &key, value],
        Action::Increment(by) => {
            return command(&["INCRBY", &key, &by.to_string()]);
        }
    };
    command(&words)
}

fn command(words: &[&str]) -> Command {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// The commands of a request to an object, to be sent at once. (For `Guarded`: the second half.)
pub fn commands(object: usize, request: &Request) -> Vec<Command> {
    let many = |name: &str| {
        let mut all = command(&[name]);
        for step in &request.steps {
            let words = words(object, step);
            all.extend_from_slice(if name == "MGET" { &words[1..2] } else { &words[1..3] });
        }
        vec![all]
    };
    match request.shape {
        Shape::Single => request.steps.iter().map(|step| words(object, step)).collect(),
        Shape::GetMany => many("MGET"),
        Shape::SetMany => many("MSET"),
        Shape::Transaction | Shape::Guarded => {
            let mut all = vec![command(&["MULTI"])];
            all.extend(request.steps.iter().map(|step| words(object, step)));
            all.push(command(&["EXEC"]));
            all
        }
    }
}

/// WATCH and GET of a guarded request.
pub fn guard(object: usize, request: &Request) -> Vec<Command> {
    let key = key_name(object, request.steps[0].0);
    vec![command(&["WATCH", &key]), command(&["GET", &key])]
}

/// What the replies to `commands` mean.
///
/// # Errors
/// No server may answer like this.
pub fn outcome(request: &Request, replies: &[Reply]) -> Result<Outcome, String> {
    if let Some(Reply::Error(error)) = replies.iter().find(|reply| reply.is_error()) {
        return match request.steps[..] {
            [(_, Action::Increment(_))] if error.contains("not an integer") => {
                Ok(Outcome::Answered(vec![Answer::NotANumber]))
            }
            _ => failure(error),
        };
    }
    let strange = || format!("strange replies to {:?}: {replies:?}", request.steps);
    let last = replies.last().ok_or_else(strange)?;
    let answers: Option<Vec<Answer>> = match (request.shape, last) {
        (Shape::Single, reply) => answer(&request.steps[0].1, reply).map(|answer| vec![answer]),
        (Shape::SetMany, reply) => {
            (*reply == Reply::OK).then(|| vec![Answer::Done; request.steps.len()])
        }
        (Shape::Guarded, Reply::Null | Reply::NullArray) => {
            return Ok(Outcome::Refused("somebody else was faster".to_owned()));
        }
        (Shape::GetMany | Shape::Transaction | Shape::Guarded, Reply::Array(parts)) => {
            if let Some(Reply::Error(error)) = parts.iter().find(|reply| reply.is_error()) {
                return failure(error);
            }
            let pairs = request.steps.iter().zip(parts);
            let answers = pairs.map(|((_, action), reply)| answer(action, reply)).collect();
            if parts.len() == request.steps.len() { answers } else { None }
        }
        _ => None,
    };
    answers.map(Outcome::Answered).ok_or_else(strange)
}

/// Errors that say that nothing happened.
const REFUSALS: &[&str] = &["CLUSTERDOWN", "LOADING", "EXECABORT", "TRYAGAIN", "DISKFULL"];

/// Errors that say that nobody knows.
const DOUBTS: &[&str] = &["TIMEOUT", "ERR the node is stopping", "ERR the request was applied"];

fn failure(error: &str) -> Result<Outcome, String> {
    if REFUSALS.iter().any(|refusal| error.starts_with(refusal)) {
        Ok(Outcome::Refused(error.to_owned()))
    } else if DOUBTS.iter().any(|doubt| error.starts_with(doubt)) {
        Ok(Outcome::Unknown(error.to_owned()))
    } else {
        Err(format!("no client expects the error `{error}`"))
    }
}

fn answer(action: &Action, reply: &Reply) -> Option<Answer> {
    Some(match (action, reply) {
        (Action::Get, Reply::Null) => Answer::Holds(None),
        (Action::Get, Reply::Bulk(bytes)) => {
            Answer::Holds(Some(String::from_utf8_lossy(bytes).as_ref().into()))
        }
        (Action::Set(_), reply) if *reply == Reply::OK => Answer::Done,
        (Action::SetIfAbsent(_), Reply::Null) => Answer::Happened(false),
        (Action::SetIfAbsent(_) | Action::CompareAndSet(..), reply) if *reply == Reply::OK => {
            Answer::Happened(true)
        }
        (Action::Delete, Reply::Integer(count @ (0 | 1))) => Answer::Happened(*count == 1),
        (Action::Increment(_), Reply::Integer(number)) => Answer::Number(*number),
        (Action::Append(_), Reply::Integer(size)) => Answer::Size(usize::try_from(*size).ok()?),
        _ => return None,
    })
}
