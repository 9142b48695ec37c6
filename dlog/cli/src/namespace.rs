use core::net::IpAddr;
use std::sync::Arc;

use super::CliError;
use super::place::Place;
pub(crate) use super::store_security::StoreSecurityArgs;
use super::streams::as_argument;
#[cfg(feature = "bookkeeper")]
use distributedlog_store::bookkeeper::{self, BookKeeperSettings};
use distributedlog_store::remote::RemoteStore;
#[cfg(feature = "bookkeeper")]
use distributedlog_store::remote::is_zookeeper;
use distributedlog_store::uri::{Backend, DEFAULT_PORT, Uri, ZOOKEEPER_PORT};
use distributedlog_store::{LogStore, StoreError, StreamName};

const ZOOKEEPER_TIP: &str =
    "check that ZooKeeper and the bookies run, and that this machine reaches them";

/// A store, and its kind.
pub(crate) struct Connected {
    /// The store.
    pub(crate) store: Arc<dyn LogStore>,
    /// True if the streams lie on BookKeeper: the hosts of the URI are of ZooKeeper.
    pub(crate) is_bookkeeper: bool,
}

/// Connects to the store behind `uri`, with the secret and the certificates that the environment
/// names.
///
/// # Errors
/// The store cannot be reached or refuses this client, or another kind of server answers.
pub(crate) async fn connect(uri: &Uri) -> Result<Arc<dyn LogStore>, CliError> {
    connect_secured(uri, &StoreSecurityArgs::of_environment()).await
}

/// Connects to the store behind `uri`, with this secret and these certificates.
///
/// # Errors
/// As [`connect`], and a file cannot be used.
pub(crate) async fn connect_secured(
    uri: &Uri,
    security: &StoreSecurityArgs,
) -> Result<Arc<dyn LogStore>, CliError> {
    #[cfg(feature = "bookkeeper")]
    let connected = connect_with(uri, security, BookKeeperSettings::default()).await?;
    #[cfg(not(feature = "bookkeeper"))]
    let connected = connect_with(uri, security).await?;
    Ok(connected.store)
}

/// Connects to the store behind `uri`, with these settings if it is on BookKeeper.
///
/// # Errors
/// As [`connect_secured`].
pub(crate) async fn connect_with(
    uri: &Uri,
    security: &StoreSecurityArgs,
    #[cfg(feature = "bookkeeper")] settings: BookKeeperSettings,
) -> Result<Connected, CliError> {
    #[cfg(feature = "bookkeeper")]
    if uri.backend() == Backend::BookKeeper {
        return connect_bookkeeper(uri, settings).await;
    }
    let error = match RemoteStore::connect(uri, security.settings()?).await {
        Ok(store) => {
            return Ok(Connected {
                store: Arc::new(store),
                is_bookkeeper: false,
            });
        }
        Err(error) => error,
    };
    #[cfg(feature = "bookkeeper")]
    if matches!(error, StoreError::Refused { .. }) && is_zookeeper(uri.hosts()).await {
        return connect_bookkeeper(uri, settings).await;
    }
    Err(uri_error(&error, uri))
}

/// Connects to the namespace behind `uri` on BookKeeper.
///
/// # Errors
/// ZooKeeper cannot be reached, or the namespace is not bound to a cluster.
#[cfg(feature = "bookkeeper")]
async fn connect_bookkeeper(
    uri: &Uri,
    settings: BookKeeperSettings,
) -> Result<Connected, CliError> {
    let store = bookkeeper::connect(uri, settings)
        .await
        .map_err(|error| zookeeper_error(&error, uri))?;
    Ok(Connected {
        store: Arc::new(store),
        is_bookkeeper: true,
    })
}

/// Converts an error of a namespace on BookKeeper for the user.
#[cfg(feature = "bookkeeper")]
#[must_use]
pub(crate) fn zookeeper_error(error: &StoreError, uri: &Uri) -> CliError {
    if let StoreError::Unreachable { .. } = error {
        return CliError::failure(error.to_string()).tip(ZOOKEEPER_TIP);
    }
    uri_error(error, uri)
}

/// Converts an error of the store behind `uri` for the user.
#[must_use]
pub(crate) fn uri_error(error: &StoreError, uri: &Uri) -> CliError {
    store_error(error, Some(&Place::Namespace(uri.clone())))
}

