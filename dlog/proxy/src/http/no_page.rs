use std::sync::Arc;

use axum::http::{Method, StatusCode as Http};

use super::HttpState;
use super::problem::Problem;
use super::route::Route;

/// Returns the routes that stand for the pages in a proxy that is built without the feature `page`.
pub(super) fn routes(state: &Arc<HttpState>) -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/", index, state),
        Route::new(Method::GET, "/demo", index, state),
    ]
}

/// Responds that there are no pages.
async fn index() -> Problem {
    Problem::new(
        Http::NOT_FOUND,
        "NO_SUCH_ROUTE",
        "this proxy was built without its pages: /openapi.json lists the routes",
    )
    .of_a_read()
}
