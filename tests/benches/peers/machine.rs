//! Counters of the kernel: memory and files of processes, writes and flushes of the disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use distributedlog_tests::processor::family;

/// Returns the resident bytes of a process and its descendants; what they share counts once.
pub(crate) fn resident_bytes(id: u32) -> u64 {
    let of_one = |id: u32| {
        let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let kib: u64 = family(id).into_iter().filter_map(of_one).sum();
    kib * 1024
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
