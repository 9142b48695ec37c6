//! The proxy over HTTP: the same machine that serves mux and framed thrift, behind routes.
//! `docs/http.md` is the contract.

mod accept;
mod access;
mod append;
mod batch;
mod body;
mod catalogue;
mod client;
mod cors;
mod details;
mod dispatcher;
mod guard;
mod line;
mod openapi;
mod operator;
mod overview;
#[cfg_attr(not(feature = "page"), path = "no_page.rs")]
mod page;
mod position;
mod problem;
mod query;
mod read_ahead;
mod retention;
mod route;
mod server;
mod socket;
mod status;
mod store_port;
mod stored;
mod streams;
mod tail;
#[cfg(test)]
mod tests;
mod token;

use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;

use axum::http::Method;
use axum::{Router, middleware};
use bytes::Bytes;
use distributedlog::Instant;
use distributedlog::wire::service::Request;
use tokio::sync::watch;

pub(super) use accept::Accept;
pub use cors::{CorsOrigin, CorsOriginError};
pub(super) use operator::OperatorState;
pub(super) use server::{Listeners, Server};
pub use store_port::StoreStatsPort;
pub use token::{HttpToken, HttpTokenError};

use super::Settings;
use super::machine::{self, Action, Reply, Terms};
use super::service::Service;
use super::stats::{AnsweredRequest, RequestOutcome, is_repeated};
use catalogue::Catalogue;
use client::{ClientEnd, ClientWatch};
use dispatcher::HttpDispatcher;
use guard::HttpPort;
use route::Route;

/// Time for which a request may still start whose client has closed its sending side. Most clients
/// that do so have given up, and TCP does not tell them from those that wait for the response.
const CLOSED_CLIENT_GRACE: Duration = Duration::from_secs(1);

/// State shared by all requests of the HTTP port.
#[derive(Debug)]
struct HttpState {
    service: Arc<Service>,
    settings: Arc<Settings>,
    dispatcher: HttpDispatcher,
    phase: watch::Sender<ServerPhase>,
    catalogue: Catalogue,
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
            phase: watch::Sender::new(ServerPhase::Serving),
            catalogue: Catalogue::default(),
            service,
            settings,
        }
    }

    /// Checks a request as if it had come by thrift. `frame` contains its payload, if it has one.
    fn check<'a>(&self, request: &Request<'a>, frame: &Bytes) -> Result<Action<'a>, Reply> {
        machine::check(request, frame)
            .inspect_err(|reply| self.count(request, 0, self.service.now(), reply))
    }

    /// Passes a checked request to the machine, and counts its reply. A request that has not
    /// started when its client has gone is taken back, and answered so: the client may only have
    /// closed its sending side.
    async fn ask(
        &self,
        request: &Request<'_>,
        action: Action<'_>,
        terms: Terms,
        client: &ClientWatch,
    ) -> Reply {
        let (since, size) = (self.service.now(), action.payload_bytes());
        let mut reply = pin!(self.dispatcher.dispatch(terms, action));
        let reply = tokio::select! {
            biased;
            reply = &mut reply => reply,
            () = self.gone(client) => {
                reply.discard();
                reply.await
            }
        };
        self.count(request, size, since, &reply);
        reply
    }

    /// Waits until the client has gone, or is taken to have. It is counted as soon as it closes its
    /// sending side, which most clients do to give a request up.
    async fn gone(&self, client: &ClientWatch) {
        let end = client.ended().await;
        self.service.stats.http.aborted.inc();
        match end {
            ClientEnd::Broken => {}
            ClientEnd::Closed => tokio::time::sleep(CLOSED_CLIENT_GRACE).await,
        }
    }

    fn count(&self, request: &Request<'_>, size: usize, since: Instant, reply: &Reply) {
        let now = self.service.now();
        let answered = AnsweredRequest {
            method: request.method(),
            is_repeated: is_repeated(request),
            outcome: RequestOutcome::of(reply),
            size,
            took: now.since(since),
        };
        self.service.stats.answered(now, answered);
    }
}

/// Returns the routes of the HTTP port.
fn routes(state: &Arc<HttpState>, operator: &OperatorState) -> Vec<Route> {
    const STREAMS: &str = "/v1/streams";
    const STREAM: &str = "/v1/streams/{stream}";
    const RECORDS: &str = "/v1/streams/{stream}/records";
    const OF_STREAM: &str = "/v1/streams/{stream}/retention";
    const OF_ALL: &str = "/v1/retention";
    let mut routes = vec![
        Route::new(Method::POST, RECORDS, append::append, state),
        Route::new(Method::GET, RECORDS, tail::tail, state),
        Route::new(Method::DELETE, RECORDS, streams::truncate, state),
        Route::new(Method::GET, STREAMS, streams::list, state),
        Route::new(Method::PUT, STREAM, streams::create, state),
        Route::new(Method::GET, STREAM, streams::describe, state),
        Route::new(Method::DELETE, STREAM, streams::delete, state),
        Route::new(Method::GET, OF_STREAM, retention::of_stream, state),
        Route::new(Method::PUT, OF_STREAM, retention::set_of_stream, state),
        Route::new(
            Method::DELETE,
            OF_STREAM,
            retention::remove_from_stream,
            state,
        ),
        Route::new(Method::GET, OF_ALL, retention::of_namespace, state),
        Route::new(Method::PUT, OF_ALL, retention::set_of_namespace, state),
        Route::new(
            Method::DELETE,
            OF_ALL,
            retention::remove_from_namespace,
            state,
        ),
        Route::new(Method::GET, "/v1/overview", overview::overview, state),
        Route::new(Method::GET, access::ACCESS, access::describe, state),
        Route::new(Method::GET, "/openapi.json", openapi::serve, state),
    ];
    routes.extend(page::routes(state));
    routes.extend(operator::routes(operator));
    routes
}

/// Returns a router of these routes, behind the guard that all ports have.
fn router(routes: Vec<Route>, port: HttpPort) -> Router {
    route::router(routes).layer(middleware::from_fn_with_state(port, guard::guard))
}
