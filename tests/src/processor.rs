//! Processor time of processes, as Linux counts it.

use core::time::Duration;
use std::collections::HashMap;
use std::fs;

/// Ticks a second of the times in /proc/PID/stat; Linux has had 100 on every architecture of today.
const TICKS: f64 = 100.0;

/// Times of a process.
struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may have spaces; fields from the third on follow the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(ticks(4)?).ok()?,
        // User and system time, its own and those of children that have ended.
        ticks: (14..=17).filter_map(ticks).sum(),
    })
}

/// Returns a process with its descendants, and the times of each.
fn tree(root: u32) -> Vec<(u32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut all: HashMap<u32, Stat> = ids.filter_map(|id| Some((id, stat(id)?))).collect();
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(id) = next.pop() {
        if let Some(stat) = all.remove(&id) {
            next.extend(
                all.iter()
                    .filter(|(_, it)| it.parent == id)
                    .map(|(id, _)| *id),
            );
            found.push((id, stat));
        }
    }
    found
}

/// Returns the processor time in seconds that a process and its descendants have used.
#[must_use]
pub fn seconds(id: u32) -> f64 {
    let ticks: u64 = tree(id).iter().map(|(_, stat)| stat.ticks).sum();
    ticks as f64 / TICKS
}

/// Returns the processor time that this process has used.
///
/// # Panics
/// The system has no such clock.
#[must_use]
pub fn own_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.try_into().expect("it is not negative")
}

/// Returns the processor time in seconds of this process, and of its children that have ended.
#[must_use]
pub fn own_seconds_with_children() -> f64 {
    stat(std::process::id()).map_or(0.0, |stat| stat.ticks as f64 / TICKS)
}

/// Returns the ids of a process and its descendants.
#[must_use]
pub fn family(id: u32) -> Vec<u32> {
    tree(id).into_iter().map(|(id, _)| id).collect()
}
