use core::cmp::Reverse;
use core::time::Duration;

use clap::ValueEnum;
use distributedlog::Escaped;
use distributedlog_store::{RetentionInfo, StreamName};
use serde::Serialize;

use super::super::output::note;
use super::super::table::{self, Align};
use super::super::target::TargetArgs;
use super::super::{CliError, Format, Output, record_text};
use super::Connected;
use super::rows::{self, Row};

/// Order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Name,
    // The largest first.
    Bytes,
    // The most first.
    Records,
    // The latest first.
    LastWrite,
}

/// List streams: records, size, last write, owner, retention.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog streams list --to http://127.0.0.1:8002
  dlog streams list --to http://127.0.0.1:8002 orders- --sort bytes --limit 20
  dlog streams list --to http://127.0.0.1:8002 --names | wc -l")]
pub(super) struct Args {
    /// List only streams whose names begin with this prefix
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// List only streams whose names contain this text
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    search: String,

    /// Print the names alone, which is fast for many streams
    #[arg(long, conflicts_with = "sort")]
    names: bool,

    /// Order of the list: by name, or the largest, fullest or latest first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,

    /// Maximum number of streams to list
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    at: TargetArgs,
}

#[derive(Serialize)]
struct NameJson<'a> {
    stream: &'a str,
}

impl Args {
    pub(super) async fn run(self, output: &Output) -> Result<(), CliError> {
        let connected = Connected::open(&self.at).await?;
        self.list(&connected, output).await
    }

    pub(super) async fn list(
        &self,
        connected: &Connected,
        output: &Output,
    ) -> Result<(), CliError> {
        let at = connected.administered()?;
        let limit = self.limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        // In the order of names no more are described than are listed.
        let wanted = if self.sort == Sort::Name {
            limit
        } else {
            usize::MAX
        };
        let output = &output.collecting();
        let (mut names, mut printed) = (Vec::new(), 0);
        rows::pages(at, &self.prefix, &self.search, |mut page| {
            page.truncate(wanted - names.len() - printed);
            if self.names {
                printed += page.len();
                self.print_names(&page, output)?;
            } else {
                names.extend(page);
            }
            Ok(names.len() + printed < wanted)
        })
        .await?;
        if !self.names {
            let mut rows = rows::describe(at, &names).await?;
            self.sort(&mut rows);
            rows.truncate(limit);
            printed = rows.len();
            self.print(&rows, output)?;
        }
        output.flush()?;
        if printed == 0 && self.format == Format::Text {
            note("There is no such stream.");
        }
        Ok(())
    }

    fn print_names(&self, names: &[StreamName], output: &Output) -> Result<(), CliError> {
        for name in names {
            match self.format {
                Format::Text => output.line(name)?,
                Format::Json => {
                    let stream = name.as_str();
                    record_text::json_line(output, &NameJson { stream })?;
                }
            }
        }
        Ok(())
    }

    fn sort(&self, rows: &mut [Row]) {
        match self.sort {
            Sort::Name => {}
            Sort::Bytes => rows.sort_by_key(|row| Reverse(row.bytes)),
            Sort::Records => rows.sort_by_key(|row| Reverse(row.records)),
            Sort::LastWrite => rows.sort_by_key(|row| Reverse(row.last_unix_ms)),
        }
    }

    fn print(&self, rows: &[Row], output: &Output) -> Result<(), CliError> {
        match self.format {
            Format::Text if rows.is_empty() => Ok(()),
            Format::Text => {
                for line in table_lines(rows, rows::now_unix_ms()) {
                    output.line(line)?;
                }
                Ok(())
            }
            Format::Json => rows
                .iter()
                .try_for_each(|row| record_text::json_line(output, &row.json())),
        }
    }
}

/// Lays out the table.
fn table_lines(rows: &[Row], now_unix_ms: u64) -> Vec<String> {
    let columns = [
        ("STREAM", Align::Left),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("SEGMENTS", Align::Right),
        ("LAST WRITE", Align::Right),
        ("OWNER", Align::Left),
        ("RETENTION", Align::Left),
    ];
    let cells = |row: &Row| {
        let last = row.last_unix_ms.map_or_else(
            || "never".to_owned(),
            |last| format!("{} ago", table::age_text(now_unix_ms.saturating_sub(last))),
        );
        let owner = row.owner.as_ref();
        vec![
            row.name.to_string(),
            row.records.to_string(),
            table::bytes_text(row.bytes),
            row.segments.to_string(),
            last,
            owner.map_or_else(
                || "none".to_owned(),
                |owner| Escaped(&owner.address).to_string(),
            ),
            row.retention.as_ref().map_or_else(String::new, brief),
        ]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table::lines(&columns, &cells)
}

/// Describes a retention in a few characters; an inherited one stands in parentheses.
fn brief(info: &RetentionInfo) -> String {
    let age = |age: Duration| table::age_text(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let limits = match (info.applied.age, info.applied.bytes) {
        (None, None) => "all".to_owned(),
        (Some(time), None) => age(time),
        (None, Some(bytes)) => table::bytes_text(bytes),
        (Some(time), Some(bytes)) => format!("{}, {}", age(time), table::bytes_text(bytes)),
    };
    if info.own.is_some() {
        limits
    } else {
        format!("({limits})")
    }
}
