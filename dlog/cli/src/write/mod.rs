//! `dlog write`: records from the standard input, from files or from the command line.

mod face;
mod http_writer;
mod input;
mod report;
mod session;

use core::time::Duration;
use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::ValueEnum;
use distributedlog::writer::Settings;
use distributedlog_store::StreamName;

use super::console::{self, ConnectedWriter};
use super::escapes;
use super::http::HttpClient;
use super::place::Place;
use super::target::{PlaceAndStreams, Target, TargetArgs};
use super::writer_args::BenchWriterArgs;
use super::{CliError, Output, Shutdown};
use face::Face;
use http_writer::HttpWriter;
use input::{Framing, Records};
use report::Reporter;
use session::Session;

/// Name by which the proxies know the command.
const CLIENT_ID: &str = "dlog-write";

/// What is printed of each record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Ack {
    // Nothing, unless it failed.
    #[default]
    None,
    // For people.
    Text,
    // For programs: one object a line, and one with the sums at the end.
    Json,
}

/// Write records: lines of the standard input, files, or texts of the command line.
///
/// Each record goes to the stream, of several, that answers first. With --key-delimiter each goes
/// to the stream of its key, where the records of a key keep their order. Ctrl-C finishes what is
/// in flight, and says what was written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  export DLOG_TO='inet!127.0.0.1:8000'
  dlog write orders-1,orders-2,orders-3 < orders.txt
  dlog write orders-1 -m 'an order' --ack text
  find . -name '*.json' -print0 | dlog write orders-1,orders-2 -d '\\0'
  dlog write documents --file a.pdf b.pdf
  dlog write orders-1,orders-2 --key-delimiter : --rate 100/s < keyed.txt
      \"customer-17:an order\" has the key customer-17 and the record \"an order\"
  dlog write --to http://127.0.0.1:8002 orders-1,orders-2 --ack json < orders.txt

Exit status: 0 all were written, 1 some were not, 2 usage error, 3 the outcome of some is unknown:
they may be in a stream.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceAndStreams,

    /// Write this text; can be given several times
    #[arg(short, long, value_name = "TEXT", help_heading = "Records")]
    message: Vec<String>,

    /// Write each of these files as one record
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with = "message",
        help_heading = "Records"
    )]
    file: Vec<PathBuf>,

    /// End a record at this text, in which \n, \r, \t, \0, \\ and \xHH are escapes [default: lines]
    #[arg(
        short,
        long,
        value_name = "TEXT",
        value_parser = escapes_parser,
        conflicts_with_all = ["message", "file", "length_prefixed"],
        help_heading = "Records"
    )]
    delimiter: Option<Escaped>,

    /// Read records of any bytes, each behind its length: four bytes in big-endian order
    #[arg(long, conflicts_with_all = ["message", "file"], help_heading = "Records")]
    length_prefixed: bool,

    /// Decode each record from base64 before it is written
    #[arg(long, conflicts_with_all = ["file", "length_prefixed"], help_heading = "Records")]
    base64: bool,

    /// Take the bytes before this text as the key of a record, and write those after it: records of
    /// a key keep their order. Not over HTTP
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = escapes_parser,
        help_heading = "Records"
    )]
    key_delimiter: Option<Escaped>,

    /// Stop after this many records
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Records"
    )]
    count: Option<u64>,

    /// Write at most this many records a second
    #[arg(long, value_name = "N[/s]", value_parser = rate, help_heading = "Records")]
    rate: Option<f64>,

    /// Maximum number of records that are written and not acknowledged
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4_096,
        value_parser = clap::value_parser!(u32).range(1..=1 << 20),
        help_heading = "Records"
    )]
    max_in_flight: u32,

    /// What to print of each record: none, text (its position, for people), or json
    #[arg(long, value_enum, default_value_t, help_heading = "Records")]
    ack: Ack,

    #[command(flatten)]
    at: TargetArgs,

    #[command(flatten)]
    writer: BenchWriterArgs,
}

