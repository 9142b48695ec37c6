use serde::Serialize;

use super::super::namespace::{self, UriArg};
use super::super::output::note;
use super::super::{CliError, Format, Output, record_text};
use distributedlog_store::LogStore;

/// List the streams' names, one per line.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog tool list -u $URI
  dlog tool list -u $URI -r basic-stream- --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: UriArg,

    /// List only streams whose names begin with this prefix
    #[arg(
        short = 'r',
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct ListedJson<'a> {
    stream: &'a str,
}

impl Args {
    /// Prints the names.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        self.list(namespace::connect(&self.uri.uri).await?.as_ref(), output)
            .await
    }

    pub(super) async fn list(&self, store: &dyn LogStore, output: &Output) -> Result<(), CliError> {
        let names = store
            .list()
            .await
            .map_err(|error| namespace::store_error(&error, Some(&self.uri.uri)))?;
        let mut any = false;
        for name in names
            .iter()
            .filter(|name| name.as_str().starts_with(&self.prefix))
        {
            any = true;
            match self.format {
                Format::Text => output.line(name)?,
                Format::Json => record_text::json_line(
                    output,
                    &ListedJson {
                        stream: name.as_str(),
                    },
                )?,
            }
        }
        if !any && self.format == Format::Text {
            note(format_args!(
                "No stream in {} has a name that begins with \"{}\".",
                self.uri.uri, self.prefix
            ));
        }
        Ok(())
    }
}
