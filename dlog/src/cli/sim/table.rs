use core::time::Duration;

use distributedlog_testkit::model::Latency;

use super::policies::Run;

/// The percentiles that are shown.
pub(super) const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// A table of policies, for people.
pub(super) fn text(runs: &[Run]) -> String {
    let mut rows = vec![header()];
    rows.extend(runs.iter().map(row));
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            line += &if column == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn header() -> Vec<String> {
    let quantiles = QUANTILES.iter().map(|(name, _)| (*name).to_owned());
    let rest = ["extra load", "copies", "read twice", "failed"].map(str::to_owned);
    core::iter::once("policy".to_owned()).chain(quantiles).chain(rest).collect()
}

fn row(run: &Run) -> Vec<String> {
    let report = &run.report;
    let quantiles = QUANTILES.iter().map(|(_, quantile)| latency(report.latency(*quantile)));
    let rest = [percent(report.extra_load()), report.copies.to_string(), report.read.twice.to_string(), report.failed.to_string()];
    core::iter::once(run.kind.name().to_owned()).chain(quantiles).chain(rest).collect()
}

/// A latency to three digits.
pub(super) fn latency(latency: Latency) -> String {
    match latency {
        Latency::Failed => "failed".to_owned(),
        Latency::Within(length) => time(length),
    }
}

fn time(length: Duration) -> String {
    let millis = length.as_secs_f64() * 1e3;
    match millis {
        _ if millis < 10.0 => format!("{millis:.2} ms"),
        _ if millis < 100.0 => format!("{millis:.1} ms"),
        _ if millis < 10_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1e3),
    }
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
