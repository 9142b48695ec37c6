use std::path::PathBuf;

use super::super::clock::unix_ms;
use super::super::progress_line::ProgressLine;
use super::super::{CliError, Format, Output};
use super::report;
use super::{existing, folder_error};
use distributedlog_store::embedded::{self, CheckProgress, RealDisk};

/// Check the files of a store that no process has open. Changes nothing.
///
/// Reads all metadata, all indexes and every record that can be read, and says what is damaged and
/// which records that costs. Exits with status 0 if everything is intact, and 1 if not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog store check /var/lib/dlog
  dlog store check /var/lib/dlog --format json")]
pub(crate) struct Args {
    /// The folder of the store
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Text for people, or one JSON object
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    pub(super) fn run(&self, output: &Output) -> Result<(), CliError> {
        existing(&self.folder)?;
        let mut line = ProgressLine::new();
        let checked = embedded::check(&RealDisk, &self.folder, unix_ms(), &mut |progress| {
            line.show(|| percent(progress));
        });
        drop(line);
        let found = checked.map_err(|error| folder_error(&error))?;
        report::print(&found, self.format, output)?;
        if found.is_intact() {
            return Ok(());
        }
        let place = self.folder.display();
        Err(CliError::failure("the store is damaged").tip(format!(
            "keep a copy of the folder; then: dlog store repair {place}"
        )))
    }
}

/// Formats how far a check is.
pub(super) fn percent(progress: CheckProgress) -> String {
    let CheckProgress {
        checked_bytes,
        total_bytes,
        ..
    } = progress;
    let percent = (checked_bytes * 100).checked_div(total_bytes);
    format!("checked {} %", percent.unwrap_or(100))
}
