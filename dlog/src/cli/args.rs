use clap::{ArgAction, Parser, Subcommand};

use super::logging::{self, Verbosity};
use super::{Fault, Output, Shutdown, completions, console, local, multi_reader, proxy, quickstart, tool};

/// Write records to several log streams at once, and read them back.
#[derive(Debug, Parser)]
#[command(
    name = "dlog",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = false,
    subcommand_required = true,
    after_help = "\
The tutorial in one process:
  dlog quickstart

The tutorial, one terminal each:
  dlog local 7000
  dlog proxy -p 8000 --shard-id 1 -sp 8001 -u distributedlog://127.0.0.1:7000/messaging/distributedlog -mx
  dlog tool create -u distributedlog://127.0.0.1:7000/messaging/distributedlog -r basic-stream- -e 3-7
  dlog multi-reader distributedlog://127.0.0.1:7000/messaging/distributedlog basic-stream-3,basic-stream-4
  dlog console-multi-writer 'inet!127.0.0.1:8000' basic-stream-3,basic-stream-4

Exit status: 0 done, 1 failed, 2 the command line cannot mean anything."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log more to the standard error (-vv debug, -vvv trace). RUST_LOG, when set, decides instead.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Logging")]
    pub(crate) verbose: u8,

    /// Log less (-q errors only, -qq nothing).
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Logging")]
    pub(crate) quiet: u8,
}

/// What `dlog` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try everything in one process: store, proxy, reader and a console to type records into
    Quickstart(quickstart::Args),
    /// Serve a store in a folder of this machine to proxies, readers and the tool
    Local(local::Args),
    /// Run the write proxy
    Proxy(proxy::Args),
    /// Create, list, look into and delete log streams
    Tool(tool::Args),
    /// Print the records of several streams, and go on as they arrive
    #[command(alias = "multi_reader")]
    MultiReader(multi_reader::Args),
    /// Write each line that is typed or piped in as a record to one of several streams
    #[command(alias = "console_multi_writer")]
    ConsoleMultiWriter(console::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

impl Cli {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// Why it did not do what it was asked.
    pub(crate) fn run(self) -> Result<(), Fault> {
        let verbosity = Verbosity::new(self.verbose, self.quiet);
        let output = Output::stdout();
        // No runtime and no log for what only turns text into text.
        match self.command {
            Command::Completions(args) => args.run(&output),
            Command::Tool(args) if args.is_offline() => args.run_offline(&output),
            command @ (Command::Quickstart(_)
            | Command::Local(_)
            | Command::Proxy(_)
            | Command::Tool(_)
            | Command::MultiReader(_)
            | Command::ConsoleMultiWriter(_)) => command.start(verbosity, &output, self.verbose),
        }
    }
}

impl Command {
    /// Runs the command on a runtime of its own.
    fn start(self, verbosity: Verbosity, output: &Output, verbose: u8) -> Result<(), Fault> {
        let serves = matches!(self, Self::Local(_) | Self::Proxy(_));
        logging::start(if serves { verbosity.of_server() } else { verbosity });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Fault::failure(format!("cannot start the threads that do the work: {error}")))?;
        let ended = runtime.block_on(self.run(output, verbose));
        // A thread that waits for the terminal's next line must not keep the process.
        runtime.shutdown_background();
        ended
    }

    async fn run(self, output: &Output, verbose: u8) -> Result<(), Fault> {
        let shutdown = Shutdown::on_signals();
        match self {
            Self::Quickstart(args) => args.run(output, verbose, &shutdown).await,
            Self::Local(args) => args.run(output, &shutdown).await,
            Self::Proxy(args) => args.run(output, &shutdown).await,
            Self::Tool(args) => shutdown_ends(&shutdown, args.run(output)).await,
            Self::MultiReader(args) => args.run(output, &shutdown).await,
            Self::ConsoleMultiWriter(args) => args.run(output, verbose, &shutdown).await,
            Self::Completions(args) => args.run(output),
        }
    }
}

/// Runs what has nothing to drain until it ends or is asked to.
async fn shutdown_ends(shutdown: &Shutdown, work: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    tokio::select! {
        ended = work => ended,
        () = shutdown.asked() => Err(Fault::failure("interrupted before the end")),
    }
}
