//! The proxy over HTTP: the same machine that mux and framed thrift talk to, behind routes.
//! `docs/http.md` is its contract.

mod append;
mod body;
mod clerk;
mod guard;
mod line;
mod openapi;
mod operation;
mod origin;
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

pub(super) use operation::{Operation, serve as serve_stats};
pub use origin::{Origin, OriginError};
pub(super) use server::Server;
pub use token::{HttpToken, HttpTokenError};

use super::Settings;
use super::machine::{self, Action, Answer};
use super::service::Service;
use super::stats::Outcome;
use clerk::Clerk;
use route::Route;

/// How many bytes of request bodies may be in memory before they are in the machine's hands, where
/// its own limits count them.
const MAX_BODY_BYTES: usize = 64 << 20;

/// What every request of the HTTP port gets at.
#[derive(Debug)]
struct Face {
    service: Arc<Service>,
    settings: Arc<Settings>,
    clerk: Clerk,
    /// Room for bodies that are being read, in bytes.
    bodies: Arc<Semaphore>,
    /// Room for readers.
    tails: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is not in sight.
    Serving,
    /// What is in flight is finished, and nothing else begun.
    Draining,
}

impl Face {
    fn new(service: Arc<Service>, settings: Arc<Settings>) -> Self {
        Self {
            clerk: Clerk::new(service.clone()),
            bodies: Arc::new(Semaphore::new(MAX_BODY_BYTES)),
            tails: Arc::new(Semaphore::new(settings.http_max_readers)),
            phase: watch::Sender::new(Phase::Serving),
            service,
            settings,
        }
    }

    /// Checks a request as if it had come by thrift: `frame` holds its payload, if it has one.
    fn check<'a>(&self, request: &Request<'a>, frame: &Bytes) -> Result<Action<'a>, Answer> {
        machine::check(request, frame)
            .inspect_err(|answer| self.count(request, 0, self.service.now(), answer))
    }

    /// Puts a request that was checked to the machine, and counts its answer.
    async fn ask(
        &self,
        request: &Request<'_>,
        action: Action<'_>,
        deadline: Option<Instant>,
    ) -> Answer {
        let (since, size) = (self.service.now(), action.payload_bytes());
        let answer = self.clerk.ask(deadline, action).await;
        self.count(request, size, since, &answer);
        answer
    }

    fn count(&self, request: &Request<'_>, size: usize, since: Instant, answer: &Answer) {
        let took = self.service.now().since(since);
        self.service
            .stats
            .answered(request.method(), Outcome::of(answer), size, took);
    }
}

/// All that there is on the HTTP port.
fn routes(face: &Arc<Face>, operation: &Operation) -> Vec<Route> {
    const STREAMS: &str = "/v1/streams";
    const STREAM: &str = "/v1/streams/{stream}";
    const RECORDS: &str = "/v1/streams/{stream}/records";
    let mut routes = vec![
        Route::new(Method::POST, RECORDS, append::append, face),
        Route::new(Method::GET, RECORDS, tail::tail, face),
        Route::new(Method::DELETE, RECORDS, streams::truncate, face),
        Route::new(Method::GET, STREAMS, streams::list, face),
        Route::new(Method::PUT, STREAM, streams::create, face),
        Route::new(Method::GET, STREAM, streams::describe, face),
        Route::new(Method::DELETE, STREAM, streams::delete, face),
        Route::new(Method::GET, "/openapi.json", openapi::document, face),
        Route::new(Method::GET, "/", page::index, face),
        Route::new(Method::GET, "/page/{file}", page::file, face),
    ];
    routes.extend(operation::routes(operation));
    routes
}

fn router(face: &Arc<Face>, operation: &Operation) -> Router {
    route::router(routes(face, operation))
        .layer(middleware::from_fn_with_state(face.clone(), guard::guard))
}
