//! The proxy over HTTP: the same machine that serves mux and framed thrift, behind routes.
//! `docs/http.md` is the contract.

mod append;
mod body;
mod cors;
mod dispatcher;
mod guard;
mod line;
mod openapi;
mod operator;
#[cfg_attr(not(feature = "page"), path = "no_page.rs")]
mod page;
mod position;
mod problem;
mod route;
mod server;
mod socket;
mod status;
mod streams;
mod tail;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use axum::http::Method;
use axum::{Router, middleware};
use bytes::Bytes;
use distributedlog::Instant;
use distributedlog::wire::service::Request;
use tokio::sync::{Semaphore, watch};

pub use cors::{CorsOrigin, CorsOriginError};
pub(super) use operator::{OperatorState, serve as serve_stats};
pub(super) use server::Server;
pub use token::{HttpToken, HttpTokenError};

use super::Settings;
use super::machine::{self, Action, Reply};
use super::service::Service;
use super::stats::RequestOutcome;
use dispatcher::HttpDispatcher;
use route::Route;

/// Limit of request bodies in memory before the machine admits them, where its own limits count
/// them. In bytes.
const MAX_BODY_BYTES: usize = 64 << 20;

/// State shared by all requests of the HTTP port.
#[derive(Debug)]
struct HttpState {
    service: Arc<Service>,
    settings: Arc<Settings>,
    dispatcher: HttpDispatcher,
    /// Room for bodies that are being read, in bytes.
    bodies: Arc<Semaphore>,
    /// Room for readers.
    readers: Arc<Semaphore>,
    phase: watch::Sender<ServerPhase>,
}

/// Progress of shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerPhase {
    /// The server is not shutting down.
    Serving,
    /// Requests in flight are finished, and no others are started.
    Draining,
}

impl HttpState {
    fn new(service: Arc<Service>, settings: Arc<Settings>) -> Self {
        Self {
            dispatcher: HttpDispatcher::new(service.clone()),
            bodies: Arc::new(Semaphore::new(MAX_BODY_BYTES)),
            readers: Arc::new(Semaphore::new(settings.http_max_readers)),
            phase: watch::Sender::new(ServerPhase::Serving),
            service,
            settings,
        }
    }

    /// Checks a request as if it had come by thrift. `frame` contains its payload, if it has one.
    fn check<'a>(&self, request: &Request<'a>, frame: &Bytes) -> Result<Action<'a>, Reply> {
        machine::check(request, frame)
            .inspect_err(|reply| self.count(request, 0, self.service.now(), reply))
    }

    /// Passes a checked request to the machine, and counts its reply.
    async fn ask(
        &self,
        request: &Request<'_>,
        action: Action<'_>,
        deadline: Option<Instant>,
    ) -> Reply {
        let (since, size) = (self.service.now(), action.payload_bytes());
        let reply = self.dispatcher.dispatch(deadline, action).await;
        self.count(request, size, since, &reply);
        reply
    }

    fn count(&self, request: &Request<'_>, size: usize, since: Instant, reply: &Reply) {
        let took = self.service.now().since(since);
        self.service
            .stats
            .answered(request.method(), RequestOutcome::of(reply), size, took);
    }
}

/// Returns the routes of the HTTP port.
fn routes(state: &Arc<HttpState>, operator: &OperatorState) -> Vec<Route> {
    const STREAMS: &str = "/v1/streams";
    const STREAM: &str = "/v1/streams/{stream}";
    const RECORDS: &str = "/v1/streams/{stream}/records";
    let mut routes = vec![
        Route::new(Method::POST, RECORDS, append::append, state),
        Route::new(Method::GET, RECORDS, tail::tail, state),
        Route::new(Method::DELETE, RECORDS, streams::truncate, state),
        Route::new(Method::GET, STREAMS, streams::list, state),
        Route::new(Method::PUT, STREAM, streams::create, state),
        Route::new(Method::GET, STREAM, streams::describe, state),
        Route::new(Method::DELETE, STREAM, streams::delete, state),
        Route::new(Method::GET, "/openapi.json", openapi::serve, state),
    ];
    routes.extend(page::routes(state));
    routes.extend(operator::routes(operator));
    routes
}

fn router(state: &Arc<HttpState>, operator: &OperatorState) -> Router {
    route::router(routes(state, operator))
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
}
