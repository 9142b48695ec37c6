use super::super::administer;
use super::super::expression::Expression;
use super::super::output::note;
use super::super::target::UriArg;
use super::super::{CliError, Format, Output, confirm, streams};
use distributedlog_store::{LogStore, StreamName};

/// Create streams.
///
/// Asks first, unless -f is given. A stream that exists already is not changed; it is reported, and
/// the other streams are created.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool create -u $URI -r basic-stream- -e 3-7
      basic-stream-3, basic-stream-4, basic-stream-5, basic-stream-6, basic-stream-7
  dlog tool create -u $URI -e orders,refunds -f")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    /// The prefix of the streams' names
    #[arg(
        short = 'r',
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,

    /// The rest of the names: a range 3-7, a list 3,5,9, or a name, in which a comma is written \,
    #[arg(short, long, value_name = "EXPRESSION")]
    expression: Expression,

    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Creates the streams.
    ///
    /// # Errors
    /// The store cannot be reached, or a stream could not be created: it exists already, or the
    /// disk is full.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = self.names()?;
        if !confirm::confirm(
            &format!(
                "You are going to create streams : {}",
                streams::bracketed(&names)
            ),
            self.force,
            output,
        )? {
            note("Nothing was created.");
            return Ok(());
        }
        let store = self.uri.store().await?;
        self.create(store.as_ref(), &names, output).await
    }

    pub(super) fn names(&self) -> Result<Vec<StreamName>, CliError> {
        streams::expand(&self.prefix, &self.expression)
    }

    pub(super) async fn create(
        &self,
        store: &dyn LogStore,
        names: &[StreamName],
        output: &Output,
    ) -> Result<(), CliError> {
        administer::create(self.uri.administered(store)?, names, self.format, output).await
    }
}
