use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use serde::Serialize;

use super::super::output;
use super::super::progress_line::ProgressLine;
use super::super::record_text;
use super::super::streams::StreamSelection;
use super::super::target::UriArg;
use super::super::{CliError, Format, Output};
use distributedlog_reader::{LogReader, ReadEvent};
use distributedlog_store::dlsn_text::parse_dlsn;
use distributedlog_store::{LogStore, StoreError, StreamName};

/// Count the records of streams, all of them or those between two positions.
///
/// Reads the streams, so it counts the records that a reader would return: each record of a record
/// set counts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool count -u $URI -r basic-stream- -e 3-7
  dlog tool count -u $URI -s basic-stream-3 1,0,0 1,99,0")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    #[command(flatten)]
    selection: StreamSelection,

    /// Count from this position, included [default: the first record]
    #[arg(value_name = "START", value_parser = parse_dlsn)]
    start: Option<Dlsn>,

    /// Count up to this position, included [default: the last record]
    #[arg(value_name = "END", value_parser = parse_dlsn)]
    end: Option<Dlsn>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct CountedJson<'a> {
    stream: &'a str,
    records: u64,
    damaged_sets: u64,
}

impl Args {
    /// Prints the count of each stream, and the total.
    ///
    /// # Errors
    /// The store cannot be reached, a stream does not exist, or a record set is damaged.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = self.names()?;
        self.count(&self.uri.store().await?, &names, output).await
    }

    pub(super) fn names(&self) -> Result<Vec<StreamName>, CliError> {
        self.selection.names()
    }

    pub(super) async fn count(
        &self,
        store: &Arc<dyn LogStore>,
        names: &[StreamName],
        output: &Output,
    ) -> Result<(), CliError> {
        let mut total = CountedJson {
            stream: "",
            records: 0,
            damaged_sets: 0,
        };
        for name in names {
            let reader = LogReader::new(
                Arc::clone(store),
                name.clone(),
                self.start.unwrap_or(Dlsn::INITIAL),
            )
            .reading_ahead();
            let counted = count_records(reader, name, self.end)
                .await
                .map_err(|error| self.uri.error(&error))?;
            total.records += counted.records;
            total.damaged_sets += counted.damaged_sets;
            match self.format {
                Format::Text => output.line(format_args!(
                    "{name}: {}",
                    output::counted(counted.records, "record")
                ))?,
                Format::Json => record_text::json_line(output, &counted)?,
            }
        }
        if self.format == Format::Text {
            output.line(format_args!(
                "total is {}.",
                output::counted(total.records, "record")
            ))?;
        }
        match total.damaged_sets {
            0 => Ok(()),
            damaged => Err(CliError::failure(format!(
                "not counted: {}",
                output::counted(damaged, "damaged record set")
            ))),
        }
    }
}

async fn count_records(
    mut reader: LogReader,
    name: &StreamName,
    end: Option<Dlsn>,
) -> Result<CountedJson<'_>, StoreError> {
    let mut counted = CountedJson {
        stream: name.as_str(),
        records: 0,
        damaged_sets: 0,
    };
    let mut progress = ProgressLine::new();
    loop {
        progress.show(|| format!("{name}: {} records so far", counted.records));
        // Records behind the end are told apart one by one.
        if end.is_none()
            && let Some(run) = reader.next_buffered_run(NonZeroUsize::MAX)
        {
            counted.records += run.len() as u64;
            continue;
        }
        let event = match reader.next_buffered() {
            Some(event) => event,
            None if reader.fill(Duration::ZERO).await? => continue,
            None => break,
        };
        if end.is_some_and(|end| event.dlsn() > end) {
            break;
        }
        match event {
            ReadEvent::Record(_) => counted.records += 1,
            ReadEvent::Malformed(set) => {
                tracing::error!("stream {name}: {set}; skipped");
                counted.damaged_sets += 1;
            }
        }
    }
    Ok(counted)
}
