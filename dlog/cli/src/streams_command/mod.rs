//! `dlog streams`: the streams of a namespace, or those behind a proxy's HTTP port.

mod change;
mod list;
mod owners;
mod rows;

use std::sync::Arc;

use clap::Subcommand;
use distributedlog_store::{LogStore, StreamName};

use super::administer::{self, Administered, ShownLedgers};
use super::place::Place;
use super::streams::StreamList;
use super::target::TargetArgs;
use super::{CliError, Format, Output};

/// List, show, create, change and delete streams.
///
/// In a namespace, or through a proxy's HTTP port: --to says where. Programs read --format json:
/// one object a line.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  export DLOG_TO=http://127.0.0.1:8002
  dlog streams list
  dlog streams create orders,refunds
  dlog streams retention orders --age 7d
  dlog streams delete orders"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: StreamsCommand,
}

// Each command's first line of help stands on its arguments.
#[derive(Debug, Subcommand)]
enum StreamsCommand {
    #[command(alias = "ls")]
    List(list::Args),
    #[command(alias = "show")]
    Info(InfoArgs),
    Create(change::CreateArgs),
    #[command(alias = "rm")]
    Delete(change::DeleteArgs),
    Truncate(change::TruncateArgs),
    Retention(change::RetentionArgs),
    Owners(owners::Args),
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        match self.command {
            StreamsCommand::List(args) => args.run(output).await,
            StreamsCommand::Info(args) => args.run(output).await,
            StreamsCommand::Create(args) => args.run(output).await,
            StreamsCommand::Delete(args) => args.run(output).await,
            StreamsCommand::Truncate(args) => args.run(output).await,
            StreamsCommand::Retention(args) => args.run(output).await,
            StreamsCommand::Owners(args) => args.run(output).await,
        }
    }
}

/// The streams of the place that the flags name.
struct Connected {
    store: Arc<dyn LogStore>,
    place: Place,
}

impl Connected {
    async fn open(at: &TargetArgs) -> Result<Self, CliError> {
        let (store, place) = administer::connect(&at.resolve()?).await?;
        Ok(Self { store, place })
    }

    fn administered(&self) -> Result<Administered<'_>, CliError> {
        Administered::of(self.store.as_ref(), &self.place)
    }
}

/// Returns the streams that lists name, in their order, each once.
fn names(lists: &[StreamList]) -> Vec<StreamName> {
    let mut names: Vec<StreamName> = Vec::new();
    for name in lists.iter().flat_map(StreamList::names) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Show the state of streams: positions, owner, retention, log segments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog streams info --to http://127.0.0.1:8002 orders
  dlog streams info --to distributedlog://127.0.0.1:7000/messaging/distributedlog a,b")]
struct InfoArgs {
    /// The streams, separated by commas or spaces; a comma in a name is written \,
    #[arg(value_name = "STREAM", required = true)]
    streams: Vec<StreamList>,

    /// Leave the log segments out
    #[arg(long)]
    no_log_segments: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    at: TargetArgs,
}

impl InfoArgs {
    async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = names(&self.streams);
        let connected = Connected::open(&self.at).await?;
        let ledgers = connected.ledgers(&names).await?;
        let (at, brief) = (connected.administered()?, self.no_log_segments);
        administer::show(at, &names, &ledgers, brief, self.format, output).await
    }
}

impl Connected {
    /// Returns the ledgers of the streams' log segments, if they lie on BookKeeper.
    #[cfg(feature = "bookkeeper")]
    async fn ledgers(&self, names: &[StreamName]) -> Result<ShownLedgers, CliError> {
        match &self.place {
            Place::Namespace(uri) => super::tool::shown_ledgers(uri, names).await,
            Place::Http(_) | Place::Proxies(_) => Ok(ShownLedgers::new()),
        }
    }

    #[cfg(not(feature = "bookkeeper"))]
    #[expect(clippy::unused_async, reason = "as with BookKeeper")]
    async fn ledgers(&self, _: &[StreamName]) -> Result<ShownLedgers, CliError> {
        Ok(ShownLedgers::new())
    }
}

#[cfg(test)]
mod tests;
