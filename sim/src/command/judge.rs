//! The checker by itself: over files of histories, and against the clock.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evenkeel_sim::checker::Verdict;
use evenkeel_sim::execution::{Asked, Execution, execute};
use evenkeel_sim::history::{KeysOperation, key_count, parse, print};
use evenkeel_sim::model::judge::judge;
use evenkeel_sim::plan::ObjectKind;
use evenkeel_sim::random::Random;

/// Judges files, each one history or several that begin with a line `# good: ..` or `# bad: ..`.
pub(crate) fn check_files(files: &[String]) -> ExitCode {
    let mut all_is_well = !files.is_empty();
    for file in files {
        match fs::read_to_string(file) {
            Ok(text) => all_is_well &= check(file, &text),
            Err(error) => {
                eprintln!("{file} cannot be read: {error}");
                all_is_well = false;
            }
        }
    }
    if all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says of each history in a text what it is; whether all can be explained.
fn check(file: &str, text: &str) -> bool {
    let is_label = |line: &str| line.starts_with("# good:") || line.starts_with("# bad:");
    let lines: Vec<&str> = text.lines().collect();
    let mut begins: Vec<usize> = (1..lines.len()).filter(|&at| is_label(lines[at])).collect();
    begins.insert(0, 0);
    let mut all_is_well = true;
    for (number, &begin) in begins.iter().enumerate() {
        let end = begins.get(number + 1).copied().unwrap_or(lines.len());
        let place = format!("{file}:{}", begin + 1);
        let history = match parse(&lines[begin..end].join("\n")) {
            Ok(history) => history,
            Err(error) => {
                eprintln!("{file}: line {}: {}", begin + error.line, error.reason);
                return false;
            }
        };
        let verdict = judge(key_count(&history), &history);
        all_is_well &= verdict == Verdict::Linearizable;
        match verdict {
            Verdict::Linearizable => {
                println!("{place}  {} operations, linearizable", history.len())
            }
            Verdict::Undecided(steps) => println!("{place}  no verdict after {steps} steps"),
            Verdict::Broken(example) => {
                println!("{place}  no order explains these:");
                example.iter().for_each(|operation| println!("  {}", print(operation)));
            }
        }
    }
    all_is_well
}

/// A million operations on a thousand keys; the same on one key; and the simulator's own workload.
pub(crate) fn bench() -> ExitCode {
    let of = |kind, client_count, operation_count, unknown_ppm| Execution {
        kind,
        client_count,
        operation_count,
        unknown_ppm,
    };
    let mixed = |kind| of(Asked::Workload(kind), 3, 500, 50_000);
    let rows = [
        ("reads and writes, 1,000 keys", 1_000, of(Asked::ReadsAndWrites, 8, 1_000, 20_000)),
        ("reads and writes, one key", 1, of(Asked::ReadsAndWrites, 8, 1_000_000, 20_000)),
        ("two keys with transactions", 200, mixed(ObjectKind::Register)),
        ("counters", 200, mixed(ObjectKind::Counter)),
        ("growing texts", 200, mixed(ObjectKind::Text)),
    ];
    let mut is_ok = true;
    for (name, object_count, execution) in rows {
        let random = Random::new(object_count, name);
        let histories: Vec<_> = (0..object_count)
            .map(|object| execute(&random.child(&object.to_string()), &execution))
            .collect();
        let operation_count: usize = histories.iter().map(Vec::len).sum();
        let (took, undecided, broken) = time(&histories);
        is_ok &= undecided + broken == 0;
        println!(
            "checker: {name:<30} {operation_count:>9} operations in {:>6.3} s, {:>4.0} ns each; \
             {undecided} without a verdict, {broken} wrong",
            took.as_secs_f64(),
            took.as_nanos() as f64 / operation_count as f64,
        );
    }
    if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "a bench takes real time, outside of any simulation")]
fn time(histories: &[Vec<KeysOperation>]) -> (Duration, usize, usize) {
    let begun = Instant::now();
    let verdicts: Vec<_> = histories.iter().map(|history| judge(2, history)).collect();
    let took = begun.elapsed();
    let is = |kind: fn(&&_) -> bool| verdicts.iter().filter(kind).count();
    let undecided = is(|verdict| matches!(verdict, Verdict::Undecided(_)));
    (took, undecided, is(|verdict| matches!(verdict, Verdict::Broken(_))))
}
