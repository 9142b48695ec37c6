//! `dlog read` and `dlog tail`: the records of one or many streams, on the standard output.

mod format;
mod position;
mod run;
mod start;
mod template;

use core::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use distributedlog_reader::MergeSettings;
use regex::bytes::Regex;

use super::escapes;
use super::since::Since;
use super::target::{PlaceAndStreams, TargetArgs};
use super::{CliError, Output, Shutdown};
use format::RecordFormat;
use start::Start;
use template::Template;

/// Print the records of one or several streams.
///
/// Reads a namespace, or the HTTP port of a proxy, from the oldest record to the present end.
/// Several streams are merged: a record that a writer wrote to two of them, because one was slow,
/// is printed once. Of several streams, those that do not exist are left out; --follow waits for
/// them. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  export DLOG_TO=http://127.0.0.1:8002
  dlog read orders-1,orders-2,orders-3
  dlog read orders-1 --since 2h --format json | jq .payload
  dlog read orders-1 --follow --grep 'error|failed'
  dlog read orders-1 --template '{time} {stream} {dlsn} {payload}'
  dlog read orders-1 --format raw --delimiter '\\0' > records
  dlog read orders-1,orders-2 --follow --position orders.position
  dlog read orders-1 --format none --stats")]
pub(crate) struct Args {
    #[command(flatten)]
    reading: Reading,
}

/// Print new records of streams as they come: `dlog read --follow --from end`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog tail --to http://127.0.0.1:8002 orders-1,orders-2,orders-3
  dlog tail --to http://127.0.0.1:8002 orders-1 --since 10m --grep error
  dlog tail --to http://127.0.0.1:8002 orders-1 --from last")]
pub(crate) struct TailArgs {
    #[command(flatten)]
    reading: Reading,
}

/// What both commands take.
#[derive(Debug, clap::Args)]
struct Reading {
    #[command(flatten)]
    place: PlaceAndStreams,

    /// First record: start (the oldest), end (only records that are written from now on), last (the
    /// last record of each stream), a position such as 1,0,0, or a time such as
    /// 2026-11-28T10:00:00Z [default: start; of tail: end]
    #[arg(long, value_name = "POSITION", help_heading = "Records")]
    from: Option<Start>,

    /// Begin with what was written this long ago (2h), or at a time
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "from",
        help_heading = "Records"
    )]
    since: Option<Since>,

    /// End with what was written this long ago, or at a time
    #[arg(long, value_name = "TIME", help_heading = "Records")]
    until: Option<Since>,

    /// Wait for further records at the end
    #[arg(long, short, help_heading = "Records")]
    follow: bool,

    /// End at the present end
    #[arg(long, short = 'e', conflicts_with = "follow", help_heading = "Records")]
    end: bool,

    /// Exit after this many records were printed
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Records"
    )]
    count: Option<u64>,

    /// Print only records in which this regular expression is found
    #[arg(long, value_name = "REGEX", help_heading = "Records")]
    grep: Option<Regex>,

    /// Print the records in which --grep is not found
    #[arg(long, requires = "grep", help_heading = "Records")]
    invert: bool,

    /// Print a record as often as it is stored
    #[arg(long, help_heading = "Records")]
    no_merge: bool,

    /// Number of writers whose duplicates are recognized
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "no_merge",
        default_value_t = MergeSettings::default().writers,
        help_heading = "Records"
    )]
    window_writers: NonZeroU16,

    /// Number of record sets of each writer among which duplicates are recognized, counted back
    /// from the newest
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "no_merge",
        default_value_t = MergeSettings::default().sequences,
        help_heading = "Records"
    )]
    window_sequences: NonZeroU32,

    /// Continue at the position in this file, and save the position there once a second and at the
    /// end. After a crash the records of the last second may be printed again
    #[arg(long, value_name = "FILE", help_heading = "Records")]
    position: Option<PathBuf>,

    /// Format of a record: text (the payload), json (an object a line; also called ndjson), raw
    /// (the payload, also on a terminal), hex, base64, or none
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help_heading = "Output"
    )]
    format: RecordFormat,

    /// Format of a record, with {stream}, {dlsn}, {time}, {time_ms}, {bytes}, {payload}, {hex} and
    /// {base64}, the escapes \n, \t, \0 and \xHH, and {{ for a brace
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "format",
        help_heading = "Output"
    )]
    template: Option<Template>,

    /// Text behind each record, with escapes; '' for none [default: \n]
    #[arg(
        long,
        short,
        value_name = "TEXT",
        value_parser = delimiter,
        help_heading = "Output"
    )]
    delimiter: Option<Delimiter>,

    /// Print each payload behind its length, four bytes in big-endian order, as `dlog write
    /// --length-prefixed` reads them
    #[arg(
        long,
        conflicts_with_all = ["format", "template", "delimiter"],
        help_heading = "Output"
    )]
    length_prefixed: bool,

    /// Print sums to the standard error at the end
    #[arg(long, help_heading = "Output")]
    stats: bool,

    #[command(flatten)]
    at: TargetArgs,
}

/// Bytes that were written with escapes.
#[derive(Clone, Debug)]
struct Delimiter(Vec<u8>);

fn delimiter(text: &str) -> Result<Delimiter, String> {
    escapes::parse(text).map(Delimiter)
}

impl Args {
    /// Prints the records.
    ///
    /// # Errors
    /// A stream does not exist, or cannot be read.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let follows = self.reading.follow;
        self.reading
            .run(Start::Oldest, follows, output, shutdown)
            .await
    }
}

impl TailArgs {
    /// Prints the records.
    ///
    /// # Errors
    /// A stream does not exist, or cannot be read.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let follows = !self.reading.end;
        self.reading
            .run(Start::End, follows, output, shutdown)
            .await
    }
}

#[cfg(test)]
mod tests;