/// Converts a store's error for the user, with the command that helps where there is one.
#[must_use]
pub(crate) fn store_error(error: &StoreError, place: Option<&Place>) -> CliError {
    let cli_error = CliError::failure(error.to_string());
    let uri = match place {
        Some(Place::Namespace(uri)) => Some(uri),
        Some(Place::Proxies(_) | Place::Http(_)) | None => None,
    };
    let is_http = matches!(place, Some(Place::Http(_)));
    let place = place.map_or_else(|| "URI".to_owned(), Place::to_string);
    match error {
        StoreError::StreamNotFound(stream) => cli_error.tip(create_tip(&place, stream)),
        StoreError::StreamExists(_) => {
            cli_error.tip(format!("list the streams with: dlog tool list -u {place}"))
        }
        StoreError::Unreachable { .. } if is_http => {
            cli_error.tip("check the address, and that a proxy runs there with --http-port")
        }
        StoreError::Unreachable { address, .. } => cli_error.tip(reach_tip(address, uri)),
        StoreError::Disconnected { .. } => {
            cli_error.tip("check that the store still runs, then try again")
        }
        StoreError::NotReady { .. } if is_http => {
            cli_error.tip("name the HTTP port of the proxy that owns it, with --to")
        }
        StoreError::NotReady { .. } => cli_error.tip(
            "ask the write proxy that owns it over HTTP, or try again once the owner has stopped",
        ),
        StoreError::InUse { .. } => {
            cli_error.tip("stop that process, or name another folder with --data DIR")
        }
        StoreError::DiskFull { .. } => cli_error
            .tip("free space on that disk, or name a folder on another disk with --data DIR"),
        StoreError::ReadOnly { .. } => {
            cli_error.tip("make the folder writable, or name another folder with --data DIR")
        }
        StoreError::TooManyStreams { .. } | StoreError::TooManyCreations { .. } => {
            cli_error.tip("`dlog local` has the limits: --max-streams, --max-creations-per-second")
        }
        StoreError::Fenced(_)
        | StoreError::TooLarge { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Io { .. }
        | StoreError::NotWritten { .. }
        | StoreError::Refused { .. }
        | StoreError::Overloaded { .. }
        | StoreError::InvalidEntry { .. }
        | StoreError::NewerVersion { .. }
        | StoreError::InvalidSetting { .. }
        | StoreError::Unsupported { .. }
        | StoreError::Ended(_)
        | StoreError::Closed => cli_error,
    }
}

/// Returns a tip for a store that cannot be reached at `address`.
fn reach_tip(address: &str, uri: Option<&Uri>) -> String {
    if uri.is_some_and(|uri| is_on_bookkeeper(address, uri)) {
        return ZOOKEEPER_TIP.to_owned();
    }
    let first = uri.and_then(|uri| uri.hosts().first());
    let port = first.map_or(DEFAULT_PORT, |first| first.port);
    if port == ZOOKEEPER_PORT {
        return format!(
            "check that ZooKeeper runs there; a store without it is started with: dlog local {port}"
        );
    }
    if first.is_none_or(|first| is_loopback(&first.host)) {
        format!("start a store there with: dlog local {port}")
    } else {
        format!(
            "check the address; start a store on that machine with: \
             dlog local {port} --bind ADDRESS"
        )
    }
}

/// Returns true if the streams of `uri` lie on BookKeeper: it says so, or `address` is none of its
/// hosts, but a log stream or a ledger.
fn is_on_bookkeeper(address: &str, uri: &Uri) -> bool {
    let mut hosts = uri.hosts().iter();
    uri.backend() == Backend::BookKeeper || !hosts.any(|host| address.contains(&host.to_string()))
}

/// Returns true if `host` is certainly this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Returns a tip with the command that creates a stream.
fn create_tip(uri: &str, stream: &StreamName) -> String {
    let stream = as_argument([stream]);
    format!("create it with: dlog tool create -u {uri} -e {stream}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_reached_comes_with_the_command_that_starts_it() {
        let uri: Uri = "distributedlog://127.0.0.1:7100/n".parse().expect("a URI");
        let error = StoreError::Unreachable {
            address: "127.0.0.1:7100".into(),
            detail: "connection refused".into(),
        };
        let report = uri_error(&error, &uri)
            .report(false)
            .expect("there is something to say");
        assert!(
            report.contains("127.0.0.1:7100") && report.contains("connection refused"),
            "{report}"
        );
        assert!(
            report.ends_with("tip: start a store there with: dlog local 7100\n"),
            "{report}"
        );
    }

    #[test]
    fn a_namespace_on_bookkeeper_that_cannot_be_reached_comes_with_no_command_for_another_store() {
        for (uri, address, tip) in [
            (
                "distributedlog-bk://127.0.0.1:7100/n",
                "127.0.0.1:7100",
                ZOOKEEPER_TIP,
            ),
            (
                "distributedlog://127.0.0.1:7100/n",
                "log stream s",
                ZOOKEEPER_TIP,
            ),
            (
                "distributedlog://127.0.0.1:2181/n",
                "127.0.0.1:2181",
                "check that ZooKeeper runs there; a store without it is started with: dlog local \
                 2181",
            ),
            (
                "distributedlog://store.example:7100/n",
                "store.example:7100",
                "check the address; start a store on that machine with: dlog local 7100 --bind \
                 ADDRESS",
            ),
        ] {
            let error = StoreError::Unreachable {
                address: address.to_owned(),
                detail: "connection refused".into(),
            };
            let report = uri_error(&error, &uri.parse().expect("a URI"));
            let report = report.report(false).expect("there is something to say");
            assert!(
                report.ends_with(&format!("tip: {tip}\n")),
                "{uri}: {report}"
            );
        }
    }

    #[test]
    fn a_stream_that_is_missing_comes_with_the_command_that_creates_it() {
        let uri: Uri = "distributedlog://127.0.0.1:7000/n".parse().expect("a URI");
        let stream = StreamName::new("orders").expect("a name");
        let report = uri_error(&StoreError::StreamNotFound(stream), &uri)
            .report(false)
            .expect("there is something to say");
        assert!(
            report.ends_with(
                "create it with: dlog tool create -u distributedlog://127.0.0.1:7000/n -e orders\n"
            ),
            "{report}"
        );
    }
}
