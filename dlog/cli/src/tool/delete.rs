use serde::Serialize;

use super::super::namespace::{self, UriArg};
use super::super::output::note;
use super::super::streams::{self, StreamSelection};
use super::super::{CliError, Format, Output, confirm, record_text};
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

#[derive(Serialize)]
struct DeletedJson<'a> {
    stream: &'a str,
    deleted: bool,
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
        let store = self.uri.connect().await?;
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
        let uri = &self.uri.uri;
        // Whether a pipe is read must not decide which streams remain.
        let output = &output.best_effort();
        for name in names {
            store
                .describe(name)
                .await
                .map_err(|error| not_deleted(namespace::store_error(&error, None), uri))?;
        }
        for name in names {
            store
                .delete(name)
                .await
                .map_err(|error| namespace::uri_error(&error, uri))?;
            match self.format {
                Format::Text => output.line(format_args!("Deleted log stream {name}."))?,
                Format::Json => record_text::json_line(
                    output,
                    &DeletedJson {
                        stream: name.as_str(),
                        deleted: true,
                    },
                )?,
            }
        }
        output.check()
    }
}

/// Replaces the tip: to create a stream that the user wanted to delete would be wrong advice.
fn not_deleted(error: CliError, uri: &distributedlog_store::uri::Uri) -> CliError {
    error.tip(format!(
        "nothing was deleted; list the streams with: dlog tool list -u {uri}"
    ))
}
