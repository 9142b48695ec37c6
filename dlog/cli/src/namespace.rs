use core::net::IpAddr;
use std::sync::Arc;

use super::Fault;
use distributedlog_store::remote::{ClientSettings, RemoteStore};
use distributedlog_store::uri::{DEFAULT_PORT, Uri};
use distributedlog_store::{LogStore, StoreError, StreamName};

/// The flag that names a namespace.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UriArg {
    /// Where the namespace is served: distributedlog://HOST:PORT/NAMESPACE
    #[arg(
        short,
        long,
        value_name = "URI",
        env = "DLOG_URI",
        hide_env_values = true
    )]
    pub(crate) uri: Uri,
}

/// Connects to the store behind `uri`.
///
/// # Errors
/// It cannot be reached, or what answers is no store of ours.
pub(crate) async fn connect(uri: &Uri) -> Result<Arc<dyn LogStore>, Fault> {
    let store = RemoteStore::connect(uri, ClientSettings::default())
        .await
        .map_err(|error| fault(&error, Some(uri)))?;
    Ok(Arc::new(store))
}

/// What a store's error means to whoever typed the command, with the command that would help where
/// there is one.
#[must_use]
pub(crate) fn fault(error: &StoreError, uri: Option<&Uri>) -> Fault {
    let fault = Fault::failure(error.to_string());
    let place = uri.map_or_else(|| "URI".to_owned(), Uri::to_string);
    match error {
        StoreError::StreamNotFound(stream) => fault.tip(create_tip(&place, stream)),
        StoreError::StreamExists(_) => {
            fault.tip(format!("see what is there with: dlog tool list -u {place}"))
        }
        StoreError::Unreachable { .. } => {
            let first = uri.and_then(|uri| uri.hosts().first());
            let port = first.map_or(DEFAULT_PORT, |first| first.port);
            if first.is_none_or(|first| is_loopback(&first.host)) {
                fault.tip(format!("start a store there with: dlog local {port}"))
            } else {
                fault.tip(format!(
                    "see whether the address is right; on that machine a store is started with: \
                     dlog local {port} --bind ADDRESS"
                ))
            }
        }
        StoreError::Disconnected { .. } => {
            fault.tip("see whether the store still runs, then try again")
        }
        StoreError::InUse { .. } => {
            fault.tip("end that process, or name another folder with --data DIR")
        }
        StoreError::DiskFull { .. } => {
            fault.tip("make room on that disk, or name a folder on another one with --data DIR")
        }
        StoreError::ReadOnly { .. } => {
            fault.tip("make the folder writable, or name another one with --data DIR")
        }
        StoreError::Fenced(_)
        | StoreError::TooLarge { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Io { .. }
        | StoreError::Refused { .. }
        | StoreError::Overloaded { .. }
        | StoreError::InvalidEntry { .. }
        | StoreError::NewerVersion { .. }
        | StoreError::InvalidSetting { .. }
        | StoreError::Closed => fault,
    }
}

/// Whether a host is surely this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The command that creates a stream.
fn create_tip(uri: &str, stream: &StreamName) -> String {
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
        let report = fault(&error, Some(&uri))
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
    fn a_stream_that_is_missing_comes_with_the_command_that_creates_it() {
        let uri: Uri = "distributedlog://127.0.0.1:7000/n".parse().expect("a URI");
        let stream = StreamName::new("orders").expect("a name");
        let report = fault(&StoreError::StreamNotFound(stream), Some(&uri))
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
