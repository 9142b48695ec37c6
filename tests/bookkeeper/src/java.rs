//! Java programs that tests/parts/bookkeeper has compiled, in two versions.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::path::{Path, PathBuf};

use distributedlog_tests::process::Starting;

/// Version of BookKeeper, with the version of DistributedLog that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// BookKeeper 4.5.0 with DistributedLog 0.5.0, the last release on its own.
    V4_5,
    /// BookKeeper 4.17.3 with the DistributedLog in it.
    V4_17,
}

impl Version {
    /// Both versions.
    pub const ALL: [Self; 2] = [Self::V4_5, Self::V4_17];

    const fn name(self) -> &'static str {
        match self {
            Self::V4_5 => "4_5",
            Self::V4_17 => "4_17",
        }
    }
}

/// A Java program that is not started yet, and its log file.
#[derive(Debug)]
pub struct Java {
    /// The program, with its standard input as a pipe.
    pub starting: Starting,
    /// Its log.
    pub log: PathBuf,
}

/// Options of a virtual machine that is measured, over those that let it start fast: both of
/// HotSpot's compilers, and a heap that is not collected all the time.
pub const MEASURED: [&str; 5] = [
    "-XX:TieredStopAtLevel=4",
    "-XX:-UseSerialGC",
    "-XX:+UseParallelGC",
    "-Xmx512m",
    "-XX:MaxDirectMemorySize=512m",
];

/// Returns Java's `main` of the class `peer.MAIN`, which logs to a file of its own. `options` are
/// those of the virtual machine, over the part's.
///
/// # Panics
/// The environment is not that of tests/parts/bookkeeper.
#[must_use]
pub fn java<S: AsRef<str>>(
    version: Version,
    main: &str,
    log: &str,
    options: &[&str],
    arguments: &[S],
) -> Java {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let common = folder().join(format!("java-{}", version.name()));
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    // Test binaries run one after the other: their process ids keep their logs apart.
    let log = logs().join(format!("{}-{number:03}-{log}.log", std::process::id()));
    let mut words = vec![format!("@{}", common.display())];
    words.extend(options.iter().map(|&option| option.to_owned()));
    words.push(format!(
        "-Dorg.slf4j.simpleLogger.logFile={}",
        log.display()
    ));
    words.push(format!("peer.{main}"));
    words.extend(arguments.iter().map(|word| word.as_ref().to_owned()));
    let starting = Starting::program(Path::new("java"), words);
    Java {
        starting: starting.with_stdin(),
        log,
    }
}

/// Returns the folder for the data of servers. The part removes it.
///
/// # Panics
/// The environment is not that of tests/parts/bookkeeper.
#[must_use]
pub fn data() -> PathBuf {
    folder().join("tmp")
}

fn logs() -> PathBuf {
    folder().join("logs")
}

fn folder() -> PathBuf {
    std::env::var_os("BOOKKEEPER_TESTS")
        .expect("BOOKKEEPER_TESTS is not set: run tests/run bookkeeper")
        .into()
}

/// Prints the end of a log to standard error, for a test that fails.
pub fn print_log(name: &str, path: &Path) {
    const LINES: usize = 20;
    const LETTERS: usize = 240;
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    eprintln!("---- {name}: last lines of {}", path.display());
    for line in lines.get(from..).unwrap_or_default() {
        eprintln!("{}", line.chars().take(LETTERS).collect::<String>());
    }
}
