use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use hyper::{Method, StatusCode};

use super::super::CliError;
use super::super::http::{HttpAnswer, HttpClient};
use super::Probe;
use super::findings::{Findings, since};

/// Time for an answer, the connection's handshakes included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks the HTTP port of a write proxy: health, readiness, and a record that is written and read
/// back.
///
/// # Errors
/// The output cannot be written.
pub(super) async fn check(
    url: &str,
    probe: &Probe,
    found: &mut Findings<'_>,
) -> Result<(), CliError> {
    let client = match HttpClient::of(url, &probe.security) {
        Ok(client) => client,
        Err(error) => return found.error(url, &error),
    };
    super::resolve(client.host(), client.port(), found).await?;
    let began = Instant::now();
    match ask(&client, Method::GET, "/healthz", "").await {
        Ok((StatusCode::OK, _)) => {
            found.ok(&format!(
                "{url} is a write proxy, and answers in {}",
                since(began)
            ))?;
        }
        Ok((status, body)) => {
            return found.fail(
                &format!("{url} answered {status} to /healthz: {}", line(&body)),
                Some("is this the HTTP port of a write proxy (--http-port)?"),
            );
        }
        Err(why) => {
            return found.fail(
                &format!("{url} does not answer: {why}"),
                Some("start a proxy with an HTTP port: dlog proxy --http-port 8002"),
            );
        }
    }
    match ask(&client, Method::GET, "/readyz", "").await {
        Ok((StatusCode::OK, _)) => found.ok("it is ready for writes")?,
        Ok((status, body)) => {
            let reason = line(&body);
            found.fail(&format!("it is not ready ({status}): {reason}"), None)?;
        }
        Err(why) => found.fail(&format!("/readyz: {why}"), None)?,
    }
    if probe.writes {
        write_and_read(&client, probe, found).await?;
    }
    Ok(())
}

/// Writes a record to the probe's stream, reads it, and deletes the stream.
async fn write_and_read(
    client: &HttpClient,
    probe: &Probe,
    found: &mut Findings<'_>,
) -> Result<(), CliError> {
    let stream = format!("/v1/streams/{}", probe.stream);
    let records = format!("{stream}/records");
    let began = Instant::now();
    match ask(client, Method::POST, &records, "dlog doctor").await {
        Ok((status, _)) if status.is_success() => {}
        Ok((status, body)) => {
            let tip = match status {
                StatusCode::UNAUTHORIZED => "name the file with the token: --token-file",
                _ => {
                    "a proxy with --read-only or --no-create refuses this record: check without \
                     it by --no-write"
                }
            };
            let text = format!("cannot write a record ({status}): {}", line(&body));
            return found.fail(&text, Some(tip));
        }
        Err(why) => return found.fail(&format!("cannot write a record: {why}"), None),
    }
    let (wrote, began) = (since(began), Instant::now());
    let read = format!("{records}?from=start&follow=false");
    match ask(client, Method::GET, &read, "").await {
        // The payload as base64.
        Ok((StatusCode::OK, body)) if body.contains("ZGxvZyBkb2N0b3I=") => found.ok(&format!(
            "wrote a record in {wrote} and read it back in {}",
            since(began)
        ))?,
        Ok((status, body)) => found.fail(
            &format!("the record was not read back ({status}): {}", line(&body)),
            None,
        )?,
        Err(why) => found.fail(&format!("the record was not read back: {why}"), None)?,
    }
    match ask(client, Method::DELETE, &stream, "").await {
        Ok((status, _)) if status.is_success() => Ok(()),
        Ok((status, body)) => {
            let text = format!(
                "the stream {} could not be deleted ({status}): {}",
                probe.stream,
                line(&body)
            );
            found.warn(&text, "the proxy's --admin-from says who may")
        }
        Err(why) => {
            let text = format!("the stream {} could not be deleted: {why}", probe.stream);
            found.warn(&text, "dlog tool delete, later")
        }
    }
}

/// Returns the first line of a body.
fn line(body: &str) -> &str {
    body.lines().next().unwrap_or_default()
}

/// Makes a request. Returns the status and the body.
async fn ask(
    client: &HttpClient,
    method: Method,
    path: &str,
    body: &'static str,
) -> Result<(StatusCode, String), String> {
    let body = Bytes::from_static(body.as_bytes());
    let answer = client.ask(method, path, &[], body, TIMEOUT).await;
    let HttpAnswer { status, body } = answer.map_err(|error| error.to_string())?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
