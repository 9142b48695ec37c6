use std::sync::{Arc, OnceLock};

use clap::{ArgMatches, Command, FromArgMatches};

use super::super::administer::{self, Administered};
use super::super::place::Place;
use super::super::{CliError, namespace};
use super::args::{Given, given};
use super::{Target, TargetArgs};
use distributedlog_store::{LogStore, StoreError};

/// The original's flag that names a place.
#[derive(Clone, Debug, clap::Args)]
struct Flag {
    /// The namespace: distributedlog://HOST:PORT/NAMESPACE; or what --to takes
    #[arg(
        short,
        long,
        value_name = "URI",
        env = "DLOG_URI",
        hide_env_values = true
    )]
    uri: Option<Place>,
}

/// Where a command of the tool works: `-u`, as in the original, or what [`TargetArgs`] has.
#[derive(Clone, Debug)]
pub(crate) struct UriArg {
    uri: Option<Given<Place>>,
    target: TargetArgs,
    resolved: OnceLock<Target>,
}

impl FromArgMatches for UriArg {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Flag { uri } = Flag::from_arg_matches(matches)?;
        Ok(Self {
            uri: given(matches, "uri", "DLOG_URI", uri),
            target: TargetArgs::from_arg_matches(matches)?,
            resolved: OnceLock::new(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for UriArg {
    fn augment_args(command: Command) -> Command {
        TargetArgs::augment_args(Flag::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        TargetArgs::augment_args_for_update(Flag::augment_args_for_update(command))
    }
}

impl UriArg {
    /// Finds the place.
    ///
    /// # Errors
    /// The errors of [`TargetArgs::resolve`].
    pub(crate) fn target(&self) -> Result<&Target, CliError> {
        if let Some(target) = self.resolved.get() {
            return Ok(target);
        }
        let target = self.target.resolve_beside(self.uri.clone())?;
        Ok(self.resolved.get_or_init(|| target))
    }

    /// Connects to the store.
    ///
    /// # Errors
    /// No place is named, or it cannot be reached.
    pub(crate) async fn store(&self) -> Result<Arc<dyn LogStore>, CliError> {
        self.target()?.store().await
    }

    /// Returns the streams of `store`, with the place for tips.
    ///
    /// # Errors
    /// The place has none.
    pub(crate) fn administered<'a>(
        &'a self,
        store: &'a dyn LogStore,
    ) -> Result<Administered<'a>, CliError> {
        let place = self.place().ok_or_else(super::no_place)?;
        Administered::of(store, place)
    }

    /// Converts an error of the store for the user.
    pub(crate) fn error(&self, error: &StoreError) -> CliError {
        match self.place() {
            Some(Place::Http(url)) => administer::http_error(error, url),
            place => namespace::store_error(error, place),
        }
    }

    /// Returns the place for messages.
    pub(crate) fn text(&self) -> String {
        self.place()
            .map_or_else(|| "URI".to_owned(), ToString::to_string)
    }

    fn place(&self) -> Option<&Place> {
        let resolved = self.resolved.get().map(|target| target.records_at());
        resolved.or_else(|| self.uri.as_ref().map(|given| &given.value))
    }
}
