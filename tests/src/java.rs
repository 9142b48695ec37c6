//! Programs in Java that tests/parts/interop has compiled: Finagle, DistributedLog, ZooKeeper.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::path::{Path, PathBuf};

use crate::process::Starting;

/// Which of the original's versions a program runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// Apache DistributedLog 0.5.0, with the Finagle and the ZooKeeper of its time.
    V0_5,
    /// What became of it in Apache BookKeeper: 4.17.
    V4_17,
}

/// Java's `main` of this class, with these arguments.
///
/// # Panics
/// The part's variables are not set.
#[must_use]
pub fn java(original: Original, main: &str, arguments: &[&str]) -> Starting {
    let variable = match original {
        Original::V0_5 => "INTEROP_JAVA",
        Original::V4_17 => "INTEROP_JAVA_RECENT",
    };
    let options = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run tests/run interop"));
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let log = logs().join(format!(
        "{main}-{}.log",
        STARTED.fetch_add(1, Ordering::Relaxed)
    ));
    let log = format!("-Dorg.slf4j.simpleLogger.logFile={}", log.display());
    let first = [
        format!("@{options}"),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info".to_owned(),
        log,
        main.to_owned(),
    ];
    Starting::program(
        Path::new("java"),
        first
            .into_iter()
            .chain(arguments.iter().map(|argument| (*argument).to_owned())),
    )
}

/// Where logs are kept when a test fails.
///
/// # Panics
/// The part's variables are not set.
#[must_use]
pub fn logs() -> PathBuf {
    std::env::var_os("INTEROP_LOGS")
        .expect("INTEROP_LOGS is not set: run tests/run interop")
        .into()
}
