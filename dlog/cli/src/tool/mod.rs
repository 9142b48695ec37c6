//! `dlog tool`: create, list, look into, truncate and delete log streams.

mod count;
mod create;
mod delete;
mod dlsn;
mod dump;
mod list;
mod show;
mod truncate;

use clap::Subcommand;

use super::{Fault, Output};

/// Create, list, look into and delete log streams.
///
/// The commands and flags of the original's tool work where they mean something here, in their
/// spelling too (truncate_stream, serialize_dlsn, -dlsn, -b64, …).
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

Where output is read by machines, --format json prints one JSON object per line."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Tool,
}

// Each command's first line of help stands on its arguments.
#[derive(Debug, Subcommand)]
enum Tool {
    Create(create::Args),
    List(list::Args),
    Show(show::Args),
    Dump(dump::Args),
    Count(count::Args),
    Delete(delete::Args),
    #[command(aliases = ["truncate_stream", "truncate-stream"])]
    Truncate(truncate::Args),
    #[command(alias = "serialize_dlsn")]
    SerializeDlsn(dlsn::SerializeArgs),
    #[command(alias = "deserialize_dlsn")]
    DeserializeDlsn(dlsn::DeserializeArgs),
}

impl Args {
    /// Whether the command only turns text into text.
    #[must_use]
    pub(crate) const fn is_offline(&self) -> bool {
        matches!(
            self.command,
            Tool::SerializeDlsn(_) | Tool::DeserializeDlsn(_)
        )
    }

    /// Runs a command that only turns text into text.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn run_offline(self, output: &Output) -> Result<(), Fault> {
        match self.command {
            Tool::SerializeDlsn(args) => args.run(output),
            Tool::DeserializeDlsn(args) => args.run(output),
            Tool::Create(_)
            | Tool::List(_)
            | Tool::Show(_)
            | Tool::Dump(_)
            | Tool::Count(_)
            | Tool::Delete(_)
            | Tool::Truncate(_) => {
                unreachable!("is_offline was asked first")
            }
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Why it did not do what it was asked.
    pub(crate) async fn run(self, output: &Output) -> Result<(), Fault> {
        match self.command {
            Tool::Create(args) => args.run(output).await,
            Tool::List(args) => args.run(output).await,
            Tool::Show(args) => args.run(output).await,
            Tool::Dump(args) => args.run(output).await,
            Tool::Count(args) => args.run(output).await,
            Tool::Delete(args) => args.run(output).await,
            Tool::Truncate(args) => args.run(output).await,
            Tool::SerializeDlsn(args) => args.run(output),
            Tool::DeserializeDlsn(args) => args.run(output),
        }
    }
}

#[cfg(test)]
mod tests;
