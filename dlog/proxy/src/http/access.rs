//! The client of a request, and what it may do.

use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::RequestExt as _;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode as Http, header};
use distributedlog::{StatusCode, stream_name};
use serde::Serialize;

use super::HttpState;
use super::guard::PeerAddress;
use super::problem::Problem;
use super::route::StreamPath;
use crate::access::{
    AuditEvent, Authentication, Caller, Denied, Operation, Operations, Principal, Requested, Scope,
    over_limit,
};

/// Name of the client that sends the token of `HttpToken`, which has no name of its own.
const TOKEN_NAME: &str = "token";
/// Path of the route that says what a client may do. Every client that is admitted may ask.
pub(super) const ACCESS: &str = "/v1/access";
/// Path of a stream: PUT creates it.
const STREAM: &str = "/v1/streams/{stream}";

/// The client of a connection's certificate, if it presented one.
#[derive(Clone, Debug)]
pub(super) struct PeerCertificate(pub(super) Option<Principal>);

/// A request that may be carried out.
#[derive(Debug)]
pub(super) struct AdmittedRequest {
    pub(super) caller: Caller,
    peer: SocketAddr,
    operation: Operation,
    method: Method,
    stream: Option<String>,
}

/// What a route does, or `None` if every client may use it.
fn operation(path: &str, method: &Method) -> Option<Operation> {
    if path.is_empty() || path == ACCESS {
        return None;
    }
    Some(match *method {
        Method::GET | Method::HEAD => Operation::Read,
        Method::POST => Operation::Write,
        Method::PUT if path == STREAM => Operation::Create,
        // Also that of routes to come.
        _ => Operation::Admin,
    })
}

/// Returns the address of a request's client.
pub(super) fn peer_of(request: &Request) -> SocketAddr {
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let peer = request.extensions().get::<PeerAddress>();
    peer.map_or(unknown, |peer| peer.0)
}

/// Finds out who the client of a request is: by its token, else by its certificate, else by its
/// address.
///
/// # Errors
///
/// The token is wrong, or none was sent where one is required.
pub(super) fn identify(state: &HttpState, request: &Request) -> Result<Principal, Problem> {
    let peer = peer_of(request).ip();
    let certificate = request.extensions().get::<PeerCertificate>();
    let certificate = certificate.and_then(|it| it.0.clone());
    let identified = identify_by(state, request.headers(), certificate, peer);
    identified.inspect_err(|problem| {
        let access = &state.service.access;
        state.service.stats.access.refused("authenticate", "token");
        if let Some(audit) = &access.audit {
            audit.refused(&AuditEvent {
                principal: &Principal::of_address(peer),
                peer: peer_of(request),
                port: "http",
                operation: "authenticate",
                request: request.method().as_str(),
                stream: None,
                outcome: "401",
                reason: Some(problem.detail()),
            });
        }
    })
}

fn identify_by(
    state: &HttpState,
    headers: &HeaderMap,
    certificate: Option<Principal>,
    peer: IpAddr,
) -> Result<Principal, Problem> {
    let unauthorized = |why| Problem::new(Http::UNAUTHORIZED, "UNAUTHORIZED", why);
    let (one, named) = (&state.settings.http_token, &state.service.access.tokens);
    if one.is_none() && named.is_none() {
        return Ok(certificate.unwrap_or_else(|| Principal::of_address(peer)));
    }
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let token = bearer(given.as_bytes());
        if let Some(name) = token.and_then(|token| named.as_ref()?.find(token)) {
            return Ok(Principal::of_token(name));
        }
        if let (Some(one), Some(token)) = (one, token)
            && one.is(token)
        {
            return Ok(Principal::of_token(TOKEN_NAME.into()));
        }
        return Err(unauthorized("the token is wrong"));
    }
    match certificate {
        // The file of one token demands it of every client.
        Some(principal) if one.is_none() => Ok(principal),
        Some(_) | None => Err(unauthorized(
            "this proxy requires a token: authorization: Bearer TOKEN",
        )),
    }
}

