//! Counters of the kernel: processor time and memory of processes, writes and flushes of the disk.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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
pub(crate) fn processor_seconds(id: u32) -> f64 {
    let ticks: u64 = tree(id).iter().map(|(_, stat)| stat.ticks).sum();
    ticks as f64 / TICKS
}

/// Returns the processor time in seconds of this process, and of its children that have ended.
pub(crate) fn own_seconds() -> f64 {
    stat(std::process::id()).map_or(0.0, |stat| stat.ticks as f64 / TICKS)
}

/// Returns the resident bytes of a process and its descendants; what they share counts once.
pub(crate) fn resident_bytes(id: u32) -> u64 {
    let of_one = |id: u32| {
        let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let kib: u64 = tree(id).iter().filter_map(|(id, _)| of_one(*id)).sum();
    kib * 1024
}

/// Returns the ids of a process and its descendants.
pub(crate) fn family(id: u32) -> Vec<u32> {
    tree(id).into_iter().map(|(id, _)| id).collect()
}

/// Returns the number of regular files that are open with `O_DSYNC` or `O_SYNC`: each of their
/// writes is a sync, and no system call of its own shows that.
pub(crate) fn files_synced_by_writes(id: u32) -> usize {
    // The value of x86-64, aarch64 and RISC-V.
    const O_DSYNC: u32 = 0o10_000;
    let mut found = 0;
    for id in family(id) {
        let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten();
        for entry in files.flatten() {
            let name = entry.file_name();
            let info = format!("/proc/{id}/fdinfo/{}", name.to_string_lossy());
            let info = fs::read_to_string(info).unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|it| u32::from_str_radix(it.trim(), 8).ok());
            let regular = fs::metadata(entry.path()).is_ok_and(|it| it.is_file());
            found += usize::from(regular && flags.is_some_and(|it| it & O_DSYNC != 0));
        }
    }
    found
}

/// A disk, as /proc/diskstats counts.
#[derive(Debug)]
pub(crate) struct Disk {
    major: u64,
    minor: u64,
    /// Name of the device.
    pub(crate) name: String,
}

/// Counts since the machine started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Bytes written to the disk.
    pub(crate) bytes: u64,
    /// Flushes of the disk's cache.
    pub(crate) flushes: u64,
}

impl Disk {
    /// Returns the disk that a folder is on, or `None` if the kernel does not count for it.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let device = fs::metadata(folder).ok()?.dev();
        let (major, minor) = (
            u64::from(rustix::fs::major(device)),
            u64::from(rustix::fs::minor(device)),
        );
        let mut disk = Self {
            major,
            minor,
            name: String::new(),
        };
        disk.name = disk.line()?.split_whitespace().nth(2)?.to_owned();
        Some(disk)
    }

    fn line(&self) -> Option<String> {
        let text = fs::read_to_string("/proc/diskstats").ok()?;
        let is_it = |line: &&str| {
            let mut fields = line
                .split_whitespace()
                .map_while(|it| it.parse::<u64>().ok());
            (fields.next(), fields.next()) == (Some(self.major), Some(self.minor))
        };
        text.lines().find(is_it).map(str::to_owned)
    }

    /// Returns its counts.
    pub(crate) fn written(&self) -> Written {
        let line = self.line().unwrap_or_default();
        let fields: Vec<u64> = { line.split_whitespace().skip(3) }
            .filter_map(|it| it.parse().ok())
            .collect();
        let at = |index: usize| fields.get(index).copied().unwrap_or(0);
        Written {
            // Always in sectors of 512 bytes.
            bytes: at(6) * 512,
            flushes: at(15),
        }
    }
}

/// Returns the load average of the last minute, as text.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// Returns a line about the machine.
pub(crate) fn about() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let mut models = processors.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = models
        .next()
        .unwrap_or_else(|| "unknown processor".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok());
    let gib = kib.unwrap_or(0.0) / f64::from(1 << 20);
    format!(
        "{cores} cores ({model}), {gib:.0} GiB, Linux {}",
        kernel.trim()
    )
}
