use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode as Http};
use axum::routing::{MethodFilter, MethodRouter};
use distributedlog::StatusCode;

use super::problem::Problem;
use crate::machine::{MAX_QUOTE_CHARS, shorten};

/// One method of one path. Routers are made of these, and a test compares them with the
/// documentation.
pub(super) struct Route {
    method: Method,
    path: &'static str,
    handler: MethodRouter,
}

impl Route {
    pub(super) fn new<T: 'static, S: Clone + Send + Sync + 'static>(
        method: Method,
        path: &'static str,
        handler: impl Handler<T, S>,
        state: &S,
    ) -> Self {
        let filter = MethodFilter::try_from(method.clone()).expect("one of the usual methods");
        Self {
            method,
            path,
            handler: MethodRouter::new()
                .on(filter, handler)
                .with_state(state.clone()),
        }
    }

    /// Returns `GET /path`.
    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Returns a router of these routes, with a problem for all other requests.
pub(super) fn router(routes: Vec<Route>) -> Router {
    let routed = routes.into_iter().fold(Router::new(), |router, route| {
        tracing::trace!(method = %route.method, route.path, "a route");
        router.route(route.path, route.handler)
    });
    routed
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
}

/// Name of the stream in a request's path, decoded.
pub(super) struct StreamPath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for StreamPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // The last part of every path is text; it fails if it is not UTF-8.
        match Path::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Path(mut named)) if !named.is_empty() => Ok(Self(named.swap_remove(0).1)),
            Ok(_) | Err(_) => Err(Problem::of_code(
                StatusCode::InvalidStreamName,
                "the stream's name in the path is not UTF-8: percent-encode the bytes of its \
                 UTF-8 form, as in /v1/streams/gr%C3%B6%C3%9Fer",
            )),
        }
    }
}

/// Response to a request for an unknown path.
async fn no_such_route(uri: axum::http::Uri) -> Problem {
    let path = shorten(uri.path(), MAX_QUOTE_CHARS);
    Problem::new(
        Http::NOT_FOUND,
        "NO_SUCH_ROUTE",
        format!("there is nothing at {path}: /openapi.json lists the routes"),
    )
}

/// Response to a method that the path does not have. The header `allow` lists the methods that it
/// has.
async fn no_such_method(method: Method) -> Problem {
    Problem::new(
        Http::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!("{method} is not a method of this path: the header `allow` lists its methods"),
    )
}
