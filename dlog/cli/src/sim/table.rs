use distributedlog_sim::Latency;

use super::super::latency::{self, QUANTILES};
use super::policies::PolicyRun;

/// Formats a table of policies as text: one line each, names to the left, numbers to the right.
pub(super) fn text(runs: &[PolicyRun]) -> String {
    let rows = rows(runs);
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line += &if column == 0 {
                format!("{cell:width$}")
            } else {
                format!("  {cell:>width$}")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Breaks a line at spaces so that it fits 100 columns; later lines are indented.
pub(super) fn wrapped(text: &str) -> String {
    const COLUMNS: usize = 100;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is at least one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= COLUMNS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines.join("\n")
}

/// Formats the same table in Markdown.
pub(super) fn markdown(runs: &[PolicyRun]) -> String {
    let rows = rows(runs);
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        text += &format!("| {} |\n", row.join(" | "));
        if index == 0 {
            text += &format!("|---|{}\n", "--:|".repeat(row.len() - 1));
        }
    }
    text
}

fn rows(runs: &[PolicyRun]) -> Vec<Vec<String>> {
    core::iter::once(header())
        .chain(runs.iter().map(row))
        .collect()
}

fn header() -> Vec<String> {
    let quantiles = QUANTILES.iter().map(|(name, _)| *name);
    core::iter::once("policy")
        .chain(quantiles)
        .chain(["extra load", "copies", "read twice", "failed"])
        .map(str::to_owned)
        .collect()
}

fn row(run: &PolicyRun) -> Vec<String> {
    let report = &run.report;
    let quantiles = QUANTILES
        .iter()
        .map(|(_, quantile)| latency(report.latency(*quantile)));
    let rest = [
        percent(report.extra_load()),
        report.duplicates.to_string(),
        report.read.repeated.to_string(),
        report.failed.to_string(),
    ];
    core::iter::once(run.kind.name().to_owned())
        .chain(quantiles)
        .chain(rest)
        .collect()
}

/// Formats a latency with three digits.
pub(super) fn latency(latency: Latency) -> String {
    match latency {
        Latency::Failed => "failed".to_owned(),
        Latency::Within(length) => latency::text(length),
    }
}

/// Formats a share in percent.
pub(super) fn percent(share: f64) -> String {
    let percent = (share * 10_000.0).round() / 100.0;
    // Zero has no sign. Negative shares have one: they come from sets that failed before they were
    // sent to any stream.
    format!("{:.2} %", if percent == 0.0 { 0.0 } else { percent })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn only_shares_below_zero_have_a_sign() {
        for (share, text) in [
            (0.05, "5.00 %"),
            (0.0, "0.00 %"),
            (-0.00001, "0.00 %"),
            (-0.0123, "-1.23 %"),
            (4.7067, "470.67 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn latencies_have_three_digits_and_a_unit() {
        for (micros, text) in [
            (4_764, "4.76 ms"),
            (9_996, "10.0 ms"),
            (63_511, "63.5 ms"),
            (103_000, "103 ms"),
            (30_000_000, "30.0 s"),
        ] {
            assert_eq!(
                latency(Latency::Within(Duration::from_micros(micros))),
                text
            );
        }
        assert_eq!(latency(Latency::Failed), "failed");
    }
}