/// Returns the token in the header's value.
fn bearer(given: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = given.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Counts and logs a refusal of `--admin-from`, and returns its response.
pub(super) fn refuse_administration(
    state: &HttpState,
    path: &str,
    request: &Request,
    principal: &Principal,
    why: Cow<'static, str>,
) -> Problem {
    state
        .service
        .stats
        .access
        .refused(Operation::Admin.name(), "address");
    if let Some(audit) = &state.service.access.audit {
        audit.refused(&AuditEvent {
            principal,
            peer: peer_of(request),
            port: "http",
            operation: Operation::Admin.name(),
            request: &format!("{} {path}", request.method()),
            stream: None,
            outcome: "403",
            reason: Some(&why),
        });
    }
    Problem::of_code(StatusCode::RequestDenied, why)
}

/// Checks a request of this client against the rules and the client's limits. Returns `None` if the
/// route needs no right.
///
/// # Errors
///
/// No rule allows it, or a limit is used up.
pub(super) async fn authorize(
    state: &HttpState,
    path: &str,
    request: &mut Request,
    principal: Principal,
) -> Result<Option<AdmittedRequest>, Problem> {
    let mut caller = Caller::new(&state.service.access, principal);
    let peer = peer_of(request);
    let Some(operation) = operation(path, request.method()) else {
        request.extensions_mut().insert(HttpCaller(caller));
        return Ok(None);
    };
    let stream = match path.contains("{stream}") {
        true => request.extract_parts::<StreamPath>().await.ok(),
        false => None,
    };
    let stream = stream.map(|StreamPath(name)| name);
    let scope = match &stream {
        Some(name) => Scope::Stream(stream_name::validate(name).unwrap_or(name)),
        None if operation == Operation::Read && !path.contains("{stream}") => Scope::AnyStream,
        None => Scope::Whole,
    };
    let requested = Requested {
        operation,
        scope,
        bytes: announced(request.headers()).unwrap_or(0),
    };
    let checked = caller.check(&state.service.access, state.service.now(), &requested);
    let admitted = AdmittedRequest {
        caller,
        peer,
        operation,
        method: request.method().clone(),
        stream,
    };
    if let Err(denied) = checked {
        return Err(admitted.refuse(state, path, &denied));
    }
    let caller = HttpCaller(admitted.caller.clone());
    request.extensions_mut().insert(caller);
    Ok(Some(admitted))
}

/// Returns the size of a body that the headers announce.
fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl AdmittedRequest {
    /// Counts and logs a refusal, and returns its response.
    fn refuse(&self, state: &HttpState, path: &str, denied: &Denied) -> Problem {
        let (problem, reason) = match denied {
            Denied::NoRule(why) => (
                Problem::of_code(StatusCode::RequestDenied, why.clone()),
                "rule",
            ),
            Denied::OverLimit(wait) => {
                let why = over_limit(&self.caller.principal, *wait);
                (
                    Problem::of_code(StatusCode::OverCapacity, why).retry_after(*wait),
                    "limit",
                )
            }
        };
        state
            .service
            .stats
            .access
            .refused(self.operation.name(), reason);
        if let Some(audit) = &state.service.access.audit {
            let status = problem.status().to_string();
            let request = format!("{} {path}", self.method);
            audit.refused(&AuditEvent {
                reason: Some(problem.detail()),
                ..self.event(&request, &status)
            });
        }
        if self.operation == Operation::Read {
            problem.of_a_read()
        } else {
            problem
        }
    }

    /// Logs an act of administration, with the status of its response.
    pub(super) fn answered(&self, state: &HttpState, path: &str, status: u16) {
        let is_logged = matches!(self.operation, Operation::Create | Operation::Admin);
        if let Some(audit) = &state.service.access.audit
            && is_logged
        {
            let request = format!("{} {path}", self.method);
            audit.administered(&self.event(&request, &status.to_string()));
        }
    }

    fn event<'a>(&'a self, request: &'a str, outcome: &'a str) -> AuditEvent<'a> {
        AuditEvent {
            principal: &self.caller.principal,
            peer: self.peer,
            port: "http",
            operation: self.operation.name(),
            request,
            stream: self.stream.as_deref(),
            outcome,
            reason: None,
        }
    }
}

/// The client of a request, which the guard has identified.
#[derive(Clone, Debug)]
pub(super) struct HttpCaller(Caller);

impl HttpCaller {
    /// Returns true if a write of the client may create its stream.
    pub(super) fn may_create(&self, stream: &str) -> bool {
        let name = stream_name::validate(stream).unwrap_or(stream);
        self.0.may(Operation::Create, Scope::Stream(name))
    }

    /// Takes the bytes of a body from the client's limit, if its headers did not announce them.
    pub(super) fn charge(&self, state: &HttpState, headers: &HeaderMap, bytes: usize) {
        if announced(headers).is_none() {
            self.0.charge(state.service.now(), bytes as u64);
        }
    }
}

impl FromRequestParts<Arc<HttpState>> for HttpCaller {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<HttpState>,
    ) -> Result<Self, Infallible> {
        // Every request that has passed the guard has one.
        let found = parts.extensions.get::<Self>().cloned();
        let nobody = || Principal::of_address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(found.unwrap_or_else(|| Self(Caller::new(&state.service.access, nobody()))))
    }
}

/// Response to the question what a client may do.
#[derive(Debug, Serialize)]
pub(super) struct AccessBody {
    /// Name of the client, or null if it has not shown who it is.
    principal: Option<String>,
    how: &'static str,
    /// What it may do with some stream.
    may: MayBody,
    streams: Vec<PatternBody>,
}

#[derive(Debug, Serialize)]
struct PatternBody {
    pattern: String,
    may: MayBody,
}

#[derive(Debug, Serialize)]
struct MayBody {
    read: bool,
    write: bool,
    create: bool,
    admin: bool,
}

impl From<Operations> for MayBody {
    fn from(may: Operations) -> Self {
        Self {
            read: may.has(Operation::Read),
            write: may.has(Operation::Write),
            create: may.has(Operation::Create),
            admin: may.has(Operation::Admin),
        }
    }
}

/// Says who the client is, and what it may do.
pub(super) async fn describe(
    State(state): State<Arc<HttpState>>,
    PeerAddress(peer): PeerAddress,
    HttpCaller(caller): HttpCaller,
) -> Json<AccessBody> {
    let principal = &caller.principal;
    let has_token = principal.how() == Authentication::Token;
    let is_admin = state
        .settings
        .admin_from
        .check(peer.ip(), has_token)
        .is_ok();
    let read_only = state.settings.read_only;
    let restricted = |may: Operations| {
        let refused = Operation::ALL
            .into_iter()
            .filter(|operation| match operation {
                Operation::Read => false,
                Operation::Write | Operation::Create => read_only,
                Operation::Admin => read_only || !is_admin,
            });
        MayBody::from(refused.fold(may, Operations::without))
    };
    let (anywhere, each) = caller.grants();
    let each = each.into_iter().map(|(pattern, may)| PatternBody {
        pattern,
        may: restricted(may),
    });
    Json(AccessBody {
        principal: principal.name().map(str::to_owned),
        how: principal.how().name(),
        may: restricted(anywhere),
        streams: each.collect(),
    })
}
