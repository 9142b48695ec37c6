use distributedlog::Dlsn;
use distributedlog_store::StreamName;
use distributedlog_store::dlsn_text::parse_dlsn;

use super::super::administer::{self, Before, RetentionFlags};
use super::super::output::note;
use super::super::since::Since;
use super::super::streams::{self, StreamList, parse_name};
use super::super::target::TargetArgs;
use super::super::{CliError, Format, Output, confirm};
use super::{Connected, names};

/// Create streams.
///
/// A stream that exists already is not changed; it is reported, and the other streams are created.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog streams create --to http://127.0.0.1:8002 orders,refunds
  dlog streams create --to http://127.0.0.1:8002 orders-{1..5}    (the shell makes five of it)")]
pub(super) struct CreateArgs {
    /// The streams, separated by commas or spaces; a comma in a name is written \,
    #[arg(value_name = "STREAM", required = true)]
    streams: Vec<StreamList>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    at: TargetArgs,
}

impl CreateArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), CliError> {
        let connected = Connected::open(&self.at).await?;
        let at = connected.administered()?;
        administer::create(at, &names(&self.streams), self.format, output).await
    }
}

/// Delete streams and all their records.
///
/// Asks first, unless -f is given. Deletes nothing if one of the streams does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog streams delete --to http://127.0.0.1:8002 orders,refunds
  dlog streams delete --to http://127.0.0.1:8002 orders -f")]
pub(super) struct DeleteArgs {
    /// The streams, separated by commas or spaces; a comma in a name is written \,
    #[arg(value_name = "STREAM", required = true)]
    streams: Vec<StreamList>,

    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    at: TargetArgs,
}

impl DeleteArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = names(&self.streams);
        let question = format!(
            "You are going to delete streams with all their records : {}",
            streams::bracketed(&names)
        );
        if !confirm::confirm(&question, self.force, output)? {
            note("Nothing was deleted.");
            return Ok(());
        }
        let connected = Connected::open(&self.at).await?;
        administer::delete(connected.administered()?, &names, self.format, output).await
    }
}

/// Discard the records of a stream that are older than a position or a time.
///
/// Asks first, unless -f is given. Readers that start before the position start at it. A position
/// beyond the end means the end: every record goes. Disk space is freed when a whole log segment is
/// discarded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog streams truncate --to http://127.0.0.1:8002 orders --before 1,42,0
  dlog streams truncate --to http://127.0.0.1:8002 orders --since 7d -f")]
pub(super) struct TruncateArgs {
    /// The stream
    #[arg(value_parser = parse_name)]
    stream: StreamName,

    /// The position of the first record to keep, such as 1,42,0
    #[arg(
        long,
        value_name = "DLSN",
        value_parser = parse_dlsn,
        required_unless_present = "since"
    )]
    before: Option<Dlsn>,

    /// Keep what was written at this time or later: how long ago (2h), or a time
    /// (2026-11-28T10:00:00Z)
    #[arg(long, value_name = "TIME", conflicts_with = "before")]
    since: Option<Since>,

    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    at: TargetArgs,
}

impl TruncateArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), CliError> {
        let before = match (self.before, self.since) {
            (Some(dlsn), _) => Before::Dlsn(dlsn),
            (None, Some(since)) => Before::Time(since),
            (None, None) => unreachable!("one of them is required"),
        };
        let connected = Connected::open(&self.at).await?;
        let at = connected.administered()?;
        administer::truncate(at, &self.stream, before, self.force, output).await
    }
}

/// Show or set how long the records of a stream, or of all streams, are kept.
///
/// Whole log segments are discarded, oldest first: when their last record is as old as --age, and
/// while at least --bytes are left without them. Without a limit, nothing is discarded. A stream
/// without a retention of its own has its namespace's.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  export DLOG_TO=http://127.0.0.1:8002
  dlog streams retention                       (that of streams without one of their own)
  dlog streams retention --age 7d
  dlog streams retention orders --age 2h --bytes 1000000000
  dlog streams retention orders --inherit")]
pub(super) struct RetentionArgs {
    /// The stream; without it, the namespace
    #[arg(value_parser = parse_name)]
    stream: Option<StreamName>,

    #[command(flatten)]
    flags: RetentionFlags,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    at: TargetArgs,
}

impl RetentionArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), CliError> {
        let connected = Connected::open(&self.at).await?;
        let (at, stream) = (connected.administered()?, self.stream.as_ref());
        administer::retention(at, stream, self.flags.change(), self.format, output).await
    }
}
