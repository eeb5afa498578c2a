//! Histories as text: what a failure prints, what the corpus in `testdata/histories` is written in.
//!
//! ```text
//! client  invoked..returned  action key [value]; ... -> answer; ...
//! 1  0..10   set x a -> ok
//! 2  5..?    append x b.                  nobody knows what became of it
//! 3  7..9    set x c -> failed            certainly without effect
//! 1  11..15  get x; del y -> a; no        one transaction
//! ```
//! Answers: `ok` to `set`; a value or `nil` to `get`; `yes` or `no` to `setnx`, `cas` and `del`; a
//! number to `incr` (or `not-a-number`) and to `append` (the size). Keys are one letter.

use std::fmt::{self, Write as _};

use crate::checker::Operation;
use crate::model::{Action, Answer, Step};

/// One operation on an object of several keys.
pub type KeysOperation = Operation<Vec<Step>, Vec<Answer>>;

/// Why a line is not an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ParseError {}

/// Reads a history; empty lines and those that begin with `#` say nothing, and operations that
/// certainly failed are left out.
///
/// # Errors
/// The first line that is no operation.
pub fn parse(text: &str) -> Result<Vec<KeysOperation>, ParseError> {
    let mut history = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let operation =
            parse_operation(line).map_err(|reason| ParseError { line: index + 1, reason })?;
        history.extend(operation);
    }
    Ok(history)
}

fn parse_operation(line: &str) -> Result<Option<KeysOperation>, String> {
    let (head, actions) = split_head(line)?;
    let [client, times] = head;
    let client = client.parse().map_err(|_| format!("`{client}` is no client's number"))?;
    let (invoked, returned) =
        times.split_once("..").ok_or_else(|| format!("`{times}` is not `invoked..returned`"))?;
    let invoked = parse_time(invoked)?;
    let (actions, answers) = match actions.split_once("->") {
        Some((actions, answers)) => (actions, Some(answers.trim())),
        None => (actions, None),
    };
    if answers == Some("failed") {
        return Ok(None);
    }
    let input: Vec<Step> =
        actions.split(';').map(|action| parse_action(action.trim())).collect::<Result<_, _>>()?;
    let output = answers.map(|answers| parse_answers(&input, answers)).transpose()?;
    let returned = if returned == "?" { None } else { Some(parse_time(returned)?) };
    if returned.is_some() != output.is_some() {
        return Err("an operation has an end and an answer, or neither".to_owned());
    }
    if returned.is_some_and(|returned| returned <= invoked) {
        return Err("an operation ends after it began".to_owned());
    }
    Ok(Some(Operation { client, invoked, returned, input, output }))
}

fn split_head(line: &str) -> Result<([&str; 2], &str), String> {
    let (client, rest) = line.split_once(char::is_whitespace).ok_or("no times")?;
    let (times, rest) = rest.trim_start().split_once(char::is_whitespace).ok_or("no action")?;
    Ok(([client, times], rest.trim()))
}

fn parse_time(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no time"))
}

/// What `print_step` prints.
pub(crate) fn parse_action(text: &str) -> Result<Step, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let action = match words[..] {
        ["get", _] => Action::Get,
        ["set", _, value] => Action::Set(value.into()),
        ["setnx", _, value] => Action::SetIfAbsent(value.into()),
        ["cas", _, "nil", value] => Action::CompareAndSet(None, value.into()),
        ["cas", _, expected, value] => Action::CompareAndSet(Some(expected.into()), value.into()),
        ["del", _] => Action::Delete,
        ["incr", _, by] => {
            Action::Increment(by.parse().map_err(|_| format!("`{by}` is no number"))?)
        }
        ["append", _, value] => Action::Append(value.into()),
        _ => return Err(format!("`{text}` is no action")),
    };
    Ok((key_number(words[1])?, action))
}

/// Keys are called x, y, z, a, b, c and so on.
const KEY_NAMES: &str = "xyzabcdefghijklmnopqrstuvw";

fn key_number(name: &str) -> Result<usize, String> {
    let is_letter = name.len() == 1;
    let number = KEY_NAMES.find(name).filter(|_| is_letter);
    number.ok_or_else(|| format!("`{name}` is no key: keys are one letter"))
}

fn key_name(number: usize) -> &'static str {
    &KEY_NAMES[number..=number]
}

fn parse_answers(input: &[Step], text: &str) -> Result<Vec<Answer>, String> {
    let words: Vec<&str> = text.split(';').map(str::trim).collect();
    if words.len() != input.len() {
        return Err(format!("{} actions, {} answers", input.len(), words.len()));
    }
    input.iter().zip(words).map(|((_, action), word)| parse_answer(action, word)).collect()
}

fn parse_answer(action: &Action, word: &str) -> Result<Answer, String> {
    let answer = match (action, word) {
        (Action::Get, "nil") => Answer::Holds(None),
        (Action::Get, value) => Answer::Holds(Some(value.into())),
        (Action::Set(_), "ok") => Answer::Done,
        (Action::SetIfAbsent(_) | Action::CompareAndSet(..) | Action::Delete, "yes") => {
            Answer::Happened(true)
        }
        (Action::SetIfAbsent(_) | Action::CompareAndSet(..) | Action::Delete, "no") => {
            Answer::Happened(false)
        }
        (Action::Increment(_), "not-a-number") => Answer::NotANumber,
        (Action::Increment(_), number) => {
            Answer::Number(number.parse().map_err(|_| format!("`{number}` is no answer to incr"))?)
        }
        (Action::Append(_), size) => {
            Answer::Size(size.parse().map_err(|_| format!("`{size}` is no answer to append"))?)
        }
        _ => return Err(format!("`{word}` is no answer to {action:?}")),
    };
    Ok(answer)
}

/// One line of the format above, without the line's end.
pub fn print(operation: &KeysOperation) -> String {
    let mut line = format!("{}  {}..", operation.client, operation.invoked);
    match operation.returned {
        Some(returned) => write!(line, "{returned}  "),
        None => write!(line, "?  "),
    }
    .expect("strings take everything");
    line += &joined(operation.input.iter().map(print_step));
    if let Some(output) = &operation.output {
        line += " -> ";
        line += &joined(output.iter().map(print_answer));
    }
    line
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("; ")
}

/// One action of the format above.
pub fn print_step((key, action): &Step) -> String {
    let key = key_name(*key);
    match action {
        Action::Get => format!("get {key}"),
        Action::Set(value) => format!("set {key} {value}"),
        Action::SetIfAbsent(value) => format!("setnx {key} {value}"),
        Action::CompareAndSet(expected, value) => {
            format!("cas {key} {} {value}", expected.as_deref().unwrap_or("nil"))
        }
        Action::Delete => format!("del {key}"),
        Action::Increment(by) => format!("incr {key} {by}"),
        Action::Append(value) => format!("append {key} {value}"),
    }
}

/// One answer of the format above.
pub fn print_answer(answer: &Answer) -> String {
    match answer {
        Answer::Holds(value) => value.as_deref().unwrap_or("nil").to_owned(),
        Answer::Done => "ok".to_owned(),
        Answer::Happened(true) => "yes".to_owned(),
        Answer::Happened(false) => "no".to_owned(),
        Answer::Number(number) => number.to_string(),
        Answer::Size(size) => size.to_string(),
        Answer::NotANumber => "not-a-number".to_owned(),
    }
}

/// One more than the highest key that occurs.
pub fn key_count(history: &[KeysOperation]) -> usize {
    let keys = history.iter().flat_map(|operation| &operation.input).map(|step| step.0 + 1);
    keys.max().unwrap_or(1)
}
