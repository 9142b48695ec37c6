//! Commands about bookies and single ledgers.

use core::fmt::Write as _;

use serde::Serialize;

use distributedlog_store::bookkeeper::operator::{FoundLedger, LedgerEntry, LedgerRecord};

use super::super::super::namespace;
use super::super::super::output::{counted, note};
use super::super::super::progress_line::ProgressLine;
use super::super::super::record_text::{self, hex};
use super::super::super::target::NamespaceArg;
use super::super::super::{CliError, Format, Output};
use super::audit;

/// List the bookies of the cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181/messaging/distributedlog:
  dlog tool listbookies -u $URI
  dlog tool listbookies -u $URI -ro --format json")]
pub(crate) struct ListBookiesArgs {
    #[command(flatten)]
    uri: NamespaceArg,

    /// Only bookies that take entries (the original's -rw)
    #[arg(long, conflicts_with = "readonly")]
    readwrite: bool,

    /// Only bookies that refuse entries and still answer reads (the original's -ro)
    #[arg(long)]
    readonly: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Number of a ledger, as an argument or as the original's flag.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct LedgerArg {
    /// The ledger
    #[arg(value_name = "LEDGER", required_unless_present = "flag",
        value_parser = clap::value_parser!(i64).range(0..))]
    ledger: Option<i64>,

    /// The same as a flag, as in the original
    #[arg(short = 'l', long = "ledger", id = "flag", value_name = "LEDGER",
        conflicts_with = "ledger", value_parser = clap::value_parser!(i64).range(0..))]
    flag: Option<i64>,
}

/// Print the last entry of a ledger that may be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181/messaging/distributedlog:
  dlog tool readlac -u $URI 42
  dlog tool readlac -u $URI -l 42")]
pub(crate) struct ReadLacArgs {
    #[command(flatten)]
    uri: NamespaceArg,

    #[command(flatten)]
    ledger: LedgerArg,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Print the entries of a ledger and the records in them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181/messaging/distributedlog:
  dlog tool readentries -u $URI 42
  dlog tool readentries -u $URI -l 42 -fid 10 -uid 20 -sp")]
pub(crate) struct ReadEntriesArgs {
    #[command(flatten)]
    uri: NamespaceArg,

    #[command(flatten)]
    ledger: LedgerArg,

    /// The first entry (the original's -fid)
    #[arg(long, value_name = "ENTRY", default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..))]
    from: i64,

    /// The last entry (the original's -uid) [default: the last one that may be read]
    #[arg(long, visible_alias = "until", value_name = "ENTRY",
        value_parser = clap::value_parser!(i64).range(0..))]
    to: Option<i64>,

    /// Print payloads as hexadecimal digits
    #[arg(short = 'x', long, conflicts_with = "format")]
    hex: bool,

    /// Leave the payloads out (the original's -sp)
    #[arg(long)]
    skip_payload: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Show a ledger, and the stream that it belongs to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181/messaging/distributedlog:
  dlog tool findledger -u $URI 42
  dlog tool findledger -u $URI -l 42 --format json")]
pub(crate) struct FindLedgerArgs {
    #[command(flatten)]
    uri: NamespaceArg,

    #[command(flatten)]
    ledger: LedgerArg,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct BookieJson<'a> {
    bookie: &'a str,
    read_only: bool,
}

#[derive(Serialize)]
struct LacJson {
    ledger: i64,
    last_add_confirmed: i64,
}

#[derive(Serialize)]
struct EntryJson<'a> {
    entry: i64,
    last_add_confirmed: i64,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<RecordJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct RecordJson<'a> {
    kind: &'a str,
    txid: i64,
    position: u32,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

#[derive(Serialize)]
struct FoundJson<'a> {
    #[serde(flatten)]
    ledger: &'a FoundLedger,
    streams: Vec<SegmentJson<'a>>,
}

#[derive(Serialize)]
struct SegmentJson<'a> {
    stream: &'a str,
    log_segment_sequence_no: i64,
}

impl LedgerArg {
    fn number(self) -> i64 {
        self.ledger.or(self.flag).expect("clap demands one of them")
    }
}

impl ListBookiesArgs {
    /// Prints the bookies.
    ///
    /// # Errors
    /// The cluster cannot be reached.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let bookies = super::operator(&self.uri.uri()?).await?.bookies().await;
        let writable = bookies.writable.iter().map(|it| (it, false));
        let read_only = bookies.read_only.iter().map(|it| (it, true));
        let shown = |read_only: bool| !(self.readwrite && read_only || self.readonly && !read_only);
        for (bookie, read_only) in writable.chain(read_only).filter(|it| shown(it.1)) {
            match (self.format, read_only) {
                (Format::Text, true) => output.line(format_args!("{bookie} (read-only)"))?,
                (Format::Text, false) => output.line(bookie)?,
                (Format::Json, _) => {
                    record_text::json_line(output, &BookieJson { bookie, read_only })?;
                }
            }
        }
        Ok(())
    }
}

impl ReadLacArgs {
    /// Prints the last add confirmed.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the ledger does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let (uri, ledger) = (&self.uri.uri()?, self.ledger.number());
        let last = super::operator(uri).await?.last_confirmed(ledger).await;
        let last_add_confirmed = last.map_err(|error| namespace::zookeeper_error(&error, uri))?;
        match self.format {
            Format::Text => output.line(format_args!("LastAddConfirmed: {last_add_confirmed}")),
            Format::Json => record_text::json_line(
                output,
                &LacJson {
                    ledger,
                    last_add_confirmed,
                },
            ),
        }
    }
}

