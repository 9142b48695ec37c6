use serde::Serialize;

use super::super::output::note;
use super::super::target::UriArg;
use super::super::{CliError, Format, Output, record_text};
use distributedlog_store::LogStore;

/// Number of names that are read from the store at once.
const PAGE: usize = 8_192;

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
        self.list(self.uri.store().await?.as_ref(), output).await
    }

    pub(super) async fn list(&self, store: &dyn LogStore, output: &Output) -> Result<(), CliError> {
        let (mut any, mut after, mut more) = (false, None, true);
        while more {
            let page = store
                .list_page(after.as_ref(), &self.prefix, PAGE)
                .await
                .map_err(|error| self.uri.error(&error))?;
            more = page.more && !page.names.is_empty();
            for name in &page.names {
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
            after = page.names.into_iter().next_back();
        }
        if !any && self.format == Format::Text {
            let (uri, prefix) = (self.uri.text(), &self.prefix);
            if prefix.is_empty() {
                note(format_args!("There is no stream in {uri}."));
            } else {
                note(format_args!(
                    "No stream in {uri} has a name that begins with \"{prefix}\"."
                ));
            }
        }
        Ok(())
    }
}
