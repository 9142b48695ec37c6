use super::super::administer::{self, RetentionFlags};
use super::super::streams::parse_name;
use super::super::target::UriArg;
use super::super::{CliError, Format, Output};
use distributedlog_store::{LogStore, StreamName};

/// Show or set how long the records of a stream, or of a namespace's streams, are kept.
///
/// Whole log segments are discarded, oldest first: when their last record is as old as --age, and
/// while at least --bytes are left without them. Without a limit, nothing is discarded. A stream
/// without a retention of its own has its namespace's, and a namespace that of the store's flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool retention -u $URI                              (the namespace's)
  dlog tool retention -u $URI --age 7d                     (the namespace's, from now on)
  dlog tool retention -u $URI -s basic-stream-3 --age 2h --bytes 1000000000
  dlog tool retention -u $URI -s basic-stream-3 --keep-all
  dlog tool retention -u $URI -s basic-stream-3 --inherit")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    /// The stream; without it, the namespace
    #[arg(short, long, value_name = "STREAM", value_parser = parse_name)]
    stream: Option<StreamName>,

    #[command(flatten)]
    flags: RetentionFlags,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Sets the retention if a flag says so, and prints it.
    ///
    /// # Errors
    /// The store cannot be reached, it has no retention, or the stream does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        self.retention(self.uri.store().await?.as_ref(), output)
            .await
    }

    pub(super) async fn retention(
        &self,
        store: &dyn LogStore,
        output: &Output,
    ) -> Result<(), CliError> {
        let (at, stream) = (self.uri.administered(store)?, self.stream.as_ref());
        administer::retention(at, stream, self.flags.change(), self.format, output).await
    }
}