impl ReadEntriesArgs {
    /// Prints the entries.
    ///
    /// # Errors
    /// The cluster cannot be reached, the ledger does not exist, or an entry has no records that
    /// DistributedLog writes.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let (uri, ledger) = (&self.uri.uri()?, self.ledger.number());
        let operator = super::operator(uri).await?;
        let (mut printed, mut damaged, mut count) = (Ok(()), 0_u64, 0_u64);
        let read = operator.entries(ledger, self.from, self.to, |entry| {
            count += 1;
            damaged += u64::from(entry.records.is_err());
            printed = self.print(output, &entry);
            printed.is_ok()
        });
        read.await
            .map_err(|error| namespace::zookeeper_error(&error, uri))?;
        printed?;
        if count == 0 {
            note(format_args!("Ledger {ledger} has no entry there."));
        }
        match damaged {
            0 => Ok(()),
            damaged => Err(CliError::failure(format!(
                "without records of DistributedLog: {}",
                if damaged == 1 {
                    "1 entry".to_owned()
                } else {
                    format!("{damaged} entries")
                }
            ))),
        }
    }

    fn print(&self, output: &Output, entry: &LedgerEntry) -> Result<(), CliError> {
        if self.format == Format::Json {
            return record_text::json_line(output, &entry_json(entry, self.skip_payload));
        }
        let mut text = format!(
            "Entry {} (bytes = {}, lac = {})",
            entry.entry, entry.bytes, entry.last_confirmed
        );
        match &entry.records {
            Err(error) => text.push_str(&format!("\n  {error}")),
            Ok(records) => {
                for record in records {
                    text.push_str(&self.record_text(output, record));
                }
            }
        }
        output.line(text)
    }

    fn record_text(&self, output: &Output, record: &LedgerRecord) -> String {
        let LedgerRecord {
            kind,
            txid,
            position,
            payload,
            ..
        } = record;
        let mut text = format!("\n  {kind} (txid = {txid}, position = {position}");
        write!(text, ", bytes = {})", payload.len()).expect("a string takes every text");
        if !self.skip_payload && *kind != "control" {
            text.push('\n');
            text.push_str(&if self.hex {
                hex(payload)
            } else {
                output.payload_text(payload)
            });
        }
        text
    }
}

fn entry_json(entry: &LedgerEntry, skip_payload: bool) -> EntryJson<'_> {
    let records = entry.records.as_ref().ok();
    let records = records.map(|it| it.iter().map(|it| record_json(it, skip_payload)).collect());
    EntryJson {
        entry: entry.entry,
        last_add_confirmed: entry.last_confirmed,
        bytes: entry.bytes,
        records,
        error: entry.records.as_ref().err().map(String::as_str),
    }
}

fn record_json(record: &LedgerRecord, skip_payload: bool) -> RecordJson<'_> {
    let text = core::str::from_utf8(&record.payload).ok();
    RecordJson {
        kind: record.kind,
        txid: record.txid,
        position: record.position,
        bytes: record.payload.len(),
        payload: text.filter(|_| !skip_payload),
        payload_hex: (!skip_payload && text.is_none()).then(|| hex(&record.payload)),
    }
}

impl FindLedgerArgs {
    /// Prints the ledger.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the ledger does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let (uri, ledger) = (&self.uri.uri()?, self.ledger.number());
        let failed = |error| namespace::zookeeper_error(&error, uri);
        let operator = super::operator(uri).await?;
        let found = operator.ledger(ledger).await.map_err(failed)?;
        let names = operator.streams().await.map_err(failed)?;
        let mut streams = Vec::new();
        let mut progress = ProgressLine::new();
        for (done, name) in names.iter().enumerate() {
            progress.show(|| format!("streams searched: {done}"));
            // One that was deleted meanwhile has no ledger.
            let segments = operator.segments_of_ledger(name, ledger).await;
            streams.extend(
                segments
                    .unwrap_or_default()
                    .into_iter()
                    .map(|number| SegmentJson {
                        stream: name.as_str(),
                        log_segment_sequence_no: number,
                    }),
            );
        }
        progress.clear();
        if self.format == Format::Json {
            let ledger = &found;
            return record_text::json_line(output, &FoundJson { ledger, streams });
        }
        output.line(text(&found, &streams))
    }
}

fn text(found: &FoundLedger, streams: &[SegmentJson<'_>]) -> String {
    let [ensemble, write, ack] = found.quorums;
    let mut lines = vec![
        audit::ledger(found),
        format!(
            "  {}, {} of each entry, {ack} confirm it",
            counted(ensemble as u64, "bookie"),
            if write == 1 {
                "1 copy".to_owned()
            } else {
                format!("{write} copies")
            },
        ),
    ];
    for (first, bookies) in &found.ensembles {
        lines.push(format!("  from entry {first}: {}", bookies.join(", ")));
    }
    for it in streams {
        lines.push(format!(
            "  log segment {} of stream {}",
            it.log_segment_sequence_no, it.stream
        ));
    }
    if streams.is_empty() {
        lines.push("  no stream of this namespace has it".to_owned());
    }
    lines.join("\n")
}
