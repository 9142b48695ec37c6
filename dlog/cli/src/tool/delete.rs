use super::super::administer;
use super::super::output::note;
use super::super::streams::{self, StreamSelection};
use super::super::target::UriArg;
use super::super::{CliError, Format, Output, confirm};
use distributedlog_store::{LogStore, StreamName};

/// Delete streams and all their records.
///
/// Asks first, unless -f is given. Deletes nothing if one of the streams does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool delete -u $URI -s basic-stream-3
  dlog tool delete -u $URI -r basic-stream- -e 3-7 -f")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    #[command(flatten)]
    selection: StreamSelection,

    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Deletes the streams.
    ///
    /// # Errors
    /// The store cannot be reached, or a stream does not exist.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = self.names()?;
        let question = format!(
            "You are going to delete streams with all their records : {}",
            streams::bracketed(&names)
        );
        if !confirm::confirm(&question, self.force, output)? {
            note("Nothing was deleted.");
            return Ok(());
        }
        let store = self.uri.store().await?;
        self.delete(store.as_ref(), &names, output).await
    }

    pub(super) fn names(&self) -> Result<Vec<StreamName>, CliError> {
        self.selection.names()
    }

    pub(super) async fn delete(
        &self,
        store: &dyn LogStore,
        names: &[StreamName],
        output: &Output,
    ) -> Result<(), CliError> {
        administer::delete(self.uri.administered(store)?, names, self.format, output).await
    }
}
