//! CPU time of processes, from `/proc`: the figure that a busy machine distorts least.

use std::fs;

use crate::error::BenchError;

/// The kernel counts in hundredths of a second (`USER_HZ`), on every Linux that we know.
const TICK_US: u64 = 10_000;

/// User and system time of processes, all threads together, in microseconds; one that is gone counts 0.
pub(crate) fn used_us(processes: &[u32]) -> u64 {
    processes.iter().filter_map(|&process| ticks(process)).sum::<u64>() * TICK_US
}

fn ticks(process: u32) -> Option<u64> {
    let fields = fields(process)?;
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// What this thread has run so far, in nanoseconds.
///
/// # Errors
/// The kernel does not tell (`CONFIG_SCHED_INFO`).
pub(crate) fn thread_ns() -> Result<u64, BenchError> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).map_err(BenchError::file(path))?;
    let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
    first.ok_or_else(|| BenchError::Broken(format!("`{path}` says `{}`", text.trim())))
}

/// The processes that a process started and that still run, in the order of their numbers.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child =
        |process: &u32| fields(*process).is_some_and(|fields| fields[1] == parent.to_string());
    let mut children: Vec<u32> = processes.filter(is_child).collect();
    children.sort_unstable();
    children
}

/// What a process was started with.
pub(crate) fn command_line(process: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The words of `/proc/N/stat` after the name, which may itself contain spaces and brackets.
fn fields(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after) = text.rsplit_once(") ")?;
    let fields: Vec<String> = after.split_whitespace().map(str::to_owned).collect();
    (fields.len() > 12).then_some(fields)
}

#[cfg(test)]
mod tests;
