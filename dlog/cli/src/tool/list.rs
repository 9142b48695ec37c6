use serde::Serialize;

use super::super::namespace::{self, UriArg};
use super::super::output::note;
use super::super::{Fault, Format, Output, record_text};
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

    /// Only streams whose names begin so
    #[arg(
        short = 'r',
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,

    /// How to print the names
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Listed<'a> {
    stream: &'a str,
}

impl Args {
    /// Prints the names.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub(crate) async fn run(self, output: &Output) -> Result<(), Fault> {
        self.list(namespace::connect(&self.uri.uri).await?.as_ref(), output)
            .await
    }

    pub(super) async fn list(&self, store: &dyn LogStore, output: &Output) -> Result<(), Fault> {
        let names = store
            .list()
            .await
            .map_err(|error| namespace::fault(&error, Some(&self.uri.uri)))?;
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
                    &Listed {
                        stream: name.as_str(),
                    },
                )?,
            }
        }
        if !any && self.format == Format::Text {
            note(format_args!(
                "There is no stream that begins with \"{}\" under {}.",
                self.prefix, self.uri.uri
            ));
        }
        Ok(())
    }
}
