//! Commands for the files of a store in a folder.

mod backup;
mod check;
mod repair;
mod report;

use std::path::Path;

use super::{CliError, Output, namespace};
use distributedlog_store::StoreError;
use distributedlog_store::embedded::is_store_file;

/// Check, repair and back up the files of a store
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog store backup /var/lib/dlog /mnt/backup/dlog
  dlog store check /var/lib/dlog")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Args),
    Repair(repair::Args),
    Backup(backup::Args),
    Restore(backup::RestoreArgs),
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the command.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let output = output.clone();
        // They read and write files, for minutes where there is much.
        let work = tokio::task::spawn_blocking(move || match self.command {
            Command::Check(args) => args.run(&output),
            Command::Repair(args) => args.run(&output),
            Command::Backup(args) => args.run(&output),
            Command::Restore(args) => args.run(&output),
        });
        work.await.expect("the commands do not panic")
    }
}

/// Converts an error about a folder for the user.
fn folder_error(error: &StoreError) -> CliError {
    if let StoreError::InUse { .. } = error {
        return CliError::failure(error.to_string())
            .tip("stop that process first; `dlog store backup` works beside it");
    }
    if let StoreError::Refused { address, detail } = error {
        return CliError::failure(format!("{address} cannot be used: {detail}"));
    }
    if let StoreError::Corrupt { .. } = error {
        return CliError::failure(error.to_string())
            .tip("see what is damaged with: dlog store check DIR");
    }
    namespace::store_error(error, None)
}

/// Checks that a folder is there and has a store.
///
/// # Errors
/// It has not: nothing is created by a command that checks.
fn existing(folder: &Path) -> Result<(), CliError> {
    let place = folder.display();
    let tip = "name the folder of --data, or the one that `dlog local` logs";
    if !folder.is_dir() {
        return Err(CliError::failure(format!("there is no folder {place}")).tip(tip));
    }
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    // A folder that cannot be listed is reported by the work itself.
    if std::fs::read_dir(folder).is_ok() && !names.any(|name| is_store_file(&name)) {
        let message = format!("{place} cannot be used: it has no store");
        return Err(CliError::failure(message).tip(tip));
    }
    Ok(())
}
