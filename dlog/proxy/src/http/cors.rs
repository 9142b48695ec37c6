use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use axum::extract::Request;
use axum::http::uri::{Authority, Scheme};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode as Http, Uri, Version, header,
};
use axum::response::{IntoResponse, Response};

use super::append::{ATTEMPT, CRC32, TIMEOUT_MS};
use super::guard::HttpPort;
use super::problem::Problem;
use crate::machine::shorten;

/// Time for which browsers may cache the response to a preflight, in seconds.
const MAX_AGE_SECONDS: u16 = 600;

/// Number of characters of a client's text that are quoted back to it.
const MAX_QUOTE_CHARS: usize = 120;

/// Origin of pages that may use the proxy from a browser: scheme, host and port, such as
/// `https://example.org` or `http://localhost:5173`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin {
    /// The origin as browsers send it.
    text: Box<str>,
    host: Box<str>,
}

impl CorsOrigin {
    /// Returns the origin as browsers send it.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for CorsOrigin {
    type Err = CorsOriginError;

    fn from_str(text: &str) -> Result<Self, CorsOriginError> {
        let refuse = || CorsOriginError { text: text.into() };
        let lower = text.to_ascii_lowercase();
        let uri: Uri = lower.parse().map_err(|_| refuse())?;
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or_else(refuse)?;
        let scheme = uri.scheme().ok_or_else(refuse)?;
        // A path or query is not part of an origin. The parser makes the same of `http://a` and
        // `http://a/`.
        if uri.path().len() > 1 || uri.query().is_some() || lower.ends_with('/') {
            return Err(refuse());
        }
        // Browsers omit the scheme's default port.
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = authority
            .port_u16()
            .filter(|port| *port != usual)
            .map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self {
            text: format!("{scheme}://{}{port}", authority.host()).into(),
            host: authority.host().into(),
        })
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Error of a text that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOriginError {
    text: Box<str>,
}

impl fmt::Display for CorsOriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not an origin; write scheme, host and, unless it is the default, port: \
             https://example.org",
            self.text
        )
    }
}

impl core::error::Error for CorsOriginError {}

/// Origin of a request, as far as browsers send it.
pub(super) enum RequestOrigin {
    /// Not a browser, or a page of this server.
    SameOrigin,
    /// A page whose origin is allowed.
    CrossOrigin(HeaderValue),
}

/// Checks that the page which sent the request is allowed to. Requests without `Origin` are not
/// from other pages' scripts.
///
/// # Errors
///
/// The problem of a host that is missing, doubled, malformed or not this proxy's, or of an origin
/// that is not allowed.
pub(super) fn check(request: &Request, port: &HttpPort) -> Result<RequestOrigin, Problem> {
    let settings = &port.state.settings;
    let authority = authority(request)?;
    if let Some(authority) = &authority
        && !is_own_host(authority.host(), port)
    {
        let host = shorten(authority.host(), MAX_QUOTE_CHARS);
        let detail = format!(
            "this proxy listens on loopback only, and {host:?} is not a name of it: use its \
             address or localhost, or start it with --cors-origin http://{host}"
        );
        return Err(Problem::new(Http::FORBIDDEN, "HOST_REFUSED", detail));
    }
    let Some(value) = request.headers().get(header::ORIGIN) else {
        return Ok(RequestOrigin::SameOrigin);
    };
    let text = value.to_str().unwrap_or("");
    if settings
        .http_origins
        .iter()
        .any(|origin| *origin.text == *text)
    {
        return Ok(RequestOrigin::CrossOrigin(value.clone()));
    }
    let scheme = if port.tls().is_some() {
        "https"
    } else {
        "http"
    };
    if authority.is_some_and(|authority| format!("{scheme}://{authority}") == text) {
        return Ok(RequestOrigin::SameOrigin);
    }
    let origin = shorten(text, MAX_QUOTE_CHARS);
    let detail = format!(
        "pages of {origin:?} may not use this proxy: to allow them, start it with --cors-origin \
         {origin}"
    );
    Err(Problem::new(Http::FORBIDDEN, "ORIGIN_REFUSED", detail))
}

