//! What the operating system says about this process. Only production asks: in a simulation the
//! numbers would differ from run to run, so a gateway reports zeros until it is told where to ask.

/// What this process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Processor time in user mode, in microseconds.
    pub cpu_user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub cpu_system_us: u64,
    /// The process id.
    pub process_id: u32,
}

/// Clock ticks a second in `/proc`, on every Linux that we run on.
const TICKS_PER_S: u64 = 100;
/// Bytes of a page in `/proc`, on x86-64 and on most of arm64.
const PAGE_SIZE: u64 = 4096;

/// Asks `/proc`; zeros where there is none. Cost: two small file reads.
pub fn usage() -> Usage {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu_user_us, cpu_system_us) = cpu_us(&read("/proc/self/stat"));
    Usage {
        resident_bytes: resident_bytes(&read("/proc/self/statm")),
        cpu_user_us,
        cpu_system_us,
        process_id: std::process::id(),
    }
}

/// Fields 14 and 15; the second field is the program's name and may contain anything.
fn cpu_us(stat: &str) -> (u64, u64) {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = behind_name.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>());
    let mut next_us = || match ticks.next() {
        Some(Ok(ticks)) => ticks * (1_000_000 / TICKS_PER_S),
        Some(Err(_)) | None => 0,
    };
    (next_us(), next_us())
}

fn resident_bytes(statm: &str) -> u64 {
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_SIZE
}

#[cfg(test)]
mod tests;
