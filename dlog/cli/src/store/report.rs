//! What a check found, for people and for programs.

use serde::Serialize;

use super::super::output::counted;
use super::super::{CliError, Format, Output};
use distributedlog_store::embedded::CheckReport;

/// Maximum number of lost runs of entries that are listed for people.
const MAX_LISTED: usize = 20;

/// The report as JSON.
#[derive(Serialize)]
struct Report<'a> {
    intact: bool,
    store: Option<String>,
    streams: u64,
    volumes: u64,
    entries: u64,
    bytes: u64,
    opens: bool,
    error: Option<String>,
    damages: Vec<DamageRow<'a>>,
    lost: Vec<LostRow<'a>>,
    lost_entries: u64,
}

#[derive(Serialize)]
struct DamageRow<'a> {
    file: &'a str,
    damage: &'a str,
    heals: bool,
}

#[derive(Serialize)]
struct LostRow<'a> {
    stream: &'a str,
    log_segment: i64,
    first_entry: i64,
    entries: u64,
}

/// Prints a report.
///
/// # Errors
/// The output is closed.
pub(super) fn print(report: &CheckReport, format: Format, output: &Output) -> Result<(), CliError> {
    match format {
        Format::Json => print_json(report, output),
        Format::Text => print_text(report, output),
    }
}

fn print_json(report: &CheckReport, output: &Output) -> Result<(), CliError> {
    let damages = report.damages.iter().map(|damage| DamageRow {
        file: &damage.path,
        damage: &damage.detail,
        heals: damage.heals,
    });
    let lost = report.lost.iter().map(|lost| LostRow {
        stream: lost.stream.as_str(),
        log_segment: lost.log_segment,
        first_entry: lost.first_entry,
        entries: lost.entries,
    });
    let text = serde_json::to_string(&Report {
        intact: report.is_intact(),
        store: report.id.map(|id| id.to_string()),
        streams: report.streams,
        volumes: report.volumes,
        entries: report.entries,
        bytes: report.bytes,
        opens: report.opening.is_none(),
        error: report.opening.as_ref().map(ToString::to_string),
        damages: damages.collect(),
        lost: lost.collect(),
        lost_entries: report.lost_entries(),
    });
    output.line(text.expect("texts and numbers"))
}

fn print_text(report: &CheckReport, output: &Output) -> Result<(), CliError> {
    let id = report.id.map_or_else(String::new, |id| format!(" {id}"));
    output.line(format_args!(
        "store{id}: {}, {}, {} intact ({} bytes)",
        counted(report.streams, "stream"),
        counted(report.volumes, "volume"),
        entries(report.entries),
        report.bytes
    ))?;
    if let Some(error) = &report.opening {
        output.line(format_args!("it does not open: {error}"))?;
    }
    for damage in &report.damages {
        let consequence = if damage.heals {
            "; it is made again from other files"
        } else {
            ""
        };
        let (path, detail) = (&damage.path, &damage.detail);
        output.line(format_args!("damaged: {path}: {detail}{consequence}"))?;
    }
    for lost in report.lost.iter().take(MAX_LISTED) {
        output.line(format_args!(
            "lost: {} of stream {} from {},{},0 on",
            entries(lost.entries),
            lost.stream,
            lost.log_segment,
            lost.first_entry
        ))?;
    }
    if report.lost.len() > MAX_LISTED {
        let more = report.lost.len() - MAX_LISTED;
        output.line(format_args!(
            "lost: {more} further runs of entries; --format json lists all"
        ))?;
    }
    if report.is_intact() {
        output.line("everything is intact")?;
    }
    Ok(())
}

/// Formats a number of entries.
pub(super) fn entries(number: u64) -> String {
    if number == 1 {
        "1 entry".to_owned()
    } else {
        format!("{number} entries")
    }
}
