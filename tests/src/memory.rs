//! Memory of processes, as Linux reports it.

use std::fs;

/// Returns a figure of a process in KiB: `VmRSS`, what it holds, or `VmHWM`, the most that it held.
///
/// # Panics
/// There is no such process, or the system is not Linux.
#[must_use]
pub fn kib(process: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let number = line.expect("Linux").trim_start_matches(':');
    let number = number.split_whitespace().next().expect("a number");
    number.parse().expect("a number")
}
