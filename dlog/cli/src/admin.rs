//! `dlog admin`: binds namespaces to clusters of BookKeeper.

use clap::Subcommand;

use super::namespace;
use super::{CliError, Output, confirm};
use distributedlog_store::bookkeeper::operator::{self, BindError, BindOptions, Bound};
use distributedlog_store::uri::Uri;

/// Bind namespaces to clusters of BookKeeper.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples, with URI=distributedlog://zk-1:2181,zk-2:2181/messaging/distributedlog:
  dlog admin bind -l /ledgers -s zk-1:2181,zk-2:2181 -c $URI
  dlog admin unbind $URI"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: AdminCommand,
}

// Each command's first line of help stands on its arguments.
#[derive(Debug, Subcommand)]
enum AdminCommand {
    Bind(BindArgs),
    Unbind(UnbindArgs),
}

/// Bind a namespace to a cluster of BookKeeper.
///
/// Write proxies, readers and tools, Java's too, find the cluster by it. Without -c the namespace
/// must exist. A namespace that is bound to another cluster is not changed, unless -f is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181,zk-2:2181/messaging/distributedlog:
  dlog admin bind -c $URI
      to the cluster whose ledgers are at /ledgers in the same ZooKeeper
  dlog admin bind -l /ledgers -s zk-1:2181,zk-2:2181 -c $URI")]
struct BindArgs {
    /// The namespace: distributedlog://ZOOKEEPER:PORT/NAMESPACE
    #[arg(value_name = "URI")]
    uri: Uri,

    /// The root of the cluster's ledgers in ZooKeeper
    #[arg(
        short,
        long = "bk-ledgers",
        value_name = "PATH",
        default_value = "/ledgers"
    )]
    ledgers: String,

    /// ZooKeeper servers of the cluster, HOST:PORT,HOST:PORT [default: those of the URI]
    #[arg(short, long = "bk-zk-servers", value_name = "SERVERS")]
    servers: Option<String>,

    /// The same for Java's readers (-bkzr) [default: those of -s]
    #[arg(long, value_name = "SERVERS")]
    bk_zk_servers_for_reader: Option<String>,

    /// ZooKeeper servers of the namespace for Java's writers (-dlzw) [default: those of the URI]
    #[arg(long, value_name = "SERVERS")]
    dl_zk_servers_for_writer: Option<String>,

    /// The same for Java's readers (-dlzr) [default: those of -dlzw]
    #[arg(long, value_name = "SERVERS")]
    dl_zk_servers_for_reader: Option<String>,

    /// The number of a stream's first log segment (-seqno) [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    first_log_segment_seqno: Option<i64>,

    /// Create the namespace if it does not exist
    #[arg(short, long)]
    creation: bool,

    /// Replace the binding to another cluster
    #[arg(short, long)]
    force: bool,
}

/// Remove a namespace's binding; its streams and their ledgers stay.
///
/// Asks first, unless -f is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181,zk-2:2181/messaging/distributedlog:
  dlog admin unbind $URI
  dlog admin unbind -f $URI")]
struct UnbindArgs {
    /// The namespace: distributedlog://ZOOKEEPER:PORT/NAMESPACE
    #[arg(value_name = "URI")]
    uri: Uri,

    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        match self.command {
            AdminCommand::Bind(args) => args.run(output).await,
            AdminCommand::Unbind(args) => args.run(output).await,
        }
    }
}

impl BindArgs {
    async fn run(self, output: &Output) -> Result<(), CliError> {
        let uri = &self.uri;
        let options = BindOptions {
            ledgers: self.ledgers.clone(),
            servers: self.servers.clone(),
            servers_for_readers: self.bk_zk_servers_for_reader.clone(),
            namespace_servers: self.dl_zk_servers_for_writer.clone(),
            namespace_servers_for_readers: self.dl_zk_servers_for_reader.clone(),
            first_sequence_number: self.first_log_segment_seqno,
            replaces: self.force,
            creates: self.creation,
        };
        let bound = operator::bind(uri, &options).await;
        match bound.map_err(|error| self.refused(&error))? {
            Bound::Now => output.line(format_args!(
                "Bound {uri} to the ledgers at {}.",
                self.ledgers
            )),
            Bound::Already => output.line(format_args!(
                "{uri} is bound to the ledgers at {} already.",
                self.ledgers
            )),
        }
    }

    fn refused(&self, error: &BindError) -> CliError {
        let tip = match error {
            BindError::NoCluster { .. } => {
                "format the cluster once, on a bookie's machine, with: bookkeeper shell \
                 initnewcluster; or name its ledgers with -l PATH and its ZooKeeper with -s"
            }
            BindError::NoNamespace { .. } => "create the namespace with -c",
            BindError::BoundElsewhere { .. } => {
                "replace the binding with -f; streams keep the ledgers that they have"
            }
            BindError::Store(error) => return namespace::zookeeper_error(error, &self.uri),
        };
        CliError::failure(error.to_string()).tip(tip)
    }
}

impl UnbindArgs {
    async fn run(self, output: &Output) -> Result<(), CliError> {
        let uri = &self.uri;
        let question =
            format!("You are going to unbind {uri}: nothing can use it until it is bound");
        if !confirm::confirm(&question, self.force, output)? {
            super::output::note("Nothing was changed.");
            return Ok(());
        }
        let unbound = operator::unbind(uri).await;
        unbound.map_err(|error| namespace::zookeeper_error(&error, uri))?;
        output.line(format_args!("Unbound {uri}."))
    }
}
