//! `dlog tool`: creates, lists, shows, dumps, truncates and deletes log streams.

#[cfg(feature = "bookkeeper")]
mod bookkeeper;
mod count;
mod create;
mod delete;
mod dlsn;
mod dump;
mod list;
mod retention;
mod show;
mod truncate;

use clap::Subcommand;

#[cfg(feature = "bookkeeper")]
pub(crate) use bookkeeper::shown_ledgers;
#[cfg(feature = "bookkeeper")]
use bookkeeper::{audit, inspect, ledgers, recover};

use super::{CliError, Output};

/// Create, list, inspect and delete log streams.
///
/// Accepts the commands and flags of the original's tool that have a meaning here, also in the
/// original's spelling (truncate_stream, serialize_dlsn, -dlsn, -b64, …).
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  export DLOG_URI=distributedlog://127.0.0.1:7000/messaging/distributedlog
  dlog tool create -r basic-stream- -e 3-7
  dlog tool list
  dlog tool dump -s basic-stream-3

For programs, --format json prints one JSON object per line."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ToolCommand,
}

// Each command's first line of help stands on its arguments.
#[derive(Debug, Subcommand)]
enum ToolCommand {
    Create(create::Args),
    List(list::Args),
    Show(show::Args),
    Dump(dump::Args),
    Count(count::Args),
    Delete(delete::Args),
    Retention(retention::Args),
    #[command(aliases = ["truncate_stream", "truncate-stream"])]
    Truncate(truncate::Args),
    #[cfg(feature = "bookkeeper")]
    Inspect(inspect::Args),
    #[cfg(feature = "bookkeeper")]
    Recover(recover::Args),
    #[cfg(feature = "bookkeeper")]
    Audit(audit::Args),
    #[cfg(feature = "bookkeeper")]
    #[command(name = "listbookies", alias = "list-bookies")]
    ListBookies(ledgers::ListBookiesArgs),
    #[cfg(feature = "bookkeeper")]
    #[command(name = "readlac", alias = "read-lac")]
    ReadLac(ledgers::ReadLacArgs),
    #[cfg(feature = "bookkeeper")]
    #[command(name = "readentries", alias = "read-entries")]
    ReadEntries(ledgers::ReadEntriesArgs),
    #[cfg(feature = "bookkeeper")]
    #[command(name = "findledger", alias = "find-ledger")]
    FindLedger(ledgers::FindLedgerArgs),
    #[command(alias = "serialize_dlsn")]
    SerializeDlsn(dlsn::SerializeArgs),
    #[command(alias = "deserialize_dlsn")]
    DeserializeDlsn(dlsn::DeserializeArgs),
}

impl Args {
    /// Returns true if the command only converts text.
    #[must_use]
    pub(crate) const fn is_offline(&self) -> bool {
        matches!(
            self.command,
            ToolCommand::SerializeDlsn(_) | ToolCommand::DeserializeDlsn(_)
        )
    }

    /// Runs a command that only converts text.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn run_offline(self, output: &Output) -> Result<(), CliError> {
        match self.command {
            ToolCommand::SerializeDlsn(args) => args.run(output),
            ToolCommand::DeserializeDlsn(args) => args.run(output),
            ToolCommand::Create(_)
            | ToolCommand::List(_)
            | ToolCommand::Show(_)
            | ToolCommand::Dump(_)
            | ToolCommand::Count(_)
            | ToolCommand::Delete(_)
            | ToolCommand::Retention(_)
            | ToolCommand::Truncate(_) => {
                unreachable!("the caller checks is_offline first")
            }
            #[cfg(feature = "bookkeeper")]
            ToolCommand::Inspect(_)
            | ToolCommand::Recover(_)
            | ToolCommand::Audit(_)
            | ToolCommand::ListBookies(_)
            | ToolCommand::ReadLac(_)
            | ToolCommand::ReadEntries(_)
            | ToolCommand::FindLedger(_) => {
                unreachable!("the caller checks is_offline first")
            }
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        match self.command {
            ToolCommand::Create(args) => args.run(output).await,
            ToolCommand::List(args) => args.run(output).await,
            ToolCommand::Show(args) => args.run(output).await,
            ToolCommand::Dump(args) => args.run(output).await,
            ToolCommand::Count(args) => args.run(output).await,
            ToolCommand::Delete(args) => args.run(output).await,
            ToolCommand::Retention(args) => args.run(output).await,
            ToolCommand::Truncate(args) => args.run(output).await,
            #[cfg(feature = "bookkeeper")]
            ToolCommand::Inspect(args) => args.run(output).await,
            #[cfg(feature = "bookkeeper")]
            ToolCommand::Recover(args) => args.run(output).await,
            #[cfg(feature = "bookkeeper")]
            ToolCommand::Audit(args) => args.run(output).await,
            #[cfg(feature = "bookkeeper")]
            ToolCommand::ListBookies(args) => args.run(output).await,
            #[cfg(feature = "bookkeeper")]
            ToolCommand::ReadLac(args) => args.run(output).await,
            #[cfg(feature = "bookkeeper")]
            ToolCommand::ReadEntries(args) => args.run(output).await,
            #[cfg(feature = "bookkeeper")]
            ToolCommand::FindLedger(args) => args.run(output).await,
            ToolCommand::SerializeDlsn(args) => args.run(output),
            ToolCommand::DeserializeDlsn(args) => args.run(output),
        }
    }
}

#[cfg(test)]
mod tests;
