use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::clock::unix_ms;
use super::super::progress_line::ProgressLine;
use super::super::{CliError, Format, Output, confirm};
use super::check::percent;
use super::report::{self, entries};
use super::{existing, folder_error};
use distributedlog_store::embedded::{self, CheckReport, EmbeddedSettings, RealDisk};
use distributedlog_store::utc;

/// Repair the files of a store that no process has open.
///
/// Says first what will be lost, and asks, unless -f is given. Indexes and metadata are made again.
/// Records that cannot be read are given up: their positions stay, and readers go on behind them.
/// Files that are damaged are copied to a folder `damaged-TIME` in the store's folder before.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog store check /var/lib/dlog
  dlog store repair /var/lib/dlog")]
pub(crate) struct Args {
    /// The folder of the store
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Args {
    pub(super) fn run(&self, output: &Output) -> Result<(), CliError> {
        let folder = &self.folder;
        existing(folder)?;
        let mut line = ProgressLine::new();
        let found = embedded::check(&RealDisk, folder, unix_ms(), &mut |progress| {
            line.show(|| percent(progress));
        });
        drop(line);
        let found = found.map_err(|error| folder_error(&error))?;
        report::print(&found, Format::Text, output)?;
        if found.is_intact() {
            return Ok(());
        }
        let question = match found.lost_entries() {
            0 => "Repair the files? No entry that is known is lost.".to_owned(),
            lost => format!("Repair the files and give up {}?", entries(lost)),
        };
        if !confirm::confirm(&question, self.force, output)? {
            output.line("nothing was changed")?;
            return Ok(());
        }
        let kept = keep_damaged(folder, &found)?;
        let settings = EmbeddedSettings::new(folder);
        let clock = Arc::new(unix_ms);
        let mut line = ProgressLine::new();
        let repaired = embedded::repair(settings, Arc::new(RealDisk), clock, &mut |progress| {
            line.show(|| percent(progress));
        });
        drop(line);
        repaired.map_err(|error| folder_error(&error))?;
        output.line("the store is repaired")?;
        if let Some(kept) = kept {
            let place = kept.display();
            output.line(format_args!("the damaged files as they were: {place}"))?;
        }
        Ok(())
    }
}

/// Copies the damaged files to a folder beside them. Returns it, or `None` if all of them are
/// missing.
///
/// # Errors
/// They cannot be copied: the repair must not begin.
fn keep_damaged(folder: &Path, found: &CheckReport) -> Result<Option<PathBuf>, CliError> {
    let time = utc::text(unix_ms()).replace([':', ' '], "-");
    let target = folder.join(format!("damaged-{time}"));
    let mut any = false;
    let mut paths: Vec<&str> = found.damages.iter().map(|damage| &*damage.path).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let path = Path::new(path);
        let (Some(name), true) = (path.file_name(), path.is_file()) else {
            continue;
        };
        let copied = fs::create_dir_all(&target)
            .and_then(|()| fs::copy(path, target.join(name)))
            .and_then(|_| fs::File::open(target.join(name))?.sync_all());
        copied.map_err(|error: io::Error| {
            let place = path.display();
            CliError::failure(format!(
                "the damaged file {place} cannot be kept in {}: {error}; nothing was repaired",
                target.display()
            ))
        })?;
        any = true;
    }
    Ok(any.then_some(target))
}