/// Returns the host that the client addressed; `None` if it speaks HTTP/1.0 and names none.
///
/// # Errors
///
/// The host is malformed, or HTTP/1.1 has not exactly one (RFC 9112, 3.2). A host that is not
/// understood could be one that is refused.
pub(super) fn authority(request: &Request) -> Result<Option<Authority>, Problem> {
    let refuse = |what: &str| Err(Problem::bad_request(format!("host: {what}")));
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let of_target = request.uri().authority().cloned();
    let authority = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return refuse("a request has one header of this name, and this has two"),
        (None, None) if request.version() == Version::HTTP_11 => {
            return refuse("HTTP/1.1 requires this header, as in `host: localhost:8002`");
        }
        (None, None) => of_target,
        (Some(host), None) => {
            let parsed = host.to_str().ok().and_then(|text| text.parse().ok());
            let Some(parsed) = parsed else {
                let text = shorten(&String::from_utf8_lossy(host.as_bytes()), MAX_QUOTE_CHARS);
                return refuse(&format!("{text:?} is not a host or host:port"));
            };
            Some(of_target.unwrap_or(parsed))
        }
    };
    match authority {
        Some(authority) if authority.as_str().contains('@') => {
            refuse("a host has no user and no password")
        }
        authority => Ok(authority),
    }
}

/// Returns true if a name can be meant for a proxy that listens on loopback only. A name that an
/// attacker's name server resolves to this machine cannot: its pages would have the same origin as
/// the proxy (DNS rebinding).
fn is_own_host(host: &str, port: &HttpPort) -> bool {
    let settings = &port.state.settings;
    let announced = settings
        .announce
        .as_deref()
        .is_some_and(|announced| announced == host || announced.starts_with(&format!("{host}:")));
    !port.loopback
        || names_this_machine(host)
        || announced
        || settings
            .http_origins
            .iter()
            .any(|origin| origin.host.eq_ignore_ascii_case(host))
}

/// Returns true for an address and for localhost, which no name server resolves.
pub(super) fn names_this_machine(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    literal.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
}

/// Returns true if it is a browser's preflight request.
pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Returns the response to a preflight.
pub(super) fn preflight(headers: &HeaderMap) -> Response {
    let allowed = format!(
        "{}, {}, {CRC32}, {TIMEOUT_MS}, {ATTEMPT}, last-event-id",
        header::AUTHORIZATION,
        header::CONTENT_TYPE
    );
    let mut response = Http::NO_CONTENT.into_response();
    let response_headers = response.headers_mut();
    response_headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE"),
    );
    response_headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::try_from(allowed).expect("names of headers"),
    );
    response_headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS.into());
    // Chromium requires this of servers on the user's own network.
    if headers.contains_key("access-control-request-private-network") {
        response_headers.insert(
            HeaderName::from_static("access-control-allow-private-network"),
            HeaderValue::from_static("true"),
        );
    }
    response
}

/// Adds the headers that let the page read the response.
pub(super) fn allow(from: &RequestOrigin, headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    match from {
        RequestOrigin::SameOrigin => {}
        RequestOrigin::CrossOrigin(origin) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("retry-after"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_kept_as_browsers_send_them() {
        for (text, kept) in [
            ("https://example.org", "https://example.org"),
            ("HTTPS://Example.org:443", "https://example.org"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<CorsOrigin>().expect(text).as_str(), kept);
        }
    }

    #[test]
    fn a_text_that_is_not_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "example.org",
            "http://",
            "http://a/",
            "http://a/path",
            "http://a?q",
            "http://user@a",
        ] {
            let error = text.parse::<CorsOrigin>().expect_err(text);
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("'{text}' is not an origin")),
                "{error}"
            );
        }
    }
}
