use std::path::{Path, PathBuf};

use super::super::clock::unix_ms;
use super::super::output::counted;
use super::super::progress_line::ProgressLine;
use super::super::{CliError, Output};
use super::{existing, folder_error};
use distributedlog_store::embedded::{self, RealDisk, is_store_file};

/// Copy a store to another folder, also while it is in use.
///
/// The backup has everything that was acknowledged before it began, and is a store itself. A later
/// backup to the same folder copies what is new.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog store backup /var/lib/dlog /mnt/backup/dlog
  dlog store check /mnt/backup/dlog")]
pub(crate) struct Args {
    /// The folder of the store
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// The folder of the backup: an earlier one of this store, or a new folder
    #[arg(value_name = "TO")]
    to: PathBuf,
}

/// Copy a backup to a folder that has no store.
///
/// What was written after the backup is not there, and its positions are given to other records:
/// remove the position files of readers that had read further.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog store restore /mnt/backup/dlog /var/lib/dlog
  dlog local --data /var/lib/dlog")]
pub(crate) struct RestoreArgs {
    /// The folder of the backup
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,

    /// The folder of the store, which is created
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Args {
    pub(super) fn run(&self, output: &Output) -> Result<(), CliError> {
        copy(&self.folder, &self.to, "backed up", output)
    }
}

impl RestoreArgs {
    pub(super) fn run(&self, output: &Output) -> Result<(), CliError> {
        let there = std::fs::read_dir(&self.folder).into_iter().flatten();
        let has_store = there
            .flatten()
            .any(|file| is_store_file(&file.file_name().to_string_lossy()));
        if has_store {
            let place = self.folder.display();
            return Err(CliError::failure(format!(
                "{place} has a store already; nothing was changed"
            ))
            .tip("move it away first, or name another folder"));
        }
        copy(&self.backup, &self.folder, "restored", output)
    }
}

fn copy(from: &Path, to: &Path, done: &str, output: &Output) -> Result<(), CliError> {
    existing(from)?;
    if from == to {
        return Err(CliError::usage("a store cannot be copied to itself"));
    }
    let mut line = ProgressLine::new();
    let copied = embedded::backup(&RealDisk, from, to, unix_ms(), &mut |bytes| {
        line.show(|| format!("copied {} MiB", bytes >> 20));
    });
    drop(line);
    let report = copied.map_err(|error| folder_error(&error))?;
    let id = report.id.map_or_else(String::new, |id| format!(" {id}"));
    let kept = match report.kept_volumes {
        0 => String::new(),
        kept => format!(", {kept} of them copied before"),
    };
    output.line(format_args!(
        "{done} the store{id}: {}, {}{kept}, {} bytes copied",
        counted(report.streams, "stream"),
        counted(report.volumes, "volume"),
        report.copied_bytes
    ))
}
