use std::path::Path;

use distributedlog_proxy::RunningProxy;
use distributedlog_tokio::{AnnounceError, Announced, Announcement, ZooKeeperLogin};

use super::super::{CliError, Output, Shutdown};

/// Place at which a proxy is announced.
pub(super) struct Place<'a> {
    /// Name of the serverset.
    pub(super) serverset: &'a str,
    /// File with the login of ZooKeeper.
    pub(super) login: Option<&'a Path>,
    /// Shard of the proxy.
    pub(super) shard_id: i32,
}

/// Announces the proxy, and withdraws it on shutdown, before the proxy is drained: clients must not
/// find a proxy that refuses them.
///
/// # Errors
/// The name is invalid, or ZooKeeper cannot be asked.
pub(super) async fn announce_until_shutdown(
    place: &Place<'_>,
    proxy: &RunningProxy,
    output: &Output,
    shutdown: &Shutdown,
) -> Result<(), CliError> {
    let announced = tokio::select! {
        announced = publish(place, proxy) => announced?,
        () = shutdown.requested() => return Ok(()),
    };
    output.announce(format_args!(
        "announced in ZooKeeper as {}",
        announced.node()
    ));
    shutdown.requested().await;
    announced.withdraw().await;
    Ok(())
}

/// Announces the proxy with the original's endpoints, and one for HTTP.
async fn publish(place: &Place<'_>, proxy: &RunningProxy) -> Result<Announced, CliError> {
    let (host, port) = host_and_port(&proxy.owner().address);
    let mut announcement = Announcement::new(place.serverset, host, port).shard(place.shard_id);
    for endpoint in ["service", "thrift"] {
        announcement = announcement.endpoint(endpoint, host, port);
    }
    if let Some(stats) = proxy.stats_addr() {
        announcement = announcement
            .endpoint("aurora", host, stats.port())
            .endpoint("stats", host, stats.port());
    }
    if let Some(http) = proxy.http_addr() {
        announcement = announcement.endpoint("http", host, http.port());
    }
    if let Some(file) = place.login {
        announcement = announcement.login(login(file)?);
    }
    announcement.publish().await.map_err(|error| {
        if let AnnounceError::ZooKeeper { .. } = error {
            let tip = "check that ZooKeeper runs there; without -a, clients name the proxy: \
                       'inet!HOST:PORT'";
            CliError::failure(error.to_string()).tip(tip)
        } else {
            CliError::usage(error.to_string())
        }
    })
}

/// Splits a proxy's own address into host and port.
fn host_and_port(address: &str) -> (&str, u16) {
    let (host, port) = address
        .rsplit_once(':')
        .expect("an owner's address is host:port");
    let port = port.parse().expect("an owner's address is host:port");
    (
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host),
        port,
    )
}

/// Reads the login of ZooKeeper from a file.
fn login(file: &Path) -> Result<ZooKeeperLogin, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::failure(format!("cannot read {}: {error}", file.display())))?;
    let malformed = || {
        CliError::failure(format!(
            "{} is not a login of ZooKeeper: it must be one line, user:password",
            file.display()
        ))
    };
    let mut lines = text.lines();
    match (lines.next().and_then(ZooKeeperLogin::parse), lines.next()) {
        (Some(login), None) => Ok(login),
        (Some(_) | None, _) => Err(malformed()),
    }
}
