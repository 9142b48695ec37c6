use distributedlog::Dlsn;

use super::super::administer::{self, Before};
use super::super::since::Since;
use super::super::streams::parse_name;
use super::super::target::UriArg;
use super::super::{CliError, Output};
use distributedlog_store::dlsn_text::parse_dlsn;
use distributedlog_store::{LogStore, StreamName};

/// Discard the records of a stream that are older than a position or a time.
///
/// Asks first, unless -f is given. Readers that start before the position start at it. A position
/// beyond the end means the end: every record goes. Disk space is freed when a whole log segment is
/// discarded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool truncate -u $URI -s basic-stream-3 --dlsn 1,42,0
  dlog tool truncate -u $URI -s basic-stream-3 --since 7d
  dlog tool truncate_stream -u $URI -s basic-stream-3 -dlsn 1,42,0 -f")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    /// The stream
    #[arg(short, long, value_name = "STREAM", value_parser = parse_name)]
    stream: StreamName,

    /// The position of the first record to keep, such as 1,42,0
    #[arg(
        long,
        visible_alias = "before",
        value_name = "DLSN",
        value_parser = parse_dlsn,
        required_unless_present = "since"
    )]
    dlsn: Option<Dlsn>,

    /// Keep what was written at this time or later: how long ago (2h), or a time
    /// (2026-11-28T10:00:00Z)
    #[arg(long, value_name = "TIME", conflicts_with = "dlsn")]
    since: Option<Since>,

    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Args {
    /// Truncates the stream.
    ///
    /// # Errors
    /// The store cannot be reached, or the stream does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        self.truncate(self.uri.store().await?.as_ref(), output)
            .await
    }

    pub(super) async fn truncate(
        &self,
        store: &dyn LogStore,
        output: &Output,
    ) -> Result<(), CliError> {
        let before = match (self.dlsn, self.since) {
            (Some(dlsn), _) => Before::Dlsn(dlsn),
            (None, Some(since)) => Before::Time(since),
            (None, None) => unreachable!("one of them is required"),
        };
        let at = self.uri.administered(store)?;
        administer::truncate(at, &self.stream, before, self.force, output).await
    }
}
