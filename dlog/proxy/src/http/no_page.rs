use std::sync::Arc;

use axum::http::{Method, StatusCode as Http};

use super::HttpState;
use super::problem::Problem;
use super::route::Route;

/// Returns the route that stands for the page in a proxy that is built without the feature `page`.
pub(super) fn routes(state: &Arc<HttpState>) -> Vec<Route> {
    vec![Route::new(Method::GET, "/", index, state)]
}

/// Responds that there is no page.
async fn index() -> Problem {
    Problem::new(
        Http::NOT_FOUND,
        "NO_SUCH_ROUTE",
        "this proxy was built without its page: /openapi.json lists the routes",
    )
    .of_a_read()
}
