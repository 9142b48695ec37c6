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
use lines::of_stdin;
#[cfg(test)]
pub(crate) use lines::of_text;
pub(crate) use lines::{Line, Release};
pub(crate) use report::Report;
pub(crate) use session::{Digest, Tally, run};
pub(crate) use writer::Connected;

use super::output::note;
use super::streams::StreamList;
use super::writer_args::WriterArgs;
use super::{Fault, Format, Output, Shutdown};

/// Write each line that is typed or piped in as a record to one of several streams.
///
/// Each record goes to the next of the streams in turn; when that one does not answer in time, to
/// the one after it as well. On a terminal there is a prompt with line editing and history, and
/// Ctrl-D ends it. From a pipe it ends at the end of the input, when every line has been
/// acknowledged. A line that fails is reported with why, and the next one goes on; the exit status
/// is 1 then. The settings are the tutorial's.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with STREAMS=basic-stream-3,basic-stream-4,basic-stream-5:
  dlog console-multi-writer 'inet!127.0.0.1:8000' $STREAMS
  printf 'message-1\\nmessage-2\\n' | dlog console-multi-writer -v 'inet!127.0.0.1:8000' $STREAMS
  dlog console-multi-writer --request-timeout 2s --max-speculative-timeout 200ms \\
      --first-speculative-timeout 50ms 'inet!127.0.0.1:8000' $STREAMS < records.txt
  dlog console-multi-writer --recommended --attempts --stats 'inet!127.0.0.1:8000' $STREAMS

Times are written with their unit: 250us, 2ms, 10s, 5m. With -v each line's stream and position is \
                        printed.")]
pub(crate) struct Args {
    #[cfg_attr(
        feature = "zookeeper",
        doc = "Where the proxies are, as a Finagle name: inet!HOST:PORT[,HOST:PORT], or \
               zk!HOST:PORT!/PATH where proxies announce themselves in ZooKeeper"
    )]
    #[cfg_attr(
        not(feature = "zookeeper"),
        doc = "Where the proxies are, as a Finagle name: inet!HOST:PORT[,HOST:PORT]"
    )]
    #[arg(value_name = "NAME")]
    name: String,

    /// The streams, separated by commas
    #[arg(value_name = "STREAM[,STREAM]")]
    streams: StreamList,

    /// How lines are reported: as text, where -v says where each went, or each as a JSON object
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Report of each line which streams it was tried at, when, how long that took and what came
    /// of it
    #[arg(long)]
    attempts: bool,

    /// Print at the end, to the standard error, what was counted: records, attempts, hedges,
    /// connections, and how each stream does
    #[arg(long)]
    stats: bool,

    #[command(flatten)]
    writer: WriterArgs,
}

impl Args {
    /// Writes lines to the end of the input.
    ///
    /// # Errors
    /// The settings are at odds, no proxy answers, or a line failed.
    pub(crate) async fn run(
        self,
        output: &Output,
        verbose: u8,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        let settings = self
            .writer
            .settings()?
            .to_builder()
            .attempt_reports(self.attempts);
        let settings = settings
            .build()
            .map_err(|error| Fault::usage(error.to_string()))?;
        let writer = tokio::select! {
            connected = Connected::open(&self.name, self.streams.names(), settings, self.writer.identity(), "console-proxy-writer") => connected?,
            () = shutdown.asked() => return Ok(()),
        };
        let (lines, output) = input(&writer, output, shutdown)?;
        let report = Report::new(self.format, verbose > 0, self.attempts);
        let ended = run(lines, &writer, &output, report, shutdown, &mut |_, _| {}).await;
        writer.close().await;
        restore_terminal();
        if self.stats {
            note(writer.stats().to_text(self.format));
        }
        match ended?.failed {
            0 => Ok(()),
            // Each was told when it failed.
            1.. => Err(Fault::told()),
        }
    }
}

/// The lines of the standard input, and where to print meanwhile: an editor on a terminal, plain
/// lines otherwise.
///
/// # Errors
/// The terminal cannot be used.
pub(crate) fn input(
    writer: &Connected,
    output: &Output,
    shutdown: &Shutdown,
) -> Result<(mpsc::Receiver<Line>, Output), Fault> {
    let limit = writer.max_record_bytes();
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return editor::open(limit, shutdown);
    }
    Ok((of_stdin(limit), output.clone()))
}
