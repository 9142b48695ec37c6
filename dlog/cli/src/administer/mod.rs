//! Changes of streams by `dlog tool` and `dlog streams`: in a namespace, or behind a proxy's HTTP
//! port.

mod change;
mod retention;
mod show;
mod truncate;

use std::sync::Arc;

use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, StoreError, StreamName};

use super::place::Place;
use super::streams::as_argument;
use super::target::Target;
use super::{CliError, namespace};

pub(crate) use change::{create, delete};
pub(crate) use retention::{LimitsJson, RetentionFlags, retention};
#[cfg(feature = "bookkeeper")]
pub(crate) use show::{ShownLedger, Truncated};
pub(crate) use show::{ShownLedgers, show};
pub(crate) use truncate::{Before, truncate};

/// The streams of a place.
#[derive(Clone, Copy)]
pub(crate) struct Administered<'a> {
    pub(crate) store: &'a dyn LogStore,
    /// What tips name.
    pub(crate) place: PlaceRef<'a>,
}

/// A place whose streams can be administered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PlaceRef<'a> {
    Namespace(&'a Uri),
    Http(&'a str),
}

impl<'a> Administered<'a> {
    /// Returns the streams of a place that `store` was [connected](connect) to.
    ///
    /// # Errors
    /// The place has no streams to look at.
    pub(crate) fn of(store: &'a dyn LogStore, place: &'a Place) -> Result<Self, CliError> {
        let place = place.administered()?;
        Ok(Self { store, place })
    }

    /// Converts an error for the user, with the command that helps where there is one.
    pub(crate) fn error(&self, error: &StoreError) -> CliError {
        match self.place {
            PlaceRef::Namespace(uri) => namespace::uri_error(error, uri),
            PlaceRef::Http(url) => http_error(error, url),
        }
    }

    /// Returns the command that lists the streams.
    pub(crate) fn list_command(&self) -> String {
        match self.place {
            PlaceRef::Namespace(uri) => format!("dlog tool list -u {uri}"),
            PlaceRef::Http(url) => format!("dlog streams list --to {url}"),
        }
    }
}

/// Converts an error of the streams behind a proxy's HTTP port.
pub(crate) fn http_error(error: &StoreError, url: &str) -> CliError {
    if let StoreError::StreamNotFound(stream) = error {
        return CliError::failure(error.to_string()).tip(create_tip(url, stream));
    }
    if let StoreError::StreamExists(_) = error {
        return CliError::failure(error.to_string()).tip(format!(
            "list the streams with: dlog streams list --to {url}"
        ));
    }
    if let StoreError::Unreachable { detail, .. } = error {
        return CliError::failure(format!("{url} cannot be reached: {detail}"))
            .tip("start a proxy with an HTTP port: dlog proxy --http-port 8002");
    }
    if let StoreError::Disconnected { detail, .. } = error {
        return CliError::failure(format!("{url} did not answer: {detail}"))
            .tip("it may have been done; check, and try again");
    }
    CliError::failure(error.to_string())
}

fn create_tip(url: &str, stream: &StreamName) -> String {
    let stream = as_argument([stream]);
    format!("create it with: dlog streams create --to {url} {stream}")
}

/// Connects to the streams of a target: through its HTTP port if that is what was named or all that
/// is known, in its namespace otherwise.
///
/// # Errors
/// The store cannot be reached; or only the thrift port of proxies is known, which administers no
/// streams.
pub(crate) async fn connect(target: &Target) -> Result<(Arc<dyn LogStore>, Place), CliError> {
    Ok((target.store().await?, target.records_at().clone()))
}

/// Returns the error of a place that has no streams to look at.
fn no_streams(place: &Place) -> CliError {
    CliError::usage(format!(
        "{place} is {}, which neither lists nor reads streams",
        place.kind_text()
    ))
    .tip(
        "name the HTTP port of a proxy, as in --to http://127.0.0.1:8002, or a namespace, as in \
         --to distributedlog://127.0.0.1:7000/messaging/distributedlog; a context can have both",
    )
}

impl Place {
    /// Returns the place as tips name it.
    ///
    /// # Errors
    /// It is the thrift port of proxies, which do not administer streams.
    pub(crate) fn administered(&self) -> Result<PlaceRef<'_>, CliError> {
        match self {
            Self::Namespace(uri) => Ok(PlaceRef::Namespace(uri)),
            Self::Http(url) => Ok(PlaceRef::Http(url)),
            Self::Proxies(_) => Err(no_streams(self)),
        }
    }
}
