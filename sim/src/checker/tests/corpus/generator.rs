//! Makes histories with a known anomaly, and their innocent twins: a pattern of few operations, in
//! surroundings drawn from a seed.
//!
//! ```text
//! A set K a. -> ok        one line after the other in time; `&` lines overlap with the line before
//! B set K b. -> ok
//! C get K -> a. | b.      the answer that is wrong, the one that is right
//! ```

use crate::execution::{Asked, Execution, execute};
use crate::history::print;
use crate::plan::ObjectKind;
use crate::random::Random;

/// Histories of each pattern, each with its twin.
const VARIANT_COUNT: u64 = 5;

/// The class, in a word what happens, and the pattern. `K` and `L` are keys, `A` to `D` are clients.
const PATTERNS: &[(&str, &str, &[&str])] = &[
    (
        "stale read",
        "the write was acknowledged before the read began",
        &["A set K a. -> ok", "B set K b. -> ok", "C get K -> a. | b."],
    ),
    (
        "stale read",
        "a transaction answers from the past",
        &[
            "A set K a.; set L a. -> ok; ok",
            "B set K b. -> ok",
            "C get K; get L -> a.; a. | b.; a.",
        ],
    ),
    (
        "lost write",
        "what was acknowledged and seen is gone",
        &["A set K a. -> ok", "A set K b. -> ok", "B get K -> b.", "B get K -> a. | b."],
    ),
    (
        "lost write",
        "the key is empty, and nobody deleted it",
        &["A set K a. -> ok", "B get K -> nil | a."],
    ),
    (
        "lost update",
        "two increments, one number",
        &["A incr K 1 -> 1", "B incr K 1 -> 2", "&C incr K 1 -> 2 | 3", "D get K -> 2 | 3"],
    ),
    (
        "lost update",
        "an append began from what was there before the other",
        &["A append K a. -> 2", "B append K b. -> 4", "&C append K c. -> 4 | 6"],
    ),
    (
        "dirty read",
        "seen while it was tried, refused in the end",
        &["A set K a. -> ok", "B set K b. -> failed", "&C get K -> b. | a.", "C get K -> a."],
    ),
    (
        "dirty read",
        "refused, and yet there",
        &["A set K a. -> ok", "B set K b. -> failed", "C get K -> b. | a."],
    ),
    (
        "time travel",
        "read before anybody asked to write it",
        &["B get K -> a. | nil", "A set K a. -> ok"],
    ),
    (
        "time travel",
        "seen, and then unseen",
        &["A set K a. -> ok", "B set K b. ?", "C get K -> b. | a.", "C get K -> a. | b."],
    ),
    ("value from nowhere", "nobody wrote it", &["A set K a. -> ok", "B get K -> z. | a."]),
    (
        "value from nowhere",
        "a part of it, nobody appended",
        &["A append K a. -> 2", "B append K b. -> 4", "C get K -> a.z.b. | a.b."],
    ),
    (
        "resurrection",
        "it was deleted",
        &["A set K a. -> ok", "B del K -> yes", "C get K -> nil", "C get K -> a. | nil"],
    ),
    (
        "resurrection",
        "a delete of unknown outcome uncovers nothing older",
        &["A set K a. -> ok", "A set K b. -> ok", "B del K ?", "C get K -> a. | nil"],
    ),
    ("twice applied", "one increment counted twice", &["A incr K 1 -> 1", "B incr K 1 -> 3 | 2"]),
    (
        "twice applied",
        "an append of unknown outcome landed twice",
        &["A append K a. -> 2", "B append K b. ?", "C get K -> a.b.b. | a.b."],
    ),
    (
        "twice applied",
        "a write of unknown outcome landed, was overwritten, and landed again",
        &["A set K a. ?", "B get K -> a.", "C set K b. -> ok", "B get K -> a. | b."],
    ),
    (
        "split brain",
        "two got what one can have",
        &["A setnx K a. -> yes", "&B setnx K b. -> yes | no"],
    ),
    (
        "split brain",
        "two changed the same value",
        &["A set K a. -> ok", "B cas K a. b. -> yes", "&C cas K a. c. -> yes | no"],
    ),
    ("wrong answer", "there was nothing to delete", &["A get K -> nil", "B del K -> yes | no"]),
    (
        "wrong answer",
        "nobody holds it, and still it is refused",
        &["A setnx K a. -> yes", "A del K -> yes", "B setnx K b. -> no | yes"],
    ),
    (
        "wrong answer",
        "the size of something else",
        &["A append K a. -> 2", "B append K bb. -> 6 | 5", "C get K -> a.bb."],
    ),
    (
        "torn transaction",
        "half of it is seen",
        &[
            "A set K a.; set L a. -> ok; ok",
            "B set K b.; set L b. -> ok; ok",
            "&C get K; get L -> b.; a. | b.; b.",
        ],
    ),
    (
        "torn transaction",
        "half of it landed",
        &[
            "A set K a.; set L a. -> ok; ok",
            "B set K b.; set L b. ?",
            "C get K; get L -> b.; a. | b.; b.",
        ],
    ),
    (
        "write skew",
        "each saw the other's key empty",
        &["A get L; set K a. -> nil; ok", "&B get K; set L b. -> nil; ok | a.; ok"],
    ),
    (
        "write skew",
        "each saw what the other overwrote",
        &[
            "A set K a.; set L a. -> ok; ok",
            "B get L; set K b. -> a.; ok",
            "&C get K; set L c. -> a.; ok | b.; ok",
        ],
    ),
    (
        "split order",
        "two readers see two writes in opposite orders",
        &[
            "A set K a. -> ok",
            "&B set K b. -> ok",
            "&C get K -> a.",
            "&D get K -> b.",
            "E get K -> a. | b.",
            "F get K -> b.",
        ],
    ),
    (
        "split order",
        "one key says before, the other after",
        &[
            "A set K a.; set L a. -> ok; ok",
            "&B set K b.; set L b. -> ok; ok",
            "C get K -> a. | b.",
            "D get L -> b.",
        ],
    ),
];

