use axum::http::header;
use axum::response::IntoResponse;

/// The interface, as an OpenAPI 3.1 document. A test compares it with the server: routes, statuses,
/// and the shape of every response.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

/// Serves the document.
pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
