//! Folders of the benchmarks' stores.

use std::path::PathBuf;

use tempfile::TempDir;

/// Makes a temporary folder on the disk that is to be measured: below `DLOG_BENCH_FOLDER`, or below
/// the current folder. One in memory would measure nothing.
///
/// # Panics
/// That folder cannot be written.
#[must_use]
pub fn bench_folder(benchmark: &str) -> TempDir {
    let parent =
        std::env::var_os("DLOG_BENCH_FOLDER").map_or_else(|| PathBuf::from("."), PathBuf::from);
    tempfile::Builder::new()
        .prefix(&format!("dlog-{benchmark}-"))
        .tempdir_in(parent)
        .expect("the folder of the benchmarks can be written")
}
