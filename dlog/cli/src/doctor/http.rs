use core::time::Duration;
use std::time::Instant;

use distributedlog_tokio::Tls;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::CliError;
use super::Probe;
use super::findings::{Findings, since};

/// Time for an answer, the connection's handshakes included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of an answer.
const MAX_BYTES: usize = 64 << 10;

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
    let base: Uri = match url.parse() {
        Ok(base) => base,
        Err(error) => {
            return found.fail(&format!("{url} is no address: {error}"), None);
        }
    };
    let host = base.host().unwrap_or_default().to_owned();
    super::resolve(host.trim_matches(['[', ']']), port(&base), found).await?;
    let began = Instant::now();
    match ask(&base, probe, Method::GET, "/healthz", "").await {
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
    match ask(&base, probe, Method::GET, "/readyz", "").await {
        Ok((StatusCode::OK, _)) => found.ok("it is ready for writes")?,
        Ok((status, body)) => {
            let reason = line(&body);
            found.fail(&format!("it is not ready ({status}): {reason}"), None)?;
        }
        Err(why) => found.fail(&format!("/readyz: {why}"), None)?,
    }
    if probe.writes {
        write_and_read(&base, probe, found).await?;
    }
    Ok(())
}

/// Writes a record to the probe's stream, reads it, and deletes the stream.
async fn write_and_read(
    base: &Uri,
    probe: &Probe,
    found: &mut Findings<'_>,
) -> Result<(), CliError> {
    let stream = format!("/v1/streams/{}", probe.stream);
    let records = format!("{stream}/records");
    let began = Instant::now();
    match ask(base, probe, Method::POST, &records, "dlog doctor").await {
        Ok((status, _)) if status.is_success() => {}
        Ok((status, body)) => {
            let tip = match status {
                StatusCode::UNAUTHORIZED => "name the file with the token: --http-token-file",
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
    match ask(base, probe, Method::GET, &read, "").await {
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
    match ask(base, probe, Method::DELETE, &stream, "").await {
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

fn port(base: &Uri) -> u16 {
    let default = if base.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    base.port_u16().unwrap_or(default)
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Makes a request on a connection of its own. Returns the status and the body.
async fn ask(
    base: &Uri,
    probe: &Probe,
    method: Method,
    path: &str,
    body: &'static str,
) -> Result<(StatusCode, String), String> {
    let asking = async {
        let host = base.host().unwrap_or_default().trim_matches(['[', ']']);
        let socket = TcpStream::connect((host, port(base))).await;
        let socket = socket.map_err(|error| error.to_string())?;
        let socket: Box<dyn Socket> = if base.scheme_str() == Some("https") {
            let tls = Tls::native_roots().prepare();
            let tls = tls.map_err(|error| error.to_string())?;
            let secured = tls.secure(host, socket).await;
            Box::new(secured.map_err(|error| error.to_string())?)
        } else {
            Box::new(socket)
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|error| error.to_string())?;
        let prefix = base.path().trim_end_matches('/');
        let authority = base.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{prefix}{path}"))
            .header("host", authority);
        if let Some(token) = &probe.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request
            .body(Full::new(body.as_bytes()))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = sender.send_request(request).await;
            let response = response.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BYTES)
                .collect()
                .await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        // The connection only moves while it is polled.
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    };
    timeout(TIMEOUT, asking)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
}
