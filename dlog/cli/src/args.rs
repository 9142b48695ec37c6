use std::ffi::OsString;
use std::path::PathBuf;

#[cfg(test)]
use clap::FromArgMatches as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};

#[cfg(feature = "bookkeeper")]
use super::admin;
use super::logging::{self, LogFormat, Verbosity};
use super::output;
use super::{
    CliError, Output, Shutdown, bench, completions, config, console, doctor, local, man,
    multi_reader, original, proxy, quickstart, read, sim, store, streams_command, target, token,
    tool, top, write,
};
use distributedlog_store::uri::{DEFAULT_PORT, Uri};

/// Write records to several log streams at once, and read them back.
#[derive(Debug, Parser)]
#[command(
    name = "dlog",
    version,
    long_version = super::version::long(),
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
The tutorial in one process:
  dlog quickstart

The tutorial, one terminal each:
  URI=distributedlog://127.0.0.1:7000/messaging/distributedlog
  dlog local 7000
  dlog proxy -p 8000 --shard-id 1 -sp 8001 -u $URI -mx
  dlog tool create -u $URI -r basic-stream- -e 3-7
  dlog multi-reader $URI basic-stream-3,basic-stream-4,basic-stream-5
  dlog console-multi-writer 'inet!127.0.0.1:8000' basic-stream-3,basic-stream-4,basic-stream-5

Exit status: 0 done, 1 failed, 2 usage error, 3 the outcome of a write is unknown."
)]
pub(crate) struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log more to the standard error (-vv debug, -vvv trace). RUST_LOG overrides it when
    /// set.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Logging")]
    pub(crate) verbose: u8,

    /// Log less (-q errors only, -qq nothing).
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Logging")]
    pub(crate) quiet: u8,

    /// Format of the log
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Logging"
    )]
    pub(crate) log_format: LogFormat,

    /// Take settings and contexts from this file [default: config.toml in the user's folder; see
    /// dlog config]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = config::VARIABLE,
        hide_env = true,
        help_heading = "Configuration"
    )]
    pub(crate) config: Option<PathBuf>,
}

// Each command's first line of help stands on its arguments.
/// Commands of `dlog`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(quickstart::Args),
    Local(local::Args),
    // Many flags, hence the box.
    Proxy(Box<proxy::Args>),
    // Many flags, hence the box.
    Write(Box<write::Args>),
    // Many flags, hence the box.
    Read(Box<read::Args>),
    // Many flags, hence the box.
    Tail(Box<read::TailArgs>),
    // Many flags, hence the box.
    Streams(Box<streams_command::Args>),
    // Many flags, hence the box.
    Tool(Box<tool::Args>),
    // Many flags, hence the box.
    Top(Box<top::Args>),
    Store(store::Args),
    #[cfg(feature = "bookkeeper")]
    Admin(admin::Args),
    #[command(alias = "multi_reader")]
    MultiReader(multi_reader::Args),
    #[command(alias = "console_multi_writer")]
    ConsoleMultiWriter(console::Args),
    // Many flags, hence the box.
    Bench(Box<bench::Args>),
    // Many flags, hence the box.
    Sim(Box<sim::Args>),
    Doctor(doctor::Args),
    Context(target::ContextArgs),
    Config(config::Args),
    Token(token::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Lays out the help of a command and of its subcommands. The paragraphs of its documentation after
/// the first line stand above the usage, and `-h` and `--help` print the same text: clap's long
/// help would take three lines for each flag.
fn laid_out(command: clap::Command) -> clap::Command {
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let more = command
        .get_long_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let more = more
        .strip_prefix(&about)
        .unwrap_or_default()
        .trim_start_matches('.')
        .trim();
    let (command, template) = if more.is_empty() {
        (
            command,
            "{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}",
        )
    } else {
        (
            command.before_help(more.to_owned()),
            "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}",
        )
    };
    command
        .long_about(None)
        .max_term_width(100)
        .help_template(template)
        .mut_subcommands(laid_out)
}

/// Adds a tip with a URI to type to an error about a missing namespace URI: users do not know the
/// URI by heart.
fn with_uri_tip(mut error: clap::Error) -> clap::Error {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing))
            if error.kind() == ErrorKind::MissingRequiredArgument =>
        {
            missing.join(" ")
        }
        Some(_) | None => return error,
    };
    if missing.contains("URI") {
        let tip = format!(
            "with `dlog local` on this machine it is {}",
            Uri::local("127.0.0.1", DEFAULT_PORT)
        );
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

impl Cli {
    /// Returns the whole command, with its help laid out.
    pub(crate) fn laid_out() -> clap::Command {
        laid_out(Self::command())
    }

    /// Reads a command line, the program's name included, and the configuration file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_configured(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<config::Configured, clap::Error> {
        config::read(args).map_err(|error| original::with_replacement(with_uri_tip(error)))
    }

    /// Reads a command line, the program's name included, without a configuration file.
    ///
    /// # Errors
    /// A usage error, or the command line asks for help or the version. In both cases the error
    /// prints the text for the user.
    #[cfg(test)]
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::laid_out()
            .try_get_matches_from(super::legacy::rewrite(args))
            .map_err(|error| original::with_replacement(with_uri_tip(error)))?;
        Self::from_arg_matches(&matches)
    }

    /// Runs the command to its end. `file_error` is that of the configuration file, which ends the
    /// commands that have settings.
    ///
    /// # Errors
    /// The command failed.
    pub(crate) fn run(self, file_error: Option<CliError>) -> Result<(), CliError> {
        let verbosity = Verbosity::new(self.verbose, self.quiet);
        let output = Output::stdout();
        let variable = std::env::var_os(config::VARIABLE).map(PathBuf::from);
        let location = || config::Location::find(self.config.as_deref(), variable.as_deref());
        let needs_file = !matches!(
            self.command,
            Command::Completions(_)
                | Command::Man(_)
                | Command::Context(_)
                | Command::Config(_)
                | Command::Token(_)
        );
        if let Some(error) = file_error.filter(|_| needs_file) {
            return Err(error);
        }
        // Commands that only convert text need no runtime and no log.
        match self.command {
            Command::Context(args) => args.run(location().as_ref(), &output),
            Command::Config(args) => args.run(location().as_ref(), &output),
            Command::Token(args) => args.run(&output),
            Command::Completions(args) => args.run(&output),
            Command::Man(args) => args.run(&output),
            Command::Tool(args) if args.is_offline() => args.run_offline(&output),
            command @ (Command::Quickstart(_)
            | Command::Local(_)
            | Command::Proxy(_)
            | Command::Write(_)
            | Command::Read(_)
            | Command::Tail(_)
            | Command::Streams(_)
            | Command::Top(_)
            | Command::Tool(_)
            | Command::Store(_)
            | Command::MultiReader(_)
            | Command::ConsoleMultiWriter(_)
            | Command::Bench(_)
            | Command::Doctor(_)
            | Command::Sim(_)) => {
                command.start((verbosity, self.log_format), &output, self.verbose)
            }
            #[cfg(feature = "bookkeeper")]
            command @ Command::Admin(_) => {
                command.start((verbosity, self.log_format), &output, self.verbose)
            }
        }
    }
}

