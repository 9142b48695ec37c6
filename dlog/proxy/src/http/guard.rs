use core::convert::Infallible;
use core::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use distributedlog::StatusCode;

use super::access::{self, AdmittedRequest};
use super::cors::{self, allow, is_preflight, preflight};
use super::problem::{NotedProblem, Problem};
use super::{HttpState, ServerPhase, retention};
use crate::ServerCertificate;
use crate::access::Authentication;

/// Routes that need no token and are served while the proxy shuts down: load balancers have no
/// token, and must learn that it does.
const ALWAYS: [&str; 4] = ["/healthz", "/readyz", "/ping", "/healthcheck"];
/// Routes that need no token: they contain no secret, and the pages ask for the token themselves.
const WITHOUT_TOKEN: [&str; 5] = [
    "/openapi.json",
    "/",
    "/console/{file}",
    "/demo",
    "/page/{file}",
];
/// Route that is served until the end.
const TO_THE_END: &str = "/metrics";

/// One of the ports that speak HTTP. All have the same guard.
#[derive(Clone, Debug)]
pub(super) struct HttpPort {
    pub(super) state: Arc<HttpState>,
    pub(super) kind: HttpPortKind,
    /// True if only programs on this machine reach it.
    pub(super) loopback: bool,
}

/// Purpose of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpPortKind {
    /// Streams, and all that the stats port has.
    Clients,
    /// Metrics, health and faults.
    Stats,
}

impl HttpPort {
    /// Returns the certificate of the port, if it has TLS.
    pub(super) fn tls(&self) -> Option<&ServerCertificate> {
        match self.kind {
            HttpPortKind::Clients => self.state.settings.tls.as_ref(),
            HttpPortKind::Stats => None,
        }
    }
}

/// Address of the client of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) SocketAddr);

impl<S: Send + Sync> FromRequestParts<S> for PeerAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Every connection's requests have it.
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let peer = parts.extensions.get::<Self>().copied();
        Ok(peer.unwrap_or(Self(unknown)))
    }
}

/// Runs before every route: checks the host, the origin and the token, refuses requests while the
/// proxy shuts down, and counts responses.
pub(super) async fn guard(
    State(port): State<HttpPort>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let state = &port.state;
    let unanswered = UnansweredRequest {
        state,
        answered: false,
    };
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let mut response = match cors::check(&request, &port) {
        Err(problem) => problem.into_response(),
        Ok(from) => {
            let mut response = if is_preflight(&request) {
                preflight(request.headers())
            } else {
                match admit(state, path, &mut request).await {
                    Ok(admitted) => {
                        let response = next.run(request).await;
                        if let Some(admitted) = admitted {
                            admitted.answered(state, path, response.status().as_u16());
                        }
                        response
                    }
                    Err(problem) => problem.into_response(),
                }
            };
            allow(&from, response.headers_mut());
            response
        }
    };
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    unanswered.answered(path, response.status().as_u16());
    if let Some(problem) = response.extensions_mut().remove::<NotedProblem>()
        // Clients find the owner of a stream by it.
        && problem.name != StatusCode::Found.name()
    {
        state.service.note_error(problem.name, &problem.detail);
    }
    response
}

/// Checks who the client is and what it may do, and that the proxy does not shut down.
async fn admit(
    state: &HttpState,
    path: &str,
    request: &mut Request,
) -> Result<Option<AdmittedRequest>, Problem> {
    if ALWAYS.contains(&path) {
        return Ok(None);
    }
    let mut admitted = None;
    if !WITHOUT_TOKEN.contains(&path) {
        // Requests with a wrong token come no further.
        let principal = access::identify(state, request)?;
        if is_administration(path, request.method()) {
            let has_token = principal.how() == Authentication::Token;
            let peer = access::peer_of(request).ip();
            let checked = state.settings.admin_from.check(peer, has_token);
            checked.map_err(|why| {
                access::refuse_administration(state, path, request, &principal, why)
            })?;
        }
        admitted = access::authorize(state, path, request, principal).await?;
    }
    let phase = *state.phase.borrow();
    if phase == ServerPhase::Draining && path != TO_THE_END {
        return Err(Problem::of_code(
            StatusCode::ServiceUnavailable,
            "this proxy is shutting down: ask another",
        ));
    }
    Ok(admitted)
}

/// Returns true if a route deletes something, now or later, or injects a fault.
fn is_administration(path: &str, method: &Method) -> bool {
    let is_put = *method == Method::PUT;
    *method == Method::DELETE
        || (is_put && (path.starts_with("/faults/") || path.ends_with(retention::LAST_PART)))
}

/// A request without a response. hyper drops it when its client closes.
struct UnansweredRequest<'a> {
    state: &'a HttpState,
    answered: bool,
}

impl UnansweredRequest<'_> {
    fn answered(mut self, path: &str, status: u16) {
        self.answered = true;
        self.state.service.stats.http.answered(path, status);
    }
}

impl Drop for UnansweredRequest<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.state.service.stats.http.aborted.inc();
        }
    }
}