/// The files of the generated corpus, by name.
pub(super) fn files() -> Vec<(String, String)> {
    let mut classes: Vec<&str> = PATTERNS.iter().map(|pattern| pattern.0).collect();
    classes.dedup();
    let mut files: Vec<(String, String)> = classes
        .into_iter()
        .map(|class| {
            let patterns = PATTERNS.iter().enumerate().filter(|(_, pattern)| pattern.0 == class);
            let histories = patterns.flat_map(|(number, pattern)| {
                (0..VARIANT_COUNT).map(move |variant| pair(number, variant, pattern))
            });
            let name = format!("generated_{}.txt", class.replace(' ', "_"));
            (name, histories.collect::<Vec<_>>().join("\n"))
        })
        .collect();
    files.push(("generated_executions.txt".to_owned(), executions()));
    files
}

/// A bad history and its twin.
fn pair(number: usize, variant: u64, (class, what, pattern): &(&str, &str, &[&str])) -> String {
    let random = Random::new(variant, &format!("pattern {number}"));
    let bad = draw(&random, pattern, true);
    let good = draw(&random, pattern, false);
    format!("# bad: {class}: {what}\n{bad}\n# good: not {class}\n{good}")
}

/// Times, names and what goes on beside; the same for both twins.
fn draw(random: &Random, pattern: &[&str], is_bad: bool) -> String {
    let mut random = random.clone();
    let mut now = random.below(50);
    let keys = if random.coin() { ["x", "y"] } else { ["y", "x"] };
    let offset = random.below(5);
    let mut lines = Vec::new();
    let mut previous = (now, now + 1);
    for line in pattern {
        let is_beside = line.starts_with('&');
        let line = line.trim_start_matches('&');
        let (client, line) = line.split_once(' ').unwrap();
        let client = offset + u64::from(client.as_bytes()[0] - b'A');
        let (asked, answers) = line.split_once(" -> ").unwrap_or((line, ""));
        let (wrong, right) = answers.split_once(" | ").unwrap_or((answers, answers));
        let answers = if is_bad { wrong } else { right };
        let invoked =
            if is_beside { random.between(previous.0, previous.1) } else { now + random.below(20) };
        let returned = invoked + 1 + random.below(30);
        previous = (invoked, returned);
        now = now.max(returned + 1);
        let times = |end: &str| format!("{client}  {invoked}..{end}");
        let asked = asked.replace(" K", &format!(" {}", keys[0]));
        let asked = asked.replace(" L", &format!(" {}", keys[1]));
        lines.push((
            invoked,
            match asked.strip_suffix(" ?") {
                Some(asked) => format!("{}  {asked}", times("?")),
                None => format!("{}  {asked} -> {answers}", times(&returned.to_string())),
            },
        ));
    }
    beside(&mut random, now, &mut lines);
    lines.sort();
    lines.into_iter().map(|(_, line)| line + "\n").collect()
}

/// What has nothing to do with it: a third key, and a write of unknown outcome that nobody saw.
fn beside(random: &mut Random, end: u64, lines: &mut Vec<(u64, String)>) {
    let mut value = String::from("nil");
    let mut now = 0;
    for number in 0..random.below(4) {
        let (invoked, returned) = (now, now + 1 + random.below(9));
        now = returned + 1;
        if random.coin() {
            value = format!("v{number}.");
            lines.push((invoked, format!("9  {invoked}..{returned}  set z {value} -> ok")));
        } else {
            lines.push((invoked, format!("9  {invoked}..{returned}  get z -> {value}")));
        }
    }
    if random.coin() {
        let invoked = random.below(end);
        lines.push((invoked, format!("8  {invoked}..?  set z unseen.")));
    }
}

/// Right histories of the simulator's own workload, with unknown outcomes.
fn executions() -> String {
    let mut histories = Vec::new();
    for seed in 0..40 {
        let kinds = [ObjectKind::Register, ObjectKind::Counter, ObjectKind::Text];
        let execution = Execution {
            kind: Asked::Workload(kinds[seed as usize % kinds.len()]),
            client_count: 3,
            operation_count: 9,
            unknown_ppm: 250_000,
        };
        let history = execute(&Random::new(seed, "corpus"), &execution);
        let lines: String = history.iter().map(|operation| print(operation) + "\n").collect();
        histories.push(format!("# good: executed, seed {seed}\n{lines}"));
    }
    histories.join("\n")
}
