use std::path::Path;

use distributedlog_sim::Report;

use super::super::CliError;
use super::super::output::counted;
use super::super::plot::{self, Curve};
use super::summary::Comparison;

/// Draws, for each policy, the share of operations that take longer than a latency.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(compared: &Comparison, file: &Path) -> Result<(), CliError> {
    let runs = compared.runs.iter();
    let curves: Vec<Curve> = runs
        .map(|run| (run.kind.name().to_owned(), curve(&run.report)))
        .collect();
    let operations = compared.runs.iter().map(|run| run.report.operations());
    let operations = operations.max().unwrap_or(1);
    plot::draw(&title(compared), curves, operations, file)
}

/// Returns the plot's title: the scenario, and the size of the simulation.
fn title(compared: &Comparison) -> String {
    let about = match &*compared.name {
        "-" => "scenario of the command line".to_owned(),
        letter => format!("({letter}) {}", compared.about),
    };
    let (sets, streams) = (compared.scenario.sets, compared.scenario.streams);
    format!(
        "{about}: {} over {}, seed {}",
        counted(sets, "set"),
        counted(streams.into(), "stream"),
        compared.seed
    )
}

fn curve(report: &Report) -> Vec<(f64, f64)> {
    plot::steps(report.latencies(), report.operations())
}
