//! `dlog console-multi-writer`: each line becomes a record in one of several streams.

mod editor;
mod lines;
mod report;
mod session;
mod stats;
mod writer;

use std::io::{self, IsTerminal};

use tokio::sync::mpsc;

pub(crate) use editor::restore_terminal;
use lines::read_stdin;
#[cfg(test)]
pub(crate) use lines::read_text;
pub(crate) use lines::{DoneGuard, InputKind, InputLine};
pub(crate) use report::LineReporter;
pub(crate) use session::{LineCounts, RecordDigest, SessionEnd, run};
pub(crate) use writer::{ConnectedWriter, open_keyed};

use super::output::note;
use super::progress_line::ProgressLine;
use super::target::{PlaceAndStreams, TargetArgs};
use super::writer_args::{WriterArgs, settings_error};
use super::{CliError, Format, Output, Shutdown};

/// Write each line that is typed or piped in as a record to one of several streams.
///
/// Each record goes to the next stream in turn; if that stream does not answer in time, also to the
/// one after it. On a terminal there is a prompt with line editing and history, and Ctrl-D ends the
/// command; typed lines are kept in the history file under the user's data folder. From a pipe it
/// ends when the input has ended and every line has been acknowledged, also if its own output is
/// closed. A line ends with LF or CR LF, which are not part of the record. A line that fails is
/// reported with the reason, the next lines are still written, and the exit status is 1, or 3 if a
/// line that failed may have been written. The default settings are the tutorial's.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with STREAMS=basic-stream-3,basic-stream-4,basic-stream-5:
  dlog console-multi-writer 'inet!127.0.0.1:8000' $STREAMS
  printf 'message-1\\nmessage-2\\n' | dlog console-multi-writer -v 'inet!127.0.0.1:8000' $STREAMS
  dlog console-multi-writer --request-timeout 2s --max-speculative-timeout 200ms \\
      --first-speculative-timeout 50ms 'inet!127.0.0.1:8000' $STREAMS < records.txt
  dlog console-multi-writer --recommended --attempts --stats 'inet!127.0.0.1:8000' $STREAMS

Write times with their unit: 250us, 2ms, 10s, 5m. -v prints the position of each line.")]
pub(crate) struct Args {
    #[command(flatten)]
    to: PlaceAndStreams,

    /// Output format: text (-v prints the position of each line), or a JSON object for each line
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Print the attempts of each line: stream, start, duration and outcome
    #[arg(long)]
    attempts: bool,

    /// Print counters to the standard error at the end: records, attempts, hedges, connections, and
    /// the state of each stream
    #[arg(long)]
    stats: bool,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    writer: WriterArgs,
}

impl Args {
    /// Writes lines until the input ends.
    ///
    /// # Errors
    /// The settings are invalid, no proxy answers, or a line failed.
    pub(crate) async fn run(
        self,
        output: &Output,
        verbose: u8,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let settings = self
            .writer
            .settings()?
            .to_builder()
            .attempt_reports(self.attempts);
        let settings = settings.build().map_err(|error| settings_error(&error))?;
        let (target, streams) = self.to.resolve(&self.target)?;
        let connect = ConnectedWriter::open(
            &target,
            &streams,
            settings,
            self.writer.identity(),
            "console-proxy-writer",
        );
        let writer = tokio::select! {
            connected = connect => connected?,
            () = shutdown.requested() => {
                return Err(CliError::failure("interrupted before the first line was read"));
            }
        };
        let ConsoleInput {
            lines,
            output,
            kind,
        } = input(&writer, output, shutdown)?;
        let report = LineReporter::new(self.format, verbose > 0, self.attempts);
        let (mut progress, mut written) = (ProgressLine::new(), 0_u64);
        let mut on_written = |_, _| {
            written += 1;
            if kind == InputKind::Pipe {
                progress.show(|| format!("{written} lines acknowledged"));
            }
        };
        let result = run(lines, &writer, &output, report, shutdown, &mut on_written).await;
        progress.clear();
        writer.close().await;
        restore_terminal();
        if self.stats {
            note(writer.stats().to_text(self.format));
        }
        result?.verdict(kind, &output)
    }
}

/// Lines of the input, and the output to print to while they arrive. A failed write to it does not
/// end the writing of lines.
pub(crate) struct ConsoleInput {
    pub(crate) lines: mpsc::Receiver<InputLine>,
    pub(crate) output: Output,
    pub(crate) kind: InputKind,
}

/// Opens the standard input: a line editor on a terminal, plain lines otherwise.
///
/// # Errors
/// The editor cannot use the terminal.
pub(crate) fn input(
    writer: &ConnectedWriter,
    output: &Output,
    shutdown: &Shutdown,
) -> Result<ConsoleInput, CliError> {
    let limit = writer.max_record_bytes();
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return editor::open(limit, shutdown);
    }
    let kind = if io::stdin().is_terminal() {
        InputKind::Terminal
    } else {
        InputKind::Pipe
    };
    Ok(ConsoleInput {
        lines: read_stdin(limit),
        output: output.best_effort(),
        kind,
    })
}
