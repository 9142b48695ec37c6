use core::fmt::Write as _;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;

use super::super::output;
use super::super::position::Position;
use super::super::progress_line::ProgressLine;
use super::super::record_text::{self, hex};
use super::super::since::Since;
use super::super::streams::parse_name;
use super::super::target::UriArg;
use super::super::{CliError, Format, Output};
use distributedlog_reader::{LogReader, ReadEvent, Record};
use distributedlog_store::utc;
use distributedlog_store::{LogStore, StreamName};

/// Print the records of a stream up to its current end.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool dump -u $URI -s basic-stream-3
  dlog tool dump -u $URI -s basic-stream-3 --from 1,0,0 --limit 10
  dlog tool dump -u $URI -s basic-stream-3 --since 2h
  dlog tool dump -u $URI -s basic-stream-3 --format json | jq .payload

A damaged record set is reported on the standard error with its position, and skipped; the exit \
status is 1.")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    /// The stream
    #[arg(short, long, value_name = "STREAM", value_parser = parse_name)]
    stream: StreamName,

    /// The position to start at: oldest, last, or a DLSN such as 1,0,0
    #[arg(
        long,
        value_name = "POSITION",
        default_value = "oldest",
        conflicts_with = "seqno"
    )]
    from: Position,

    /// Start with the first record that was written at this time or later: how long ago (2h), or a
    /// time (2026-11-28T10:00:00Z)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "seqno"])]
    since: Option<Since>,

    /// Start in this log segment (as in the original; the same as --from SEQNO,EID,SLOT)
    #[arg(short = 'n', long, value_name = "SEQNO")]
    seqno: Option<i64>,

    /// Start with this entry of the log segment
    #[arg(
        short,
        long,
        value_name = "EID",
        requires = "seqno",
        default_value_t = 0,
        hide_default_value = true
    )]
    eid: i64,

    /// Start with this slot of the entry
    #[arg(
        short = 't',
        long,
        value_name = "SLOT",
        requires = "seqno",
        default_value_t = 0,
        hide_default_value = true
    )]
    slot: i64,

    /// Stop after this many records
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Print payloads as hexadecimal digits
    #[arg(short = 'x', long, conflicts_with = "format")]
    hex: bool,

    /// Leave the payloads out (the original's -sp)
    #[arg(long, conflicts_with = "format")]
    skip_payload: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Prints the records.
    ///
    /// # Errors
    /// The store cannot be reached, the stream does not exist, or a record set is damaged.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        self.dump(self.uri.store().await?, output).await
    }

    pub(super) async fn dump(
        &self,
        store: Arc<dyn LogStore>,
        output: &Output,
    ) -> Result<(), CliError> {
        let info = store
            .describe(&self.stream)
            .await
            .map_err(|error| self.uri.error(&error))?;
        let from = match (self.since, self.seqno) {
            (Some(since), _) => {
                let found = store.position_at(&self.stream, since.unix_ms()).await;
                Position::At(found.map_err(|error| self.uri.error(&error))?)
            }
            (None, Some(seqno)) => Position::At(Dlsn::new(seqno, self.eid, self.slot)),
            (None, None) => self.from,
        };
        let reader = LogReader::new(store, self.stream.clone(), from.in_stream(&info));
        let reader = reader.reading_ahead();
        let output = output.collecting();
        let printed = self.print_all(&output, reader).await;
        // Also in front of an error: the records before it.
        output.flush()?;
        match printed? {
            0 => Ok(()),
            damaged => Err(CliError::failure(format!(
                "skipped: {}",
                output::counted(damaged, "damaged record set")
            ))),
        }
    }

    /// Prints the reader's records up to the end or the limit. Returns the number of damaged sets.
    async fn print_all(&self, output: &Output, mut reader: LogReader) -> Result<u64, CliError> {
        let (mut left, mut damaged) = (self.limit.unwrap_or(u64::MAX), 0_u64);
        let mut lines = Lines::default();
        let mut progress = ProgressLine::new();
        while left > 0 {
            if self.format == Format::Text
                && let Some(run) = reader.next_buffered_run(at_most(left))
            {
                for (dlsn, payload) in run.iter() {
                    self.add_lines(output, dlsn, run.written_unix_ms, payload, &mut lines);
                    if lines.text.len() >= MANY_LINES {
                        lines.write(output)?;
                    }
                }
                lines.write(output)?;
                left -= run.len() as u64;
                let printed = self.limit.unwrap_or(u64::MAX) - left;
                if !output.is_terminal() {
                    progress.show(|| format!("{printed} records"));
                }
                continue;
            }
            let next = match reader.next_buffered() {
                Some(event) => Some(event),
                None => {
                    // The store may take its time.
                    output.flush()?;
                    let filled = reader.fill(Duration::ZERO).await;
                    if filled.map_err(|error| self.uri.error(&error))? {
                        continue;
                    }
                    None
                }
            };
            match next {
                None => break,
                Some(ReadEvent::Record(record)) => {
                    self.print(output, &record, &mut lines)?;
                    left -= 1;
                }
                Some(ReadEvent::Malformed(set)) => {
                    tracing::error!("stream {}: {set}; skipped", self.stream);
                    damaged += 1;
                }
            }
        }
        Ok(damaged)
    }

    fn print(&self, output: &Output, record: &Record, lines: &mut Lines) -> Result<(), CliError> {
        if self.format == Format::Json {
            return record_text::print(output, Format::Json, &self.stream, record);
        }
        let Record {
            dlsn,
            written_unix_ms,
            ref payload,
            ..
        } = *record;
        self.add_lines(output, dlsn, written_unix_ms, payload, lines);
        lines.write(output)
    }

    /// Adds the lines of a record.
    fn add_lines(
        &self,
        output: &Output,
        dlsn: Dlsn,
        written_unix_ms: u64,
        payload: &[u8],
        lines: &mut Lines,
    ) {
        let Lines { text, time } = lines;
        let (bytes, written) = (payload.len(), time.text(written_unix_ms));
        writeln!(
            text,
            "Record (dlsn = {dlsn}, bytes = {bytes}, written = {written})"
        )
        .expect("a text takes everything");
        if !self.skip_payload {
            text.push_str(&if self.hex {
                hex(payload)
            } else {
                output.payload_text(payload)
            });
            text.push('\n');
        }
    }
}

/// Size in bytes from which lines are written.
const MANY_LINES: usize = 64 << 10;

/// Returns the limit of a run.
fn at_most(left: u64) -> NonZeroUsize {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    NonZeroUsize::new(left).unwrap_or(NonZeroUsize::MIN)
}

/// Lines that are written at once.
#[derive(Default)]
struct Lines {
    /// Bounded: [`MANY_LINES`] and a record.
    text: String,
    time: WrittenTime,
}

impl Lines {
    fn write(&mut self, output: &Output) -> Result<(), CliError> {
        let written = output.write(self.text.as_bytes());
        self.text.clear();
        written
    }
}

/// The time of the last record as text: all records of a set have the same one.
#[derive(Default)]
struct WrittenTime(Option<(u64, String)>);

impl WrittenTime {
    fn text(&mut self, unix_ms: u64) -> &str {
        self.0.take_if(|(last, _)| *last != unix_ms);
        let (_, text) = self.0.get_or_insert_with(|| (unix_ms, utc::text(unix_ms)));
        text
    }
}
