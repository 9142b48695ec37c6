use clap::{ArgMatches, Command, FromArgMatches};

use super::super::CliError;
use super::super::place::Place;
use super::TargetArgs;
use super::args::given;
use distributedlog_store::uri::Uri;

#[derive(Clone, Debug, clap::Args)]
struct Flags {
    /// The namespace: distributedlog://HOST:PORT/NAMESPACE
    #[arg(
        short,
        long,
        value_name = "URI",
        env = "DLOG_URI",
        hide_env_values = true
    )]
    uri: Option<Uri>,

    /// A context of the configuration file whose namespace to use [default: the current one]
    #[arg(
        long,
        value_name = "NAME",
        env = "DLOG_CONTEXT",
        hide_env_values = true
    )]
    context: Option<String>,
}

/// Where a command works that needs the namespace itself: `-u`, or a context's namespace.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceArg(TargetArgs);

impl FromArgMatches for NamespaceArg {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Flags { uri, context } = Flags::from_arg_matches(matches)?;
        Ok(Self(TargetArgs {
            to: given(matches, "uri", "DLOG_URI", uri.map(Place::Namespace)),
            context: given(matches, "context", "DLOG_CONTEXT", context),
            ..TargetArgs::default()
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for NamespaceArg {
    fn augment_args(command: Command) -> Command {
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args_for_update(command)
    }
}

impl NamespaceArg {
    /// Finds the namespace.
    ///
    /// # Errors
    /// No place is named, or it is none.
    pub(crate) fn uri(&self) -> Result<Uri, CliError> {
        let target = self.0.resolve()?;
        target.namespace.ok_or_else(|| {
            let (place, kind) = (&target.place, target.place.kind_text());
            CliError::usage(format!(
                "{place} is {kind}, and this command needs the namespace"
            ))
            .tip("name it with -u distributedlog://HOST:PORT/NAMESPACE")
        })
    }
}