/// Bytes that were written with escapes.
#[derive(Clone, Debug)]
struct Escaped(Vec<u8>);

fn escapes_parser(text: &str) -> Result<Escaped, String> {
    escapes::parse_some(text).map(Escaped)
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate = number.parse::<f64>().ok();
    rate.filter(|rate| (0.001..=1e8).contains(rate))
        .ok_or_else(|| "write a number of records a second, as in 100 or 100/s".to_owned())
}

impl Args {
    /// Writes the records.
    ///
    /// # Errors
    /// The proxies cannot be reached, or a record was not written.
    pub(crate) async fn run(
        mut self,
        output: &Output,
        shutdown: &Shutdown,
    ) -> Result<(), CliError> {
        let settings = self.writer.settings()?;
        let (target, streams) = self.place.resolve(&self.at)?;
        let face = tokio::select! {
            opened = self.open(&target, &streams, settings) => opened?,
            () = shutdown.requested() => {
                return Err(CliError::failure("interrupted before the first record was written"));
            }
        };
        let is_typed = self.records_are_typed();
        if is_typed {
            super::output::note("Type records, one a line; Ctrl-D ends the input.");
        }
        let batches = input::read(self.records(), face.max_record_bytes());
        // Whether a pipe is read must not decide which records are written.
        let output = output.collecting().best_effort();
        let reporter = Reporter::new(self.ack, output.clone());
        let mut session = Session::new(&face, &self, reporter);
        let interrupted = session.write(batches, shutdown).await?;
        face.close().await;
        session.end(interrupted && !is_typed)?;
        output.check()
    }

    /// Returns true if a person types the records.
    fn records_are_typed(&self) -> bool {
        self.message.is_empty() && self.file.is_empty() && std::io::stdin().is_terminal()
    }

    fn records(&mut self) -> Records {
        if !self.message.is_empty() {
            let messages = core::mem::take(&mut self.message);
            let messages: VecDeque<_> = messages.into_iter().map(String::into_bytes).collect();
            return Records::Messages(messages);
        }
        if !self.file.is_empty() {
            return Records::Files(core::mem::take(&mut self.file).into());
        }
        Records::Stdin(match &self.delimiter {
            _ if self.length_prefixed => Framing::LengthPrefixed,
            Some(Escaped(delimiter)) => Framing::Delimited(delimiter.clone()),
            None => Framing::Lines,
        })
    }

    fn interval(&self) -> Option<Duration> {
        self.rate.map(|rate| Duration::from_secs_f64(1.0 / rate))
    }

    /// Connects over thriftmux if proxies are known, and over HTTP otherwise, or if an HTTP port is
    /// what was named.
    async fn open(
        &self,
        target: &Target,
        streams: &[StreamName],
        settings: Settings,
    ) -> Result<Face, CliError> {
        let identity = self.writer.identity();
        let names_http = matches!(target.place, Place::Http(_));
        if let Some(url) = target.http.as_ref()
            && (names_http || target.proxies().is_err())
        {
            if self.key_delimiter.is_some() {
                return Err(CliError::usage(
                    "records with keys are not written over HTTP, which keeps no order among \
                     requests",
                )
                .tip("name the proxies: --to 'inet!127.0.0.1:8000'"));
            }
            let client = HttpClient::of(url, &target.security)?;
            let writer = HttpWriter::start(client, streams, settings, identity)?;
            return Ok(Face::Http(writer));
        }
        if self.key_delimiter.is_some() {
            let writer = console::open_keyed(target, streams, settings, identity, CLIENT_ID);
            return Ok(Face::Keys(writer.await?));
        }
        let writer = ConnectedWriter::open(target, streams, settings, identity, CLIENT_ID);
        Ok(Face::Streams(writer.await?.handle().clone()))
    }
}

#[cfg(test)]
mod tests;
