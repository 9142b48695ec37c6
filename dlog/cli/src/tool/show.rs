use super::super::administer::{self, ShownLedgers};
use super::super::streams::StreamSelection;
use super::super::target::UriArg;
use super::super::{CliError, Format, Output};
use distributedlog_store::{LogStore, StreamName};

/// Show the state of streams: positions, owner, log segments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool show -u $URI -s basic-stream-3
  dlog tool show -u $URI -r basic-stream- -e 3-7 --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    #[command(flatten)]
    selection: StreamSelection,

    /// Leave the log segments out (the original's -ns)
    #[arg(long)]
    no_log_segments: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Prints the state of each stream.
    ///
    /// # Errors
    /// The store cannot be reached, or a stream does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = self.selection.names()?;
        let store = self.uri.store().await?;
        #[cfg(feature = "bookkeeper")]
        let ledgers = match self.uri.target()?.records_namespace() {
            Some(uri) => super::bookkeeper::shown_ledgers(uri, &names).await?,
            None => ShownLedgers::new(),
        };
        #[cfg(not(feature = "bookkeeper"))]
        let ledgers = ShownLedgers::new();
        self.show(store.as_ref(), &names, &ledgers, output).await
    }

    pub(super) async fn show(
        &self,
        store: &dyn LogStore,
        names: &[StreamName],
        ledgers: &ShownLedgers,
        output: &Output,
    ) -> Result<(), CliError> {
        let at = self.uri.administered(store)?;
        administer::show(
            at,
            names,
            ledgers,
            self.no_log_segments,
            self.format,
            output,
        )
        .await
    }
}
