use distributedlog_store::bookkeeper::operator::NamedLedgers;
use distributedlog_store::{StoreError, StreamName};

use super::super::super::namespace;
use super::super::super::output::counted;
use super::super::super::progress_line::ProgressLine;
use super::super::super::target::NamespaceArg;
use super::super::super::{CliError, Format, Output, record_text};

/// Check the log segments of streams and their ledgers against each other.
///
/// Only reads. Prints what is wrong, one line each, and exits with status 1 if there is something.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181/messaging/distributedlog:
  dlog tool inspect -u $URI
  dlog tool inspect -u $URI -r basic-stream- --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: NamespaceArg,

    /// Check only streams whose names begin with this prefix (the original's -ft)
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

impl Args {
    /// Checks the streams.
    ///
    /// # Errors
    /// The cluster cannot be reached, or something is wrong.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let uri = &self.uri.uri()?;
        let failed = |error| namespace::zookeeper_error(&error, uri);
        let operator = super::operator(uri).await?;
        let names = operator.streams().await.map_err(failed)?;
        let names: Vec<StreamName> = names
            .into_iter()
            .filter(|name| name.as_str().starts_with(&self.prefix))
            .collect();
        let (mut named, mut progress) = (NamedLedgers::default(), ProgressLine::new());
        let (mut checked, mut wrong) = (0, 0);
        for (done, name) in names.iter().enumerate() {
            progress.show(|| format!("streams checked: {done}"));
            let found = match operator.inspect(name, &mut named).await {
                Ok(found) => found,
                // Deleted meanwhile.
                Err(StoreError::StreamNotFound(_)) => continue,
                Err(error) => return Err(failed(error)),
            };
            checked += 1;
            wrong += found.len();
            for finding in found {
                progress.clear();
                match self.format {
                    Format::Text => output.line(finding)?,
                    Format::Json => record_text::json_line(output, &finding)?,
                }
            }
        }
        progress.clear();
        let checked = counted(checked, "stream");
        if wrong > 0 {
            let wrong = counted(wrong as u64, "finding");
            return Err(CliError::failure(format!("{wrong} in {checked}")));
        }
        if self.format == Format::Text {
            output.line(format_args!("Checked {checked}: nothing is wrong."))?;
        }
        Ok(())
    }
}
