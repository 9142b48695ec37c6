use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};

use super::super::namespace::StoreSecurityArgs;
use super::super::place::Place;

/// Flags that say where the streams are, and what this client shows there.
#[derive(Clone, Debug, Default, clap::Args)]
struct Flags {
    /// Where the streams are: a namespace (distributedlog://HOST:PORT/NAMESPACE), write proxies
    /// (inet!HOST:PORT[,HOST:PORT]), or the HTTP port of a proxy (http://HOST:PORT). DLOG_URI
    /// stands in for DLOG_TO
    #[arg(
        long,
        value_name = "WHERE",
        env = "DLOG_TO",
        hide_env_values = true,
        help_heading = "Where"
    )]
    to: Option<Place>,

    /// A context of the configuration file: see dlog context [default: the current one]
    #[arg(
        long,
        value_name = "NAME",
        env = "DLOG_CONTEXT",
        hide_env_values = true,
        help_heading = "Where"
    )]
    context: Option<String>,

    /// Show the token in this file to the HTTP port
    #[arg(
        long,
        alias = "http-token-file",
        value_name = "FILE",
        env = "DLOG_TOKEN_FILE",
        hide_env_values = true,
        help_heading = "Where"
    )]
    token_file: Option<PathBuf>,

    /// Speak TLS to write proxies. The flags below imply it; an https:// URL needs none
    #[arg(long, help_heading = "Where")]
    tls: bool,

    /// Trust the authorities in this file (PEM) besides those of this machine
    #[arg(
        long,
        value_name = "FILE",
        env = "DLOG_TLS_CA",
        hide_env_values = true,
        help_heading = "Where"
    )]
    tls_ca: Option<PathBuf>,

    /// Show this certificate chain (PEM) to servers that ask for one
    #[arg(
        long,
        value_name = "FILE",
        env = "DLOG_TLS_CERTIFICATE",
        hide_env_values = true,
        help_heading = "Where"
    )]
    tls_certificate: Option<PathBuf>,

    /// The private key of --tls-certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "DLOG_TLS_KEY",
        hide_env_values = true,
        help_heading = "Where"
    )]
    tls_key: Option<PathBuf>,

    /// The name that the servers' certificates must be for [default: the host that is connected to]
    #[arg(
        long,
        value_name = "NAME",
        env = "DLOG_TLS_NAME",
        hide_env_values = true,
        help_heading = "Where"
    )]
    tls_name: Option<String>,
}

/// Source of a value. A later one goes before an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The current context.
    Current,
    /// The table of a command in the configuration file.
    File,
    Environment,
    CommandLine,
}

/// A value, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) level: Level,
    /// Flag, environment variable or line of the file.
    pub(crate) source: String,
}

/// Says where the streams are, and what this client shows there: `--to`, `--context`, a token and
/// TLS. [`resolve`](Self::resolve) makes a [`Target`](super::Target) of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetArgs {
    pub(super) to: Option<Given<Place>>,
    pub(super) context: Option<Given<String>>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) tls: bool,
    pub(super) tls_ca: Option<PathBuf>,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_name: Option<String>,
    pub(super) store: StoreSecurityArgs,
}

impl FromArgMatches for TargetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = Flags::from_arg_matches(matches)?;
        Ok(Self {
            to: given(matches, "to", "DLOG_TO", flags.to),
            context: given(matches, "context", "DLOG_CONTEXT", flags.context),
            token_file: flags.token_file,
            tls: flags.tls,
            tls_ca: flags.tls_ca,
            tls_certificate: flags.tls_certificate,
            tls_key: flags.tls_key,
            tls_name: flags.tls_name,
            store: StoreSecurityArgs::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for TargetArgs {
    fn augment_args(command: Command) -> Command {
        StoreSecurityArgs::augment_args(Flags::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        StoreSecurityArgs::augment_args_for_update(Flags::augment_args_for_update(command))
    }
}

/// Returns a value with its source, if there is one.
pub(super) fn given<T>(
    matches: &ArgMatches,
    id: &str,
    variable: &str,
    value: Option<T>,
) -> Option<Given<T>> {
    let value = value?;
    let (level, source) = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => (Level::CommandLine, format!("--{id}")),
        Some(ValueSource::EnvVariable) => (Level::Environment, variable.to_owned()),
        Some(_) | None => (Level::File, "the configuration file".to_owned()),
    };
    Some(Given {
        value,
        level,
        source,
    })
}