/// Prints what clap says of a command line: an error, help or the version. An error that may quote
/// a control character is printed as other errors are, without colours. A closed pipe is no reason
/// to fail.
pub(crate) fn print(error: &clap::Error, mut args: impl Iterator<Item = OsString>) {
    let quotes_control = args.any(|arg| {
        let text = arg.to_string_lossy();
        output::harmless(&text) != text
    });
    if quotes_control && error.use_stderr() {
        output::note(error.render().to_string().trim_end());
    } else {
        let _ = error.print();
    }
}

impl Command {
    /// Runs the command on a new tokio runtime.
    fn start(
        self,
        (verbosity, log_format): (Verbosity, LogFormat),
        output: &Output,
        verbose: u8,
    ) -> Result<(), CliError> {
        let serves = matches!(self, Self::Local(_) | Self::Proxy(_));
        let verbosity = if serves {
            verbosity.for_server()
        } else {
            verbosity
        };
        logging::start(verbosity, log_format);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Self::Bench(args) = &self {
            builder.worker_threads(args.threads());
        }
        let runtime = builder.enable_all().build().map_err(|error| {
            CliError::failure(format!("cannot start the runtime's threads: {error}"))
        })?;
        let result = runtime.block_on(self.run(output, verbose));
        // A thread that waits for the terminal's next line must not keep the process alive.
        runtime.shutdown_background();
        result
    }

    async fn run(self, output: &Output, verbose: u8) -> Result<(), CliError> {
        let shutdown = Shutdown::on_signals();
        match self {
            Self::Quickstart(args) => args.run(output, verbose, &shutdown).await,
            Self::Local(args) => args.run(output, &shutdown).await,
            Self::Proxy(args) => args.run(output, &shutdown).await,
            Self::Write(args) => args.run(output, &shutdown).await,
            Self::Read(args) => args.run(output, &shutdown).await,
            Self::Tail(args) => args.run(output, &shutdown).await,
            Self::Top(args) => args.run(output, &shutdown).await,
            Self::Streams(args) => until_shutdown(&shutdown, args.run(output)).await,
            Self::Tool(args) => until_shutdown(&shutdown, args.run(output)).await,
            Self::Store(args) => until_shutdown(&shutdown, args.run(output)).await,
            #[cfg(feature = "bookkeeper")]
            Self::Admin(args) => until_shutdown(&shutdown, args.run(output)).await,
            Self::MultiReader(args) => args.run(output, &shutdown).await,
            Self::ConsoleMultiWriter(args) => args.run(output, verbose, &shutdown).await,
            Self::Token(args) => args.run(output),
            Self::Completions(args) => args.run(output),
            Self::Man(args) => args.run(output),
            Self::Context(_) | Self::Config(_) => unreachable!("they need no runtime"),
            Self::Bench(args) => args.run(output, &shutdown).await,
            Self::Doctor(args) => until_shutdown(&shutdown, args.run(output)).await,
            Self::Sim(args) => args.run(output, &shutdown).await,
        }
    }
}

/// Runs `work`, which has nothing to drain, and cancels it on shutdown.
async fn until_shutdown(
    shutdown: &Shutdown,
    work: impl Future<Output = Result<(), CliError>>,
) -> Result<(), CliError> {
    tokio::select! {
        result = work => result,
        () = shutdown.requested() => Err(CliError::failure("interrupted before the end")),
    }
}
