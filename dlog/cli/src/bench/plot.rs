use std::path::Path;

use super::super::CliError;
use super::super::output::counted;
use super::super::plot::{self, Curve};
use super::load::Measured;

/// Draws the shares of writes, and of attempts that completed their sets, that take longer than a
/// latency. Writes that failed take longer than all.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(measured: &Measured, file: &Path) -> Result<(), CliError> {
    let writes = measured.written + measured.not_written + measured.unknown;
    let of = |name: &str, latencies: &super::latencies::Latencies, operations| -> Curve {
        (name.to_owned(), plot::steps(latencies.counts(), operations))
    };
    let attempts = measured.attempts.len();
    let curves = vec![
        of("writes", &measured.writes, writes),
        of("attempts", &measured.attempts, attempts),
    ];
    let title = format!("Latencies of {}", counted(writes, "write"));
    plot::draw(&title, curves, writes.max(attempts), file)
}
