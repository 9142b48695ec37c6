use core::time::Duration;
use std::time::Instant;

use distributedlog_tokio::{BuildError, HandshakeReply, ProxyClient};

use super::super::CliError;
use super::super::output::counted;
use super::Probe;
use super::findings::{Findings, since};

/// Time for a proxy to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks write proxies: connections, handshakes, and a record that is written.
///
/// # Errors
/// The output cannot be written.
pub(super) async fn check(
    name: &str,
    probe: &Probe,
    found: &mut Findings<'_>,
) -> Result<(), CliError> {
    #[cfg(not(feature = "zookeeper"))]
    if let Err(error) = super::super::features::check_proxies_name(name) {
        return found.error(name, &error);
    }
    let began = Instant::now();
    let builder = ProxyClient::builder()
        .proxies(name)
        .client_id("dlog-doctor")
        .attempt_timeout(TIMEOUT);
    let builder = match probe.security.tls() {
        Some(tls) => builder.tls(tls.clone()),
        None => builder,
    };
    let client = match builder.build().await {
        Ok(client) => client,
        Err(error) => return unreachable(name, &error, found),
    };
    found.ok(&format!("connected to {name} in {}", since(began)))?;
    for reply in client.handshake().await {
        match reply.result {
            Ok(reply) => says(&reply, found)?,
            Err(error) => found.fail(
                &format!("{}: {error}", reply.host),
                Some("see its log, and its /readyz on the stats port or the HTTP port"),
            )?,
        }
    }
    if probe.writes {
        write(&client, name, probe, found).await?;
    }
    client.close().await;
    Ok(())
}

fn unreachable(name: &str, error: &BuildError, found: &mut Findings<'_>) -> Result<(), CliError> {
    let tip = if let BuildError::NoProxy { .. } = error {
        "start one with: dlog proxy; its port for clients is -p, 8000 by default"
    } else {
        "write it as in 'inet!127.0.0.1:8000' (with the quotes: the shell reads !)"
    };
    found.fail(&format!("no proxy at {name}: {error}"), Some(tip))
}

fn says(reply: &HandshakeReply, found: &mut Findings<'_>) -> Result<(), CliError> {
    let mut owns = format!("owns {}", counted(reply.streams as u64, "stream"));
    if let Some(domain) = &reply.failure_domain {
        owns += &format!("; failure domain {}", domain.escape_debug());
    }
    let host = reply.host;
    match reply.status {
        Some(100) | None => found.ok(&format!("{host} takes writes, and {owns}")),
        Some(200) => found.warn(
            &format!("{host} takes writes to streams that it owns, and no new streams; it {owns}"),
            "accept new streams again: setAcceptNewStream, or restart the proxy",
        ),
        Some(status) => found.warn(
            &format!("{host} is draining or down (status {status}); it {owns}"),
            "wait for its successor, or start another proxy",
        ),
    }
}

/// Writes a record to the probe's stream, and deletes the stream.
async fn write(
    client: &ProxyClient,
    name: &str,
    probe: &Probe,
    found: &mut Findings<'_>,
) -> Result<(), CliError> {
    let stream = probe.stream.as_str();
    let began = Instant::now();
    match client.write(stream, b"dlog doctor").await {
        Ok(_) => found.ok(&format!(
            "wrote a record through {name} in {}",
            since(began)
        ))?,
        Err(error) => {
            return found.fail(
                &format!("cannot write a record through {name}: {error}"),
                Some(
                    "a proxy with --read-only or --no-create refuses this record: check without \
                     it by --no-write",
                ),
            );
        }
    }
    match client.delete(stream).await {
        Ok(()) => Ok(()),
        Err(error) => found.warn(
            &format!("the stream {stream} could not be deleted: {error}"),
            &format!("the proxy's --admin-from says who may: dlog tool delete -e {stream}"),
        ),
    }
}
